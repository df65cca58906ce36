use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::{RouteError, Routes};
use crate::backend::SessionRequest;
use crate::connection::{DialError, Line};
use crate::metrics::RouteResult;
use crate::net::Keepalive;
use crate::telegram::Shared;
use crate::telegram::unreached::Unreached;
use crate::wire::obfuscated2;

pub(super) const KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_secs(60),
    probes: 4,
    user_timeout: Duration::from_secs(30),
};

/// Connects a client to its DC: one obfuscated connection whose replies are
/// encrypted with the client's own key. Addresses are tried one after the other, until
/// `deadline`.
pub(super) async fn open(
    routes: &Routes,
    request: &SessionRequest,
    deadline: Instant,
) -> Result<Line, RouteError> {
    let shared = &*routes.shared;
    let mut targets = shared
        .directory
        .direct(request.dc)
        .ok_or(RouteError::UnknownDc)?;
    routes.put_last_what_rests(&mut targets);
    let mut why = RouteResult::CutShort;
    for address in targets {
        let left = deadline.saturating_duration_since(shared.reactor.now());
        // Who has no time for an answer learns nothing of the address.
        let connecting = pin!(connect(shared, address, request));
        match shared.reactor.timeout(left, connecting).await {
            Some(Ok(line)) => {
                shared.reached(address);
                routes.reached(address);
                shared.led(request.dc, || address.to_string());
                return Ok(line);
            }
            Some(Err(failure)) => {
                let result = result_of(&failure);
                let unreached = || Unreached(address, &failure).to_string();
                if !shared.hears(request.dc, result, unreached) {
                    shared.direct_failed(request.dc, address, &failure);
                }
                // Which says nothing of the address, and others fare no better.
                if result == RouteResult::ProxyIll {
                    return Err(RouteError::Failed(result));
                }
                shared.directory.report_failure(address);
                routes.missed(address, result);
                why = telling(why, result);
            }
            None => break,
        }
    }
    Err(RouteError::Failed(why))
}

/// What of two failures says more of the route: a machine without IPv6 has no way to half
/// of the addresses.
fn telling(one: RouteResult, other: RouteResult) -> RouteResult {
    use RouteResult::{Blocked, Useless};
    let order = [Blocked, Useless];
    let first = order.into_iter().find(|why| [one, other].contains(why));
    first.unwrap_or(other)
}

pub(super) fn result_of(error: &DialError) -> RouteResult {
    match error {
        DialError::TimedOut => RouteResult::Blocked,
        DialError::Unreachable(_) | DialError::ViaRefuses(_) => RouteResult::Useless,
        DialError::ViaIll(_) => RouteResult::ProxyIll,
    }
}

async fn connect(
    shared: &Shared,
    address: SocketAddr,
    request: &SessionRequest,
) -> Result<Line, DialError> {
    let socket = shared.dialer.dial(address).await?;
    socket.set_nodelay();
    socket.set_keepalive(KEEPALIVE);
    let header = obfuscated2::dial_fast(
        &request.to_client,
        request.transport,
        request.dc,
        &mut crate::net::fill_random,
    );
    let sent = socket.write_all(&header.bytes).await;
    sent.map_err(DialError::Unreachable)?;
    Ok(Line::plain(socket, header.to_dc))
}
