//! What tests can see of connections and sessions.

use std::net::SocketAddr;

use crate::transport::Transport;

/// What is known of one session, for tests to look at.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    pub dc: i16,
    /// Number of the connection, counted over all DCs.
    pub connection: u64,
    pub conn_id: i64,
    pub client: SocketAddr,
    pub our: SocketAddr,
    pub transport: Transport,
    pub tag: Option<[u8; 16]>,
    pub requests: u64,
}

/// What is known of one live connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub number: u64,
    pub dc: i16,
    /// The proxy's end.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    pub sessions: usize,
    /// Our pings that were not answered yet.
    pub pings_unanswered: usize,
    pub crc32c: bool,
}
