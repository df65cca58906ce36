//! Whether clients can be served, for who shares them out (`/readyz`). What moves anyway is
//! proof enough; where nothing does, a DC is asked, once in a while and only if somebody
//! wants to know.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::core::Core;
use super::link::LinkPart;
use super::rooms::Rooms;
use super::self_test::{dc_to_ask, goes_directly};
use super::telegram::TelegramPart;
use crate::net::Notify;

/// How long an answer of Telegram shows that it answers.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// How soon a DC that did not answer is asked again.
const BAD_FOR: Duration = Duration::from_secs(10);

/// For a DC to answer before who asks is told that it has not yet.
const PATIENCE: Duration = Duration::from_secs(4);

type Verdict = Result<(), String>;

pub(super) struct Readiness {
    core: Rc<Core>,
    telegram: Option<Rc<TelegramPart>>,
    link: Option<Rc<LinkPart>>,
    is_stopping: Cell<bool>,
    /// Bytes that had come from Telegram at the last look, and when that was.
    heard: Cell<Option<(u64, Instant)>>,
    /// Connections to it that were opened by then, those that failed, and whether the last
    /// ones that came to anything did open.
    opened: Cell<(u64, u64, bool)>,
    /// What was found last, and when.
    last: RefCell<Option<(Instant, Verdict)>>,
    is_asking: Cell<bool>,
    answered: Notify,
}

impl Readiness {
    pub(crate) fn new(core: &Rc<Core>, rooms: &Rooms) -> Rc<Self> {
        Rc::new(Self {
            core: core.clone(),
            telegram: rooms.telegram().cloned(),
            link: rooms.link().cloned(),
            is_stopping: Cell::new(false),
            heard: Cell::new(None),
            opened: Cell::new((0, 0, true)),
            last: RefCell::default(),
            is_asking: Cell::new(false),
            answered: Notify::default(),
        })
    }

    /// From now on nobody new is to come.
    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Or the reason why not, in a line.
    pub(crate) async fn verdict(self: &Rc<Self>) -> Verdict {
        if self.is_stopping.get() {
            return Err("the proxy is stopping".to_owned());
        }
        if let Some(LinkPart::Front(front)) = self.link.as_deref() {
            return match front.link_counts().0 {
                0 => Err("there is no link to a back".to_owned()),
                _ => Ok(()),
            };
        }
        let Some(telegram) = &self.telegram else {
            return Ok(());
        };
        match goes_directly(&self.core.config()) {
            true => self.directly(telegram).await,
            false => self.by_middle_proxies(),
        }
    }

    /// They are not asked: a connection to one is made for clients.
    fn by_middle_proxies(&self) -> Verdict {
        let dcs = self.core.metrics.dcs.all();
        let opened = dcs.iter().map(|(_, dc)| dc.opened.get()).sum();
        let failed = dcs.iter().map(|(_, dc)| dc.failed.get()).sum();
        let before = self.opened.get();
        let is_good = match (opened > before.0, failed > before.1) {
            (true, _) => true,
            (false, true) => false,
            (false, false) => before.2,
        };
        self.opened.set((opened, failed, is_good));
        match is_good || self.core.metrics.dcs.connections() > 0 {
            true => Ok(()),
            false => Err("the last connections to middle proxies failed".to_owned()),
        }
    }

    async fn directly(self: &Rc<Self>, telegram: &Rc<TelegramPart>) -> Verdict {
        let now = self.core.reactor.now();
        let heard = self.core.metrics.dc_bytes_in.get();
        let before = self.heard.replace(Some((heard, now)));
        let is_new = |(count, at): (u64, Instant)| {
            count != heard && now.saturating_duration_since(at) < GOOD_FOR
        };
        if before.is_some_and(is_new) {
            self.last.replace(Some((now, Ok(()))));
        }
        if let Some(known) = self.known(now) {
            return known;
        }
        if !self.is_asking.replace(true) {
            let (readiness, telegram) = (self.clone(), telegram.clone());
            self.core.spawn(async move {
                let verdict = readiness.ask(&telegram).await;
                let found = (readiness.core.reactor.now(), verdict);
                readiness.last.replace(Some(found));
                readiness.is_asking.set(false);
                readiness.answered.notify();
            });
        }
        let answered = self.answered.changed();
        self.core.reactor.timeout(PATIENCE, answered).await;
        let known = self.known(self.core.reactor.now());
        known.unwrap_or_else(|| Err("a DC was asked and has not answered yet".to_owned()))
    }

    /// What was found and still holds.
    fn known(&self, now: Instant) -> Option<Verdict> {
        let last = self.last.borrow();
        let (at, verdict) = last.as_ref()?;
        let limit = match verdict {
            Ok(()) => GOOD_FOR,
            Err(_) => BAD_FOR,
        };
        (now.saturating_duration_since(*at) < limit).then(|| verdict.clone())
    }

    /// One DC, by one route after the other.
    async fn ask(&self, telegram: &TelegramPart) -> Verdict {
        let config = self.core.config();
        let dc = dc_to_ask(&config);
        let mut failed = Vec::new();
        for route in config.telegram.routes.as_slice() {
            match telegram.ask(dc, *route).await.answered {
                Ok(_) => return Ok(()),
                Err(why) => failed.push(format!("{}: {why}", route.word())),
            }
        }
        Err(format!("DC {dc} does not answer ({})", failed.join("; ")))
    }
}
