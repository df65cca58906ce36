use std::rc::Rc;

use super::clients::ClientPart;
use super::core::Core;
use super::part::{Doing, Part, Phase};
use crate::client;
use crate::guard::gate::Gate;
use crate::web::{WebContext, WebParts};

/// The WEB proxy, whose streams are clients; not on a back. It is there without hosts
/// too, which a reload may bring.
pub(super) struct WebPart {
    context: Rc<WebContext>,
}

impl WebPart {
    pub(crate) fn new(core: &Core, clients: &ClientPart, gate: &Rc<Gate>) -> Rc<Self> {
        let (executor, of_streams) = (core.executor.clone(), clients.context().clone());
        let context = WebContext::new(WebParts {
            reactor: core.reactor.clone(),
            executor: core.executor.clone(),
            buffers: core.buffers.clone(),
            scratch: core.scratch.clone(),
            metrics: core.metrics.clone(),
            gate: gate.clone(),
            serve: Box::new(move |arrival| {
                let serving = client::serve_stream(of_streams.clone(), arrival);
                executor.spawn(serving).detach();
            }),
            clients: core.settings.clients.clone(),
            connections: core.config().descriptors.web,
            config: core.settings.web.clone(),
            doors: core.settings.doors.clone(),
        });
        Rc::new(Self { context })
    }

    pub(crate) fn context(&self) -> &Rc<WebContext> {
        &self.context
    }
}

impl Part for WebPart {
    /// Its streams have had their time with the other clients.
    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        if phase == Phase::End {
            self.context.end_all();
        }
        None
    }
}
