//! A certificate authority for one test, and what servers show by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};

use super::manners::{Certificate, Versions};
use super::request::base64;
use crate::shared::lock;

pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// What it signs with in its own place, and the certificate of that.
    between: Option<(CertificateDer<'static>, Issuer<'static, KeyPair>)>,
    /// Another one, which nobody has heard of.
    stranger: Issuer<'static, KeyPair>,
    shown: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let (pem, issuer) = root("the tests' authority");
        let (_, stranger) = root("an authority of strangers");
        Self {
            pem,
            issuer,
            between: None,
            stranger,
            shown: Mutex::default(),
        }
    }

    /// One whose servers show as much as public ones do: a certificate and that of its
    /// issuer, 4.5 KiB together.
    pub fn at_length() -> Self {
        let mut all = Self::new();
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params
            .distinguished_name
            .push(DnType::CommonName, "the tests' authority for every day");
        params.custom_extensions = vec![filler(1900)];
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &all.issuer).expect("a certificate");
        all.between = Some((signed.der().clone(), Issuer::new(params, key)));
        all
    }

    /// The certificate that clients are to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What a web server with this name has in its files: its chain and its key, in PEM.
    pub fn files(&self, name: &str) -> (String, String) {
        self.files_by(name, &KeyPair::generate().expect("a key"))
    }

    /// The same with a key that is there, in PEM.
    pub fn files_with(&self, name: &str, key: &str) -> (String, String) {
        self.files_by(name, &KeyPair::from_pem(key).expect("a key"))
    }

    fn files_by(&self, name: &str, key: &KeyPair) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let mut between = String::new();
        let issuer = match &self.between {
            None => &self.issuer,
            Some((shown, issuer)) => {
                params.custom_extensions = vec![filler(1600)];
                let text = base64(shown);
                between =
                    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
                issuer
            }
        };
        let signed = params.signed_by(key, issuer).expect("a certificate");
        (signed.pem() + &between, key.serialize_pem())
    }

    /// What a server with these names shows.
    pub(super) fn config(
        &self,
        names: &[String],
        certificate: Certificate,
        versions: Versions,
    ) -> Arc<ServerConfig> {
        let key = format!("{names:?} {certificate:?} {versions:?}");
        let mut shown = lock(&self.shown);
        let config = shown.entry(key);
        config
            .or_insert_with(|| Arc::new(self.make(names, certificate, versions)))
            .clone()
    }

    fn make(&self, names: &[String], certificate: Certificate, versions: Versions) -> ServerConfig {
        let names = match certificate {
            Certificate::WrongName => vec!["portal.example".to_owned()],
            _ => names.to_vec(),
        };
        let mut params = CertificateParams::new(names).expect("names of machines");
        if certificate == Certificate::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let issuer = match (certificate, &self.between) {
            (Certificate::Stranger, _) => &self.stranger,
            (_, Some((_, between))) => between,
            (_, None) => &self.issuer,
        };
        if self.between.is_some() {
            params.custom_extensions = vec![filler(1600)];
        }
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, issuer).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut chain = vec![signed.der().clone()];
        chain.extend(self.between.iter().map(|(shown, _)| shown.clone()));
        let versions = match versions {
            Versions::Both => vec![&TLS12, &TLS13],
            Versions::Only12 => vec![&TLS12],
            Versions::Only13 => vec![&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&versions)
            .expect("versions that there are")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a key that fits");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

/// In place of what is in public certificates and not in ours.
fn filler(length: usize) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![0x2e; length])
}

fn root(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    let signed = params.self_signed(&key).expect("a certificate");
    (signed.pem(), Issuer::new(params, key))
}
