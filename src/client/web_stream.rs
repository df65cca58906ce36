//! A client that comes as a stream of a WEB session: classic or padded, as without WEB.

use std::future::poll_fn;
use std::rc::Rc;

use super::accept::stay;
use super::accepted::Accepted;
use super::newcomer::{Newcomer, is_full};
use super::peer::Peer;
use super::registry::{Beginning, SessionPlace};
use super::rules::RulesAtArrival;
use super::session::Client;
use super::{ClientContext, Rules};
use crate::connection::{ClientEnd, StreamEnd};
use crate::guard::gate::Pass;
use crate::guard::policy::Visitor;
use crate::log::{Address, LogLevel, is_enabled};
use crate::metrics::{ClientKind, RejectReason};
use crate::net::Live;
use crate::wire::obfuscated2::{self, HEADER_LEN};
use crate::wire::secret::Secret;
use crate::wire::transport::Transport;

/// A WEB stream that has said nothing yet. Its session has proven a secret, and the stream
/// has to prove the same one.
pub(crate) struct WebArrival {
    /// Who has its carrier, and where that leads.
    pub(crate) peer: Peer,
    /// Of whoever takes the session.
    pub(crate) rules: Live<Rules>,
    /// Its session's, without a form.
    pub(crate) secret: Secret,
    /// The secret is a `dd` one: only padded clients have it.
    pub(crate) padded_only: bool,
    pub(crate) end: Box<dyn StreamEnd>,
}

/// From the stream's first byte until it is a client, which has a task of its own, or has
/// been turned away. Whatever comes of it, it is closed in the end.
///
/// It counts as nobody until it has proven the secret, which its session has done already,
/// and whose limits of streams hold for it: only then it takes a client's place.
pub(crate) async fn serve_stream(context: Rc<ClientContext>, arrival: WebArrival) {
    if let Some((place, client)) = enter(&context, arrival).await {
        // So that a client does not keep its beginning's memory.
        context.executor.spawn(stay(place, client)).detach();
    }
}

async fn enter(context: &Rc<ClientContext>, arrival: WebArrival) -> Option<(SessionPlace, Client)> {
    let started = context.reactor.now();
    let end = ClientEnd::stream(arrival.end);
    let entering = Entering {
        context,
        peer: arrival.peer,
        rules: RulesAtArrival::new(arrival.rules),
        secret: arrival.secret,
        padded_only: arrival.padded_only,
        end: &end,
    };
    let beginning = Beginning::enter(context);
    context.metrics.handshaking.inc();
    let proven = entering.prove().await;
    context.metrics.handshaking.dec();
    drop(beginning);
    let (place, accepted) = match proven {
        Ok(proven) => proven,
        Err(reason) => {
            entering.reject(reason);
            end.close();
            return None;
        }
    };
    let time = context.reactor.now().duration_since(started);
    context.metrics.client_joined(ClientKind::Web, time);
    entering.log_accepted(&accepted);
    let Entering { peer, rules, .. } = entering;
    let client = Client::open(context, end, peer, &rules, accepted).await?;
    Some((place, client))
}

/// A stream while its header is awaited and judged.
struct Entering<'a> {
    context: &'a Rc<ClientContext>,
    peer: Peer,
    rules: RulesAtArrival,
    secret: Secret,
    padded_only: bool,
    end: &'a ClientEnd,
}

impl Entering<'_> {
    async fn prove(&self) -> Result<(SessionPlace, Accepted), RejectReason> {
        let context = self.context;
        // A reload may have taken it away.
        let secret = self.secret().ok_or(RejectReason::UnknownSecret)?;
        let limit = context.config.with(|config| config.handshake_timeout);
        let read = context.reactor.timeout(limit, self.read_header()).await;
        let bytes = read.unwrap_or(Err(RejectReason::TimedOut))?;
        let header = obfuscated2::accept(&bytes, &self.secret).ok_or(RejectReason::WebSecret)?;
        if self.padded_only && header.transport != Transport::Padded {
            return Err(RejectReason::WebNotPadded);
        }
        let replay_id = obfuscated2::replay_id(&bytes);
        if context.backend.is_own(&replay_id) {
            return Err(RejectReason::Loop);
        }
        let (client, now) = (self.peer.client.ip(), context.reactor.now());
        context.gate.prove_within(client, &replay_id, now)?;
        let pass = self.admit().await?;
        let place = SessionPlace::take(context)?;
        let accepted = Accepted {
            secret,
            header,
            records: None,
            hello: None,
            pass,
        };
        Ok((place, accepted))
    }

    async fn read_header(&self) -> Result<[u8; HEADER_LEN], RejectReason> {
        let mut header = [0; HEADER_LEN];
        let mut filled = 0;
        while let Some(space) = header.get_mut(filled..).filter(|space| !space.is_empty()) {
            let read = poll_fn(|cx| self.end.poll_read(cx, space)).await;
            match read {
                Ok(length) if length > 0 => filled += length,
                _ => return Err(RejectReason::Abandoned),
            }
        }
        Ok(header)
    }

    /// Lets it in, if it may.
    async fn admit(&self) -> Result<Pass, RejectReason> {
        let context = self.context;
        let visitor = Visitor {
            listener: &self.rules.name,
            secret: self.secret_name(),
            tls_domain: None,
            client: self.peer.client.ip(),
        };
        let admitted = context.gate.admit(&visitor, context.reactor.clock().unix());
        match admitted {
            Err(reason) if is_full(reason) => {
                let newcomer = Newcomer {
                    end: self.end,
                    knows: &|| (),
                    leaves: &|cx| self.end.poll_hung_up(cx),
                };
                newcomer.wait(context, &visitor, reason).await
            }
            admitted => admitted,
        }
    }

    /// The index of its session's secret in the rules.
    fn secret(&self) -> Option<usize> {
        let mut secrets = self.rules.secrets.iter();
        secrets.position(|named| named.secret.key == self.secret)
    }

    fn secret_name(&self) -> &str {
        let named = self
            .secret()
            .and_then(|index| self.rules.secrets.get(index));
        named.map_or("", |named| &named.name)
    }

    fn log_accepted(&self, accepted: &Accepted) {
        if is_enabled(LogLevel::Debug) {
            let (peer, dc) = (Address::from(self.peer.client), accepted.header.dc);
            let (listener, name) = (&self.rules.name, self.secret_name());
            let kind = ClientKind::Web;
            debug!("{listener}: {peer} is a client of {name}, {kind}, for DC {dc}");
        }
    }

    /// It is counted and told as no client.
    fn reject(&self, reason: RejectReason) {
        let context = self.context;
        context.metrics.client_rejected(reason);
        if reason == RejectReason::TooManyClients {
            context.log_full_house();
        }
        let now = context.reactor.now();
        context.turned_away.tell(reason, self.secret_name(), now);
        if is_enabled(LogLevel::Debug) {
            let (listener, peer) = (&self.rules.name, Address::from(self.peer.client));
            debug!("{listener}: a WEB stream of {peer} is no client: {reason}");
        }
    }
}
