use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, Error, ExtractedSecrets};

use super::error::as_rustls;
use super::side::Side;
use super::told::Secrets;
use crate::wire::tls::{Cipher, Key, KeySchedule, TlsError, TrafficSecret};

/// What is left of a connection of rustls after the handshake: it makes the keys that
/// follow the first ones.
pub(crate) enum Schedule {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
    /// Of a side whose secrets are known.
    Known(Box<Known>),
}

pub(crate) struct Known {
    to_peer: TrafficSecret,
    from_peer: TrafficSecret,
    tickets: Tickets,
}

/// What comes of tickets that the other side sends.
enum Tickets {
    /// They are kept with this, which has every certificate that the server has shown.
    Kept(Box<KernelConnection<ClientConnectionData>>),
    Dropped,
    /// It is a client, which may not send any.
    Refused,
}

/// What a handshake leaves to go on with.
pub(crate) enum Agreed {
    /// Of TLS 1.3.
    Keys(Box<Keys>),
    /// Of TLS 1.2, whose records are rustls' own.
    Connection(Box<Side>),
}

pub(crate) struct Keys {
    pub(crate) schedule: Schedule,
    pub(crate) to_peer: Key,
    pub(crate) from_peer: Key,
}

impl Keys {
    /// `told`: what the listener heard of its handshake.
    pub(super) fn new(
        secrets: ExtractedSecrets,
        schedule: Schedule,
        told: &Secrets,
    ) -> Result<Self, Error> {
        Ok(Self {
            schedule: know(schedule, &secrets, told),
            to_peer: key(secrets.tx).map_err(as_rustls)?,
            from_peer: key(secrets.rx).map_err(as_rustls)?,
        })
    }
}

/// With the secrets that were told, if they are those of this connection.
fn know(schedule: Schedule, secrets: &ExtractedSecrets, told: &Secrets) -> Schedule {
    let (to_peer, from_peer) = match schedule {
        Schedule::Server(_) => (&told.to_client, &told.to_server),
        Schedule::Client(_) | Schedule::Known(_) => (&told.to_server, &told.to_client),
    };
    let known = |(_, keys): &(u64, ConnectionTrafficSecrets), secret: &[u8]| {
        let (cipher, key, iv) = parts(keys).ok()?;
        let secret = TrafficSecret::new(cipher, secret).ok()?;
        secret.makes(key, iv).then_some(secret)
    };
    let known = known(&secrets.tx, to_peer).zip(known(&secrets.rx, from_peer));
    let Some((to_peer, from_peer)) = known else {
        return schedule;
    };
    Schedule::Known(Box::new(Known {
        to_peer,
        from_peer,
        tickets: match schedule {
            Schedule::Client(rest) => Tickets::Kept(Box::new(rest)),
            Schedule::Server(_) => Tickets::Refused,
            Schedule::Known(known) => known.tickets,
        },
    }))
}

fn key((records, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Key, TlsError> {
    let (cipher, key, iv) = parts(&secrets)?;
    Key::new(cipher, key, iv, records)
}

fn parts(secrets: &ConnectionTrafficSecrets) -> Result<(Cipher, &[u8], &[u8]), TlsError> {
    use ConnectionTrafficSecrets as Secrets;

    let (cipher, key, iv) = match secrets {
        Secrets::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
        Secrets::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
        Secrets::Chacha20Poly1305 { key, iv } => (Cipher::ChaCha20Poly1305, key, iv),
        _ => return Err(TlsError::NoKey),
    };
    Ok((cipher, key.as_ref(), iv.as_ref()))
}

impl Schedule {
    /// No ticket that comes from here on is of use: what was kept for them goes.
    pub(super) fn forget_tickets(&mut self) {
        if let Self::Known(known) = self
            && let Tickets::Kept(_) = known.tickets
        {
            known.tickets = Tickets::Dropped;
        }
    }
}

impl KeySchedule for Schedule {
    fn next_to_peer(&mut self) -> Result<Key, TlsError> {
        let secrets = match self {
            Self::Client(connection) => connection.update_tx_secret(),
            Self::Server(connection) => connection.update_tx_secret(),
            Self::Known(known) => return known.to_peer.advance(),
        };
        secrets.map_err(|_| TlsError::NoKey).and_then(key)
    }

    fn next_from_peer(&mut self) -> Result<Key, TlsError> {
        let secrets = match self {
            Self::Client(connection) => connection.update_rx_secret(),
            Self::Server(connection) => connection.update_rx_secret(),
            Self::Known(known) => return known.from_peer.advance(),
        };
        secrets.map_err(|_| TlsError::NoKey).and_then(key)
    }

    fn may_get_tickets(&self) -> bool {
        match self {
            Self::Client(_) => true,
            Self::Server(_) => false,
            Self::Known(known) => !matches!(known.tickets, Tickets::Refused),
        }
    }

    fn take_ticket(&mut self, ticket: &[u8]) {
        let connection = match self {
            Self::Client(connection) => Some(connection),
            Self::Known(known) => match &mut known.tickets {
                Tickets::Kept(connection) => Some(&mut **connection),
                Tickets::Dropped | Tickets::Refused => None,
            },
            Self::Server(_) => None,
        };
        if let Some(connection) = connection {
            // One that makes no sense is of no use.
            let _ = connection.handle_new_session_ticket(ticket);
        }
    }
}
