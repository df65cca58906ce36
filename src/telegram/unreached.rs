use std::fmt;
use std::io;

use crate::connection::DialError;

/// That `place` cannot be connected to, with the way out.
pub(super) struct Unreached<'a, P>(pub(super) P, pub(super) &'a DialError);

impl<P: fmt::Display> fmt::Display for Unreached<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(place, error) = self;
        match error {
            DialError::ViaIll(why) | DialError::ViaRefuses(why) => write!(f, "{place} {why}"),
            DialError::Unreachable(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {
                write!(
                    f,
                    "{place}: {error}; there is no way from here: look at the network configuration"
                )
            }
            error => write!(
                f,
                "{place}: {error}; a firewall or the provider blocks it, or it is down"
            ),
        }
    }
}
