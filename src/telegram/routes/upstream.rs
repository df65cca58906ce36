//! By another MTProxy, as a client of it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::lock::Mutex;

use super::direct::{KEEPALIVE, result_of};
use super::state::Standing;
use super::{RouteError, Routes};
use crate::backend::SessionRequest;
use crate::config::{NextProxy, RouteName};
use crate::connection::{ChainedClient, DialError, GreetError, Greeted, Line, OwnHellos, Place};
use crate::metrics::{ConnectFailure, RouteResult};
use crate::net::{PaddingSource, Reactor};
use crate::wire::dc::DcId;
use crate::wire::secret::SecretForm;

/// Between two hellos to one address: more of them draw attention on the way.
const PACE: Duration = Duration::from_secs(1);

/// Who has less time left for its hello does not wait for its turn.
const LEAST_LEFT: Duration = Duration::from_secs(1);

/// Before whoever asks gives the route up.
const MOMENT: Duration = Duration::from_millis(20);

/// What is known of the next proxy.
#[derive(Default)]
pub(super) struct Upstream {
    own: OwnHellos,
    padding: Rc<PaddingSource>,
    known: RefCell<Option<Rc<Known>>>,
    /// When the last hello went out; whose turn it is holds it, and others wait in their
    /// order, each a client.
    turn: Mutex<Option<Instant>>,
}

struct Known {
    next: Arc<NextProxy>,
    place: Place,
}

/// Why there is no connection.
enum Miss {
    Dial(DialError),
    Greet(GreetError),
    /// Too many clients wait for their turn.
    Queued,
    /// Given up for want of time.
    Late,
    /// Others have found out that it fails.
    Rests(RouteResult),
}

impl Upstream {
    /// Whether this beginning of a connection, by what makes it the same one when it comes
    /// again, went out by this route.
    pub(super) fn is_own(&self, replay_id: &[u8], now: Instant) -> bool {
        self.own.is_own(replay_id, now)
    }

    /// What is known of one that a reload leaves as it is stays.
    fn known(&self, next: Arc<NextProxy>) -> Rc<Known> {
        let mut known = self.known.borrow_mut();
        let made = || {
            self.own.forget();
            Rc::new(Known {
                place: Place::new(&next.place),
                next: next.clone(),
            })
        };
        let kept = known.take().filter(|known| known.next == next);
        known.insert(kept.unwrap_or_else(made)).clone()
    }

    /// Waits until one more hello may go out.
    async fn turn(&self, reactor: &Rc<Reactor>) {
        let mut last = self.turn.lock().await;
        if let Some(at) = *last {
            let left = (at + PACE).saturating_duration_since(reactor.now());
            reactor.sleep(left).await;
        }
        *last = Some(reactor.now());
    }
}

/// Connects a client to its DC.
pub(super) async fn open(
    routes: &Routes,
    request: &SessionRequest,
    deadline: Instant,
) -> Result<Line, RouteError> {
    let (shared, upstream, dc) = (&routes.shared, &routes.upstream, request.dc);
    let next = shared.config.with(|config| config.upstream.clone());
    let next = next.ok_or(RouteError::UnknownDc)?;
    if shared.directory.direct(dc).is_none() {
        return Err(RouteError::UnknownDc);
    }
    let known = upstream.known(next);
    let miss = match reach(routes, &known, dc, deadline).await {
        Ok(greeted) => {
            shared.led(dc, || known.next.to_string());
            let line = greeted.into_line(ChainedClient {
                dc,
                transport: request.transport,
                to_client: request.to_client.clone(),
                made_of: request.made_of.clone(),
                padding: upstream.padding.clone(),
            });
            match line {
                Ok(line) => return Ok(line),
                Err(error) => Miss::Greet(GreetError::Broken(Some(error))),
            }
        }
        Err(miss) => miss,
    };
    let now = routes.now();
    if upstream.own.has_come_back(now) {
        return Err(RouteError::FailedForAll(RouteResult::Loop));
    }
    let result = miss.result();
    match &miss {
        // Its dialer tells of it, and of the proxy nothing is known.
        Miss::Dial(DialError::ViaIll(_)) => debug!("DC {dc} by upstream {}: {miss}", known.next),
        Miss::Late | Miss::Rests(_) => {}
        Miss::Queued => shared.complain(dc, format_args!("upstream {}: {miss}", known.next)),
        Miss::Dial(_) | Miss::Greet(_) => {
            shared.metrics.dc_failed(dc, miss.failure());
            if !shared.hears(dc, result, || format!("{}: {miss}", known.next)) {
                shared.complain(dc, format_args!("upstream {}: {miss}", known.next));
            }
            return Err(RouteError::FailedForAll(result));
        }
    }
    Err(RouteError::Failed(result))
}

/// A connection that has taken our hello, if its secret wants one.
async fn reach<'a>(
    routes: &'a Routes,
    known: &'a Known,
    dc: DcId,
    deadline: Instant,
) -> Result<Greeted<'a>, Miss> {
    let (reactor, upstream) = (&routes.shared.reactor, &routes.upstream);
    let began = routes.now();
    if let SecretForm::FakeTls(_) = known.next.secret.form {
        let limit = deadline.saturating_duration_since(began + LEAST_LEFT);
        let waited = reactor.timeout(limit, upstream.turn(reactor)).await;
        waited.ok_or(Miss::Queued)?;
    }
    check(routes, dc)?;
    let now = routes.now();
    let until = deadline.checked_sub(MOMENT).unwrap_or(now);
    let left = until.saturating_duration_since(now);
    let greeting = greet(routes, known, until);
    let greeted = reactor.timeout(left, greeting).await;
    let is_short = now - began >= PACE && left < Greeted::LIMIT;
    match greeted.unwrap_or(Err(Miss::Late)) {
        // Who has waited for its turn had no time for an answer.
        Err(Miss::Late | Miss::Greet(GreetError::Silent | GreetError::Late)) if is_short => {
            Err(Miss::Queued)
        }
        greeted => greeted,
    }
}

/// What others have found out meanwhile.
fn check(routes: &Routes, dc: DcId) -> Result<(), Miss> {
    let (now, route) = (routes.now(), RouteName::Upstream);
    if routes.upstream.own.has_come_back(now) {
        return Err(Miss::Rests(RouteResult::Loop));
    }
    let table = routes.table.borrow();
    match table.standing(dc, route, now) {
        Standing::Rests(rest) if table.has_other(dc, route, &routes.list(), now) => {
            Err(Miss::Rests(rest.why))
        }
        _ => Ok(()),
    }
}

async fn greet<'a>(
    routes: &'a Routes,
    known: &'a Known,
    until: Instant,
) -> Result<Greeted<'a>, Miss> {
    let shared = &routes.shared;
    let socket = shared.dialer.dial_place(&known.place).await;
    let socket = socket.map_err(Miss::Dial)?;
    socket.set_nodelay();
    socket.set_keepalive(KEEPALIVE);
    let (secret, own) = (&known.next.secret, &routes.upstream.own);
    let limit = until.saturating_duration_since(routes.now());
    let limit = limit.min(Greeted::LIMIT);
    let greeted = Greeted::new(&shared.reactor, socket, secret, own, limit).await;
    greeted.map_err(Miss::Greet)
}

impl Miss {
    fn result(&self) -> RouteResult {
        match self {
            Self::Dial(error) => result_of(error),
            Self::Greet(_) => RouteResult::Ill,
            Self::Queued => RouteResult::Queued,
            Self::Late => RouteResult::CutShort,
            Self::Rests(why) => *why,
        }
    }

    fn failure(&self) -> ConnectFailure {
        match self {
            Self::Dial(DialError::TimedOut) => ConnectFailure::ConnectTimeout,
            Self::Greet(GreetError::Silent | GreetError::Late) => ConnectFailure::HandshakeTimeout,
            Self::Greet(GreetError::Broken(_)) => ConnectFailure::HandshakeClosed,
            Self::Greet(GreetError::Wrong(_)) => ConnectFailure::BadAnswer,
            _ => ConnectFailure::Refused,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Greet(error) => error.fmt(f),
            Self::Queued => write!(
                f,
                "more clients than hellos, of which one a second goes there; those beyond take \
                 another route of --route, or come again (a dd secret needs no hello)"
            ),
            Self::Late | Self::Rests(_) => self.result().fmt(f),
        }
    }
}
