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
        let sites = clients.sites().clone();
        let certificates = Certificates::new(CertificatesParts {
            reactor: core.reactor.clone(),
            config: core.settings.web.clone(),
            show: Box::new(move |face| sites.show_own(face)),
        });
        let certificates = certificates.map_err(RunError::Certificates)?;
        clients.context().set_door(Door::new(DoorParts {
            reactor: core.reactor.clone(),
            accept: AcceptContext::new(&core.scratch, &core.buffers, Batch::default()),
            certificates: certificates.clone(),
            web: web.context().clone(),
            sites: core.settings.sites.clone(),
        }));
        Ok(Rc::new(Self(certificates)))
    }
}

impl WebTlsPart {
    /// For how many days the certificate of each host is good.
    pub(crate) fn days_left(&self) -> Vec<(String, i64)> {
        self.0.days_left()
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
