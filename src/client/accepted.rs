//! What a handshake ends with.

use crate::guard::gate::Pass;
use crate::metrics::ClientKind;
use crate::wire::fake_tls::RecordReader;
use crate::wire::obfuscated2::ClientHeader;
use crate::wire::secret::Domain;
use crate::wire::transport::Transport;

/// Who came in, and how it talks.
pub(super) struct Accepted {
    /// Index into the secrets of the [`Rules`](super::Rules).
    pub(crate) secret: usize,
    pub(crate) header: ClientHeader,
    /// `Some` for fake-TLS: what stands between records, past the header.
    pub(crate) records: Option<RecordReader>,
    /// Of a fake-TLS client. In a box, which others do not need.
    pub(crate) hello: Option<Box<HelloFacts>>,
    pub(crate) pass: Pass,
}

/// What a hello says of the client, and of the site for which it passes.
pub(super) struct HelloFacts {
    pub(crate) domain: Domain,
    /// It offers X25519MLKEM768: an app of 2024 or later.
    pub(crate) post_quantum: bool,
}

impl Accepted {
    pub(crate) fn kind(&self) -> ClientKind {
        match self.header.transport {
            _ if self.records.is_some() => ClientKind::FakeTls,
            Transport::Abridged => ClientKind::Abridged,
            Transport::Intermediate => ClientKind::Intermediate,
            Transport::Padded => ClientKind::Padded,
        }
    }
}
