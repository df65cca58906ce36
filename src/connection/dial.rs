use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::config::TelegramConfig;
use crate::net::{Executor, Live, Reactor, Socket};

/// For a connection to an address, a DC's or a `--via`'s.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// Why there is no connection, by what can be done about it.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Nothing came in the full time, straight or beyond a `--via` that works: the
    /// address may be blocked.
    TimedOut,
    /// It refuses, or there is no way to it.
    Unreachable(io::Error),
    /// The `--via` works, and cannot or will not reach this address.
    #[allow(dead_code)]
    ViaRefuses(String),
    /// The `--via` itself fails, or rests since it has: nothing is said of the address,
    /// and others fare no better.
    #[allow(dead_code)]
    ViaIll(String),
}

/// Makes the connections to Telegram, and to who leads there, as the config says now.
pub(crate) struct Dialer {
    reactor: Rc<Reactor>,
}

impl Dialer {
    pub(crate) fn new(
        reactor: &Rc<Reactor>,
        _executor: &Rc<Executor>,
        _config: Live<TelegramConfig>,
    ) -> Rc<Self> {
        Rc::new(Self {
            reactor: reactor.clone(),
        })
    }

    /// A connection to `address` on which nothing has been sent or read, in 9 s at most;
    /// it holds one descriptor meanwhile.
    pub(crate) async fn dial(&self, address: SocketAddr) -> Result<Socket, DialError> {
        let connecting = Socket::connect_within(&self.reactor, address, CONNECT_LIMIT);
        connecting.await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => DialError::TimedOut,
            _ => DialError::Unreachable(error),
        })
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => io::Error::from(io::ErrorKind::TimedOut).fmt(f),
            Self::Unreachable(error) => error.fmt(f),
            Self::ViaRefuses(why) | Self::ViaIll(why) => f.write_str(why),
        }
    }
}
