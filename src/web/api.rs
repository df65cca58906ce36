//! The calls of apps and pages (`doc/protocol.md` §13): what each does, and its answer.

use std::io;
use std::rc::Rc;

use super::WebContext;
use super::carrier::{Outcome, https};
use super::decide::{Call, MAX_BEGINNING, is_beginning};
use super::session::Session;
use super::sessions::Begun;
use crate::client::Peer;
use crate::http::{Exchange, Next};
use crate::metrics::{WebEnd, WebRefusal};
use crate::wire::http::RequestHead;
use crate::wire::web::{Ticket, Token, TokenKind, WELCOME};

const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");
const SOON: (&str, &str) = ("Retry-After", "1");

/// What clients that run no page are told to do, who take the server's word: the way that
/// all of them can (some know no other), and that every web server in front hands on. Who
/// opens a WebSocket all the same, as our page does, gets one.
const MODE: (&str, &str) = ("X-Carrier-Mode", "https");

/// How a call went on.
pub(super) enum Called {
    Answered(Next),
    /// The connection is a WebSocket of this session from here on.
    Upgraded(Rc<Session>),
    /// It can be of no more use.
    Broken,
}

impl From<io::Result<Next>> for Called {
    fn from(answered: io::Result<Next>) -> Self {
        answered.map_or(Self::Broken, Self::Answered)
    }
}

/// One call of somebody who has shown `ticket`.
pub(super) struct Caller<'a> {
    pub(crate) context: &'a Rc<WebContext>,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) head: &'a RequestHead,
    pub(crate) ticket: Ticket,
    pub(crate) peer: Peer,
}

impl Caller<'_> {
    pub(crate) async fn call(mut self, call: Call) -> Called {
        if call == Call::Begin {
            return self.begin().await;
        }
        let sessions = &self.context.sessions;
        let Some(session) = sessions.find(&self.ticket) else {
            return match call == Call::Delete && sessions.is_gone(&self.ticket) {
                true => self.answer(204, &[NO_STORE], &[]).await,
                false => self.refuse(WebRefusal::Spent).await,
            };
        };
        session.heard_of();
        match call {
            Call::Begin | Call::Delete => {
                session.end(WebEnd::ClosedByApp);
                self.answer(204, &[NO_STORE], &[]).await
            }
            Call::Up { number } => self.up(&session, number).await,
            Call::Down { cursor } => self.down(&session, cursor).await,
            Call::Socket { accept } => self.socket(session, &accept).await,
        }
    }

    async fn begin(&mut self) -> Called {
        if self.exchange.say_continue(self.head).await.is_err() {
            return Called::Broken;
        }
        let Ok(body) = self.exchange.whole_body(MAX_BEGINNING as usize).await else {
            return Called::Broken;
        };
        let context = self.context;
        let hosts = context.hosts();
        let access = hosts.access(self.ticket.bridge);
        let (true, Some(access)) = (is_beginning(&body), access) else {
            return self.refuse(WebRefusal::Misplaced).await;
        };
        let sessions = &context.sessions;
        match sessions.begin(context, self.ticket, access, self.peer) {
            Begun::There => {
                let token = context.mint.token(TokenKind::Session, &self.ticket);
                let token = token.to_string();
                let fields = [
                    OCTETS,
                    NO_STORE,
                    ("X-Session-Token", &token),
                    ("X-Down-Cursor", "0"),
                    MODE,
                ];
                self.answer(200, &fields, &WELCOME).await
            }
            Begun::Full => {
                context.metrics.web_refusals.inc(WebRefusal::Full);
                self.answer(503, &[NO_STORE, SOON], &[]).await
            }
            Begun::Spent => self.refuse(WebRefusal::Spent).await,
        }
    }

    async fn up(&mut self, session: &Rc<Session>, number: u64) -> Called {
        if !https::take_over(session) {
            return self.refuse(WebRefusal::Carrier).await;
        }
        if self.exchange.say_continue(self.head).await.is_err() {
            return Called::Broken;
        }
        match https::up(session, self.exchange, number).await {
            Outcome::Done(number) => {
                let number = number.to_string();
                self.answer(204, &[NO_STORE, ("X-Up-Ack", &number)], &[])
                    .await
            }
            Outcome::Answered(next) => Called::Answered(next),
            Outcome::Gone => Called::Broken,
            Outcome::Over => self.refuse(WebRefusal::Spent).await,
        }
    }

    async fn down(&mut self, session: &Rc<Session>, cursor: u64) -> Called {
        if !https::take_over(session) {
            return self.refuse(WebRefusal::Carrier).await;
        }
        match https::down(session, self.exchange, self.head, cursor).await {
            Err(_) | Ok(Outcome::Gone) => Called::Broken,
            Ok(Outcome::Done(cursor)) => {
                let cursor = cursor.to_string();
                let fields = [NO_STORE, ("X-Down-Cursor", &cursor)];
                self.answer(204, &fields, &[]).await
            }
            Ok(Outcome::Answered(next)) => Called::Answered(next),
            Ok(Outcome::Over) => self.refuse(WebRefusal::Spent).await,
        }
    }

    async fn socket(&mut self, session: Rc<Session>, accept: &[u8]) -> Called {
        if !session.is_unclaimed() {
            return self.refuse(WebRefusal::Carrier).await;
        }
        let token: Token = self.context.mint.token(TokenKind::Session, &self.ticket);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
             Upgrade\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: \
             tproxy-v1.{token}\r\n\r\n",
            String::from_utf8_lossy(accept)
        );
        match self.exchange.write(head.as_bytes()).await {
            // Another one may have come meanwhile.
            Ok(()) if session.is_unclaimed() => Called::Upgraded(session),
            _ => Called::Broken,
        }
    }

    /// 404, as if there were nothing. The body, if there is one, is not read.
    pub(crate) async fn refuse(&mut self, reason: WebRefusal) -> Called {
        self.context.metrics.web_refusals.inc(reason);
        self.answer(404, &[NO_STORE], &[]).await
    }

    async fn answer(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Called {
        self.exchange
            .answer(self.head, status, fields, body)
            .await
            .into()
    }
}
