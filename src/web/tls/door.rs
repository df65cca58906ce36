//! Who asks for a WEB host on a port of clients: the handshake, then HTTP.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::Certificates;
use crate::client::{WebDoor, WebVisitor};
use crate::config::{FrontingChoice, SiteConfig};
use crate::http::Connection;
use crate::net::{Live, Reactor};
use crate::tls::{self, AcceptContext};
use crate::web::WebContext;
use crate::wire::secret::Domain;

/// For the handshake, from when the connection was accepted.
const SHAKE_LIMIT: Duration = Duration::from_secs(10);

/// The parts that a [`Door`] is made of.
pub(crate) struct DoorParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) accept: AcceptContext,
    pub(crate) certificates: Rc<Certificates>,
    pub(crate) web: Rc<WebContext>,
    pub(crate) sites: Live<SiteConfig>,
}

/// See the module.
pub(crate) struct Door {
    parts: Rc<DoorParts>,
}

impl Door {
    pub(crate) fn new(parts: DoorParts) -> Rc<Self> {
        Rc::new(Self {
            parts: Rc::new(parts),
        })
    }
}

impl WebDoor for Door {
    fn takes(&self, sni: Option<&Domain>) -> bool {
        let DoorParts {
            certificates,
            sites,
            ..
        } = &*self.parts;
        if sni.is_some_and(|name| certificates.has(name)) {
            return true;
        }
        let is_only_face = sites.with(|config| config.fronting.choice == FrontingChoice::Own);
        is_only_face && certificates.server().is_some()
    }

    fn serve(&self, visitor: WebVisitor) -> Pin<Box<dyn Future<Output = ()>>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.serve(visitor).await })
    }
}

impl DoorParts {
    async fn serve(self: Rc<Self>, visitor: WebVisitor) {
        let Some(config) = self.certificates.server() else {
            return;
        };
        let WebVisitor {
            socket,
            received,
            accepted,
            peer,
            standing,
        } = visitor;
        // In a box: what comes of it needs none of it any more.
        let shaken = {
            let shaking = Box::pin(tls::accept(&self.accept, &config, &socket, &received));
            let limit = (accepted + SHAKE_LIMIT).saturating_duration_since(self.reactor.now());
            self.reactor.timeout(limit, shaking).await
        };
        drop((received, config));
        let stream = match shaken {
            Some(Ok(stream)) => stream,
            Some(Err(_)) => return self.accept.drain(&socket),
            None => return,
        };
        let Some(connection) = Connection::tls(socket, stream) else {
            return;
        };
        let web = self.web.clone();
        drop(self);
        web.serve_at_door(Rc::new(connection), peer, standing).await;
    }
}
