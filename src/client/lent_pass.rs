//! A client that was answered and is slow to go on does not keep a place of its secret
//! for as long as it is waited for.

use std::future::Future;
use std::pin::pin;
use std::time::Instant;

use super::arrival::Arrival;
use crate::guard::gate::Pass;
use crate::metrics::RejectReason;
use crate::wire::secret::Domain;

/// The pass of a client that was answered and does not go on. The site would wait
/// long for it, and so do we; a place of its secret is kept only `until` then.
pub(super) struct LentPass<'a> {
    arrival: &'a Arrival<'a>,
    pass: Option<Pass>,
    until: Instant,
}

impl<'a> LentPass<'a> {
    pub(crate) fn new(arrival: &'a Arrival<'a>, pass: Pass, until: Instant) -> Self {
        let pass = Some(pass);
        Self {
            arrival,
            pass,
            until,
        }
    }

    /// The outcome of `reading`. If that takes longer, the pass is given back
    /// meanwhile.
    pub(crate) async fn during<T>(&mut self, reading: impl Future<Output = T>) -> T {
        let mut reading = pin!(reading);
        if self.pass.is_some() {
            let reactor = &self.arrival.context.reactor;
            let left = self.until.saturating_duration_since(reactor.now());
            if let Some(read) = reactor.timeout(left, reading.as_mut()).await {
                return read;
            }
            self.pass = None;
        }
        reading.await
    }

    /// The pass, or another one if it was given back and there still is a place.
    pub(crate) fn take(self, domain: &Domain) -> Result<Pass, RejectReason> {
        match self.pass {
            Some(pass) => Ok(pass),
            None => self.arrival.let_in_again(domain),
        }
    }
}
