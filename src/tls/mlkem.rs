//! The key exchange X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem) as servers answer it. ring
//! has its half of it alone.

use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{
    ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

use crate::wire::mlkem768::{self, KEY_LEN};

/// Browsers offer it first; filters know servers that do not take it.
pub(crate) static X25519_MLKEM768: &dyn SupportedKxGroup = &Hybrid;

#[derive(Debug)]
struct Hybrid;

impl SupportedKxGroup for Hybrid {
    /// Who begins has to make a key, which takes code that no server needs.
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let message = "X25519MLKEM768 is for servers here: a client's config must not have it";
        Err(Error::General(message.to_owned()))
    }

    fn start_and_complete(&self, theirs: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let invalid = || Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
        let (key, point) = theirs.split_first_chunk::<KEY_LEN>().ok_or_else(invalid)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| GetRandomFailed)?;
        let made = mlkem768::encapsulate(key, &seed).ok_or_else(invalid)?;
        let curve = X25519.start_and_complete(point)?;
        let secret = [&made.secret[..], curve.secret.secret_bytes()].concat();
        Ok(CompletedKeyExchange {
            group: self.name(),
            pub_key: [&made.ciphertext[..], &curve.pub_key].concat(),
            secret: SharedSecret::from(secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}
