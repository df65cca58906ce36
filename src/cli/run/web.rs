use std::net::SocketAddr;
use std::rc::Rc;

use super::clients::ClientPart;
use super::core::Core;
use super::error::RunError;
use super::part::{Change, Doing, Files, Part, Phase, Takeover};
use crate::client;
use crate::config::WebListen;
use crate::guard::gate::Gate;
use crate::http::HttpContext;
use crate::net::is_local_address;
#[cfg(feature = "tls")]
use crate::web::SiteTls;
use crate::web::{CoverContext, Directories, Guests, WebContext, WebParts, covers};

/// The WEB proxy, whose streams are clients; not on a back. It is there without hosts
/// too, which a reload may bring.
pub(super) struct WebPart {
    context: Rc<WebContext>,
    sites: Rc<CoverContext>,
}

impl WebPart {
    /// Reads the directories that are shown; blocks.
    pub(crate) fn new(
        core: &Core,
        clients: &ClientPart,
        gate: &Rc<Gate>,
    ) -> Result<Rc<Self>, RunError> {
        let config = core.config();
        let http = Rc::new(HttpContext {
            reactor: core.reactor.clone(),
            scratch: core.scratch.clone(),
            buffers: core.buffers.clone(),
        });
        let directories = Directories::read(&config.web).map_err(RunError::Site)?;
        let (own, doors) = (clients.context().clone(), core.settings.web.clone());
        let sites = Rc::new(CoverContext {
            http: http.clone(),
            executor: core.executor.clone(),
            guests: Guests::new(config.descriptors.web_guests),
            is_ours: Box::new(move |address| {
                let is_door = |door: &WebListen| leads_to(door, address);
                own.is_own_address(address)
                    || doors.with(|config| config.listen.iter().any(is_door))
            }),
            #[cfg(feature = "tls")]
            tls: SiteTls::default(),
        });
        let (executor, of_streams) = (core.executor.clone(), clients.context().clone());
        let context = WebContext::new(WebParts {
            reactor: core.reactor.clone(),
            executor: core.executor.clone(),
            buffers: core.buffers.clone(),
            scratch: core.scratch.clone(),
            metrics: core.metrics.clone(),
            http,
            gate: gate.clone(),
            serve: Box::new(move |arrival| {
                let serving = client::serve_stream(of_streams.clone(), arrival);
                executor.spawn(serving).detach();
            }),
            clients: core.settings.clients.clone(),
            connections: config.descriptors.web,
            config: core.settings.web.clone(),
            doors: core.settings.doors.clone(),
        });
        let fronting = &config.sites.fronting;
        context.set_covers(covers(&sites, &config.web, fronting, &directories));
        Ok(Rc::new(Self { context, sites }))
    }

    pub(crate) fn context(&self) -> &Rc<WebContext> {
        &self.context
    }
}

/// A connection to `address` would come to this door.
fn leads_to(door: &WebListen, address: SocketAddr) -> bool {
    let (own, ip) = (door.addr.ip().to_canonical(), address.ip().to_canonical());
    let is_any = own.is_unspecified() && is_local_address(ip);
    door.addr.port() == address.port() && (own == ip || is_any)
}

impl Part for WebPart {
    fn prepare<'a>(
        &'a self,
        _: &Change,
        files: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        let Some(directories) = files.directories.take() else {
            return Ok(None);
        };
        Ok(Some(Box::new(move |change, _| {
            let new = &change.new;
            self.sites.guests.set_most(new.descriptors.web_guests);
            let (clients, connections) = (new.clients.max_clients, new.descriptors.web);
            self.context.set_most(clients, connections);
            let fronting = &new.sites.fronting;
            let covers = covers(&self.sites, &new.web, fronting, &directories);
            self.context.set_covers(covers);
        })))
    }

    /// Its streams have had their time with the other clients.
    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        match phase {
            Phase::Close => self.context.close(),
            Phase::End => return Some(Box::pin(self.context.end_all())),
            Phase::Drain | Phase::Save | Phase::Leave => {}
        }
        None
    }
}
