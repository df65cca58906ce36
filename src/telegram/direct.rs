use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::Shared;
use crate::backend::{OpenError, SessionRequest};
use crate::connection::{DialError, Line};
use crate::net::Keepalive;
use crate::wire::obfuscated2;

const KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_secs(60),
    probes: 4,
    user_timeout: Duration::from_secs(30),
};

/// Connects a client to its DC: one obfuscated connection whose replies are
/// encrypted with the client's own key.
pub(super) async fn open(shared: &Rc<Shared>, request: &SessionRequest) -> Result<Line, OpenError> {
    let targets = shared
        .directory
        .direct(request.dc)
        .ok_or(OpenError::UnknownDc)?;
    for address in targets {
        match connect(shared, address, request).await {
            Ok(line) => {
                shared.reached(address);
                return Ok(line);
            }
            Err(error) => {
                shared.directory.report_failure(address);
                shared.direct_failed(request.dc, address, &error);
            }
        }
    }
    Err(OpenError::DirectUnavailable)
}

async fn connect(
    shared: &Rc<Shared>,
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
