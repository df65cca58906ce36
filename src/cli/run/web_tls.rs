use std::rc::Rc;

use super::clients::ClientPart;
use super::core::Core;
use super::error::RunError;
use super::part::{Change, Part, Report};
use super::web::WebPart;
use crate::net::FairTurnstile;
use crate::tls::{AcceptContext, Batch};
#[cfg(feature = "acme")]
use crate::web::acme::{Challenges, Keeper, KeeperParts, examine};
use crate::web::tls::{Certificates, CertificatesParts, Door, DoorParts};

/// TLS of WEB hosts on the ports of clients; not on a back. It is there without hosts too,
/// which a reload may bring.
pub(super) struct WebTlsPart {
    certificates: Rc<Certificates>,
    #[cfg(feature = "acme")]
    keeper: Rc<Keeper>,
}

impl WebTlsPart {
    /// Reads the certificates; blocks.
    pub(crate) fn new(
        core: &Core,
        clients: &ClientPart,
        web: &WebPart,
    ) -> Result<Rc<Self>, RunError> {
        #[cfg(feature = "acme")]
        for warning in
            examine(&core.config().web, &core.config().process.data_dir).map_err(RunError::Acme)?
        {
            warn!("{warning}");
        }
        #[cfg(feature = "acme")]
        let challenges = Rc::<Challenges>::default();
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
            #[cfg(feature = "acme")]
            challenges: challenges.clone(),
            web: web.context().clone(),
            sites: core.settings.sites.clone(),
            clients: core.settings.clients.clone(),
            turnstile: FairTurnstile::default(),
        }));
        Ok(Rc::new(Self {
            #[cfg(feature = "acme")]
            keeper: Keeper::new(KeeperParts {
                reactor: core.reactor.clone(),
                config: core.settings.web.clone(),
                data_dir: core.data_dir(),
                challenges,
                reread: {
                    let certificates = certificates.clone();
                    Box::new(move || certificates.reread())
                },
            }),
            certificates,
        }))
    }
}

impl WebTlsPart {
    /// For how many days the certificate of each host is good.
    pub(crate) fn days_left(&self) -> Vec<(String, i64)> {
        self.certificates.days_left()
    }
}

impl Part for WebTlsPart {
    fn start(self: Rc<Self>, core: &Core) {
        core.spawn(self.certificates.clone().run());
        #[cfg(feature = "acme")]
        core.spawn(self.keeper.clone().run());
    }

    fn reconfigure(&self, change: &Change, report: &mut Report<'_>) {
        let mut hosts = change.new.web.hosts.iter();
        if hosts.any(|host| host.files.is_some()) {
            let told = "the certificates of WEB hosts are read again";
            report.told.push(told.to_owned());
        }
        self.certificates.reread();
        #[cfg(feature = "acme")]
        self.keeper.hurry();
    }
}
