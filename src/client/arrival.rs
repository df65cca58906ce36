//! What is known of a connection that has proven nothing yet, and whether it is let in
//! once it has.

use std::cell::Cell;

use super::ClientContext;
use super::newcomer::{Newcomer, is_full};
use super::opening::Opening;
use super::peer::{Peer, read_more};
use super::registry::Place;
use super::rules::RulesAtArrival;
use super::sites::Guest;
use crate::guard::gate::{FloodState, Pass};
use crate::guard::policy::Visitor;
use crate::metrics::RejectReason;
use crate::net::Socket;
use crate::wire::proxy_protocol;
use crate::wire::secret::Domain;

/// A connection that has not proven anything yet.
pub(super) struct Arrival<'a> {
    pub(crate) context: &'a ClientContext,
    pub(crate) place: &'a Place,
    pub(crate) socket: &'a Socket,
    pub(crate) rules: &'a RulesAtArrival,
    pub(crate) peer: Cell<Peer>,
    /// The index of the secret that it knows.
    pub(crate) proven: Cell<Option<usize>>,
    /// Its hello tells its uptime where others tell the time.
    pub(crate) has_uptime: Cell<bool>,
    /// Its address is over the flood limit: it may not prove anything.
    pub(crate) is_flooding: Cell<bool>,
    /// The place at the site that it then has.
    pub(crate) at_site: Cell<Option<Guest>>,
}

impl Arrival<'_> {
    /// Learns who it is, if it comes from a relay, and whether its address has too
    /// many.
    pub(crate) async fn learn_peer(&self) -> Result<FloodState, RejectReason> {
        let (gate, reactor) = (&self.context.gate, &self.context.reactor);
        if gate.is_relay(self.peer.get().client.ip()) {
            let limit = self.context.config.with(|config| config.handshake_timeout);
            // In a box, which only relays need.
            let told = Box::pin(reactor.timeout(limit, self.read_header())).await;
            told.unwrap_or(Err(RejectReason::TimedOut))?;
        }
        let flood = gate.arrive(self.peer.get().client.ip(), reactor.now());
        self.is_flooding.set(flood == FloodState::Over);
        Ok(flood)
    }

    /// The name of the secret that it knows, or nothing.
    pub(crate) fn secret(&self) -> &str {
        let named = self
            .proven
            .get()
            .and_then(|index| self.rules.secrets.get(index));
        named.map_or("", |named| &named.name)
    }

    async fn read_header(&self) -> Result<(), RejectReason> {
        let mut bytes = Vec::new();
        loop {
            match proxy_protocol::parse(&bytes) {
                Err(_) => return Err(RejectReason::BadProxyHeader),
                Ok(Some(header)) => {
                    if let Some(told) = header.addresses {
                        let peer = Peer {
                            client: told.client,
                            local: told.local,
                        };
                        self.peer.set(peer);
                        self.place.come_from(peer);
                    }
                    return Ok(());
                }
                Ok(None) => {}
            }
            let wanted = proxy_protocol::wanted(&bytes);
            read_more(self.socket, &mut bytes, wanted).await?;
        }
    }

    /// Lets it in who knows the secret of this index, if it may: it has a client's
    /// place then.
    pub(crate) async fn let_in(
        &self,
        secret: usize,
        domain: Option<&Domain>,
        handshake_id: &[u8],
        opening: &Opening,
    ) -> Result<Pass, RejectReason> {
        self.proven.set(Some(secret));
        let visitor = self.visitor(domain);
        let gate = &self.context.gate;
        let now = self.context.reactor.now();
        gate.prove(visitor.client, handshake_id, self.has_uptime.get(), now)?;
        let pass = match gate.admit(&visitor, self.context.reactor.clock().unix()) {
            Err(reason) if is_full(reason) => {
                let newcomer = Newcomer {
                    end: self.socket,
                    knows: &|| opening.known(),
                    leaves: &|cx| self.socket.poll_hung_up(cx),
                };
                // In a box, which few get to need.
                Box::pin(newcomer.wait(self.place.context(), &visitor, reason)).await?
            }
            admitted => admitted?,
        };
        self.place.become_session()?;
        Ok(pass)
    }

    /// Another pass for one that has a client's place and has given its pass back.
    pub(crate) fn let_in_again(&self, domain: &Domain) -> Result<Pass, RejectReason> {
        let visitor = self.visitor(Some(domain));
        let now = self.context.reactor.clock().unix();
        self.context.gate.admit(&visitor, now)
    }

    fn visitor<'a>(&'a self, domain: Option<&'a Domain>) -> Visitor<'a> {
        Visitor {
            listener: &self.rules.name,
            secret: self.secret(),
            tls_domain: domain.map(Domain::as_str),
            client: self.peer.get().client.ip(),
        }
    }
}
