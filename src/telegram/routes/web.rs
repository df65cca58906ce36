//! What the routes share that lead through web servers: by whom these are vouched for, where
//! they are, and how a connection to one fails.

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use super::authorities::Authorities;
use super::direct::{KEEPALIVE, result_of};
use super::fronts::HTTPS;
use super::{RouteError, Routes};
use crate::config::{HostPort, RouteName};
use crate::connection::{
    DialError, FreshWebSocket, Place, WebContext, WebError, WebRequest, WebTrust,
};
use crate::metrics::{ConnectFailure, RouteResult};
use crate::net::Socket;
use crate::telegram::Shared;
use crate::telegram::unreached::Unreached;
use crate::tls::public_roots;
use crate::wire::dc::DcId;
use crate::wire::websocket::UpgradeError;

/// The zone's names of all DCs, the Worker's, and those of the config before.
const MAX_PLACES: usize = 16;

/// What connections to web servers are made with.
pub(super) struct Web {
    context: WebContext,
    authorities: RefCell<Option<Authorities>>,
    /// In them, or in Mozilla's.
    trust: RefCell<Option<Rc<WebTrust>>>,
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
            authorities: RefCell::default(),
            trust: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// What a file held when the config that names it was taken over; whether it holds
    /// something else than before.
    pub(super) fn believe(&self, authorities: Option<Authorities>) -> bool {
        self.trust.take();
        let before = self.authorities.replace(authorities);
        match (before, &*self.authorities.borrow()) {
            (Some(before), Some(new)) => !before.is_same(new),
            _ => false,
        }
    }

    /// As the config says now; what is wrong with that is told.
    pub(super) fn trust(
        &self,
        routes: &Routes,
        route: RouteName,
        dc: DcId,
    ) -> Result<Rc<WebTrust>, RouteError> {
        if let Some(trust) = &*self.trust.borrow() {
            return Ok(trust.clone());
        }
        match self.load(routes) {
            Ok(trust) => {
                self.trust.replace(Some(trust.clone()));
                Ok(trust)
            }
            Err(error) => {
                let shared = &routes.shared;
                shared.complain(dc, format_args!("{route}: {error}"));
                Err(RouteError::Failed(RouteResult::Useless))
            }
        }
    }

    fn load(&self, routes: &Routes) -> Result<Rc<WebTrust>, String> {
        let authorities = self.authorities.borrow();
        let roots = match (routes.ws_config().ca, &*authorities) {
            (None, _) => public_roots(),
            (Some(path), Some(authorities)) if authorities.is_of(&path) => {
                authorities.roots.clone()
            }
            (Some(path), _) => return Err(format!("--ws-ca {} is not read", path.display())),
        };
        let trust = WebTrust::new(roots).map_err(|error| error.to_string())?;
        Ok(Rc::new(trust))
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

/// Without the port that goes without saying.
pub(super) fn short(address: SocketAddr) -> String {
    match address.port() {
        HTTPS => address.ip().to_string(),
        _ => address.to_string(),
    }
}

impl Miss {
    /// As `check` says it, of this place.
    pub(super) fn at(&self, place: String) -> String {
        match self {
            Self::Dial(error) => Unreached(place, error).to_string(),
            Self::Web(WebError::Upgrade(UpgradeError::Redirect { status, .. })) => {
                format!("{status}, not served at {place}")
            }
            Self::Web(error) => format!("{place}: {error}"),
        }
    }

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
