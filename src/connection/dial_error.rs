use std::fmt;
use std::io;

/// Why there is no connection, by what can be done about it.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Nothing came in the full time, straight or beyond a `--via` that works: the
    /// address may be blocked.
    TimedOut,
    /// It refuses, or there is no way to it.
    Unreachable(io::Error),
    /// The `--via` works, and cannot or will not reach this address.
    ViaRefuses(String),
    /// The `--via` itself fails, or rests since it has: nothing is said of the address,
    /// and others fare no better.
    ViaIll(String),
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
