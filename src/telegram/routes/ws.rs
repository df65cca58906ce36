//! By a WebSocket to one of Telegram's web fronts.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::fronts::Fronts;
use super::web::short;
use super::{RouteError, Routes};
use crate::config::RouteName;
use crate::connection::{FreshWebSocket, Rests, WebRequest};
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// An address at which Telegram's names get no answer is asked by `--ws-sni` for so long.
const FRONTED: Duration = Duration::from_secs(1800);

/// What is known of the fronts.
#[derive(Default)]
pub(super) struct Ws {
    /// Addresses that are asked by another name, until when; each once.
    fronted: RefCell<Vec<(SocketAddr, Instant)>>,
    not_served: RefCell<Rests<(DcId, SocketAddr)>>,
}

impl Ws {
    fn is_fronted(&self, address: SocketAddr, now: Instant) -> bool {
        let mut fronted = self.fronted.borrow_mut();
        fronted.retain(|(_, until)| *until > now);
        fronted.iter().any(|(other, _)| *other == address)
    }

    fn begin_fronting(&self, address: SocketAddr, now: Instant) {
        self.end_fronting(address);
        self.fronted.borrow_mut().push((address, now + FRONTED));
    }

    fn end_fronting(&self, address: SocketAddr) {
        let mut fronted = self.fronted.borrow_mut();
        fronted.retain(|(other, _)| *other != address);
    }

    fn put_last_what_is_not_served(&self, dc: DcId, now: Instant, targets: &mut [SocketAddr]) {
        let not_served = self.not_served.borrow();
        targets.sort_by_cached_key(|address| not_served.left(&(dc, *address), now));
    }
}

/// Whose servers serve this DC, if any do.
pub(super) fn server(routes: &Routes, dc: DcId) -> Option<DcId> {
    Fronts::of(dc, &routes.ws_config().addresses).map(|_| dc)
}

/// A WebSocket at one of the DC's addresses, which are tried one after the other.
pub(super) async fn reach(
    routes: &Routes,
    dc: DcId,
    deadline: Instant,
) -> Result<FreshWebSocket, RouteError> {
    let (ws, shared, config) = (&routes.ws, &*routes.shared, routes.ws_config());
    let fronts = Fronts::of(dc, &config.addresses).ok_or(RouteError::UnknownDc)?;
    let trust = routes.web.trust(routes, RouteName::Ws, dc)?;
    let mut targets = fronts.addresses;
    routes.put_last_what_rests(&mut targets);
    ws.put_last_what_is_not_served(dc, routes.now(), &mut targets);
    let sni = config.sni.as_ref().map(|sni| sni.as_str());
    let mut why = RouteResult::CutShort;
    for address in targets {
        let mut front = sni.filter(|_| ws.is_fronted(address, routes.now()));
        let mut hosts = fronts.hosts.iter().peekable();
        while let Some(host) = hosts.peek() {
            let wanted = WebRequest {
                host,
                front,
                path: fronts.path,
                protocol: Some("binary"),
            };
            let left = deadline.saturating_duration_since(routes.now());
            let connecting = async {
                let socket = shared.dialer.dial(address).await;
                routes.web.connect(&trust, socket, wanted).await
            };
            let Some(found) = shared.reactor.timeout(left, connecting).await else {
                return Err(RouteError::Failed(why));
            };
            let miss = match found {
                Ok(fresh) => {
                    shared.reached(address);
                    routes.reached(address);
                    ws.not_served.borrow_mut().works(&(dc, address));
                    shared.led(dc, || {
                        let (name, tls) = (front.unwrap_or(host), fresh.tls_version());
                        format!("{} as {name}, {tls},", short(address))
                    });
                    return Ok(fresh);
                }
                Err(miss) => miss,
            };
            shared.metrics.dc_failed(dc, miss.failure());
            let result = miss.result();
            let advice = match result {
                RouteResult::Filtered if sni.is_none() => "; try --ws-sni",
                RouteResult::Intercepted => "; another route, or a back elsewhere, helps",
                _ => "",
            };
            let name = front.unwrap_or(host);
            if !shared.hears(dc, result, || miss.at(short(address)) + advice) {
                shared.complain(
                    dc,
                    format_args!("ws at {address} as {name}: {miss}{advice}"),
                );
            }
            match result {
                RouteResult::Filtered if front.is_none() && sni.is_some() => {
                    front = sni;
                    ws.begin_fronting(address, routes.now());
                    continue;
                }
                // Neither name is answered, for a minute and not for ten: by which of them
                // it is reached may change soon.
                RouteResult::Filtered if front.is_some() => {
                    ws.end_fronting(address);
                    routes.missed(address, RouteResult::Ill);
                    why = telling(why, RouteResult::Ill);
                    break;
                }
                RouteResult::NotServed => {
                    why = telling(why, result);
                    hosts.next();
                    if hosts.peek().is_none() {
                        let mut not_served = ws.not_served.borrow_mut();
                        not_served.failed((dc, address), result, routes.now());
                    }
                    continue;
                }
                // Not of the address, and others of Telegram's are no better.
                RouteResult::Ill | RouteResult::ProxyIll => {
                    return Err(RouteError::Failed(result));
                }
                RouteResult::Intercepted => {
                    routes.missed(address, result);
                    return Err(RouteError::Failed(result));
                }
                _ => {}
            }
            routes.missed(address, result);
            why = telling(why, result);
            break;
        }
    }
    Err(RouteError::Failed(why))
}

/// What of two failures says more of the route.
fn telling(one: RouteResult, other: RouteResult) -> RouteResult {
    use RouteResult::{Blocked, Filtered, NotServed, Useless};
    let order = [Filtered, Blocked, Useless, NotServed];
    let first = order.into_iter().find(|why| [one, other].contains(why));
    first.unwrap_or(other)
}
