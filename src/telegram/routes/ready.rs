//! Lines by the routes through web servers, of which some are ready before a client asks.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use super::spares::Spares;
use super::{RouteError, Routes, worker, ws, zone};
use crate::backend::SessionRequest;
use crate::config::{RouteName, spare_of};
use crate::connection::{FreshWebSocket, Line, Messages};
use crate::metrics::RouteResult;
use crate::net::Pause;
use crate::wire::dc::DcId;
use crate::wire::obfuscated2;

/// For a connection that is to be ready.
const SPARE_LIMIT: Duration = Duration::from_secs(15);

/// Between two looks at what is ready, at least and at most.
const CARE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What is ready on each of these routes.
#[derive(Default)]
pub(super) struct AllReady {
    ws: Ready,
    zone: Ready,
    worker: Ready,
}

#[derive(Default)]
struct Ready {
    spares: RefCell<Spares<FreshWebSocket>>,
    /// Somebody sees to these.
    is_kept: Cell<bool>,
    care: Rc<Pause>,
}

/// Connects a client to its DC by one of the routes through web servers, by a connection that
/// is ready if there is one.
pub(super) async fn open(
    routes: &Rc<Routes>,
    route: RouteName,
    request: &SessionRequest,
    deadline: Instant,
) -> Result<Line, RouteError> {
    let server = match route {
        RouteName::Ws => ws::server(routes, request.dc),
        RouteName::Zone => zone::server(routes, request.dc),
        RouteName::Worker => worker::server(routes, request.dc),
        RouteName::Direct | RouteName::Upstream => None,
    };
    let server = server.ok_or(RouteError::UnknownDc)?;
    let fresh = take(routes, route, server, deadline).await?;
    let (dc, messages) = match route {
        RouteName::Worker => (request.dc, Messages::Bytes),
        // Which of the test DCs it is for is in the path; the header has it as of any DC.
        _ => (
            DcId(request.dc.0 % 10_000),
            Messages::Packets(request.transport),
        ),
    };
    let header = obfuscated2::dial_fast(
        &request.to_client,
        request.transport,
        dc,
        &mut crate::net::fill_random,
    );
    let line = fresh.into_line(header, messages);
    line.map_err(|_| RouteError::Failed(RouteResult::Ill))
}

/// A connection for this DC, the one that is ready if there is one.
async fn take(
    routes: &Rc<Routes>,
    route: RouteName,
    dc: DcId,
    deadline: Instant,
) -> Result<FreshWebSocket, RouteError> {
    let Some(ready) = routes.ready(route) else {
        return Err(RouteError::UnknownDc);
    };
    // Nobody but who tests has use for one of a test DC: it would take another's place.
    let next = || match dc.is_test() {
        true => None,
        false => ready.spares.borrow_mut().take(dc, routes.now()),
    };
    let mut fresh = next();
    while fresh.as_ref().is_some_and(|fresh| !fresh.is_fresh()) {
        fresh = next();
    }
    care(routes, ready, route);
    match fresh {
        Some(fresh) => Ok(fresh),
        None => {
            let fresh = reach(routes, route, dc, deadline).await?;
            ready.spares.borrow_mut().is_back(dc);
            ready.care.cut_short();
            Ok(fresh)
        }
    }
}

/// A new one.
async fn reach(
    routes: &Routes,
    route: RouteName,
    dc: DcId,
    deadline: Instant,
) -> Result<FreshWebSocket, RouteError> {
    match route {
        RouteName::Ws => ws::reach(routes, dc, deadline).await,
        RouteName::Zone => zone::reach(routes, dc, deadline).await,
        RouteName::Worker => worker::reach(routes, dc, deadline).await,
        RouteName::Direct | RouteName::Upstream => Err(RouteError::UnknownDc),
    }
}

/// Sees to it that connections are ready.
fn care(routes: &Rc<Routes>, ready: &Ready, route: RouteName) {
    ready.care.cut_short();
    if routes.spare(route) > 0 && !ready.is_kept.replace(true) {
        let keeping = keep(Rc::downgrade(routes), route);
        routes.shared.executor.spawn(keeping).detach();
    }
}

/// Until nobody has asked for any DC lately.
async fn keep(routes: Weak<Routes>, route: RouteName) {
    while let Some(routes) = routes.upgrade() {
        let Some(ready) = routes.ready(route) else {
            return;
        };
        ready.care.begin();
        loop {
            let is_used = ready.spares.borrow_mut().forget(routes.now());
            if !is_used {
                ready.is_kept.set(false);
                return;
            }
            let wanted = ready.spares.borrow().wanted(routes.spare(route));
            let Some(dc) = wanted else {
                break;
            };
            let deadline = routes.now() + SPARE_LIMIT;
            let reached = reach(&routes, route, dc, deadline).await;
            let mut spares = ready.spares.borrow_mut();
            match reached {
                Ok(fresh) => spares.put(dc, fresh, routes.now()),
                Err(_) => spares.is_out(dc),
            }
        }
        let (reactor, care) = (routes.shared.reactor.clone(), ready.care.clone());
        drop(routes);
        care.wait(&reactor, CARE.0, CARE.1).await;
    }
}

impl AllReady {
    /// What they were made by may be another now.
    pub(super) fn forget(&self) {
        for ready in [&self.ws, &self.zone, &self.worker] {
            ready.spares.take();
        }
    }
}

impl Routes {
    fn ready(&self, route: RouteName) -> Option<&Ready> {
        match route {
            RouteName::Ws => Some(&self.ready.ws),
            RouteName::Zone => Some(&self.ready.zone),
            RouteName::Worker => Some(&self.ready.worker),
            RouteName::Direct | RouteName::Upstream => None,
        }
    }

    /// Connections that are kept ready for each DC.
    fn spare(&self, route: RouteName) -> usize {
        match self.list().has(route) {
            true => spare_of(route, self.ws_config().spare),
            false => 0,
        }
    }
}
