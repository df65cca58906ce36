//! A proxy of others that connections to Telegram go through: a talk of a few messages,
//! after which the connection is the tunnel's, from the next byte on.

use super::{http_connect, socks5};

pub use super::tunnel::{Login, Refusal, Step, Target};

/// Which kind of proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Socks5,
    Http,
}

/// The talk with either kind.
pub enum Talk {
    Socks5(socks5::Talk),
    Http(http_connect::Talk),
}

impl Talk {
    pub fn new(kind: Kind, target: Target, login: Option<&Login>) -> Self {
        match kind {
            Kind::Socks5 => Self::Socks5(socks5::Talk::new(target, login)),
            Kind::Http => Self::Http(http_connect::Talk::new(&target, login)),
        }
    }

    /// What is to be done next; what it gives to send is given once.
    pub fn step(&mut self) -> Step {
        match self {
            Self::Socks5(talk) => talk.step(),
            Self::Http(talk) => talk.step(),
        }
    }

    /// Takes what has come: how many bytes of it, as what follows is for another step or
    /// the tunnel's. All of it if that is no more than [`step`](Self::step) asked for.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self {
            Self::Socks5(talk) => talk.receive(bytes),
            Self::Http(talk) => talk.receive(bytes),
        }
    }

    /// What it means that nothing more comes.
    pub fn ended(&self) -> Refusal {
        match self {
            Self::Socks5(talk) if talk.asks_for_target() => Refusal::ClosedOverTarget,
            Self::Socks5(_) | Self::Http(_) => Refusal::Closed,
        }
    }

    /// Whether silence now may be the target's: the proxy has been told of it, and may be
    /// waiting for it.
    pub fn asks_for_target(&self) -> bool {
        match self {
            Self::Socks5(talk) => talk.asks_for_target(),
            Self::Http(talk) => talk.asks_for_target(),
        }
    }
}
