//! The ways of `--route` by which a client gets a connection of its own to its DC.
//!
//! | File | What |
//! |---|---|
//! | `authorities.rs` | whose certificates are believed, where `--ws-ca` says it |
//! | `direct.rs` | to the DC's address |
//! | `doubt.rs` | whether a client's line that speaks against a route is to be believed |
//! | `fronts.rs` | where Telegram's web fronts are, and what DCs are called there; pure |
//! | `question.rs` | asks a DC itself, over a line as a client has it |
//! | `ready.rs` | lines through web servers, of which some are ready before a client asks |
//! | `search.rs` | tries the routes for one client |
//! | `shown.rs` | what the operator sees of them |
//! | `spares.rs` | connections that are ready before a client asks; pure |
//! | `state.rs` | what is known of one route to one DC; pure |
//! | `table.rs` | which route is tried next; pure |
//! | `upstream.rs` | by another MTProxy |
//! | `web.rs` | what the routes share that lead through web servers |
//! | `worker.rs` | by a Worker of the operator's at Cloudflare |
//! | `ws.rs` | by a WebSocket to one of Telegram's web fronts |
//! | `zone.rs` | by a zone of the operator's at Cloudflare |

#[cfg(feature = "tls")]
mod authorities;
mod direct;
#[cfg(feature = "tls")]
mod doubt;
#[cfg(feature = "tls")]
mod fronts;
pub(super) mod question;
#[cfg(feature = "tls")]
mod ready;
mod search;
#[cfg(feature = "ctl")]
mod shown;
#[cfg(feature = "tls")]
mod spares;
mod state;
mod table;
#[cfg(feature = "tls")]
mod upstream;
#[cfg(feature = "tls")]
mod web;
#[cfg(feature = "tls")]
mod worker;
#[cfg(feature = "tls")]
mod ws;
#[cfg(feature = "tls")]
mod zone;

#[cfg(feature = "tls")]
use std::cell::Cell;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Shared;
#[cfg(feature = "tls")]
use crate::config::WsConfig;
use crate::config::{RouteList, RouteName};
use crate::connection::{Finding, Rests, Subject, Trial, Trials};
use crate::log::Throttle;
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;
#[cfg(feature = "tls")]
pub(crate) use authorities::{Authorities, AuthoritiesError};
#[cfg(feature = "ctl")]
pub(crate) use shown::{ShownRoute, ShownStanding};
use state::News;
use table::Table;

/// Between lines about routes that fail, and about those that work again.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Why a route led nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// It does not lead to this DC at all.
    UnknownDc,
    Failed(RouteResult),
    /// So it does for all DCs: the one that stands before them fails.
    #[cfg(feature = "tls")]
    FailedForAll(RouteResult),
}

impl RouteError {
    /// What it failed by, if it leads to the DC.
    pub(super) fn result(self) -> Option<RouteResult> {
        match self {
            Self::UnknownDc => None,
            Self::Failed(why) => Some(why),
            #[cfg(feature = "tls")]
            Self::FailedForAll(why) => Some(why),
        }
    }
}

/// What is known of the routes, and all that a new line takes.
pub(super) struct Routes {
    shared: Rc<Shared>,
    table: RefCell<Table>,
    /// Of DCs.
    addresses: RefCell<Rests<SocketAddr>>,
    trials: Rc<Trials>,
    /// Of our own, under way.
    #[cfg(feature = "tls")]
    questions: Cell<usize>,
    #[cfg(feature = "tls")]
    web: web::Web,
    #[cfg(feature = "tls")]
    ws: ws::Ws,
    #[cfg(feature = "tls")]
    upstream: upstream::Upstream,
    #[cfg(feature = "tls")]
    ready: ready::AllReady,
    failures: Throttle,
    recoveries: Throttle,
}

impl Routes {
    pub(super) fn new(shared: &Rc<Shared>) -> Rc<Self> {
        let routes = Rc::new_cyclic(|routes: &std::rc::Weak<Self>| {
            let routes = routes.clone();
            let judge = move |subject, finding, asked| {
                let routes = routes.upgrade();
                routes.is_some_and(|routes| routes.hear(subject, finding, asked))
            };
            Self {
                shared: shared.clone(),
                table: RefCell::default(),
                addresses: RefCell::default(),
                trials: Trials::new(shared.reactor.clock(), judge),
                #[cfg(feature = "tls")]
                questions: Cell::default(),
                #[cfg(feature = "tls")]
                web: web::Web::new(shared),
                #[cfg(feature = "tls")]
                ws: Default::default(),
                #[cfg(feature = "tls")]
                ready: Default::default(),
                #[cfg(feature = "tls")]
                upstream: Default::default(),
                failures: Throttle::new(LOG_PERIOD),
                recoveries: Throttle::new(LOG_PERIOD),
            }
        });
        let watching = routes.trials.clone().run(shared.reactor.clone());
        shared.executor.spawn(watching).detach();
        routes
    }

    fn list(&self) -> RouteList {
        self.shared.config.with(|config| config.routes)
    }

    /// New connections go by what this file holds; whether that is something else than
    /// before.
    #[cfg(feature = "tls")]
    pub(super) fn believe(&self, authorities: Option<Authorities>) -> bool {
        let is_news = self.web.believe(authorities);
        self.ready.forget();
        is_news
    }

    /// See [`Backend::is_own`](crate::backend::Backend::is_own).
    #[cfg(feature = "tls")]
    pub(super) fn is_own(&self, replay_id: &[u8]) -> bool {
        self.upstream.is_own(replay_id, self.now())
    }

    /// Another DC has been served by this route lately, and nothing is known against that.
    #[cfg(feature = "tls")]
    fn serves_others(&self, dc: DcId, route: RouteName) -> bool {
        let table = self.table.borrow();
        table.serves_others(dc, route, self.now())
    }

    #[cfg(feature = "tls")]
    fn ws_config(&self) -> WsConfig {
        self.shared.config.with(|config| config.ws.clone())
    }

    fn now(&self) -> Instant {
        self.shared.reactor.now()
    }

    /// For a line to this DC, which is to tell how it fares.
    fn trial(&self, dc: DcId, route: RouteName) -> Rc<Trial> {
        self.trials.set_alone(self.list().as_slice().len() == 1);
        Trial::new(&self.trials, Subject { route, dc })
    }

    /// A line shows something; whether its client is better served by another route.
    fn hear(
        self: &Rc<Self>,
        Subject { route, dc }: Subject,
        finding: Finding,
        asked: Instant,
    ) -> bool {
        let now = self.now();
        let mut table = self.table.borrow_mut();
        let news = match finding {
            Finding::Answers => table.answers(dc, route, now),
            Finding::Passes => table.passes(dc, route, now),
            Finding::Starves if table.is_starved(dc, route, asked) => {
                self.count(dc, route, RouteResult::Starves);
                table.failed(dc, route, RouteResult::Starves, now)
            }
            // Others get answers: it is this client, or its packets.
            Finding::Starves => return false,
            Finding::FallsSilent => table.falls_silent(dc, route, now),
            Finding::EndsEarly => table.ends_early(dc, route, now),
        };
        #[cfg(feature = "tls")]
        let is_doubtful = matches!(finding, Finding::Starves | Finding::EndsEarly)
            && matches!(news, Some(News::Rests(_)))
            && table.has_other(dc, route, &self.list(), now);
        let is_closed = match finding {
            Finding::Starves | Finding::FallsSilent => {
                table.is_resting(dc, route, now) && table.has_other(dc, route, &self.list(), now)
            }
            _ => false,
        };
        drop(table);
        match (finding, news) {
            (Finding::FallsSilent, Some(News::Rests(_))) => {
                self.count(dc, route, RouteResult::FallsSilent);
            }
            (Finding::EndsEarly, Some(News::Rests(_))) => {
                self.count(dc, route, RouteResult::EndsEarly);
            }
            _ => {}
        }
        self.tell(dc, route, news);
        #[cfg(feature = "tls")]
        if is_doubtful {
            self.doubt(dc, route);
        }
        is_closed
    }

    fn count(&self, dc: DcId, route: RouteName, result: RouteResult) {
        self.shared.metrics.route_tried(dc, route.word(), result);
    }

    /// Says what changes for clients of this DC.
    fn tell(&self, dc: DcId, route: RouteName, news: Option<News>) {
        let now = self.now();
        let list = self.list();
        match news {
            None => {}
            Some(News::Back) => {
                say!(
                    self.recoveries.pass(now),
                    Info,
                    "DC {dc}: the route {route} works again"
                );
            }
            Some(News::Rests(rest)) => {
                let is_alone = list.is_one();
                // Of a connection that does not come about each address is told of.
                let is_told = matches!(
                    rest.why,
                    RouteResult::Blocked
                        | RouteResult::Useless
                        | RouteResult::ProxyIll
                        | RouteResult::Filtered
                        | RouteResult::Intercepted
                        | RouteResult::NotServed
                        | RouteResult::Loop
                );
                if is_alone && is_told {
                    return;
                }
                let (why, minutes) = (rest.why, rest.left(now).as_secs().div_ceil(60));
                let passed = self.failures.pass(now);
                if is_alone {
                    let way_out = match route {
                        RouteName::Upstream => {
                            "does that proxy serve its own clients, and is the secret in --upstream \
                             its?"
                        }
                        _ => {
                            "if Telegram is blocked here, ways around it are --via and a --role \
                             back elsewhere"
                        }
                    };
                    say!(passed, Warn, "DC {dc} by {route}: {why}; {way_out}");
                } else if self.table.borrow().has_other(dc, route, &list, now) {
                    say!(
                        passed,
                        Warn,
                        "DC {dc} by {route}: {why}; clients take the next of --route {list}, and \
                         this one is tried again in {minutes} min"
                    );
                } else {
                    say!(
                        passed,
                        Warn,
                        "DC {dc} by {route}: {why}, and all others of --route {list} have failed \
                         lately; they are tried all the same: is this machine's network down, or \
                         Telegram blocked on all of them?"
                    );
                }
            }
        }
    }

    /// Puts those addresses last that have failed lately, the shortest rest first.
    fn put_last_what_rests(&self, targets: &mut [SocketAddr]) {
        let (addresses, now) = (self.addresses.borrow(), self.now());
        targets.sort_by_cached_key(|address| addresses.left(address, now));
    }

    fn reached(&self, address: SocketAddr) {
        self.addresses.borrow_mut().works(&address);
    }

    fn missed(&self, address: SocketAddr, why: RouteResult) {
        // Of one behind a proxy that does not work nothing is known.
        if why != RouteResult::ProxyIll {
            let now = self.now();
            self.addresses.borrow_mut().failed(address, why, now);
        }
    }
}
