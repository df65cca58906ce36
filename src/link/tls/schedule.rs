use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{Error, ExtractedSecrets};

use super::record::Key;

/// The rest of a connection of rustls after the handshake: makes the keys that
/// follow the first ones.
pub enum Schedule {
    Front(KernelConnection<ClientConnectionData>),
    Back(KernelConnection<ServerConnectionData>),
}

/// What a handshake leaves.
pub struct Agreed {
    pub schedule: Schedule,
    pub to_peer: Key,
    pub from_peer: Key,
}

impl Agreed {
    pub fn new(secrets: ExtractedSecrets, schedule: Schedule) -> Result<Self, Error> {
        Ok(Self {
            schedule,
            to_peer: Key::new(secrets.tx)?,
            from_peer: Key::new(secrets.rx)?,
        })
    }
}

impl Schedule {
    pub fn next_to_peer(&mut self) -> Result<Key, Error> {
        Key::new(match self {
            Self::Front(connection) => connection.update_tx_secret(),
            Self::Back(connection) => connection.update_tx_secret(),
        }?)
    }

    pub fn next_from_peer(&mut self) -> Result<Key, Error> {
        Key::new(match self {
            Self::Front(connection) => connection.update_rx_secret(),
            Self::Back(connection) => connection.update_rx_secret(),
        }?)
    }

    /// Only servers give tickets.
    pub fn may_get_tickets(&self) -> bool {
        matches!(self, Self::Front(_))
    }
}
