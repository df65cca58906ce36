//! The last that a peer sees whose hello was answered and who is no client after
//! all: what a server does that has its own keys, and so takes nothing for right.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::ClientContext;
use super::opening::{MAX_PATIENCE, Opening};
use super::sites::{Ending, How};
use crate::metrics::RejectReason;
use crate::net::{Socket, fill_random};
use crate::wire::after_flight::GivenUp;
use crate::wire::fake_tls::record_header;

/// Read at a time, in bytes, as a server reads ahead: what is left unread makes the
/// kernel reset the connection.
const READ_AHEAD: usize = 16 * 1024 + 325;

/// What precedes a record, and the longest that a site may say last.
const MAX_LAST_RECORD: usize = 5 + 64;

/// A shorter time is the network's, or the machine's.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Ends the connection, for which nobody waits beyond `end`.
pub(super) async fn say(
    context: &ClientContext,
    socket: &Socket,
    opening: &Opening,
    reason: RejectReason,
    end: Instant,
) {
    let Some(manners) = opening.manners() else {
        return;
    };
    let reactor = &context.reactor;
    // Some of what it judges by may not have been read.
    let is_early = opening.given_up().is_some();
    let ending = match reason {
        RejectReason::TimedOut => manners.unfinished(),
        // It is the peer that has ended it.
        RejectReason::Abandoned => return,
        _ => {
            let left = end.saturating_duration_since(reactor.now());
            let judged = poll_fn(|cx| poll_judged(context, socket, opening, cx));
            match reactor.timeout(left, judged).await {
                None => manners.unfinished(),
                Some(None) => return,
                Some(Some(GivenUp::Left)) => Ending::FIN,
                Some(Some(GivenUp::Garbled)) => {
                    let ending = manners.garbled();
                    if ending.after > AT_ONCE {
                        reactor.sleep(ending.after.min(MAX_PATIENCE)).await;
                    }
                    ending
                }
            }
        }
    };
    end_by(context, socket, &ending, is_early).await;
}

/// `None`: the peer has gone before.
fn poll_judged(
    context: &ClientContext,
    socket: &Socket,
    opening: &Opening,
    cx: &mut Context<'_>,
) -> Poll<Option<GivenUp>> {
    let read = |buffer: &mut [u8]| {
        let buffer = buffer.get_mut(..READ_AHEAD).unwrap_or_default();
        match socket.poll_read(cx, buffer) {
            Poll::Ready(Ok(length)) if length > 0 => {
                opening.hear(buffer.get(..length).unwrap_or_default());
                Poll::Ready(true)
            }
            read => read.map(|_| false),
        }
    };
    if let Some(given_up) = opening.given_up() {
        return Poll::Ready(Some(given_up));
    }
    match context.scratch.with(read) {
        Some(Poll::Ready(true)) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Some(Poll::Pending) => Poll::Pending,
        _ => Poll::Ready(None),
    }
}

/// Says the last word and ends it; `reads` what has come till then once more, so that
/// only what comes later, or more than a server reads, is answered by a reset.
async fn end_by(context: &ClientContext, socket: &Socket, ending: &Ending, reads: bool) {
    if ending.how == How::Reset {
        let _ = socket.set_reset_on_close();
    }
    let mut record = heapless::Vec::<u8, MAX_LAST_RECORD>::new();
    if let Some(length) = ending.record {
        let header = record_header(length.into());
        let length = header.len() + usize::from(length);
        if record.resize_default(length).is_ok() {
            fill_random(&mut record);
            for (byte, header) in record.iter_mut().zip(header) {
                *byte = header;
            }
        }
    }
    // Whoever takes nothing for so long that it does not fit gets none.
    let said = record.is_empty() || socket.try_write(&record).is_ok();
    if !said || !reads || ending.how == How::Reset {
        return;
    }
    poll_fn(|cx| {
        let read = |buffer: &mut [u8]| {
            let buffer = buffer.get_mut(..READ_AHEAD).unwrap_or_default();
            let _ = socket.poll_read(cx, buffer);
        };
        let _ = context.scratch.with(read);
        Poll::Ready(())
    })
    .await;
}
