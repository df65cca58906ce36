//! Lines about those who may be clients and are not let in, so that an operator
//! finds the limit. Addresses are for `--log-level debug`.

use std::time::{Duration, Instant};

use crate::log::Throttles;
use crate::metrics::{Reason, RejectReason};

/// Between two lines for one reason: strangers can cause some of them.
const PERIOD: Duration = Duration::from_secs(600);

/// For each reason when it was told last.
pub(super) struct TurnedAway(Throttles);

impl Default for TurnedAway {
    fn default() -> Self {
        Self(Throttles::new(RejectReason::ALL.len(), PERIOD))
    }
}

impl TurnedAway {
    /// `secret` is the name of the one that was proven, or empty.
    pub(crate) fn tell(&self, reason: RejectReason, secret: &str, now: Instant) {
        let Some(way_out) = way_out(reason) else {
            return;
        };
        if let Some(skipped) = self.0.pass(reason.index(), now) {
            let (who, of) = match secret {
                "" => ("a connection", ""),
                _ => ("a client of ", secret),
            };
            info!("{who}{of} is turned away: {reason}{skipped}; {way_out}");
        }
    }
}

/// What helps a client; `None` where it is a stranger as far as can be seen, or
/// where another line says it.
fn way_out(reason: RejectReason) -> Option<&'static str> {
    Some(match reason {
        RejectReason::Flood => "if apps share that address, a relay's or a carrier's, raise it",
        RejectReason::Evicted => "if apps are turned away, raise these",
        RejectReason::ClassicNotAllowed => "add classic to --allow, or give its user another link",
        RejectReason::PaddedNotAllowed => "add dd to --allow, or give its user another link",
        RejectReason::WebNotPadded => {
            "its app left out the dd: give its user a link without it, or another app"
        }
        RejectReason::ClockSkew => "set the clock that is wrong, its or ours, or widen --time-skew",
        RejectReason::PolicyConnections => "if they are its users', raise the N of that --policy",
        RejectReason::NotInTable => "to let it in, add it: ctl table add, or the --table's file",
        RejectReason::InTable => "to let it in, take it out: ctl table del, or the --table's file",
        RejectReason::SecretExpired => "give it a later expires= and reload to let it in",
        RejectReason::QuotaUsed => "give it a larger quota= and reload to let it in",
        RejectReason::SecretConnections => {
            "if they are its users', raise that: an app holds 3 to 8"
        }
        RejectReason::SecretAddresses => "if they are its users', raise that",
        _ => return None,
    })
}
