use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, Error, ExtractedSecrets};

use super::error::as_rustls;
use crate::wire::tls::{Cipher, Key, KeySchedule, TlsError};

/// What is left of a connection of rustls after the handshake: it makes the keys that
/// follow the first ones.
pub(crate) enum Schedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// What a handshake leaves to go on with.
pub(crate) enum Agreed {
    /// Of TLS 1.3.
    Keys(Box<Keys>),
    /// Of TLS 1.2, whose records are rustls' own.
    Connection(Box<UnbufferedClientConnection>),
}

pub(crate) struct Keys {
    pub(crate) schedule: Schedule,
    pub(crate) to_peer: Key,
    pub(crate) from_peer: Key,
}

impl Keys {
    pub(crate) fn new(secrets: ExtractedSecrets, schedule: Schedule) -> Result<Self, Error> {
        Ok(Self {
            schedule,
            to_peer: key(secrets.tx).map_err(as_rustls)?,
            from_peer: key(secrets.rx).map_err(as_rustls)?,
        })
    }
}

fn key((records, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Key, TlsError> {
    use ConnectionTrafficSecrets as Secrets;

    let (cipher, key, iv) = match &secrets {
        Secrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
        Secrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
        Secrets::Chacha20Poly1305 { key, iv } => (Cipher::ChaCha20Poly1305, key, iv),
        _ => return Err(TlsError::NoKey),
    };
    Key::new(cipher, key.as_ref(), iv.as_ref(), records)
}

impl KeySchedule for Schedule {
    fn next_to_peer(&mut self) -> Result<Key, TlsError> {
        let secrets = match self {
            Self::Client(connection) => connection.update_tx_secret(),
            Self::Server(connection) => connection.update_tx_secret(),
        };
        secrets.map_err(|_| TlsError::NoKey).and_then(key)
    }

    fn next_from_peer(&mut self) -> Result<Key, TlsError> {
        let secrets = match self {
            Self::Client(connection) => connection.update_rx_secret(),
            Self::Server(connection) => connection.update_rx_secret(),
        };
        secrets.map_err(|_| TlsError::NoKey).and_then(key)
    }

    fn may_get_tickets(&self) -> bool {
        matches!(self, Self::Client(_))
    }

    fn take_ticket(&mut self, ticket: &[u8]) {
        if let Self::Client(connection) = self {
            // One that makes no sense is of no use.
            let _ = connection.handle_new_session_ticket(ticket);
        }
    }
}
