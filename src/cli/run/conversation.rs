//! Connections of HTTP with those who ask about this proxy: `ctl`'s socket, the status
//! listener. Requests one after another, and who gives way where there are many.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use crate::cli::callers;
use crate::guard::half_open::{HalfOpen, Origin};
use crate::http::{Connection, Exchange, HttpContext, Incoming, Next};
use crate::net::{Executor, Listener, Reactor, Socket};
use crate::wire::http::RequestHead;

/// To ask, and to read the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Who is connected and has not asked; one more, and the oldest of them goes.
const MAX_SILENT: usize = 8;

/// Who has asked, likewise: each may hold a long answer.
const MAX_ASKERS: usize = 8;

/// What somebody gets.
pub(super) struct Page {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) fields: Vec<(&'static str, Cow<'static, str>)>,
    pub(crate) body: Cow<'static, str>,
}

/// Who asks for what.
pub(super) struct Asked<'a> {
    pub(crate) head: &'a RequestHead,
    /// That it came on, with what there is of its body.
    #[cfg_attr(not(feature = "ctl"), expect(dead_code))]
    pub(crate) exchange: &'a mut Exchange,
    #[cfg_attr(not(feature = "ctl"), expect(dead_code))]
    pub(crate) from: Origin,
}

/// Who knows the answers.
pub(super) trait Answerer: 'static {
    /// How long one may take before it goes out.
    const LIMIT: Duration;

    async fn answer(&self, asked: Asked<'_>) -> Page;

    /// What gets who speaks no HTTP.
    fn no_request(&self) -> Page;
}

/// Those of one listener.
pub(super) struct Conversations<A> {
    executor: Rc<Executor>,
    http: Rc<HttpContext>,
    silent: Rc<HalfOpen>,
    askers: Rc<HalfOpen>,
    answerer: Rc<A>,
}

impl Page {
    pub(crate) fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            fields: Vec::new(),
            body: body.into(),
        }
    }

    /// In the words of HTTP, with what every page here is to have.
    fn all_fields(&self) -> Vec<(&str, &str)> {
        let own = self.fields.iter();
        let mut fields = vec![
            ("Content-Type", self.content_type),
            ("Cache-Control", "no-store"),
        ];
        fields.extend(own.map(|(name, value)| (*name, &**value)));
        fields
    }
}

impl<A: Answerer> Conversations<A> {
    pub(crate) fn new(core: &Core, answerer: Rc<A>) -> Rc<Self> {
        Rc::new(Self {
            executor: core.executor.clone(),
            http: Rc::new(HttpContext {
                reactor: core.reactor.clone(),
                scratch: core.scratch.clone(),
                buffers: core.buffers.clone(),
                long_heads: Rc::default(),
            }),
            silent: HalfOpen::new(MAX_SILENT),
            askers: HalfOpen::new(MAX_ASKERS),
            answerer,
        })
    }

    /// Answers several at once: none is in the way of another.
    pub(crate) async fn serve(self: Rc<Self>, listener: Listener) {
        let executor = self.executor.clone();
        let answer = move |caller: Socket| self.clone().converse(caller);
        callers::serve(&executor, &listener, answer).await;
    }

    fn reactor(&self) -> &Rc<Reactor> {
        &self.http.reactor
    }

    async fn converse(self: Rc<Self>, caller: Socket) {
        let from = callers::origin_of(&caller);
        let connection = Rc::new(Connection::plain(caller));
        let mut exchange = Exchange::new(&self.http, connection, Vec::new());
        if self.answer_all(&mut exchange, from).await.is_some() {
            self.reactor().timeout(LIMIT, exchange.finish()).await;
        }
    }

    /// `None`: the caller is gone, or has to go.
    async fn answer_all(&self, exchange: &mut Exchange, from: Origin) -> Option<()> {
        let reactor = self.reactor();
        loop {
            let asking = exchange.next();
            match callers::seated(reactor, &self.silent, from, LIMIT, asking).await? {
                Incoming::Request(head) => {
                    let answering = self.answer(exchange, &head, from);
                    let limit = A::LIMIT + LIMIT;
                    let answered = callers::seated(reactor, &self.askers, from, limit, answering);
                    if answered.await?.ok()? == Next::Close {
                        return Some(());
                    }
                }
                Incoming::Unparsable => {
                    let page = self.answerer.no_request();
                    let fields = page.all_fields();
                    let refusing = exchange.refuse(&fields, page.body.as_bytes());
                    return reactor.timeout(LIMIT, refusing).await?.ok();
                }
                Incoming::End => return None,
            }
        }
    }

    async fn answer(
        &self,
        exchange: &mut Exchange,
        head: &RequestHead,
        from: Origin,
    ) -> io::Result<Next> {
        let asked = Asked {
            head,
            exchange,
            from,
        };
        let page = self.answerer.answer(asked).await;
        let fields = page.all_fields();
        let answering = exchange.answer(head, page.status, &fields, page.body.as_bytes());
        let answered = self.reactor().timeout(LIMIT, answering).await;
        answered.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}
