//! Who asks for a WEB host on a port of clients: the handshake, then HTTP.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;

use super::Certificates;
use crate::client::{Peer, SHAKE_LIMIT, WebDoor, WebVisitor};
use crate::config::{ClientConfig, FrontingChoice, SiteConfig};
use crate::guard::half_open::Origin;
use crate::http::Connection;
use crate::net::{FairTurnstile, Live, Reactor, Scratch, Socket};
use crate::tls::{self, AcceptContext, TlsStream};
use crate::web::WebContext;
#[cfg(feature = "acme")]
use crate::web::acme::Challenges;
use crate::wire::client_hello::{self, Parsed};
use crate::wire::fake_tls::{DECODE_ERROR_ALERT, UNRECOGNIZED_NAME_ALERT};
use crate::wire::secret::Domain;

/// The parts that a [`Door`] is made of.
pub(crate) struct DoorParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) accept: AcceptContext,
    pub(crate) certificates: Rc<Certificates>,
    #[cfg(feature = "acme")]
    pub(crate) challenges: Rc<Challenges>,
    pub(crate) web: Rc<WebContext>,
    pub(crate) sites: Live<SiteConfig>,
    pub(crate) clients: Live<ClientConfig>,
    /// For hosts whose answers take long.
    pub(crate) turnstile: FairTurnstile,
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
    fn takes(&self, sni: Option<&Domain>, _received: &[u8]) -> bool {
        let DoorParts {
            certificates,
            sites,
            ..
        } = &*self.parts;
        if sni.is_some_and(|name| certificates.has(name)) {
            return true;
        }
        #[cfg(feature = "acme")]
        if self.parts.challenges.of(_received).is_some() {
            return true;
        }
        let is_only_face = sites.with(|config| config.fronting.choice == FrontingChoice::Own);
        is_only_face && (certificates.server().is_some() || certificates.awaits_first())
    }

    fn serve(&self, visitor: WebVisitor) -> Pin<Box<dyn Future<Output = ()>>> {
        let parts = self.parts.clone();
        Box::pin(async move { parts.serve(visitor).await })
    }
}

impl DoorParts {
    async fn serve(self: Rc<Self>, visitor: WebVisitor) {
        let WebVisitor {
            socket,
            received,
            accepted,
            peer,
            standing,
        } = visitor;
        let (scratch, web) = (self.accept.scratch.clone(), self.web.clone());
        let sent_away = SentAway::new(&scratch, &socket);
        #[cfg(feature = "acme")]
        if let Some(challenge) = self.challenges.of(&received) {
            let shaking = Box::pin(tls::accept(&self.accept, &challenge, &socket, &received));
            // It has seen what it came for, or not; nothing else is said.
            let _ = self.reactor.timeout(SHAKE_LIMIT, shaking).await;
            return;
        }
        let Some(config) = self.certificates.server() else {
            return refuse(&socket, &received).await;
        };
        let shaken = {
            let shaking = self.shake(&config, &socket, &received, peer);
            // As long as clients have for theirs.
            let of_clients = self.clients.with(|config| config.handshake_timeout);
            let until = accepted + of_clients.max(SHAKE_LIMIT);
            let limit = until.saturating_duration_since(self.reactor.now());
            self.reactor.timeout(limit, shaking).await
        };
        drop((received, config, self));
        // Nor may a reset overtake the alert.
        let Some(Ok(stream)) = shaken else {
            return;
        };
        sent_away.not_any_more();
        let Some(connection) = Connection::tls(socket, stream) else {
            return;
        };
        let connection = Rc::new(connection);
        let sent_away = SentAway::new(&scratch, connection.socket());
        web.serve_at_door(connection.clone(), peer, standing).await;
        sent_away.not_any_more();
    }

    /// In a box: what comes of it needs none of it any more.
    fn shake<'a>(
        &'a self,
        config: &'a Arc<ServerConfig>,
        socket: &'a Socket,
        received: &'a [u8],
        peer: Peer,
    ) -> Pin<Box<dyn Future<Output = Result<TlsStream, tls::Error>> + 'a>> {
        let sni = match client_hello::parse(received) {
            Ok(Parsed::Complete { value, .. }) => value.sni,
            _ => None,
        };
        if !self.certificates.is_long(sni.as_ref()) {
            return Box::pin(tls::accept(&self.accept, config, socket, received));
        }
        let whose = Origin::of(peer.client.ip()).number();
        let turn = (&self.turnstile, whose);
        Box::pin(tls::accept_away(
            &self.accept,
            config,
            socket,
            received,
            turn,
        ))
    }
}

/// Until there is a certificate, everybody is told what web servers say to who asks for a
/// name that they have none for.
async fn refuse(socket: &Socket, received: &[u8]) {
    let alert = match client_hello::parse(received) {
        Ok(Parsed::Complete { .. }) => UNRECOGNIZED_NAME_ALERT,
        Ok(Parsed::Incomplete) => return,
        Err(_) => DECODE_ERROR_ALERT,
    };
    let _ = socket.write_all(&alert).await;
}

/// A visitor that is sent away for another sees an end and no reset, also if something of
/// its was not read: dropping this is that.
struct SentAway<'a> {
    scratch: &'a Scratch,
    socket: Option<&'a Socket>,
}

impl<'a> SentAway<'a> {
    fn new(scratch: &'a Scratch, socket: &'a Socket) -> Self {
        Self {
            scratch,
            socket: Some(socket),
        }
    }

    fn not_any_more(mut self) {
        self.socket = None;
    }
}

impl Drop for SentAway<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket {
            let _ = self.scratch.with(|space| socket.discard_waiting(space));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::net::Executor;
    use crate::net::test_help::pair;

    #[test]
    fn who_is_sent_away_is_not_reset() {
        let reactor = Reactor::new().unwrap();
        let executor = Rc::new(Executor::default());
        let scratch = Rc::<Scratch>::default();
        reactor.block_on(&executor, async {
            for is_sent_away in [true, false] {
                let (near, far) = pair(&reactor).await;
                far.write_all(b"a hello that nobody reads").await.unwrap();
                poll_fn(|cx| near.poll_filled(cx, 1)).await.unwrap();
                let sent_away = SentAway::new(&scratch, &near);
                match is_sent_away {
                    true => drop(sent_away),
                    false => sent_away.not_any_more(),
                }
                drop(near);
                let end = far.read(&mut [0]).await;
                assert_eq!(end.ok(), is_sent_away.then_some(0));
            }
        });
    }
}
