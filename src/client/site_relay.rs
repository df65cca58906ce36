//! A stranger is shown the site: each gets every byte of the other.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::ClientContext;
use super::sites::{How, OwnEnd, SiteVisit};
use crate::net::{OneWay, OneWayParts, Socket, Timer};

/// Longer than servers wait for anything themselves.
const IDLE_LIMIT: Duration = Duration::from_secs(300);

/// The same when one side has said its last, as in the kernel's FIN-WAIT-2.
const HALF_CLOSED_LIMIT: Duration = Duration::from_secs(60);

/// A stranger and its site, until one of them has enough.
pub(super) struct SiteRelay {
    context: Rc<ClientContext>,
    stranger: Socket,
    visit: SiteVisit,
    to_site: OneWay,
    to_stranger: OneWay,
    timer: Timer,
    moved: u64,
    last_moved: Instant,
}

/// Whatever ends it, the stranger sees an end and no reset but the site's.
impl Drop for SiteRelay {
    fn drop(&mut self) {
        self.context.let_go(&self.stranger);
    }
}

impl SiteRelay {
    /// The site gets `first` first.
    pub(crate) fn new(
        context: &Rc<ClientContext>,
        stranger: Socket,
        visit: SiteVisit,
        first: &[u8],
    ) -> Box<Self> {
        Box::new(Self {
            to_site: OneWay::starting_with(&context.buffers, first),
            to_stranger: OneWay::default(),
            timer: context.reactor.timer(),
            moved: 0,
            last_moved: context.reactor.now(),
            context: context.clone(),
            stranger,
            visit,
        })
    }

    pub(crate) async fn run(mut self: Box<Self>) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if ended.is_err() {
            // As it would be without us in between.
            let _ = self.stranger.set_reset_on_close();
            let _ = self.visit.socket.set_reset_on_close();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let parts = OneWayParts {
            pipes: &self.context.pipes,
            scratch: &self.context.scratch,
            buffers: &self.context.buffers,
        };
        let (stranger, site) = (&self.stranger, &self.visit.socket);
        self.to_site.advance(cx, &parts, stranger, site)?;
        self.to_stranger.advance(cx, &parts, site, stranger)?;
        if self.to_site.is_done() && self.to_stranger.is_done() {
            return Poll::Ready(Ok(()));
        }
        if self.to_stranger.moved() > 0 {
            self.visit.answered();
        }
        self.poll_idle(cx)
    }

    /// When the site ends it by itself, as long as nothing has come that changes
    /// that.
    fn own_end(&self) -> Option<&OwnEnd> {
        let (heard, said) = (self.to_site.moved(), self.to_stranger.moved());
        let holds = |own: &&OwnEnd| match own.is_firm {
            true => said == 0 || heard <= own.unheard,
            false => heard + said == 0,
        };
        let is_open = !self.to_site.is_done() && !self.to_stranger.is_done();
        self.visit
            .end
            .as_deref()
            .filter(|own| is_open && holds(own))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = self.context.reactor.now();
        let moved = self.to_site.moved() + self.to_stranger.moved();
        if moved != self.moved {
            self.moved = moved;
            self.last_moved = now;
        }
        let limit = if self.to_site.is_done() || self.to_stranger.is_done() {
            HALF_CLOSED_LIMIT
        } else {
            IDLE_LIMIT
        };
        let mut end = self.last_moved + limit;
        if let Some(own) = self.own_end() {
            if own.at <= now {
                return Poll::Ready(match own.how {
                    How::Reset => Err(io::ErrorKind::ConnectionReset.into()),
                    _ => Ok(()),
                });
            }
            end = end.min(own.at);
        }
        // Not moved at every byte: it looks again when it fires.
        self.timer.set_earlier(end);
        while self.timer.poll_expired(cx).is_ready() {
            if end <= now {
                return Poll::Ready(Ok(()));
            }
            self.timer.set(end);
        }
        Poll::Pending
    }
}
