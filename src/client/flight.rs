//! Our answer to a hello, on its way to the client.

use std::ops::RangeInclusive;
use std::time::Instant;

use super::arrival::Arrival;
use crate::config::AnswerTime;
use crate::metrics::RejectReason;
use crate::wire::secret::Domain;

/// OpenSSL writes its flight when there is so much of it, in bytes, and the rest at
/// its end.
const OPENSSL_BUFFER: usize = 4096;

/// Records of its flight behind the hellos: one for each message. Servers that send
/// more (Go), or one (rustls), write once.
const OPENSSL_RECORDS: RangeInclusive<u8> = 2..=4;

/// All of it, as long after `heard`, when the hello was there, as the site of its
/// `domain` takes; [`RejectReason::Abandoned`] if the client is gone.
pub(super) async fn send(
    arrival: &Arrival<'_>,
    domain: &Domain,
    heard: Instant,
    answer: Vec<u8>,
) -> Result<(), RejectReason> {
    let context = arrival.context;
    if context.config.with(|config| config.answer_time) == AnswerTime::Auto
        && let Some(time) = context.sites.answer_time(domain)
    {
        let mut timer = context.reactor.timer();
        timer.set(heard + time);
        // In a box, which few get to need.
        Box::pin(timer.expired()).await;
    }
    let profile = context.sites.profile(domain);
    let first = first_piece(answer.len(), profile.map(|profile| profile.records));
    let (first, rest) = answer.split_at(first);
    if !rest.is_empty() {
        // Each goes out at once then.
        arrival.socket.set_nodelay();
    }
    for piece in [first, rest] {
        let written = arrival.socket.write_all(piece).await;
        written.map_err(|_| RejectReason::Abandoned)?;
    }
    Ok(())
}

/// What of an answer of `length` bytes is written first, for a site whose flight has
/// so many `records`.
fn first_piece(length: usize, records: Option<u8>) -> usize {
    match records {
        Some(records) if OPENSSL_RECORDS.contains(&records) => length.min(OPENSSL_BUFFER),
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_go_as_openssl_writes_them() {
        for (length, records, first) in [
            (2000, Some(4), 2000),
            (4096, Some(4), 4096),
            (4845, Some(4), 4096),
            (16_000, Some(2), 4096),
            (4845, Some(5), 4845),
            (4845, Some(1), 4845),
            (4845, None, 4845),
        ] {
            assert_eq!(first_piece(length, records), first, "{length} {records:?}");
        }
    }
}
