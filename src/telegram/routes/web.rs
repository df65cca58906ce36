//! What the routes share that lead through web servers: by whom these are vouched for, where
//! they are, and how a connection to one fails.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::direct::{KEEPALIVE, result_of};
use super::{RouteError, Routes};
use crate::config::{HostPort, RouteName, read_file};
use crate::connection::{
    DialError, FreshWebSocket, Place, WebContext, WebError, WebRequest, WebTrust,
};
use crate::metrics::{ConnectFailure, RouteResult};
use crate::net::{Socket, unblock};
use crate::telegram::Shared;
use crate::tls::public_roots;
use crate::wire::dc::DcId;
use crate::wire::websocket::UpgradeError;

/// A file of authorities; Mozilla's takes 220 KiB.
const MAX_AUTHORITIES: u64 = 1 << 20;

/// The zone's names of all DCs, the Worker's, and those of the config before.
const MAX_PLACES: usize = 16;

/// What connections to web servers are made with.
pub(super) struct Web {
    context: WebContext,
    trust: RefCell<Option<(Option<PathBuf>, Rc<WebTrust>)>>,
    /// The one that was added last is last.
    places: RefCell<Vec<(HostPort, Rc<Place>)>>,
}

/// Why there is no WebSocket.
pub(super) enum Miss {
    Dial(DialError),
    Web(WebError),
}

impl Web {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            context: WebContext {
                reactor: shared.reactor.clone(),
                scratch: shared.scratch.clone(),
                buffers: shared.buffers.clone(),
                batch: Default::default(),
            },
            trust: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// What files hold may be another now.
    pub(super) fn forget_trust(&self) {
        self.trust.take();
    }

    /// As the config says now; what is wrong with that is told.
    pub(super) async fn trust(
        &self,
        routes: &Routes,
        route: RouteName,
        dc: DcId,
    ) -> Result<Rc<WebTrust>, RouteError> {
        let ca = routes.ws_config().ca;
        if let Some((of, trust)) = &*self.trust.borrow()
            && *of == ca
        {
            return Ok(trust.clone());
        }
        match load(ca.clone()).await {
            Ok(trust) => {
                self.trust.replace(Some((ca, trust.clone())));
                Ok(trust)
            }
            Err(error) => {
                routes.shared.complain(
                    dc,
                    format_args!("{error}; until that is mended {route} has no use"),
                );
                Err(RouteError::Failed(RouteResult::Useless))
            }
        }
    }

    /// With what is known of where its name leads.
    pub(super) fn place(&self, host: &HostPort) -> Rc<Place> {
        let mut places = self.places.borrow_mut();
        if let Some((_, place)) = places.iter().find(|(known, _)| known == host) {
            return place.clone();
        }
        if places.len() >= MAX_PLACES {
            places.remove(0);
        }
        let place = Rc::new(Place::new(host));
        places.push((host.clone(), place.clone()));
        place
    }

    /// Over a connection that has just been made.
    pub(super) async fn connect(
        &self,
        trust: &WebTrust,
        socket: Result<Socket, DialError>,
        wanted: WebRequest<'_>,
    ) -> Result<FreshWebSocket, Miss> {
        let socket = socket.map_err(Miss::Dial)?;
        socket.set_nodelay();
        socket.set_keepalive(KEEPALIVE);
        let opened = FreshWebSocket::open(&self.context, trust, socket, wanted).await;
        opened.map_err(Miss::Web)
    }
}

async fn load(ca: Option<PathBuf>) -> Result<Rc<WebTrust>, String> {
    let roots = match ca {
        Some(path) => unblock(move || authorities(&path)).await?,
        None => public_roots(),
    };
    let trust = WebTrust::new(roots).map_err(|error| error.to_string())?;
    Ok(Rc::new(trust))
}

/// Blocks.
fn authorities(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let bad = |error: &dyn fmt::Display| format!("--ws-ca {}: {error}", path.display());
    let text = read_file(path, MAX_AUTHORITIES).map_err(|error| bad(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"no certificate in it; give a file of PEM"));
    }
    Ok(Arc::new(roots))
}

impl Miss {
    /// The answer to the request, where it is no upgrade and no redirect.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Web(WebError::Upgrade(UpgradeError::Status(status))) => Some(*status),
            _ => None,
        }
    }

    pub(super) fn result(&self) -> RouteResult {
        match self {
            Self::Dial(error) => result_of(error),
            Self::Web(WebError::Filtered) => RouteResult::Filtered,
            Self::Web(WebError::Certificate(_)) => RouteResult::Intercepted,
            Self::Web(WebError::Upgrade(UpgradeError::Redirect { .. })) => RouteResult::NotServed,
            Self::Web(_) => RouteResult::Ill,
        }
    }

    pub(super) fn failure(&self) -> ConnectFailure {
        match self {
            Self::Dial(DialError::TimedOut) => ConnectFailure::ConnectTimeout,
            _ => ConnectFailure::Refused,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Web(error) => error.fmt(f),
        }
    }
}
