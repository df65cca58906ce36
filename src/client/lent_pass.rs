use std::future::Future;
use std::pin::pin;
use std::time::Instant;

use super::arrival::Arrival;
use crate::guard::gate::Pass;
use crate::metrics::RejectReason;
use crate::wire::secret::Domain;

/// The pass of one that was answered. The site gives it more time than a place of a
/// secret is kept free for somebody who may be gone.
pub(super) struct LentPass<'a> {
    arrival: &'a Arrival<'a>,
    pass: Option<Pass>,
    until: Instant,
}

impl<'a> LentPass<'a> {
    pub fn new(arrival: &'a Arrival<'a>, pass: Pass, until: Instant) -> Self {
        let pass = Some(pass);
        Self {
            arrival,
            pass,
            until,
        }
    }

    /// `reading`'s outcome, beyond the time without the pass.
    pub async fn during<T>(&mut self, reading: impl Future<Output = T>) -> T {
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

    /// The same one, or another if there is a place.
    pub fn take(self, domain: &Domain) -> Result<Pass, RejectReason> {
        match self.pass {
            Some(pass) => Ok(pass),
            None => self.arrival.let_in_again(domain),
        }
    }
}
