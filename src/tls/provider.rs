//! What rustls takes of ring, for the link and for pages: other ciphers and signatures
//! would only make the binary larger.

use std::sync::Arc;

use rustls::crypto::ring::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as ECDSA_AES_128,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as ECDSA_AES_256,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 as ECDSA_CHACHA20,
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 as RSA_AES_128,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 as RSA_AES_256,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 as RSA_CHACHA20,
    TLS13_AES_128_GCM_SHA256 as AES_128, TLS13_AES_256_GCM_SHA384 as AES_256,
    TLS13_CHACHA20_POLY1305_SHA256 as CHACHA20,
};
use rustls::crypto::ring::{ALL_KX_GROUPS, sign};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, Error, RootCertStore, SignatureScheme, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use webpki::ring as algorithms;

/// What web servers are offered. An old one, or a box in front of it, may have only the
/// second.
pub(crate) static WEB_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// ring's provider without Ed25519, which no public authority signs with, and
/// without RSA keys of our own.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    with_suites(match has_aes() {
        true => vec![AES_128, AES_256, CHACHA20],
        false => vec![CHACHA20, AES_128, AES_256],
    })
}

/// The same with suites for each of [`WEB_VERSIONS`], in the order of browsers.
pub(crate) fn web_provider() -> Arc<CryptoProvider> {
    with_suites(match has_aes() {
        true => vec![
            AES_128,
            AES_256,
            CHACHA20,
            ECDSA_AES_128,
            RSA_AES_128,
            ECDSA_AES_256,
            RSA_AES_256,
            ECDSA_CHACHA20,
            RSA_CHACHA20,
        ],
        false => vec![
            CHACHA20,
            AES_128,
            AES_256,
            ECDSA_CHACHA20,
            RSA_CHACHA20,
            ECDSA_AES_128,
            RSA_AES_128,
            ECDSA_AES_256,
            RSA_AES_256,
        ],
    })
}

fn with_suites(cipher_suites: Vec<SupportedCipherSuite>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites,
        kx_groups: ALL_KX_GROUPS.to_vec(),
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Kernel,
        key_provider: &EcdsaKeys,
    })
}

/// The processor has instructions for AES; without them ChaCha20 is several times
/// as fast. Browsers ask for ciphers in the same order.
pub(crate) fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[allow(unreachable_code)]
    false
}

/// Mozilla's certificate authorities.
pub(crate) fn public_roots() -> Arc<RootCertStore> {
    let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
    Arc::new(RootCertStore { roots })
}

/// The authorities in a file of PEM, or what is wrong with it.
pub(crate) fn roots_in(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("no certificate is in it".to_owned()),
        false => Ok(roots),
    }
}

/// For servers that one of `roots` vouches for.
pub(crate) fn client(roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(web_provider())
        .with_protocol_versions(WEB_VERSIONS)?
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.require_ems = true;
    Ok(Arc::new(config))
}

pub(super) static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        algorithms::ECDSA_P256_SHA256,
        algorithms::ECDSA_P256_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
    ],
    // TLS 1.3 takes the first of each; with TLS 1.2 a hash goes with any curve.
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        ),
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[algorithms::ECDSA_P384_SHA384, algorithms::ECDSA_P256_SHA384],
        ),
        (
            SignatureScheme::RSA_PSS_SHA256,
            &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA384,
            &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA512,
            &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ),
        // Of certificates and of TLS 1.2; TLS 1.3 itself does not sign with these.
        (
            SignatureScheme::RSA_PKCS1_SHA256,
            &[algorithms::RSA_PKCS1_2048_8192_SHA256],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA384,
            &[algorithms::RSA_PKCS1_2048_8192_SHA384],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA512,
            &[algorithms::RSA_PKCS1_2048_8192_SHA512],
        ),
    ],
};

#[derive(Debug)]
struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(bytes).map_err(|_| GetRandomFailed)
    }
}

#[derive(Debug)]
struct EcdsaKeys;

impl KeyProvider for EcdsaKeys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        sign::any_ecdsa_type(&key).map_err(|_| {
            Error::General("not an ECDSA key (P-256 or P-384) as `certs` makes them".to_owned())
        })
    }
}
