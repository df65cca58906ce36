//! The listener of --metrics: what Prometheus asks for, what balancers do, and in the full
//! build the status page and the API.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::conversation::{Answerer, Asked, Conversations, Page};
use super::core::Core;
use super::error::RunError;
use super::part::{Doing, Part, Phase};
use super::readiness::Readiness;
use super::rooms::Rooms;
#[cfg(feature = "ctl")]
use super::status::Status;
#[cfg(feature = "ctl")]
use crate::control::{Control, SAVE_LIMIT};
use crate::log;
use crate::net::Listener;

/// The page of --metrics, and what else is asked for there.
pub(super) struct MetricsPage {
    core: Rc<Core>,
    started: Instant,
    readiness: Rc<Readiness>,
    #[cfg(feature = "ctl")]
    status: Status,
    listener: Cell<Option<Listener>>,
}

impl MetricsPage {
    /// If the config wants one.
    pub(crate) fn bind(
        core: &Rc<Core>,
        rooms: &Rooms,
        #[cfg(feature = "ctl")] control: &Rc<Control>,
    ) -> Result<Option<Rc<Self>>, RunError> {
        let Some(address) = core.config().process.metrics else {
            return Ok(None);
        };
        let listener = Listener::bind(&core.reactor, address);
        let listener = listener.map_err(|error| RunError::Metrics(address, error))?;
        Ok(Some(Rc::new(Self {
            core: core.clone(),
            started: core.reactor.now(),
            readiness: Readiness::new(core, rooms),
            #[cfg(feature = "ctl")]
            status: Status::new(core, control, address),
            listener: Cell::new(Some(listener)),
        })))
    }

    fn metrics(&self) -> Page {
        Page {
            content_type: "text/plain; version=0.0.4; charset=utf-8",
            ..Page::text(200, self.render())
        }
    }

    async fn readiness(&self) -> Page {
        match self.readiness.verdict().await {
            Ok(()) => Page::text(200, "ready\n"),
            Err(why) => Page::text(503, format!("not ready: {why}\n")),
        }
    }

    fn render(&self) -> String {
        let (metrics, buffers) = (&self.core.metrics, &self.core.buffers);
        metrics.buffers_used.set(buffers.used_bytes() as u64);
        metrics.buffers_total.set(buffers.total_bytes() as u64);
        let claims = buffers.claims();
        metrics.buffers_claimed.set(claims.bytes as u64);
        metrics.buffer_holders.set(claims.holders as u64);
        metrics.buffer_waiters.set(claims.waiters as u64);
        metrics.log_lines_lost.set(log::lost());
        metrics.uptime.set(self.core.reactor.now() - self.started);
        let mut text = String::new();
        metrics.render(&mut text);
        text
    }
}

impl Answerer for MetricsPage {
    #[cfg(feature = "ctl")]
    const LIMIT: Duration = SAVE_LIMIT;
    #[cfg(not(feature = "ctl"))]
    const LIMIT: Duration = Duration::from_secs(5);

    async fn answer(&self, asked: Asked<'_>) -> Page {
        let target = asked.head.target();
        let path = target.split(|byte| *byte == b'?').next();
        let is_get = matches!(asked.head.method(), b"GET" | b"HEAD");
        match path.unwrap_or(target) {
            b"/metrics" | b"/healthz" | b"/readyz" if !is_get => {
                let mut page = Page::text(405, "only GET\n");
                page.fields.push(("Allow", "GET".into()));
                page
            }
            b"/metrics" => self.metrics(),
            b"/healthz" => Page::text(200, "ok\n"),
            b"/readyz" => self.readiness().await,
            #[cfg(feature = "ctl")]
            _ => self.status.answer(asked).await,
            #[cfg(not(feature = "ctl"))]
            b"/" if is_get => self.metrics(),
            #[cfg(not(feature = "ctl"))]
            _ => Page::text(404, "try /metrics\n"),
        }
    }

    fn no_request(&self) -> Page {
        Page::text(400, "this is no request of HTTP/1.1\n")
    }
}

impl Part for MetricsPage {
    fn start(self: Rc<Self>, core: &Core) {
        if let Some(listener) = self.listener.take() {
            core.spawn(Conversations::new(core, self).serve(listener));
        }
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        if phase == Phase::Close {
            self.readiness.stop();
        }
        None
    }
}
