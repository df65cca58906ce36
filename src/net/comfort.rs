use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

/// A socket option that a connection can do without, where the kernel is old or a
/// sandbox knows few of them. It is tried for each socket, and whoever lacks it is
/// served all the same; the log says so once.
///
/// No comfort is what decides to whom a socket belongs or how long a thread may
/// wait for it: `IPV6_V6ONLY`, without which an IPv6 listener would take the IPv4
/// port too, and the time limits of the sockets that threads wait for.
pub(super) struct Comfort {
    pub(super) name: &'static str,
    /// What it is like without.
    pub(super) without: &'static str,
    is_told: AtomicBool,
}

pub(super) static NODELAY: Comfort =
    Comfort::new("TCP_NODELAY", "small packets may come a moment later");

pub(super) static KEEPALIVE: Comfort = Comfort::new(
    "keepalive of our own",
    "a peer that has gone without a word may be noticed by --idle-timeout only",
);

pub(super) static USER_TIMEOUT: Comfort = Comfort::new(
    "TCP_USER_TIMEOUT",
    "a peer that has gone while data was under way is noticed minutes later, or by --send-timeout",
);

/// Binding itself tells whether the port is to be had.
pub(super) static REUSEADDR: Comfort = Comfort::new(
    "SO_REUSEADDR",
    "a restart may find its port in use for a minute",
);

impl Comfort {
    const fn new(name: &'static str, without: &'static str) -> Self {
        Self {
            name,
            without,
            is_told: AtomicBool::new(false),
        }
    }

    /// How asking the kernel for it ended.
    pub(crate) fn tried(&self, outcome: Result<(), Errno>) {
        if let Err(error) = outcome
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            info!("no {} here ({error}): {}", self.name, self.without);
        }
    }
}
