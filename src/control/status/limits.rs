use crate::metrics::{
    ByReason, FrontingFailure, LinkEnd, Metrics, Reason, RejectReason, Revocation, WebRefusal,
};
use crate::wire::json::Json;

/// Something that is counted, with what it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Happened {
    /// As in the metrics.
    pub(super) label: &'static str,
    pub(super) count: u64,
    pub(super) words: String,
}

impl Happened {
    fn of<R: Reason>(counts: &ByReason<R>, reason: R) -> Self {
        Self {
            label: reason.label(),
            count: counts.get(reason),
            words: reason.to_string(),
        }
    }

    pub(super) fn json(&self) -> Json {
        Json::Object(vec![
            ("reason", Json::from(self.label)),
            ("count", Json::from(self.count)),
            ("words", Json::from(self.words.as_str())),
        ])
    }
}

/// Who is turned away for lack of room, and not for what it is.
const LACKS_ROOM: [RejectReason; 8] = [
    RejectReason::TooManyClients,
    RejectReason::Evicted,
    RejectReason::Flood,
    RejectReason::UptimesFull,
    RejectReason::PolicyConnections,
    RejectReason::SecretConnections,
    RejectReason::SecretAddresses,
    RejectReason::QuotaUsed,
];

/// The limits that were reached since the start.
pub(super) fn reached(metrics: &Metrics) -> Vec<Happened> {
    let rejected = LACKS_ROOM.map(|reason| Happened::of(&metrics.rejected, reason));
    let revoked = Revocation::ALL.iter();
    let revoked = revoked.map(|reason| Happened::of(&metrics.buffer_revocations, *reason));
    let counted = [
        (
            "accept_pauses",
            metrics.accept_pauses.get(),
            "accepting stopped for lack of descriptors: raise the limit of open files \
             (LimitNOFILE=, ulimit -n)",
        ),
        (
            "link_refusals",
            metrics.link_refusals.get(),
            "a front has its share of this back: this machine needs more memory or open files, \
             or fewer fronts",
        ),
        (
            "link_evictions",
            metrics.link_evictions.get(),
            "clients take less than is sent for them, and held too much: raise --buffers if it \
             goes on",
        ),
        (
            "slow_cuts",
            metrics.slow_cuts.get(),
            "sessions that took nothing while others waited behind them were ended",
        ),
        (
            "web_streams_refused",
            metrics.web_streams_refused.get(),
            "there was no place for a WEB stream: raise --max-clients",
        ),
    ];
    let counted = counted.map(|(label, count, words)| Happened {
        label,
        count,
        words: words.to_owned(),
    });
    let others = [
        Happened::of(&metrics.fronting_failures, FrontingFailure::TooMany),
        Happened::of(&metrics.link_ends, LinkEnd::TooMany),
        Happened::of(&metrics.web_refusals, WebRefusal::Full),
    ];
    let all = rejected.into_iter().chain(revoked).chain(counted);
    all.chain(others).filter(|one| one.count > 0).collect()
}

/// Why others did not become clients, the most frequent first.
pub(super) fn turned_away(metrics: &Metrics) -> Vec<Happened> {
    let reasons = RejectReason::ALL.iter();
    let reasons = reasons.filter(|reason| !LACKS_ROOM.contains(reason));
    let all = reasons.map(|reason| Happened::of(&metrics.rejected, *reason));
    let mut all: Vec<_> = all.filter(|one| one.count > 0).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.count));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told_and_each_once() {
        let metrics = Metrics::default();
        assert_eq!(reached(&metrics), []);
        assert_eq!(turned_away(&metrics), []);
        metrics.client_rejected(RejectReason::SecretConnections);
        metrics.client_rejected(RejectReason::ClockSkew);
        for _ in 0..2 {
            metrics.client_rejected(RejectReason::Replay);
        }
        metrics.accept_pauses.inc();
        let labels = |all: Vec<Happened>| -> Vec<_> {
            all.iter().map(|one| (one.label, one.count)).collect()
        };
        let wanted = [("secret_connections", 1), ("accept_pauses", 1)];
        assert_eq!(labels(reached(&metrics)), wanted);
        let wanted = [("replay", 2), ("clock_skew", 1)];
        assert_eq!(labels(turned_away(&metrics)), wanted);
    }
}
