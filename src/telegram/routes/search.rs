use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::table::{Choice, Tried};
use super::{RouteError, Routes, direct};
#[cfg(feature = "tls")]
use super::{ready, upstream};
use crate::backend::{OpenError, SessionRequest};
use crate::config::RouteName;
use crate::connection::{Line, OnTrial};
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// For all routes together. A client that has waited so long comes again.
const SEARCH: Duration = Duration::from_secs(15);

/// For one, where another has not failed lately. A connection that nobody answers is given
/// up before.
const ROUTE: Duration = Duration::from_millis(4_500);

impl Routes {
    /// A line to the client's DC by the first route that leads there.
    pub(in crate::telegram) async fn open(
        self: &Rc<Self>,
        request: &SessionRequest,
    ) -> Result<OnTrial, OpenError> {
        let list = self.list();
        let end = self.now() + SEARCH;
        let mut tried = Tried::default();
        let mut error = OpenError::UnknownDc;
        loop {
            let now = self.now();
            if now >= end {
                return Err(OpenError::DirectUnavailable);
            }
            let next = self
                .table
                .borrow_mut()
                .next(request.dc, &list, &mut tried, now);
            let Some(choice) = next else {
                return Err(error);
            };
            let attempt = Attempt {
                routes: self,
                dc: request.dc,
                choice,
                is_over: false,
            };
            // Who has had its time and no answer has failed; who was short of time has not.
            let (deadline, if_late) = match choice.has_next && now + ROUTE <= end {
                true => (now + ROUTE, RouteResult::Ill),
                false => (end, RouteResult::CutShort),
            };
            match self.try_one(choice.route, request, deadline).await {
                Ok(line) => {
                    attempt.opened();
                    let trial = Some(self.trial(request.dc, choice.route));
                    return Ok(OnTrial::new(line, trial));
                }
                Err(RouteError::UnknownDc) => {
                    let mut table = self.table.borrow_mut();
                    table.leads_nowhere(request.dc, choice.route, now);
                }
                #[cfg(feature = "tls")]
                Err(RouteError::FailedForAll(why)) => {
                    error = OpenError::DirectUnavailable;
                    self.table
                        .borrow_mut()
                        .failed_for_all(choice.route, why, self.now());
                    attempt.failed(why);
                }
                Err(RouteError::Failed(why)) => {
                    error = OpenError::DirectUnavailable;
                    attempt.failed(match why {
                        // It was not the route's time that was wasted.
                        RouteResult::CutShort if self.shared.dialer.is_resting() => {
                            RouteResult::ProxyIll
                        }
                        RouteResult::CutShort => if_late,
                        why => why,
                    });
                }
            }
        }
    }

    /// Makes a line by this route, until `deadline`.
    pub(in crate::telegram) async fn try_one(
        self: &Rc<Self>,
        route: RouteName,
        request: &SessionRequest,
        deadline: Instant,
    ) -> Result<Line, RouteError> {
        if !RouteName::HAS_CHOICE || route == RouteName::Direct {
            // It keeps to the deadline by itself.
            return direct::open(self, request, deadline).await;
        }
        // In boxes: not in the room of who is connected directly.
        let opening = async {
            match route {
                RouteName::Direct => Err(RouteError::UnknownDc),
                #[cfg(feature = "tls")]
                RouteName::Ws | RouteName::Zone | RouteName::Worker => {
                    Box::pin(ready::open(self, route, request, deadline)).await
                }
                #[cfg(not(feature = "tls"))]
                RouteName::Ws | RouteName::Zone | RouteName::Worker => Err(RouteError::UnknownDc),
                #[cfg(feature = "tls")]
                RouteName::Upstream => Box::pin(upstream::open(self, request, deadline)).await,
                #[cfg(not(feature = "tls"))]
                RouteName::Upstream => Err(RouteError::UnknownDc),
            }
        };
        let left = deadline.saturating_duration_since(self.now());
        // By reference: a future that is handed on by value has room several times.
        let opened = self.shared.reactor.timeout(left, pin!(opening)).await;
        opened.unwrap_or(Err(RouteError::Failed(RouteResult::CutShort)))
    }
}

/// A client's try of one route. Given up, it leaves the route as it was.
struct Attempt<'a> {
    routes: &'a Routes,
    dc: DcId,
    choice: Choice,
    is_over: bool,
}

impl Attempt<'_> {
    /// Whether the route works is for the line to show.
    fn opened(mut self) {
        self.is_over = true;
        let route = self.choice.route;
        self.routes.count(self.dc, route, RouteResult::Opened);
    }

    fn failed(mut self, why: RouteResult) {
        let (dc, route) = (self.dc, self.choice.route);
        self.routes.count(dc, route, why);
        if !matches!(why, RouteResult::CutShort | RouteResult::Queued) {
            self.is_over = true;
            let now = self.routes.now();
            let news = self.routes.table.borrow_mut().failed(dc, route, why, now);
            self.routes.tell(dc, route, news);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut table = self.routes.table.borrow_mut();
            table.gave_up(self.dc, self.choice);
        }
    }
}
