//! One request to the site and its answer, both as they come: neither waits for the other.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::flow::Flow;
use super::kept::KeptConnection;
use super::patience::Patience;
use crate::http::{BodyFailure, Connection, Exchange, HttpContext};
use crate::net::READS_PER_TURN;
use crate::wire::http::{BodyReader, RequestHead, ResponseHead};

/// More words in advance than any site has for one request.
const MAX_INTERIMS: u8 = 64;

/// What has become of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is answered; whether the site's connection may serve another one.
    Answered { keeps_alive: bool },
    /// The site has ended its connection without a word.
    Unanswered,
    /// From here on bytes are handed on whatever they are: after an upgrade, or where the
    /// body is not what its head says.
    Raw,
    /// One of both is gone, or has said what cannot be handed on.
    Broken,
}

pub(super) struct Transfer<'a> {
    context: &'a HttpContext,
    exchange: &'a mut Exchange,
    client: Rc<Connection>,
    site: &'a mut KeptConnection,
    to_head: bool,
    to_site: Flow,
    to_client: Flow,
    request: Up,
    answer: Down,
    /// Words in advance that have come.
    interims: u8,
    patience: Patience,
}

/// How far the request is.
#[derive(PartialEq, Eq)]
enum Up {
    Body,
    /// All of it is with the site.
    Done,
    /// The client will say no more.
    Ended,
    /// The site takes no more of it. It may have answered all the same.
    Refused,
    /// What comes now is no body.
    Raw,
}

/// How far the answer is.
enum Down {
    Head,
    Body(BodyReader, ResponseHead),
    Done(ResponseHead),
    /// What comes is nothing that can be told apart from a next answer: it goes to the
    /// client, whatever it is, until the site ends it.
    Raw,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        context: &'a HttpContext,
        exchange: &'a mut Exchange,
        request: &RequestHead,
        site: &'a mut KeptConnection,
    ) -> Self {
        let mut to_site = Flow::new(&context.buffers);
        // With as much of the body as is here, as it came.
        to_site.hold(request.bytes());
        Self {
            client: exchange.connection().clone(),
            to_head: request.is_head(),
            to_site,
            to_client: Flow::new(&context.buffers),
            request: Up::Body,
            answer: Down::Head,
            interims: 0,
            patience: Patience::new(&context.reactor),
            context,
            exchange,
            site,
        }
    }

    /// The flows to the site and to the client are for those who go on with them.
    pub(super) async fn run(mut self) -> (Outcome, Flow, Flow) {
        let outcome = poll_fn(|cx| self.poll(cx)).await;
        (outcome, self.to_site, self.to_client)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let up = self.poll_up(cx);
        if let Poll::Ready(Err(_)) = up {
            return Poll::Ready(Outcome::Broken);
        }
        if self.request == Up::Raw {
            return Poll::Ready(Outcome::Raw);
        }
        match self.poll_down(cx) {
            Poll::Ready(outcome) => return Poll::Ready(outcome),
            Poll::Pending => {}
        }
        let moved = self.to_site.moved() + self.to_client.moved();
        match self.patience.is_over(cx, moved) {
            true => Poll::Ready(Outcome::Broken),
            false => Poll::Pending,
        }
    }

    /// Ready when there is no more to say to the site. An error is the client's.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut reads = 0;
        while self.request == Up::Body {
            let site = &self.site.connection;
            let is_here = !self.exchange.received().is_empty();
            if is_here && !self.exchange.has_body_ended() {
                let to_site = &mut self.to_site;
                let mut take = |bytes: &mut [u8]| to_site.hold(bytes);
                if ready!(self.exchange.poll_raw_body(cx, &mut take)).is_err() {
                    self.request = Up::Raw;
                }
                continue;
            }
            if ready!(self.to_site.poll_flush(cx, site)).is_err() {
                self.request = Up::Refused;
                break;
            }
            if self.exchange.has_body_ended() {
                self.request = Up::Done;
                break;
            }
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let (to_site, mut sent) = (&mut self.to_site, Ok(()));
            let mut take = |bytes: &mut [u8]| sent = to_site.send(site, bytes);
            match ready!(self.exchange.poll_raw_body(cx, &mut take)) {
                Ok(_) => {}
                Err(BodyFailure::Malformed) => self.request = Up::Raw,
                Err(BodyFailure::Broken(error)) => return Poll::Ready(Err(error)),
                // The site may have an answer all the same.
                Err(_) => {
                    site.shut_down_write();
                    self.request = Up::Ended;
                }
            }
            if sent.is_err() {
                self.request = Up::Refused;
            }
        }
        // Who has said its last gets its answer, as the site likes it.
        let client = self.client.socket();
        if self.request == Up::Done
            && self.exchange.received().is_empty()
            && client.poll_hung_up(cx).is_ready()
            && client.is_at_end()
        {
            self.site.connection.shut_down_write();
            self.request = Up::Ended;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut reads = 0;
        loop {
            if ready!(self.to_client.poll_flush(cx, &self.client)).is_err() {
                return Poll::Ready(Outcome::Broken);
            }
            match self.hand_on() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(outcome) => return Poll::Ready(outcome),
            }
            // The rest of a request that is answered already is the site's to read, or not.
            if let Down::Done(answer) = &self.answer
                && self.request != Up::Body
            {
                let is_whole = matches!(self.request, Up::Done);
                return Poll::Ready(Outcome::Answered {
                    keeps_alive: answer.keeps_alive && is_whole && self.site.received.is_empty(),
                });
            }
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(self.ended()),
                Ok(_) => {}
                Err(error) => {
                    if error.kind() == io::ErrorKind::ConnectionReset {
                        let _ = self.client.socket().set_reset_on_close();
                    }
                    return Poll::Ready(self.ended());
                }
            }
        }
    }

    /// What the site's end means.
    fn ended(&mut self) -> Outcome {
        match &self.answer {
            Down::Head if self.site.received.is_empty() && self.to_client.moved() == 0 => {
                Outcome::Unanswered
            }
            Down::Head => {
                // Some of a head: as it would come without us.
                let _ = self.to_client.send(&self.client, &self.site.received);
                Outcome::Broken
            }
            Down::Body(body, _) if body.may_end() => Outcome::Answered { keeps_alive: false },
            Down::Body(..) => Outcome::Broken,
            // It does not want the rest of the request.
            Down::Done(_) | Down::Raw => Outcome::Answered { keeps_alive: false },
        }
    }

    /// Reads the site once. Of a body what comes is handed on at once; all else is kept in
    /// `received`.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let KeptConnection {
            connection,
            received,
            ..
        } = &mut *self.site;
        let (to_client, client) = (&mut self.to_client, &self.client);
        let (mut handed, mut is_body) = (Ok(()), true);
        let read = match &mut self.answer {
            Down::Body(body, _) => {
                let mut take = |bytes: &mut [u8]| {
                    let fine = body.measure(bytes);
                    is_body = fine.is_ok();
                    let fine = fine.unwrap_or_else(|(fine, _)| fine);
                    let (fine, behind) = bytes.split_at_checked(fine).unwrap_or_default();
                    handed = to_client.send(client, fine);
                    received.extend_from_slice(behind);
                };
                self.context.poll_read(cx, connection, &mut take)
            }
            Down::Raw => {
                let mut take = |bytes: &mut [u8]| handed = to_client.send(client, bytes);
                self.context.poll_read(cx, connection, &mut take)
            }
            Down::Head | Down::Done(_) => {
                let mut take = |bytes: &mut [u8]| received.extend_from_slice(bytes);
                self.context.poll_read(cx, connection, &mut take)
            }
        };
        let length = ready!(read)?;
        if !is_body {
            self.answer = Down::Raw;
        }
        Poll::Ready(handed.map(|()| length))
    }

    /// Goes on with what has been received; whether there is something to flush then.
    fn hand_on(&mut self) -> Result<bool, Outcome> {
        let received = &mut self.site.received;
        let length = match &mut self.answer {
            Down::Head => match ResponseHead::parse(received, self.to_head) {
                Ok(None) => return Ok(false),
                Ok(Some(head)) if head.switches() => return Err(Outcome::Raw),
                Ok(Some(head)) => {
                    if !head.is_interim() {
                        self.answer = Down::Body(BodyReader::new(head.framing), head);
                    } else if self.interims < MAX_INTERIMS {
                        self.interims += 1;
                    } else {
                        return Err(Outcome::Broken);
                    }
                    head.len
                }
                Err(_) => {
                    self.answer = Down::Raw;
                    return Ok(true);
                }
            },
            Down::Body(body, _) if !received.is_empty() && !body.is_done() => {
                match body.measure(received) {
                    Ok(length) => length,
                    Err(_) => {
                        self.answer = Down::Raw;
                        return Ok(true);
                    }
                }
            }
            Down::Body(body, head) if body.is_done() => {
                self.answer = Down::Done(*head);
                return Ok(true);
            }
            // More than was asked for.
            Down::Done(_) if !received.is_empty() => {
                self.answer = Down::Raw;
                return Ok(true);
            }
            Down::Raw if !received.is_empty() => received.len(),
            Down::Body(..) | Down::Done(_) | Down::Raw => return Ok(false),
        };
        let rest = received.split_off(length.min(received.len()));
        let bytes = std::mem::replace(received, rest);
        let sent = self.to_client.send(&self.client, &bytes);
        sent.map_err(|_| Outcome::Broken)?;
        Ok(true)
    }
}
