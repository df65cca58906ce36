use std::cell::RefCell;

use rustls::KeyLog;

/// The longest secret of TLS 1.3's ciphers here.
type Bytes = heapless::Vec<u8, 48, u8>;

/// What the keys of a client's connection are made of.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    pub(super) to_server: Bytes,
    pub(super) to_client: Bytes,
}

thread_local! {
    static TOLD: RefCell<Secrets> = RefCell::default();
}

/// As the `key_log` of a config: of its handshakes [`take`] has the secrets. What made
/// them need not be kept for the next keys then, with all that the server has shown.
#[derive(Debug)]
pub(crate) struct Listener;

impl KeyLog for Listener {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let Ok(secret) = Bytes::from_slice(secret) else {
            return;
        };
        TOLD.with_borrow_mut(|told| match label {
            TO_SERVER => told.to_server = secret,
            TO_CLIENT => told.to_client = secret,
            _ => {}
        });
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, TO_SERVER | TO_CLIENT)
    }
}

const TO_SERVER: &str = "CLIENT_TRAFFIC_SECRET_0";
const TO_CLIENT: &str = "SERVER_TRAFFIC_SECRET_0";

/// Those of the handshake that this thread has gone on with last, once.
pub(super) fn take() -> Option<Secrets> {
    Some(TOLD.take()).filter(|told| !told.to_server.is_empty())
}
