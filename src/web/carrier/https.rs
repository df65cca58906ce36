//! A web session over requests: `up` brings what the app sends, `down` waits for what it
//! is to get. Both may be repeated: a body that was applied is not applied again, and an
//! answer is given once more until the next question shows that it has come.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use smol_mtproxy_ciphers::{Checksum, ChecksumKind};

use super::super::session::Session;
use super::{Asked, Batches, Out};
use crate::http::{Exchange, Next};
use crate::metrics::WebEnd;
use crate::wire::http::RequestHead;
use crate::wire::web::{FrameReader, MAX_BATCH};

/// For a body to come, from its first byte on; the time that streams' clients take is
/// not counted.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// How long a poll waits for something to answer.
const POLL: Duration = Duration::from_secs(25);

/// What has come up so far.
#[derive(Default)]
pub(in crate::web) struct Uplink {
    reader: FrameReader,
    /// Bodies that were applied.
    done: u64,
    /// The last one of them.
    last: Sum,
    /// What was applied of the one behind it, whose request broke.
    applied: Sum,
    /// The request that goes on with it: an older one has no say any more.
    turn: u32,
}

/// So many bytes, and by what they are known again. Only the app itself could be deceived
/// about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    length: usize,
    checksum: u32,
}

/// Adds up a body, in whatever pieces it comes.
struct Adding {
    length: usize,
    checksum: Checksum,
}

impl Adding {
    fn new() -> Self {
        Self {
            length: 0,
            checksum: Checksum::new(ChecksumKind::Crc32),
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        self.checksum.update(bytes);
    }

    fn sum(self) -> Sum {
        Sum {
            length: self.length,
            checksum: self.checksum.finish(),
        }
    }
}

/// What became of a request.
pub(in crate::web) enum Outcome {
    /// To be answered with this number: a sequence number or a cursor.
    Done(u64),
    /// The answer has been written.
    Answered(Next),
    /// It cannot be answered: its client is gone, or another request has taken its place.
    Gone,
    /// The session is over.
    Over,
}

/// Takes the body of the request number `number`.
pub(in crate::web) async fn up(
    session: &Rc<Session>,
    exchange: &mut Exchange,
    number: u64,
) -> Outcome {
    let (done, turn) = session.with_uplink(|up| {
        up.turn = up.turn.wrapping_add(1);
        (up.done, up.turn)
    });
    session.wake_reader();
    let is_repeat = number == done && number > 0;
    if !is_repeat && done.checked_add(1) != Some(number) {
        session.end(WebEnd::BadSequence);
        return Outcome::Over;
    }
    let expected = session.with_uplink(|up| if is_repeat { up.last } else { up.applied });
    let mut body = Body {
        session,
        turn,
        is_repeat,
        expected,
        passed: Some(Adding::new()),
        length: 0,
    };
    loop {
        match body.read_on(exchange).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(outcome) => return outcome,
        }
    }
    match body.end() {
        Ok(()) => Outcome::Done(number),
        Err(reason) => {
            session.end(reason);
            Outcome::Over
        }
    }
}

/// One request's body.
struct Body<'a> {
    session: &'a Rc<Session>,
    turn: u32,
    is_repeat: bool,
    /// What has come of it before.
    expected: Sum,
    /// What has come of that again, until it is all.
    passed: Option<Adding>,
    length: usize,
}

impl Body<'_> {
    /// Whether there is more.
    async fn read_on(&mut self, exchange: &mut Exchange) -> Result<bool, Outcome> {
        let session = self.session;
        let mut timer = session.context.reactor.timer();
        poll_fn(|cx| {
            if session.ended().is_some() || !self.has_say() {
                return Poll::Ready(());
            }
            session.park_reader(cx.waker());
            if session.poll_room(cx).is_ready() {
                return Poll::Ready(());
            }
            session.heard_of();
            while let Some(next) = session.close_stuck() {
                timer.set(next);
                if timer.poll_expired(cx).is_pending() {
                    break;
                }
            }
            Poll::Pending
        })
        .await;
        if session.ended().is_some() {
            return Err(Outcome::Over);
        }
        if !self.has_say() {
            return Err(Outcome::Gone);
        }
        let mut taken = Ok(());
        let reading = async {
            let mut take = |bytes: &mut [u8]| {
                if taken.is_ok() {
                    taken = self.take(bytes);
                }
            };
            exchange.read_body(&mut take).await
        };
        let read = session.context.reactor.timeout(BODY_LIMIT, reading).await;
        if let Err(reason) = taken {
            return match reason {
                Some(reason) => {
                    session.end(reason);
                    Err(Outcome::Over)
                }
                None => Err(Outcome::Gone),
            };
        }
        match read {
            Some(Ok(has_more)) => Ok(has_more),
            // What has come is applied; the app sends all of it again.
            _ => Err(Outcome::Gone),
        }
    }

    /// No newer request has come.
    fn has_say(&self) -> bool {
        self.session.with_uplink(|up| up.turn) == self.turn
    }

    /// Applies what of `bytes` is new. An error without a reason: another request goes on
    /// with it.
    fn take(&mut self, bytes: &mut [u8]) -> Result<(), Option<WebEnd>> {
        let session = self.session;
        session.heard_of();
        if !self.has_say() {
            return Err(None);
        }
        self.length += bytes.len();
        if self.length > MAX_BATCH {
            return Err(Some(WebEnd::BadFrame));
        }
        let known = match &self.passed {
            Some(passed) => self.expected.length - passed.length,
            None => 0,
        };
        let (again, new) = bytes.split_at_mut(known.min(bytes.len()));
        if let Some(passed) = &mut self.passed {
            passed.add(again);
            if passed.length == self.expected.length {
                self.compare()?;
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        if self.is_repeat {
            return Err(Some(WebEnd::BadSequence));
        }
        let mut reader = session.with_uplink(|up| {
            let mut adding = Adding {
                length: up.applied.length,
                checksum: Checksum::Crc32(up.applied.checksum),
            };
            adding.add(new);
            up.applied = adding.sum();
            std::mem::take(&mut up.reader)
        });
        let received = session.receive(&mut reader, new);
        session.with_uplink(|up| up.reader = reader);
        received.map_err(Some)
    }

    /// What has come again has to be the same.
    fn compare(&mut self) -> Result<(), Option<WebEnd>> {
        let Some(passed) = self.passed.take() else {
            return Ok(());
        };
        match passed.sum() == self.expected {
            true => Ok(()),
            false => Err(Some(WebEnd::BadSequence)),
        }
    }

    /// The body is at its end.
    fn end(mut self) -> Result<(), WebEnd> {
        let expected = self.expected;
        if let Some(passed) = self.passed.take()
            && passed.sum() != expected
        {
            return Err(WebEnd::BadSequence);
        }
        if self.is_repeat {
            return Ok(());
        }
        self.session.with_uplink(|up| {
            up.reader.end_batch().map_err(|_| WebEnd::BadFrame)?;
            up.done += 1;
            up.last = std::mem::take(&mut up.applied);
            Ok(())
        })
    }
}

/// Waits for something to answer a poll with, which asks for what comes behind `cursor`.
pub(in crate::web) async fn down(
    session: &Rc<Session>,
    exchange: &mut Exchange,
    head: &RequestHead,
    cursor: u64,
) -> io::Result<Outcome> {
    let turn = session.begin_poll();
    let mut timer = session.context.reactor.timer();
    timer.set(session.context.reactor.now() + POLL);
    let connection = exchange.connection().clone();
    let asked = poll_fn(|cx| {
        if session.ended().is_some() {
            return Poll::Ready(None);
        }
        if session.poll_turn() != turn {
            return Poll::Ready(Some(Asked::Nothing));
        }
        // Only now: the place is the newest one's.
        session.park_carrier(cx.waker());
        // A way out that only collects does not fail.
        let _ = session.flush(cx);
        match session.ask(cursor) {
            Asked::Nothing => {}
            asked => return Poll::Ready(Some(asked)),
        }
        if connection.socket().poll_hung_up(cx).is_ready() {
            return Poll::Ready(Some(Asked::Nothing));
        }
        timer.poll_expired(cx).map(|()| Some(Asked::Nothing))
    })
    .await;
    session.heard_of();
    match asked {
        // Who ends the session does not want its poll to fail.
        None if session.ended() == Some(WebEnd::ClosedByApp) => Ok(Outcome::Done(cursor)),
        None => Ok(Outcome::Over),
        Some(Asked::Wrong) => {
            session.end(WebEnd::BadSequence);
            Ok(Outcome::Over)
        }
        Some(Asked::Nothing) => Ok(Outcome::Done(cursor)),
        Some(Asked::Batch(batch, cursor)) => {
            let next = match head.keeps_alive() {
                true => Next::KeepAlive,
                false => Next::Close,
            };
            let connection = match (next, head.is_http_11()) {
                (Next::Close, _) => "Connection: close\r\n",
                (Next::KeepAlive, false) => "Connection: keep-alive\r\n",
                (Next::KeepAlive, true) => "",
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: \
                 no-store\r\nX-Down-Cursor: {cursor}\r\nContent-Length: {}\r\n{connection}\r\n",
                batch.bytes.len()
            );
            exchange.write(head.as_bytes()).await?;
            for slice in batch.bytes.slices() {
                exchange.write(slice).await?;
            }
            Ok(Outcome::Answered(next))
        }
    }
}

/// The session goes on this way, if it does not go on another one.
pub(in crate::web) fn take_over(session: &Rc<Session>) -> bool {
    let is_free = session.with_out(|out| match out {
        Out::None => true,
        Out::Socket(_) => !session.is_used.get(),
        Out::Batches(_) => false,
    });
    if is_free {
        session.set_out(Out::Batches(Batches::default()));
        return true;
    }
    session.with_out(|out| matches!(out, Out::Batches(_)))
}
