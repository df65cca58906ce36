//! One task per client: accepting, the handshake, and then one of the relays.
//!
//! A client reaches Telegram only through a [`Backend`]; what comes back is
//! written by whoever has it, through [`Sink`](crate::backend::Sink).
//!
//! | File | What |
//! |---|---|
//! | `accept` | listeners, and a task for each connection |
//! | `rules` | whom a listener lets in |
//! | `registry` | the place that each connection has |
//! | `peer` | whose it is, and reading what it begins with |
//! | `enter` | what it is: a client, a stranger for the site, or nobody |
//! | `arrival` | what is known of it while it has proven nothing |
//! | `opening` | what it has sent up to here |
//! | `handshake` | which secret it knows |
//! | `flight` | our answer to its TLS hello |
//! | `lent_pass` | its right to be here, while it is slow to go on after that |
//! | `newcomer` | one that has proven a full secret, and waits |
//! | `accepted` | what a handshake ends with |
//! | `roll_call` | a full secret: are all of its sessions still there? |
//! | `standby` | the site, ready for one that turns out to be no client |
//! | `site_relay` | a stranger and the site, from there on |
//! | `sites` | how sites answer and how they end connections |
//! | `farewell` | the end of one that was answered and is no client |
//! | `turned_away` | lines in the log about those who are not let in |
//! | `session` | a client past its handshake |
//! | `sessions` | all of these |
//! | `shown` | the same for the operator |
//! | `ends` | why they end |
//! | `packets` | the relay to a stream of packets or bytes |
//! | `line` | the relay to a connection to a DC that is the client's alone |
//! | `deadlines` | when a relay has waited for long enough |
//! | `inlet` | what a client sends, out of its records and deciphered |
//! | `unframe` | packets out of that |
//! | `out` | what goes to a client |
//! | `web_door` | who is no client and goes to a WEB host |
//! | `web_stream` | a client that comes as a stream of a WEB session |
//! | `records` | how long the records are that it goes in |

mod accept;
mod accepted;
mod arrival;
mod deadlines;
mod ends;
mod enter;
mod farewell;
mod flight;
mod handshake;
mod inlet;
mod lent_pass;
mod line;
mod newcomer;
mod opening;
mod out;
mod packets;
mod peer;
mod records;
mod registry;
mod roll_call;
mod rules;
mod session;
mod sessions;
#[cfg(feature = "ctl")]
mod shown;
mod site_relay;
mod sites;
mod standby;
mod turned_away;
mod unframe;
#[cfg(feature = "tls")]
mod web_door;
mod web_stream;

use std::cell::Cell;
#[cfg(feature = "tls")]
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::backend::Backend;
use crate::config::ClientConfig;
use crate::guard::gate::Gate;
use crate::log::Throttle;
use crate::metrics::Metrics;
use crate::net::{
    BufferPool, Executor, Keepalive, Live, PaddingSource, PipePool, Reactor, Scratch, Socket,
};

pub(crate) use accept::{ListenerHandle, listen};
pub(crate) use peer::Peer;
use registry::Registry;
use roll_call::RollCalls;
pub(crate) use rules::Rules;
use sessions::Sessions;
#[cfg(feature = "ctl")]
pub(crate) use shown::ShownClient;
#[cfg(feature = "ctl")]
pub(crate) use sites::ShownSite;
#[cfg(feature = "check")]
pub(crate) use sites::{Examined, of_addresses};
#[cfg(feature = "tls")]
pub(crate) use sites::{OwnFace, SHAKE_LIMIT};
pub(crate) use sites::{Sites, Standing};
use turned_away::TurnedAway;
#[cfg(feature = "tls")]
pub(crate) use web_door::{WebDoor, WebStanding, WebVisitor};
pub(crate) use web_stream::{WebArrival, serve_stream};

/// Between two lines of one kind in the log.
const LOG_PERIOD: Duration = Duration::from_secs(60);

/// Probes wake a phone's radio: rare ones find what silence hides, and unsent
/// answers find the rest.
pub(crate) const KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_secs(5 * 60),
    probes: 3,
    user_timeout: Duration::from_secs(3 * 60),
};

/// What all clients share.
pub(crate) struct ClientContext {
    pub(crate) reactor: Rc<Reactor>,
    executor: Rc<Executor>,
    buffers: Rc<BufferPool>,
    scratch: Rc<Scratch>,
    pipes: Rc<PipePool>,
    backend: Rc<dyn Backend>,
    gate: Rc<Gate>,
    metrics: Rc<Metrics>,
    sites: Rc<Sites>,
    config: Live<ClientConfig>,
    registry: Registry,
    sessions: Sessions,
    roll_calls: RollCalls,
    #[cfg(feature = "tls")]
    door: OnceCell<Rc<dyn WebDoor>>,
    /// Clients whose keys are expanded.
    awake: Cell<usize>,
    padding: PaddingSource,
    fallback_log: Throttle,
    accept_log: Throttle,
    relay_log: Throttle,
    buffers_log: Throttle,
    turned_away: TurnedAway,
}

/// The parts that a [`ClientContext`] is made of.
pub(crate) struct ClientParts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) pipes: Rc<PipePool>,
    pub(crate) backend: Rc<dyn Backend>,
    pub(crate) gate: Rc<Gate>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) sites: Rc<Sites>,
    pub(crate) config: Live<ClientConfig>,
}

impl ClientContext {
    /// A connection to this address would come to one of our listeners.
    pub(crate) fn is_own_address(&self, address: SocketAddr) -> bool {
        self.sites.is_own_address(address)
    }

    pub(crate) fn new(parts: ClientParts) -> Rc<Self> {
        Rc::new(Self {
            reactor: parts.reactor,
            executor: parts.executor,
            buffers: parts.buffers,
            scratch: parts.scratch,
            pipes: parts.pipes,
            backend: parts.backend,
            gate: parts.gate,
            metrics: parts.metrics,
            sites: parts.sites,
            config: parts.config,
            registry: Registry::default(),
            sessions: Sessions::default(),
            roll_calls: RollCalls::default(),
            #[cfg(feature = "tls")]
            door: OnceCell::new(),
            awake: Cell::new(0),
            padding: PaddingSource::default(),
            fallback_log: Throttle::new(LOG_PERIOD),
            accept_log: Throttle::new(LOG_PERIOD),
            relay_log: Throttle::new(LOG_PERIOD),
            buffers_log: Throttle::new(LOG_PERIOD),
            turned_away: TurnedAway::default(),
        })
    }

    /// From here on who is no client goes through it, if it takes that one. There is no
    /// other one later.
    #[cfg(feature = "tls")]
    pub(crate) fn set_door(&self, door: Rc<dyn WebDoor>) {
        // What comes second changes nothing.
        let _ = self.door.set(door);
    }

    /// Whoever is no client goes to a WEB host, whatever it says: there is no other site.
    fn is_all_web(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.door.get().is_some_and(|door| door.takes(None, &[]));
        #[cfg(not(feature = "tls"))]
        false
    }

    /// The peer is to see an end, also if something of its was not read.
    fn let_go(&self, socket: &Socket) {
        self.scratch.with(|buffer| socket.discard_waiting(buffer));
    }

    /// Waits until every client has left, at most `limit`; returns how many
    /// are still there. Stop the listeners first.
    pub(crate) async fn drain(&self, limit: Duration) -> usize {
        let left = self.reactor.timeout(limit, self.empty()).await;
        left.map_or(self.connections(), |()| 0)
    }
}

#[cfg(test)]
mod tests;
