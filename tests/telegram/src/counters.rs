//! What the fake Telegram counted since it started.

use std::sync::atomic::Ordering::Relaxed;

use portable_atomic::AtomicU64;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* $name: AtomicU64,)*
        }

        impl Counters {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u64 {
                    self.$name.load(Relaxed)
                }
            )*

            /// One `name value` line each.
            pub fn lines(&self) -> Vec<String> {
                vec![$(format!(concat!(stringify!($name), " {}"), self.$name()),)*]
            }

            pub(crate) fn add(&self, counter: Counter, by: u64) {
                self.of(counter).fetch_add(by, Relaxed);
            }

            pub(crate) fn subtract(&self, counter: Counter, by: u64) {
                self.of(counter).fetch_sub(by, Relaxed);
            }

            fn of(&self, counter: Counter) -> &AtomicU64 {
                match counter {
                    $(Counter::$name => &self.$name,)*
                }
            }
        }

        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        pub(crate) enum Counter {
            $($name,)*
        }
    };
}

counters! {
    /// Connections that middle proxies accepted.
    middle_accepted,
    /// Those of them that finished the RPC handshake.
    middle_handshaken,
    /// Those of them that live.
    middle_live,
    /// RPC_PROXY_REQ taken.
    requests,
    /// Bytes of payload in them.
    request_bytes,
    /// RPC_PROXY_ANS sent.
    answers,
    /// RPC_SIMPLE_ACK or direct quick-acks sent.
    quick_acks,
    /// Sessions (conn_ids) seen.
    sessions_opened,
    /// RPC_CLOSE_CONN taken for a session that was open.
    close_conns,
    /// RPC_CLOSE_CONN taken for a session that was not.
    stray_close_conns,
    /// RPC_CLOSE_EXT sent.
    close_exts,
    /// Requests that crossed an RPC_CLOSE_EXT.
    requests_after_close_ext,
    /// RPC_PING taken.
    pings_received,
    /// RPC_PING sent.
    pings_sent,
    /// RPC_PONG taken.
    pongs_received,
    /// Connections that direct DCs accepted.
    direct_accepted,
    /// Those of them that live.
    direct_live,
    /// Packets taken by direct DCs.
    direct_packets,
    /// Bytes of payload in them.
    direct_bytes,
    /// Requests for the configuration over HTTP.
    http_requests,
}
