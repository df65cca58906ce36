use std::rc::Rc;

use super::clients::ClientPart;
use super::core::Core;
use super::error::RunError;
use super::part::{Change, Part, Report};
use super::web::WebPart;
use crate::tls::{AcceptContext, Batch};
use crate::web::tls::{Certificates, CertificatesParts, Door, DoorParts};

/// TLS of WEB hosts on the ports of clients; not on a back. It is there without hosts too,
/// which a reload may bring.
pub(super) struct WebTlsPart(Rc<Certificates>);

impl WebTlsPart {
    /// Reads the certificates; blocks.
    pub(crate) fn new(
        core: &Core,
        clients: &ClientPart,
        web: &WebPart,
    ) -> Result<Rc<Self>, RunError> {
        let (sites, times) = (clients.sites().clone(), clients.sites().clone());
        let certificates = Certificates::new(CertificatesParts {
            reactor: core.reactor.clone(),
            config: core.settings.web.clone(),
            show: Box::new(move |face| sites.show_own(face)),
            answered: Box::new(move |name, time| times.own_answered(name, time)),
        });
        let certificates = certificates.map_err(RunError::Certificates)?;
        clients.context().set_door(Door::new(DoorParts {
            reactor: core.reactor.clone(),
            accept: AcceptContext::new(&core.scratch, &core.buffers, Batch::default()),
            certificates: certificates.clone(),
            web: web.context().clone(),
            sites: core.settings.sites.clone(),
            clients: core.settings.clients.clone(),
        }));
        Ok(Rc::new(Self(certificates)))
    }
}

impl Part for WebTlsPart {
    fn start(self: Rc<Self>, core: &Core) {
        core.spawn(self.0.clone().run());
    }

    fn reconfigure(&self, change: &Change, report: &mut Report<'_>) {
        let mut hosts = change.new.web.hosts.iter();
        if hosts.any(|host| host.files.is_some()) {
            let told = "the certificates of WEB hosts are read again";
            report.told.push(told.to_owned());
        }
        self.0.reread();
    }
}
