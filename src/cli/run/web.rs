use std::net::SocketAddr;
use std::rc::Rc;

use super::clients::ClientPart;
use super::core::Core;
use super::error::RunError;
use super::part::{Change, Doing, Files, Part, Phase, Takeover};
use crate::client;
use crate::config::{WebConfig, WebHost, WebListen};
use crate::guard::gate::Gate;
use crate::http::HttpContext;
use crate::net::{Executor, is_local_address};
#[cfg(feature = "tls")]
use crate::web::SiteTls;
use crate::web::{CoverContext, Directories, Guests, WebContext, WebParts, covers};

/// The WEB proxy, whose streams are clients; not on a back. It is there without hosts
/// too, which a reload may bring.
pub(super) struct WebPart {
    context: Rc<WebContext>,
    sites: Rc<CoverContext>,
    executor: Rc<Executor>,
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
            long_heads: Rc::default(),
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
        let executor = core.executor.clone();
        Ok(Rc::new(Self {
            context,
            sites,
            executor,
        }))
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
    /// Questions to sites are a part of the self-test.
    fn start(self: Rc<Self>, core: &Core) {
        if core.config().process.self_test {
            core.spawn(self.context.clone().look_for_circles());
            core.spawn(async move {
                loop {
                    self.sites.guests.refuses().await;
                    self.context.suspect_circle();
                }
            });
        }
    }

    fn prepare<'a>(
        &'a self,
        _: &Change,
        files: &mut Files,
    ) -> Result<Option<Takeover<'a>>, String> {
        let Some(directories) = files.directories.take() else {
            return Ok(None);
        };
        Ok(Some(Box::new(move |change, report| {
            let new = &change.new;
            report
                .warnings
                .extend(lost_links(&change.old.web, &new.web));
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
            Phase::Drain => {
                let ending = self.context.clone().end_idle();
                self.executor.spawn(ending).detach();
            }
            Phase::End => return Some(Box::pin(self.context.end_all())),
            Phase::Save | Phase::Leave => {}
        }
        None
    }
}

/// Which links work no more, and what to do.
fn lost_links(old: &WebConfig, new: &WebConfig) -> Option<String> {
    let stays = |host: &&WebHost| {
        let mut now = new.hosts.iter();
        now.any(|other| (&other.name, &other.path) == (&host.name, &host.path))
    };
    let gone = old.hosts.iter().filter(|host| !stays(host));
    let gone: Vec<String> = gone
        .map(|host| match &host.path {
            Some(path) => format!("{}/{path}", host.name),
            None => host.name.to_string(),
        })
        .collect();
    (!gone.is_empty()).then(|| {
        format!(
            "links to the WEB proxy at {} work no more; to keep them, keep its --web beside the \
             new ones",
            gone.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_host_that_goes_takes_its_links_with_it() {
        let with = |hosts: &[&str]| {
            let mut flags = vec![
                ("--web-listen", "127.0.0.1:8080"),
                ("--web-site", "/srv/www"),
                ("--secret", "000102030405060708090a0b0c0d0e0f"),
            ];
            flags.extend(hosts.iter().map(|host| ("--web", *host)));
            Config::of(&flags).web
        };
        let old = with(&["a.example", "b.example/x"]);
        assert_eq!(lost_links(&old, &with(&["b.example/x", "a.example"])), None);
        let said = lost_links(&old, &with(&["a.example", "b.example"])).unwrap();
        assert!(said.contains("at b.example/x work"), "{said}");
        let said = lost_links(&old, &WebConfig::default()).unwrap();
        assert!(said.contains("a.example, b.example/x"), "{said}");
    }
}
