use std::rc::Rc;

use super::clients::ClientPart;
use super::core::Core;
use super::error::RunError;
use super::gate::GatePart;
use super::link::LinkPart;
use super::part::{Background, Part, as_part};
use super::ports::Behind;
use super::replays::ReplayFiles;
use super::telegram::TelegramPart;
use super::usage::{self, UsageFile};
use super::web::WebPart;
#[cfg(feature = "tls")]
use super::web_tls::WebTlsPart;
use crate::config::{DataLock, Role};
#[cfg(feature = "ctl")]
use crate::control::LinkEnd;
use crate::guard::gate::Gate;
use crate::telegram::directory::PublicAddress;

/// The parts without which nobody is served, as the role has them.
pub(super) struct Rooms {
    address: Rc<PublicAddress>,
    telegram: Option<Rc<TelegramPart>>,
    gate: Rc<GatePart>,
    replays: Rc<ReplayFiles>,
    usage: Rc<UsageFile>,
    link: Option<Rc<LinkPart>>,
    clients: Option<Rc<ClientPart>>,
    web: Option<Rc<WebPart>>,
    #[cfg(feature = "tls")]
    web_tls: Option<Rc<WebTlsPart>>,
}

impl Rooms {
    /// Reads what they go by, and what an earlier run left; blocks.
    pub(crate) fn new(core: &Rc<Core>, lock: &DataLock) -> Result<Self, RunError> {
        let role = core.config().process.role;
        let used = usage::left_in(&core.data_dir());
        let address = PublicAddress::new(core.settings.address.clone(), role);
        let telegram = (role != Role::Front).then(|| TelegramPart::new(core, &address));
        let telegram = telegram.transpose()?;
        let to_telegram = telegram.as_ref().map(|telegram| telegram.backend());
        let (link, backend) = match role {
            Role::Both => (None, to_telegram),
            Role::Front | Role::Back => {
                let link = LinkPart::new(core, to_telegram)?;
                let backend = link.backend();
                (Some(link), backend)
            }
        };
        let gate_part = GatePart::new(core, &used)?;
        let gate = gate_part.gate();
        let clients = backend.map(|backend| ClientPart::new(core, backend, gate, &address));
        let web = clients
            .as_ref()
            .map(|clients| WebPart::new(core, clients, gate))
            .transpose()?;
        #[cfg(feature = "tls")]
        let web_tls = match clients.as_ref().zip(web.as_ref()) {
            Some((clients, web)) => Some(WebTlsPart::new(core, clients, web)?),
            None => None,
        };
        Ok(Self {
            #[cfg(feature = "tls")]
            web_tls,
            telegram,
            link,
            replays: ReplayFiles::restore(core, gate, lock),
            usage: UsageFile::new(core, gate, used),
            clients,
            web,
            gate: gate_part,
            address,
        })
    }

    pub(crate) fn address(&self) -> &Rc<PublicAddress> {
        &self.address
    }

    pub(crate) fn gate(&self) -> &Rc<Gate> {
        self.gate.gate()
    }

    /// Not on a front.
    pub(crate) fn telegram(&self) -> Option<&Rc<TelegramPart>> {
        self.telegram.as_ref()
    }

    /// Not where there is no link.
    pub(crate) fn link(&self) -> Option<&Rc<LinkPart>> {
        self.link.as_ref()
    }

    /// Not on a back.
    #[cfg(feature = "tls")]
    pub(crate) fn web_tls(&self) -> Option<&Rc<WebTlsPart>> {
        self.web_tls.as_ref()
    }

    /// Of a front or a back.
    #[cfg(feature = "ctl")]
    pub(crate) fn link_end(&self) -> Option<LinkEnd> {
        Some(match &**self.link.as_ref()? {
            LinkPart::Front(front) => LinkEnd::Front(front.clone()),
            LinkPart::Back(back) => LinkEnd::Back(back.clone()),
        })
    }

    /// Not on a back.
    pub(crate) fn clients(&self) -> Option<&ClientPart> {
        self.clients.as_deref()
    }

    /// Who takes those who come to a port.
    pub(crate) fn behind_ports(&self) -> Option<Behind> {
        let back = || self.link.as_ref()?.back().cloned().map(Behind::Back);
        let clients = self.clients.as_ref().zip(self.web.as_ref());
        let clients = clients.map(|(clients, web)| {
            Behind::Clients(clients.context().clone(), web.context().clone())
        });
        clients.or_else(back)
    }

    /// In their order: what a reload says of tables comes before what it says of
    /// certificates and of secrets, and at the end Telegram is left last.
    pub(crate) fn into_parts(self, core: &Core) -> Vec<Rc<dyn Part>> {
        let (address, reactor) = (self.address, core.reactor.clone());
        let asking = Background::new(async move { address.run(&reactor).await });
        let mut parts: Vec<Rc<dyn Part>> = Vec::new();
        parts.extend(self.telegram.map(as_part));
        parts.extend([asking, self.gate, self.replays, self.usage] as [Rc<dyn Part>; 4]);
        parts.extend(self.link.map(as_part));
        parts.extend(self.clients.map(as_part));
        parts.extend(self.web.map(as_part));
        #[cfg(feature = "tls")]
        parts.extend(self.web_tls.map(as_part));
        parts
    }
}
