//! The server's half of a connection: requests one after another, their bodies, answers.

use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::connection::Connection;
use super::context::HttpContext;
use super::status::phrase;
use crate::net::Timer;
use crate::wire::http::{BodyError, BodyReader, Framing, HeadScan, RequestHead};
use crate::wire::http_date;

/// For a head, from its first byte on or from the connection's beginning.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Between two requests.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// For a body that is wanted as a whole.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// How long a client that goes on sending is read behind the last answer: since its last
/// byte, and in all.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_IN_ALL: Duration = Duration::from_secs(30);

/// What comes next on a connection.
pub(crate) enum Incoming {
    Request(RequestHead),
    /// What has been [`received`](Exchange::received) is no request, or one that could be
    /// taken for another. No more requests can be read here.
    Unparsable,
    /// The client is gone, or was silent for too long.
    End,
}

/// What is to become of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    Close,
}

/// Why there is no more of a body.
#[derive(Debug)]
pub(crate) enum BodyFailure {
    Broken(io::Error),
    /// The client ended the connection before.
    Truncated,
    /// No chunks, or more framing than anybody sends. What has been received and is not
    /// the body's begins there.
    Malformed,
    /// Longer than wanted.
    TooLong,
    /// Not there in time.
    Late,
}

/// How a body is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Its data.
    Data,
    /// With its framing, as it came.
    Raw,
}

/// A server's connection with one client.
pub(crate) struct Exchange {
    context: Rc<HttpContext>,
    connection: Rc<Connection>,
    /// Has come and was not handed out: one read at most behind a body, or what there is
    /// of a head.
    received: Vec<u8>,
    scan: HeadScan,
    body: BodyReader,
    /// Requests that have come.
    requests: u64,
    /// The client has said its last.
    is_at_end: bool,
}

impl Exchange {
    /// `received`: what has been read of the connection already.
    pub(crate) fn new(
        context: &Rc<HttpContext>,
        connection: Rc<Connection>,
        received: Vec<u8>,
    ) -> Self {
        Self {
            context: context.clone(),
            connection,
            received,
            scan: HeadScan::default(),
            body: BodyReader::new(Framing::Length(0)),
            requests: 0,
            is_at_end: false,
        }
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// The next request. The body of the one before has to be read by then.
    pub(crate) async fn next(&mut self) -> Incoming {
        let mut wait = self.wait();
        poll_fn(|cx| self.poll_next(cx, &mut wait)).await
    }

    /// For the time that the next request may take.
    pub(crate) fn wait(&self) -> NextWait {
        let is_new = self.requests == 0;
        let limit = match is_new {
            true => HEAD_LIMIT,
            false => IDLE_LIMIT,
        };
        let mut timer = self.context.reactor.timer();
        timer.set(self.context.reactor.now() + limit);
        NextWait {
            timer,
            has_begun: is_new,
        }
    }

    /// [`next`](Self::next) for those who wait for something else too.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        wait: &mut NextWait,
    ) -> Poll<Incoming> {
        if !self.body.is_done() {
            return Poll::Ready(Incoming::End);
        }
        loop {
            match self.scan.advance(&self.received) {
                Ok(Some(len)) => return Poll::Ready(self.begin(len)),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Incoming::Unparsable),
            }
            if self.scan.has_begun() && !mem::replace(&mut wait.has_begun, true) {
                let now = self.context.reactor.now();
                wait.timer.set(now + HEAD_LIMIT);
            }
            if wait.timer.poll_expired(cx).is_ready() {
                return Poll::Ready(Incoming::End);
            }
            let received = &mut self.received;
            let mut take = |bytes: &mut [u8]| received.extend_from_slice(bytes);
            match ready!(self.context.poll_read(cx, &self.connection, &mut take)) {
                Ok(0) => {
                    self.is_at_end = true;
                    // A server answers what may be a request of old.
                    return Poll::Ready(match self.received.is_empty() {
                        true => Incoming::End,
                        false => Incoming::Unparsable,
                    });
                }
                Ok(_) => {}
                Err(_) => {
                    self.is_at_end = true;
                    return Poll::Ready(Incoming::End);
                }
            }
        }
    }

    fn begin(&mut self, len: usize) -> Incoming {
        let head = self.received.get(..len).unwrap_or_default();
        let Ok(request) = RequestHead::parse(head) else {
            return Incoming::Unparsable;
        };
        // Nothing is left of the buffer where nothing came behind the head.
        self.received = self.received.split_off(len);
        self.scan = HeadScan::default();
        self.body = BodyReader::new(request.framing());
        self.requests += 1;
        Incoming::Request(request)
    }

    /// What has come and was not handed out.
    pub(crate) fn received(&self) -> &[u8] {
        &self.received
    }

    /// The same, which is then handed out.
    pub(crate) fn take_received(&mut self) -> Vec<u8> {
        mem::take(&mut self.received)
    }

    /// The request's body is handed out, whole.
    pub(crate) fn has_body_ended(&self) -> bool {
        self.body.is_done()
    }

    /// Hands out what comes next of the body, without framing and in any number of pieces.
    /// Whether there is more.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<Result<bool, BodyFailure>> {
        self.poll_pieces(cx, Form::Data, take)
    }

    /// [`poll_body`](Self::poll_body) with the framing, as it came.
    pub(crate) fn poll_raw_body(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<Result<bool, BodyFailure>> {
        self.poll_pieces(cx, Form::Raw, take)
    }

    /// [`poll_body`](Self::poll_body) as a future.
    pub(crate) async fn read_body(
        &mut self,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Result<bool, BodyFailure> {
        poll_fn(|cx| self.poll_body(cx, take)).await
    }

    /// All of the body, of at most `most` bytes; 30 s at most.
    pub(crate) async fn whole_body(&mut self, most: usize) -> Result<Vec<u8>, BodyFailure> {
        let reactor = self.context.reactor.clone();
        let mut whole = Vec::new();
        let mut take = |data: &mut [u8]| {
            // One byte more shows that it is too long.
            let room = (most + 1).saturating_sub(whole.len());
            whole.extend_from_slice(data.get(..room).unwrap_or(data));
        };
        let reading = async {
            let mut length = 0;
            loop {
                let mut count = |data: &mut [u8]| {
                    length += data.len();
                    take(data);
                };
                let has_more = self.read_body(&mut count).await?;
                if length > most {
                    return Err(BodyFailure::TooLong);
                }
                if !has_more {
                    return Ok(());
                }
            }
        };
        let read = reactor.timeout(BODY_LIMIT, reading).await;
        read.unwrap_or(Err(BodyFailure::Late))?;
        Ok(whole)
    }

    fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        form: Form,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<Result<bool, BodyFailure>> {
        if self.body.is_done() {
            return Poll::Ready(Ok(false));
        }
        let mut outcome = Ok(());
        if self.received.is_empty() {
            let Self {
                context,
                connection,
                received,
                body,
                ..
            } = self;
            let mut hand_out = |bytes: &mut [u8]| {
                outcome = hand_out(body, form, bytes, take, received);
            };
            match ready!(context.poll_read(cx, connection, &mut hand_out)) {
                Ok(0) => {
                    self.is_at_end = true;
                    return Poll::Ready(Err(BodyFailure::Truncated));
                }
                Ok(_) => {}
                Err(error) => {
                    self.is_at_end = true;
                    return Poll::Ready(Err(BodyFailure::Broken(error)));
                }
            }
        } else {
            let mut bytes = mem::take(&mut self.received);
            outcome = hand_out(&mut self.body, form, &mut bytes, take, &mut self.received);
        }
        Poll::Ready(match outcome {
            Ok(()) => Ok(!self.body.is_done()),
            Err(BodyError) => Err(BodyFailure::Malformed),
        })
    }

    /// Tells a client that waits for it to send its body.
    pub(crate) async fn say_continue(&mut self, request: &RequestHead) -> io::Result<()> {
        let waits = request.expects_continue() && !self.body.is_done() && self.received.is_empty();
        match waits {
            true => self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await,
            false => Ok(()),
        }
    }

    /// Answers `request`: a date, `fields`, the length and what the connection's end needs,
    /// then the body, unless the request is a HEAD.
    pub(crate) async fn answer(
        &mut self,
        request: &RequestHead,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Next> {
        self.pass_body();
        let next = match request.keeps_alive() && self.body.is_done() {
            true => Next::KeepAlive,
            false => Next::Close,
        };
        let mut head = self.answer_head(status, fields, body.len());
        head.push_str(match (next, request.is_http_11()) {
            (Next::Close, _) => "Connection: close\r\n\r\n",
            (Next::KeepAlive, false) => "Connection: keep-alive\r\n\r\n",
            (Next::KeepAlive, true) => "\r\n",
        });
        let body = match request.is_head() {
            true => &[],
            false => body,
        };
        self.write_answer(&head, body).await?;
        Ok(next)
    }

    /// Answers what is no request by 400: a date, `fields`, the length, then the body. The
    /// connection is to be finished then.
    pub(crate) async fn refuse(&self, fields: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let head = self.answer_head(400, fields, body.len()) + "Connection: close\r\n\r\n";
        self.write_answer(&head, body).await
    }

    /// An answer's head as far as the connection's end.
    fn answer_head(&self, status: u16, fields: &[(&str, &str)], length: usize) -> String {
        let (phrase, now) = (phrase(status), self.context.reactor.clock().unix());
        let date = http_date::format(now);
        let mut head = format!("HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\n");
        for (name, value) in fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !matches!(status, 100..200 | 204 | 304) {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        head
    }

    /// In one write, as far as it goes.
    async fn write_answer(&self, head: &str, body: &[u8]) -> io::Result<()> {
        let written = self.connection.try_write(&[head.as_bytes(), body])?;
        let head_left = head.as_bytes().get(written..).unwrap_or_default();
        let body_left = body.get(written.saturating_sub(head.len())..);
        self.write(head_left).await?;
        self.write(body_left.unwrap_or_default()).await
    }

    /// What is here of a body that nobody wants.
    fn pass_body(&mut self) {
        let mut bytes = mem::take(&mut self.received);
        let passed = hand_out(
            &mut self.body,
            Form::Raw,
            &mut bytes,
            &mut |_| {},
            &mut self.received,
        );
        if passed.is_err() {
            self.received.clear();
        }
    }

    /// Writes all of `data` as it is.
    pub(crate) async fn write(&self, data: &[u8]) -> io::Result<()> {
        self.context.write(&self.connection, data).await
    }

    /// The connection and what came behind the head, for another protocol.
    pub(crate) fn into_upgraded(self) -> (Rc<Connection>, Vec<u8>) {
        (self.connection, self.received)
    }

    /// Ends the connection as web servers do: what was answered reaches a client that goes
    /// on sending meanwhile.
    pub(crate) async fn finish(self) {
        let Self {
            context,
            connection,
            ..
        } = &self;
        if context.flush(connection).await.is_err() {
            return;
        }
        connection.shut_down_write();
        if self.is_at_end {
            return;
        }
        let lingering = async {
            loop {
                let read = poll_fn(|cx| context.poll_read(cx, connection, &mut |_| {}));
                match context.reactor.timeout(LINGER, read).await {
                    Some(Ok(length)) if length > 0 => {}
                    _ => return,
                }
            }
        };
        context.reactor.timeout(LINGER_IN_ALL, lingering).await;
    }
}

/// Hands out what of `bytes` is the body's; the rest is kept in `received`.
fn hand_out(
    body: &mut BodyReader,
    form: Form,
    mut bytes: &mut [u8],
    take: &mut dyn FnMut(&mut [u8]),
    received: &mut Vec<u8>,
) -> Result<(), BodyError> {
    let outcome = match form {
        Form::Data => loop {
            match body.next(&mut bytes) {
                Ok(Some(data)) => take(data),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        },
        Form::Raw => {
            let measured = body.measure(bytes);
            let (fine, outcome) = match measured {
                Ok(fine) => (fine, Ok(())),
                Err((fine, error)) => (fine, Err(error)),
            };
            if let Some(raw) = bytes.split_off_mut(..fine)
                && fine > 0
            {
                take(raw);
            }
            outcome
        }
    };
    received.extend_from_slice(bytes);
    outcome
}

/// How long a request may be waited for.
pub(crate) struct NextWait {
    timer: Timer,
    /// The time for a head runs.
    has_begun: bool,
}

#[cfg(test)]
mod tests;
