//! The WEB proxy against the strict app: page, requests, sessions by both carriers, what
//! they share, and the site that everybody else sees.

mod carriers;
mod cover;
mod fairness;
mod life;
mod limits;
mod page;
mod reference;
mod requests;
mod sessions;
mod split;
mod strictness;
mod tls;
mod volume;

use std::io;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::harness::{Proxy, ProxyOptions, Route};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{self, FakeTelegram};
use fake_telegram::wait::within;
use fake_telegram::web_app::{Answer, Carrier, Gateway, Options, Origin, Request, Session, Stream};
use fake_telegram::web_front::Authority;

pub const HOST: &str = "proxy.example.com";
pub const TAG: [u8; 16] = [0xab; 16];

/// The kinds of client that come in streams.
pub const KINDS: [Kind; 3] = [Kind::Abridged, Kind::Intermediate, Kind::Padded];

/// Telegram, a site, and a WEB proxy between them.
pub struct Set {
    pub telegram: FakeTelegram,
    pub origin: Origin,
    pub proxy: Proxy,
    /// Of the certificate that it shows, where apps come by its own TLS.
    pub authority: Option<Authority>,
}

impl Set {
    pub async fn start(route: Route) -> Self {
        Self::start_with(route, |options| options).await
    }

    pub async fn start_with(
        route: Route,
        change: impl FnOnce(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        let telegram = FakeTelegram::start(tagged(route)).expect("loopback can be listened on");
        let origin = Origin::start().expect("loopback can be listened on");
        let options = ProxyOptions::new(built_binary!(), &telegram, route);
        let options = change(options.web(HOST, origin.url()));
        Self {
            proxy: options.start().await,
            telegram,
            origin,
            authority: None,
        }
    }

    /// One with TLS of its own, on the port of all clients.
    pub async fn start_by_tls(route: Route) -> Self {
        Self::start_by_tls_with(route, |options| options).await
    }

    pub async fn start_by_tls_with(
        route: Route,
        change: impl FnOnce(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        let telegram = FakeTelegram::start(tagged(route)).expect("loopback can be listened on");
        let origin = Origin::start().expect("loopback can be listened on");
        let authority = Authority::at_length();
        let options = ProxyOptions::new(built_binary!(), &telegram, route);
        let options = tls::certified(options, &authority).add("--web-site", origin.url());
        Self {
            proxy: change(options).start().await,
            telegram,
            origin,
            authority: Some(authority),
        }
    }

    /// Desktop at the door, over WebSocket.
    pub fn app(&self) -> Options {
        match &self.authority {
            None => self.proxy.web_app(HOST),
            Some(authority) => tls::app(&self.proxy, authority),
        }
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, request: &Request) -> Answer {
        let mut connection = self.app().connect().await.unwrap();
        within("an answer", connection.ask(request)).await.unwrap()
    }

    /// Whether a request is answered with the site's own words.
    pub async fn is_covered(&self, request: &Request) -> bool {
        let answer = self.ask(request).await;
        answer.field("Server") == Some("origin")
    }
}

pub fn tagged(route: Route) -> telegram::Options {
    telegram::Options {
        tag: (route == Route::Middle).then_some(TAG),
        ..telegram::Options::default()
    }
}

/// A client through the gateway that has been served.
pub async fn served(gateway: &Gateway, kind: Kind, dc: i16) -> Client {
    let mut client = gateway.client(kind).dc(dc).connect().await.unwrap();
    let outcome = within("an echo", client.echo(&echo(7, 640))).await;
    outcome.unwrap_or_else(|error| panic!("{kind:?}, DC {dc}: {error}"));
    client
}

/// A session's stream that is a client, whose bytes are ours to cut.
pub struct Inside {
    pub stream: Stream,
    pub codec: fake_telegram::client::Codec,
}

impl Inside {
    pub fn open(session: &Session, kind: Kind, dc: i16) -> Self {
        let options = kind.options(session.options().door).dc(dc);
        let key = session.options().secret.key;
        Self {
            stream: session.stream().unwrap(),
            codec: fake_telegram::client::Codec::new(options.transport, dc, Some(&key)),
        }
    }

    pub async fn echo(&mut self, payload: &[u8]) -> io::Result<()> {
        let bytes = self.codec.packet(payload, false, &[1, 2]);
        self.stream.write(&bytes).await?;
        self.expect(payload).await
    }

    /// The next packet is this one.
    pub async fn expect(&mut self, payload: &[u8]) -> io::Result<()> {
        loop {
            if let Some(unit) = self.codec.next_unit().map_err(io::Error::other)? {
                let expected = fake_telegram::transport::Unit::Packet {
                    payload: payload.to_vec(),
                    quick_ack: false,
                };
                assert!(unit == expected, "another answer came");
                return Ok(());
            }
            let bytes = self.stream.read().await?;
            if bytes.is_empty() {
                let over = self.stream.session_over();
                let why = over.unwrap_or_else(|| "the stream was closed".to_owned());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            self.codec.push(&bytes).map_err(io::Error::other)?;
        }
    }

    /// Waits for the relay's CLOSE.
    pub async fn closed(&self) {
        within("CLOSE", async {
            while !self.stream.read().await.unwrap().is_empty() {}
        })
        .await;
    }
}

/// A session that has been served in one stream.
pub async fn session(app: &Options, carrier: Carrier) -> (Session, Inside) {
    let session = app.clone().carrier(carrier).session().await.unwrap();
    let mut inside = Inside::open(&session, Kind::Padded, 2);
    within("an echo", inside.echo(&echo(1, 640))).await.unwrap();
    (session, inside)
}
