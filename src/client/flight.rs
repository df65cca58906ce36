//! Our answer to a hello, on its way to the client.

use std::time::Instant;

use super::visit::Visit;
use crate::config::AnswerTime;
use crate::metrics::RejectReason;
use crate::wire::secret::Domain;

/// All of it, as long after `heard`, when the hello was there, as the site of its
/// `domain` takes; [`RejectReason::Abandoned`] if the client is gone.
pub(super) async fn send(
    visit: &Visit<'_>,
    domain: &Domain,
    heard: Instant,
    answer: Vec<u8>,
) -> Result<(), RejectReason> {
    let context = visit.context;
    if context.limits.get().answer_time == AnswerTime::Auto
        && let Some(time) = context.sites.answer_time(domain)
    {
        let left = (heard + time).saturating_duration_since(context.reactor.now());
        // In a box, which few get to need.
        Box::pin(context.reactor.sleep(left)).await;
    }
    let written = visit.socket.write_all(&answer).await;
    written.map_err(|_| RejectReason::Abandoned)
}
