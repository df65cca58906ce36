use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::host::HostPort;
use super::listen_address::ListenAddress;
use super::machine::LinkPlaces;
use super::network::Reach;
use crate::wire::secret::Domain;

/// The link between front and back; in role [`Role::Both`](super::Role::Both) empty but for
/// its places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkConfig {
    /// Of a front: where its backs are. At least one.
    pub(crate) backs: Vec<HostPort>,
    /// Of a back: where links are taken, at least one.
    pub(crate) listen: Vec<ListenAddress>,
    /// This or a file of a key.
    pub(crate) tls: Option<LinkTls>,
    pub(crate) key_file: Option<PathBuf>,
    /// What that file holds.
    pub(crate) key: Option<LinkKey>,
    /// Without TLS, even where everyone on the way can read it.
    pub(crate) plain_on_public: bool,
    /// How long a client waits for a link.
    pub(crate) wait: Duration,
    /// To each back.
    pub(crate) connections: usize,
    pub(crate) places: LinkPlaces,
}

/// Certificates, as PEM files, and what an onlooker sees of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkTls {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) sni: Option<Domain>,
    pub(crate) alpn: Vec<String>,
    /// Of a back: fingerprints of certificates that get no link.
    pub(crate) refuse: Option<PathBuf>,
}

/// What both ends of a link know. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LinkKey(Vec<u8>);

impl LinkKey {
    /// Too much to be guessed, as 32 hex digits are.
    const MIN: usize = 32;

    /// `None`: it is too short.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        (key.len() >= Self::MIN).then(|| Self(key.to_vec()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

impl LinkConfig {
    /// Whether a link at `address` could be read by everyone on its way, and
    /// nobody has allowed that.
    pub(crate) fn forbids(&self, address: SocketAddr) -> bool {
        self.tls.is_none() && !self.plain_on_public && Reach::of(address.ip()) != Reach::Ours
    }
}
