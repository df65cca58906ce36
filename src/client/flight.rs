//! Our answer to a hello, on its way to the client.

use crate::metrics::RejectReason;
use crate::net::Socket;

/// All of it; [`RejectReason::Abandoned`] if the client is gone.
pub(super) async fn send(socket: &Socket, answer: Vec<u8>) -> Result<(), RejectReason> {
    let written = socket.write_all(&answer).await;
    written.map_err(|_| RejectReason::Abandoned)
}
