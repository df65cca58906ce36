use std::fmt;
use std::io;

use crate::metrics::ConnectFailure;

/// Why no connection to a middle proxy came about.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Connect(io::Error),
    ConnectTimeout,
    HandshakeTimeout,
    /// Telegram hung up instead of answering.
    Closed,
    Refused(i32),
    ClockSkew {
        theirs: u32,
        ours: u32,
    },
    BadAnswer(&'static str),
}

impl ConnectError {
    pub(crate) fn failure(&self) -> ConnectFailure {
        match self {
            Self::Connect(_) => ConnectFailure::Refused,
            Self::ConnectTimeout => ConnectFailure::ConnectTimeout,
            Self::HandshakeTimeout => ConnectFailure::HandshakeTimeout,
            Self::Closed => ConnectFailure::HandshakeClosed,
            Self::Refused(_) => ConnectFailure::HandshakeRefused,
            Self::ClockSkew { .. } => ConnectFailure::ClockSkew,
            Self::BadAnswer(_) => ConnectFailure::BadAnswer,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}: blocked or down"),
            Self::ConnectTimeout => write!(f, "no answer to connecting: blocked or down"),
            Self::HandshakeTimeout => write!(f, "connected, but no answer to the handshake"),
            Self::Closed => write!(
                f,
                "closed during the handshake: the public address is wrong or a NAT rewrites \
                 ports; set --external-ip, or use --route direct"
            ),
            Self::Refused(code) => write!(
                f,
                "refused the handshake (code {code}): set --external-ip, or use --route direct"
            ),
            Self::ClockSkew { theirs, ours } => write!(
                f,
                "this machine's clock is {} s off Telegram's: set it (NTP)",
                i64::from(*ours) - i64::from(*theirs)
            ),
            Self::BadAnswer(what) => write!(f, "answered with {what}: not a middle proxy?"),
        }
    }
}
