//! By a WebSocket to one of Telegram's web fronts.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::direct::{KEEPALIVE, result_of};
use super::fronts::Fronts;
use super::rest::Rests;
use super::spares::Spares;
use super::{RouteError, Routes};
use crate::backend::SessionRequest;
use crate::config::{WsConfig, read_file};
use crate::connection::{
    DialError, FreshWebSocket, Line, WebContext, WebError, WebRequest, WebTrust,
};
use crate::metrics::RouteResult;
use crate::net::{Pause, unblock};
use crate::telegram::Shared;
use crate::tls::public_roots;
use crate::wire::dc::DcId;
use crate::wire::obfuscated2;
use crate::wire::websocket::UpgradeError;

/// An address at which Telegram's names get no answer is asked by `--ws-sni` for so long.
const FRONTED: Duration = Duration::from_secs(1800);

/// For a connection that is to be ready.
const SPARE_LIMIT: Duration = Duration::from_secs(15);

/// Between two looks at what is ready, at least and at most.
const CARE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A file of authorities; Mozilla's takes 220 KiB.
const MAX_AUTHORITIES: u64 = 1 << 20;

/// What is known of the fronts, and what is ready there.
pub(super) struct Ws {
    context: WebContext,
    trust: RefCell<Option<(Option<PathBuf>, Rc<WebTrust>)>>,
    /// Addresses that are asked by another name, until when; never more than there are
    /// addresses that rest.
    fronted: RefCell<Vec<(SocketAddr, Instant)>>,
    not_served: RefCell<Rests<(DcId, SocketAddr)>>,
    spares: RefCell<Spares<FreshWebSocket>>,
    /// Somebody sees to these.
    is_kept: Cell<bool>,
    care: Rc<Pause>,
}

/// Why there is no WebSocket.
enum Miss {
    Dial(DialError),
    Web(WebError),
}

impl Ws {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            context: WebContext {
                reactor: shared.reactor.clone(),
                scratch: shared.scratch.clone(),
                buffers: shared.buffers.clone(),
                batch: Default::default(),
            },
            trust: RefCell::default(),
            fronted: RefCell::default(),
            not_served: RefCell::default(),
            spares: RefCell::default(),
            is_kept: Cell::new(false),
            care: Rc::default(),
        }
    }

    /// What files hold may be another now.
    pub(super) fn forget_trust(&self) {
        self.trust.take();
        self.spares.take();
    }

    async fn trust(&self, ca: Option<PathBuf>) -> Result<Rc<WebTrust>, String> {
        if let Some((of, trust)) = &*self.trust.borrow()
            && *of == ca
        {
            return Ok(trust.clone());
        }
        let roots = match ca.clone() {
            Some(path) => unblock(move || authorities(&path)).await?,
            None => public_roots(),
        };
        let trust = WebTrust::new(roots).map_err(|error| error.to_string())?;
        let trust = Rc::new(trust);
        self.trust.replace(Some((ca, trust.clone())));
        Ok(trust)
    }

    fn is_fronted(&self, address: SocketAddr, now: Instant) -> bool {
        let mut fronted = self.fronted.borrow_mut();
        fronted.retain(|(_, until)| *until > now);
        fronted.iter().any(|(other, _)| *other == address)
    }

    fn put_last_what_is_not_served(&self, dc: DcId, now: Instant, targets: &mut [SocketAddr]) {
        let not_served = self.not_served.borrow();
        targets.sort_by_cached_key(|address| not_served.left(&(dc, *address), now));
    }
}

/// Blocks.
fn authorities(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let bad = |error: &dyn fmt::Display| format!("--ws-ca {}: {error}", path.display());
    let text = read_file(path, MAX_AUTHORITIES).map_err(|error| bad(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        return Err(bad(&"no certificate in it; give a file of PEM"));
    }
    Ok(Arc::new(roots))
}

/// Connects a client to its DC, by a connection that is ready if there is one.
pub(super) async fn open(
    routes: &Rc<Routes>,
    request: &SessionRequest,
    deadline: Instant,
) -> Result<Line, RouteError> {
    let (dc, ws) = (request.dc, &routes.ws);
    let config = routes.ws_config();
    if Fronts::of(dc, &config.addresses).is_none() {
        return Err(RouteError::UnknownDc);
    }
    let ready = || ws.spares.borrow_mut().take(dc, routes.now());
    let mut fresh = ready();
    while fresh.as_ref().is_some_and(|fresh| !fresh.is_fresh()) {
        fresh = ready();
    }
    care(routes, &config);
    let fresh = match fresh {
        Some(fresh) => fresh,
        None => {
            let fresh = reach(routes, &config, dc, deadline).await?;
            ws.spares.borrow_mut().is_back(dc);
            ws.care.cut_short();
            fresh
        }
    };
    // Which of the test DCs it is for is in the path; the header has it as of any DC.
    let header = obfuscated2::dial_fast(
        &request.to_client,
        request.transport,
        DcId(dc.0 % 10_000),
        &mut crate::net::fill_random,
    );
    let line = fresh.into_line(header, request.transport);
    line.map_err(|_| RouteError::Failed(RouteResult::Ill))
}

/// Sees to it that connections are ready.
fn care(routes: &Rc<Routes>, config: &WsConfig) {
    let ws = &routes.ws;
    ws.care.cut_short();
    if config.spare > 0 && !ws.is_kept.replace(true) {
        let keeping = keep(Rc::downgrade(routes));
        routes.shared.executor.spawn(keeping).detach();
    }
}

/// Until nobody has asked for any DC lately.
async fn keep(routes: Weak<Routes>) {
    while let Some(routes) = routes.upgrade() {
        let (ws, config) = (&routes.ws, routes.ws_config());
        ws.care.begin();
        loop {
            let is_used = ws.spares.borrow_mut().forget(routes.now());
            if !is_used {
                ws.is_kept.set(false);
                return;
            }
            let wanted = ws.spares.borrow().wanted(config.spare);
            let Some(dc) = wanted.filter(|_| routes.has_ws()) else {
                break;
            };
            let deadline = routes.now() + SPARE_LIMIT;
            let reached = reach(&routes, &config, dc, deadline).await;
            let mut spares = ws.spares.borrow_mut();
            match reached {
                Ok(fresh) => spares.put(dc, fresh, routes.now()),
                Err(_) => spares.is_out(dc),
            }
        }
        let (reactor, care) = (routes.shared.reactor.clone(), ws.care.clone());
        drop(routes);
        care.wait(&reactor, CARE.0, CARE.1).await;
    }
}

/// A WebSocket at one of the DC's addresses, which are tried one after the other.
async fn reach(
    routes: &Routes,
    config: &WsConfig,
    dc: DcId,
    deadline: Instant,
) -> Result<FreshWebSocket, RouteError> {
    let (ws, shared) = (&routes.ws, &*routes.shared);
    let fronts = Fronts::of(dc, &config.addresses).ok_or(RouteError::UnknownDc)?;
    let trust = ws.trust(config.ca.clone()).await.map_err(|error| {
        shared.complain(
            dc,
            format_args!("{error}; until that is mended ws has no use"),
        );
        RouteError::Failed(RouteResult::Useless)
    })?;
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
            let connecting = connect(shared, &ws.context, &trust, address, wanted);
            let Some(found) = shared.reactor.timeout(left, connecting).await else {
                return Err(RouteError::Failed(why));
            };
            let miss = match found {
                Ok(fresh) => {
                    shared.reached(address);
                    routes.reached(address);
                    ws.not_served.borrow_mut().works(&(dc, address));
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
            shared.complain(
                dc,
                format_args!("ws at {address} as {name}: {miss}{advice}"),
            );
            match result {
                RouteResult::Filtered if front.is_none() && sni.is_some() => {
                    front = sni;
                    let until = routes.now() + FRONTED;
                    ws.fronted.borrow_mut().push((address, until));
                    continue;
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

async fn connect(
    shared: &Shared,
    context: &WebContext,
    trust: &WebTrust,
    address: SocketAddr,
    wanted: WebRequest<'_>,
) -> Result<FreshWebSocket, Miss> {
    let socket = shared.dialer.dial(address).await.map_err(Miss::Dial)?;
    socket.set_nodelay();
    socket.set_keepalive(KEEPALIVE);
    let opened = FreshWebSocket::open(context, trust, socket, wanted).await;
    opened.map_err(Miss::Web)
}

/// What of two failures says more of the route.
fn telling(one: RouteResult, other: RouteResult) -> RouteResult {
    use RouteResult::{Blocked, Filtered, NotServed, Useless};
    let order = [Filtered, Blocked, Useless, NotServed];
    let first = order.into_iter().find(|why| [one, other].contains(why));
    first.unwrap_or(other)
}

impl Miss {
    fn result(&self) -> RouteResult {
        match self {
            Self::Dial(error) => result_of(error),
            Self::Web(WebError::Filtered) => RouteResult::Filtered,
            Self::Web(WebError::Certificate(_)) => RouteResult::Intercepted,
            Self::Web(WebError::Upgrade(UpgradeError::Redirect { .. })) => RouteResult::NotServed,
            Self::Web(_) => RouteResult::Ill,
        }
    }

    fn failure(&self) -> crate::metrics::ConnectFailure {
        use crate::metrics::ConnectFailure;
        match self {
            Self::Dial(DialError::TimedOut) => ConnectFailure::ConnectTimeout,
            _ => ConnectFailure::Refused,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Web(error) => error.fmt(f),
        }
    }
}
