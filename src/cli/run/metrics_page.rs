use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use super::core::Core;
use super::error::RunError;
use super::part::Part;
use crate::cli::exposition;
use crate::log;
use crate::net::Listener;

/// The page of --metrics.
pub(super) struct MetricsPage {
    core: Rc<Core>,
    started: Instant,
    listener: Cell<Option<Listener>>,
}

impl MetricsPage {
    /// If the config wants one.
    pub(crate) fn bind(core: &Rc<Core>) -> Result<Option<Rc<Self>>, RunError> {
        let Some(address) = core.config().process.metrics else {
            return Ok(None);
        };
        let listener = Listener::bind(&core.reactor, address);
        let listener = listener.map_err(|error| RunError::Metrics(address, error))?;
        Ok(Some(Rc::new(Self {
            core: core.clone(),
            started: core.reactor.now(),
            listener: Cell::new(Some(listener)),
        })))
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

impl Part for MetricsPage {
    fn start(self: Rc<Self>, core: &Core) {
        let Some(listener) = self.listener.take() else {
            return;
        };
        let (reactor, executor) = (core.reactor.clone(), core.executor.clone());
        let render = move || self.render();
        core.spawn(exposition::serve(reactor, executor, listener, render));
    }
}
