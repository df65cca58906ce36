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

/// What a call is answered with.
enum Reply {
    Done,
    /// A web session has begun.
    Begun,
    /// There are enough.
    Full,
    /// The bodies up to this one were applied.
    Applied(u64),
    /// The next poll asks for what comes behind this cursor.
    Nothing(u64),
    /// 404, as if there were nothing. The body, if there is one, is not read.
    Refuse(WebRefusal),
}

/// What a call comes to before it is answered.
type Concluded = Result<Reply, Called>;

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
        match self.conclude(call).await {
            Ok(reply) => self.answer(reply).await,
            Err(called) => called,
        }
    }

    async fn conclude(&mut self, call: Call) -> Concluded {
        if call == Call::Begin {
            return self.begin().await;
        }
        let sessions = &self.context.sessions;
        let Some(session) = sessions.find(&self.ticket) else {
            return Ok(
                match call == Call::Delete && sessions.is_gone(&self.ticket) {
                    true => Reply::Done,
                    false => Reply::Refuse(WebRefusal::Spent),
                },
            );
        };
        session.heard_of();
        match call {
            Call::Begin | Call::Delete => {
                session.end(WebEnd::ClosedByApp);
                Ok(Reply::Done)
            }
            Call::Up { number } => self.up(&session, number).await,
            Call::Down { cursor } => self.down(&session, cursor).await,
            Call::Socket { accept } => self.socket(session, &accept).await,
        }
    }

    async fn begin(&mut self) -> Concluded {
        self.say_continue().await?;
        let Ok(body) = self.exchange.whole_body(MAX_BEGINNING as usize).await else {
            return Err(Called::Broken);
        };
        let context = self.context;
        let hosts = context.hosts();
        let access = hosts.access(self.ticket.bridge);
        let (true, Some(access)) = (is_beginning(&body), access) else {
            return Ok(Reply::Refuse(WebRefusal::Misplaced));
        };
        let sessions = &context.sessions;
        Ok(
            match sessions.begin(context, self.ticket, access, self.peer) {
                Begun::There => Reply::Begun,
                Begun::Full => Reply::Full,
                Begun::Spent => Reply::Refuse(WebRefusal::Spent),
            },
        )
    }

    async fn up(&mut self, session: &Rc<Session>, number: u64) -> Concluded {
        if !https::take_over(session) {
            return Ok(Reply::Refuse(WebRefusal::Carrier));
        }
        self.say_continue().await?;
        concluded(
            https::up(session, self.exchange, number).await,
            Reply::Applied,
        )
    }

    async fn down(&mut self, session: &Rc<Session>, cursor: u64) -> Concluded {
        if !https::take_over(session) {
            return Ok(Reply::Refuse(WebRefusal::Carrier));
        }
        let polled = https::down(session, self.exchange, self.head, cursor).await;
        concluded(polled.unwrap_or(Outcome::Gone), Reply::Nothing)
    }

    async fn socket(&mut self, session: Rc<Session>, accept: &[u8]) -> Concluded {
        if !session.is_unclaimed() {
            return Ok(Reply::Refuse(WebRefusal::Carrier));
        }
        let token: Token = self.context.mint.token(TokenKind::Session, &self.ticket);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: \
             Upgrade\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: \
             tproxy-v1.{token}\r\n\r\n",
            String::from_utf8_lossy(accept)
        );
        Err(match self.exchange.write(head.as_bytes()).await {
            // Another one may have come meanwhile.
            Ok(()) if session.is_unclaimed() => Called::Upgraded(session),
            _ => Called::Broken,
        })
    }

    async fn say_continue(&mut self) -> Result<(), Called> {
        let said = self.exchange.say_continue(self.head).await;
        said.map_err(|_| Called::Broken)
    }

    async fn answer(&mut self, reply: Reply) -> Called {
        let context = self.context;
        let text = match reply {
            Reply::Begun => context
                .mint
                .token(TokenKind::Session, &self.ticket)
                .to_string(),
            Reply::Applied(number) | Reply::Nothing(number) => number.to_string(),
            Reply::Done | Reply::Full | Reply::Refuse(_) => String::new(),
        };
        let begun = [
            OCTETS,
            NO_STORE,
            ("X-Session-Token", &text),
            ("X-Down-Cursor", "0"),
            MODE,
        ];
        let applied = [NO_STORE, ("X-Up-Ack", &text)];
        let nothing = [NO_STORE, ("X-Down-Cursor", &text)];
        let (status, fields, body): (_, &[_], &[_]) = match reply {
            Reply::Done => (204, &[NO_STORE], &[]),
            Reply::Begun => (200, &begun, &WELCOME),
            Reply::Full => {
                context.metrics.web_refusals.inc(WebRefusal::Full);
                (503, &[NO_STORE, SOON], &[])
            }
            Reply::Applied(_) => (204, &applied, &[]),
            Reply::Nothing(_) => (204, &nothing, &[]),
            Reply::Refuse(reason) => {
                context.metrics.web_refusals.inc(reason);
                (404, &[NO_STORE], &[])
            }
        };
        let answered = self.exchange.answer(self.head, status, fields, body);
        answered.await.into()
    }
}

/// What is answered to who goes on by requests: `done` with the number, if all is well.
fn concluded(carried: Outcome, done: impl Fn(u64) -> Reply) -> Concluded {
    match carried {
        Outcome::Done(number) => Ok(done(number)),
        Outcome::Over => Ok(Reply::Refuse(WebRefusal::Spent)),
        Outcome::Answered(next) => Err(Called::Answered(next)),
        Outcome::Gone => Err(Called::Broken),
    }
}
