//! Who is at the other end of a connection, and the bytes that it begins with.

use std::net::SocketAddr;

use crate::metrics::RejectReason;
use crate::net::Socket;

/// Bytes that one read makes room for: today's hellos need one or two, and
/// whoever only claims to send 16 KiB does not get them.
pub(super) const READ_STEP: usize = 2048;

/// The two ends of a client's connection, which a relay in front of us tells, or who
/// serves its carrier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) client: SocketAddr,
    /// What the client connected to.
    pub(crate) local: SocketAddr,
}

impl Peer {
    /// `None`: it is gone already.
    pub(crate) fn of(socket: &Socket) -> Option<Self> {
        Some(Self {
            client: socket.peer_address().ok()?,
            local: socket.local_address().ok()?,
        })
    }
}

pub(super) async fn read_more(
    socket: &Socket,
    received: &mut Vec<u8>,
    wanted: usize,
) -> Result<(), RejectReason> {
    let start = received.len();
    received.resize(start + wanted.min(READ_STEP), 0);
    let space = received.get_mut(start..).unwrap_or_default();
    let read = socket.read(space).await.unwrap_or(0);
    received.truncate(start + read);
    if read == 0 {
        return Err(RejectReason::Abandoned);
    }
    Ok(())
}
