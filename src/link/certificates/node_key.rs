use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{Error, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

/// A P-256 key of a CA or a certificate. rcgen's own would bring RSA and Ed25519
/// along.
pub(super) struct NodeKey {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl NodeKey {
    pub(crate) fn generate() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
        let key = key.map_err(|_| Error::RingUnspecified)?;
        Self::from_pkcs8(key.as_ref())
    }

    pub(crate) fn from_pem(text: &str) -> Result<Self, String> {
        let key = pem::parse(text).map_err(|error| error.to_string())?;
        Self::from_pkcs8(key.contents()).map_err(|error| error.to_string())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random);
        Ok(Self {
            pair: pair.map_err(|error| Error::RingKeyRejected(error.to_string()))?,
            pkcs8: pkcs8.to_vec(),
        })
    }

    pub(crate) fn pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new("PRIVATE KEY", self.pkcs8.as_slice()), config)
    }
}

impl PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| Error::RingUnspecified)?;
        Ok(signature.as_ref().to_vec())
    }
}
