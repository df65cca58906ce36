//! Which app comes, how, to which door.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};
use smol::Async;

use super::api::Api;
use super::capability::{Secret, capability};
use super::channel::Channel;
use super::http::Connection;
use super::page::Page;
use super::session::Session;
use crate::secret::KEY;

/// Whose rules and habits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Grants credit for 256 KiB, or for what has waited for 20 ms.
    Desktop,
    /// Grants credit for each DATA; credit above 2^32 - 1 is fatal.
    Android,
    /// telethon-webproxy: credit by the MiB, and an empty Content-Type where there is
    /// no body.
    Telethon,
    /// Never grants any: who asks for too much by it gets no more than 4 MiB.
    Miser,
}

impl App {
    pub const REAL: [Self; 3] = [Self::Desktop, Self::Android, Self::Telethon];

    /// After so many bytes it grants credit at once.
    pub(super) fn step(self) -> u64 {
        match self {
            Self::Desktop => 256 << 10,
            Self::Android => 1,
            Self::Telethon => 1 << 20,
            Self::Miser => u64::MAX,
        }
    }

    /// After so long it grants it for less.
    pub(super) fn pause(self) -> Option<Duration> {
        (self == Self::Desktop).then_some(Duration::from_millis(20))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Https,
    WebSocket,
}

impl Carrier {
    pub const ALL: [Self; 2] = [Self::Https, Self::WebSocket];
}

/// Where WebSocket messages are cut into fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    Whole,
    /// As Chromium does: 131,000 bytes each at most, and smaller ones now and then.
    Chromium,
    /// Anywhere, empty ones too, by this seed.
    Anywhere(u64),
}

#[derive(Clone)]
pub struct Options {
    pub door: SocketAddr,
    /// `None`: the door is for a web server, without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    pub host: String,
    /// The base path, without slashes at its ends.
    pub path: Option<String>,
    pub secret: Secret,
    pub app: App,
    pub carrier: Carrier,
    pub cut: Cut,
    /// The address of the app, as a web server tells it.
    pub forwarded_for: Option<String>,
    /// The address from which it comes; `None`: any.
    pub source: Option<IpAddr>,
    /// The id of its first stream.
    pub first_stream: u32,
    /// The most bytes of a DATA.
    pub data: usize,
}

impl Options {
    /// Desktop with the tests' key over WebSocket.
    pub fn new(door: SocketAddr, host: &str) -> Self {
        Self {
            door,
            tls: None,
            host: host.to_owned(),
            path: None,
            secret: Secret::plain(KEY),
            app: App::Desktop,
            carrier: Carrier::WebSocket,
            cut: Cut::Chromium,
            forwarded_for: None,
            source: None,
            first_stream: 1,
            data: 64 << 10,
        }
    }

    pub fn carrier(self, carrier: Carrier) -> Self {
        Self { carrier, ..self }
    }

    pub fn app(self, app: App) -> Self {
        Self { app, ..self }
    }

    pub fn cut(self, cut: Cut) -> Self {
        Self { cut, ..self }
    }

    pub fn secret(self, secret: Secret) -> Self {
        Self { secret, ..self }
    }

    pub fn path(self, path: &str) -> Self {
        let path = Some(path.to_owned());
        Self { path, ..self }
    }

    pub fn forwarded_for(self, address: &str) -> Self {
        let forwarded_for = Some(address.to_owned());
        Self {
            forwarded_for,
            ..self
        }
    }

    pub fn source(self, source: IpAddr) -> Self {
        let source = Some(source);
        Self { source, ..self }
    }

    pub fn first_stream(self, first_stream: u32) -> Self {
        Self {
            first_stream,
            ..self
        }
    }

    /// Comes by TLS and trusts the authority whose certificate this is.
    pub fn trusting(self, pem: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        roots.add(root).expect("an authority");
        let mut provider = default_provider();
        // In Chromium's order, as its server takes the first.
        let is_short = |suite: &SupportedCipherSuite| suite.suite() == TLS13_AES_128_GCM_SHA256;
        provider.cipher_suites.sort_by_key(|suite| !is_short(suite));
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions that there are");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = Some(Arc::new(config));
        Self { tls, ..self }
    }

    pub fn capability(&self) -> String {
        capability(&self.secret, &self.host, self.path.as_deref())
    }

    /// The path of something under the base path: `/PATH/what`.
    pub fn target(&self, what: &str) -> String {
        match &self.path {
            None => format!("/{what}"),
            Some(path) => format!("/{path}/{what}"),
        }
    }

    /// A connection to the door.
    pub async fn connect(&self) -> io::Result<Connection> {
        Connection::open(self).await
    }

    /// A connection by TLS that has been answered, and says no more.
    pub async fn half_shaken(&self) -> io::Result<Async<TcpStream>> {
        Channel::half_shaken(self).await
    }

    /// Opens the bridge page.
    pub async fn page(&self) -> io::Result<Page> {
        Page::open(self).await
    }

    /// The requests of a session, with the token of a page.
    pub async fn api(&self) -> io::Result<Api> {
        let page = self.page().await?;
        Ok(Api::new(self, page.token()))
    }

    /// A session that is welcome.
    pub async fn session(&self) -> io::Result<Session> {
        Session::open(self).await
    }
}
