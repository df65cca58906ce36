//! Which client, of which proxy, for which DC.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::{Client, Fate, is_close};
use crate::obfuscated;
use crate::payload::echo;
use crate::secret::{DOMAIN, KEY};
use crate::tls::{Hello, HelloOptions};
use crate::transport::Transport;
use crate::wait::within;

/// How a client reaches a proxy.
#[derive(Clone, Debug)]
pub struct Options {
    pub proxy: SocketAddr,
    /// `None`: the peer is a DC, not a proxy.
    pub key: Option<[u8; 16]>,
    pub transport: Transport,
    pub hello: Option<HelloOptions>,
    pub dc: i16,
    /// The address of this machine from which it comes; `None`: any.
    pub source: Option<IpAddr>,
    /// What a relay in front sends before anything else.
    pub greeting: Vec<u8>,
}

/// The four kinds of client there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Abridged,
    Intermediate,
    Padded,
    FakeTls,
}

impl Kind {
    pub const ALL: [Kind; 4] = [
        Self::Abridged,
        Self::Intermediate,
        Self::Padded,
        Self::FakeTls,
    ];

    /// A client of this kind with the tests' key and domain, for DC 2.
    pub fn options(self, proxy: SocketAddr) -> Options {
        let transport = match self {
            Self::Abridged => Transport::Abridged,
            Self::Intermediate => Transport::Intermediate,
            Self::Padded | Self::FakeTls => Transport::Padded,
        };
        Options {
            proxy,
            key: Some(KEY),
            transport,
            hello: (self == Self::FakeTls).then(|| HelloOptions::for_domain(DOMAIN)),
            dc: 2,
            source: None,
            greeting: Vec::new(),
        }
    }
}

impl Options {
    pub fn dc(self, dc: i16) -> Self {
        Self { dc, ..self }
    }

    pub fn source(self, source: IpAddr) -> Self {
        let source = Some(source);
        Self { source, ..self }
    }

    pub fn greeting(self, greeting: impl Into<Vec<u8>>) -> Self {
        let greeting = greeting.into();
        Self { greeting, ..self }
    }

    pub fn key(self, key: [u8; 16]) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    pub fn hello(self, change: impl FnOnce(&mut HelloOptions)) -> Self {
        let mut hello = self.hello;
        change(hello.as_mut().expect("only fake-TLS clients say hello"));
        Self {
            hello: Some(hello.expect("just changed")),
            ..self
        }
    }

    pub async fn connect(&self) -> io::Result<Client> {
        Client::connect(self).await
    }

    /// A client that was served, or `None` if it was turned away.
    pub async fn served(&self) -> Option<Client> {
        let mut client = match within("a handshake", self.connect()).await {
            Ok(client) => client,
            Err(error) if is_close(&error) => return None,
            Err(error) => panic!("{error}"),
        };
        match client.fate_of(&echo(1, 64)).await {
            Fate::Answered => Some(client),
            Fate::Closed => None,
        }
    }

    pub async fn is_served(&self) -> bool {
        self.served().await.is_some()
    }

    /// The first bytes that this client would send: a hello, or the 64 bytes
    /// of an obfuscated stream. For clients that never finish.
    pub fn first_bytes(&self) -> Vec<u8> {
        match &self.hello {
            Some(options) => Hello::new(options, &self.key.unwrap_or(KEY)).bytes,
            None => {
                let (header, _) = obfuscated::initiate(self.transport, self.dc, self.key.as_ref());
                header.to_vec()
            }
        }
    }
}
