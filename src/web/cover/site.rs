//! Where a site is that is asked over HTTP, and connections to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::context::CoverContext;
use super::site_failure::SiteFailure;
use crate::client::Peer;
use crate::config::SitePlace;
use crate::http::Connection;
use crate::log::Trouble;
use crate::net::{Lookup, LookupRules, Socket};
use crate::wire::http::Url;
use crate::wire::proxy_protocol::{ProxyAddresses, encode_v2};

/// Each address of a site gets this long before the next one is tried.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// How long a name holds that was looked up; older addresses serve until the new ones are
/// there.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

const RULES: LookupRules = LookupRules {
    max_addresses: 3,
    max_under_way: 1,
    late_after: RESOLVE_LIMIT,
    is_usable: |_| true,
};

/// How often it is said that a site cannot be reached.
const LOG_PERIOD: Duration = Duration::from_secs(600);

/// A site, and how it is spoken to.
pub(super) struct Site {
    place: Place,
    /// Whose name the hello has, and the certificate; without it there is no TLS.
    tls_name: Option<String>,
    /// Whether a certificate counts that only this machine could have shown.
    #[cfg(feature = "tls")]
    may_be_local: bool,
    /// The site is told the client's address before anything else.
    proxy_protocol: bool,
    trouble: Trouble,
}

enum Place {
    Host { said: String, lookup: Rc<Lookup> },
    Unix(PathBuf),
}

impl Site {
    pub(super) fn of_url(url: &Url) -> Self {
        Self {
            place: Place::of(&url.host, url.port),
            tls_name: url.is_tls.then(|| url.host.clone()),
            #[cfg(feature = "tls")]
            may_be_local: false,
            proxy_protocol: false,
            trouble: Trouble::new(LOG_PERIOD),
        }
    }

    /// The site of `--fronting`: it has TLS itself, and shows what it has for `name`.
    pub(super) fn fronting(place: &SitePlace, name: &str, proxy_protocol: bool) -> Self {
        Self {
            place: match place {
                SitePlace::Host { name, port } => Place::of(name, *port),
                SitePlace::Unix(path) => Place::Unix(path.clone()),
            },
            tls_name: Some(name.to_owned()),
            #[cfg(feature = "tls")]
            may_be_local: true,
            proxy_protocol,
            trouble: Trouble::new(LOG_PERIOD),
        }
    }

    /// Whom it is told of on a connection for `client`.
    pub(super) fn told(&self, client: SocketAddr) -> Option<SocketAddr> {
        self.proxy_protocol.then_some(client)
    }

    /// A connection to it for a client.
    pub(super) async fn connect(
        &self,
        context: &CoverContext,
        peer: Peer,
    ) -> Result<Connection, SiteFailure> {
        let connected = self.try_connect(context, peer).await;
        self.note(connected.as_ref().err(), context.http.reactor.now());
        connected
    }

    /// The same, and nothing is said of it.
    pub(super) async fn try_connect(
        &self,
        context: &CoverContext,
        peer: Peer,
    ) -> Result<Connection, SiteFailure> {
        let socket = self.place.connect(context).await?;
        if self.proxy_protocol {
            let Peer { client, local } = peer;
            let header = encode_v2(ProxyAddresses { client, local });
            let told = socket.write_all(&header).await;
            told.map_err(SiteFailure::Connect)?;
        }
        let Some(name) = &self.tls_name else {
            return Ok(Connection::plain(socket));
        };
        self.shake(context, socket, name).await
    }

    #[cfg(feature = "tls")]
    async fn shake(
        &self,
        context: &CoverContext,
        socket: Socket,
        name: &str,
    ) -> Result<Connection, SiteFailure> {
        // What this machine shows itself needs no authority.
        let address = socket.peer_address().map(|address| address.ip());
        let is_local = address.is_ok_and(|ip| ip.to_canonical().is_loopback())
            || matches!(self.place, Place::Unix(_));
        let is_taken = self.may_be_local && is_local;
        super::site_tls::shake(&context.http, &context.tls, socket, name, is_taken).await
    }

    #[cfg(not(feature = "tls"))]
    async fn shake(&self, _: &CoverContext, _: Socket, _: &str) -> Result<Connection, SiteFailure> {
        Err(SiteFailure::Tls("this small build has none".to_owned()))
    }

    /// Says that it cannot be reached, once in a while, and when it can again.
    fn note(&self, failure: Option<&SiteFailure>, now: Instant) {
        let place = &self.place;
        match failure {
            Some(failure) => {
                if let Some(skipped) = self.trouble.fails(now) {
                    warn!(
                        "the cover site {place} is not shown: {failure}{skipped}; {}",
                        failure.advice()
                    );
                }
            }
            None if self.trouble.works() => info!("the cover site {place} is shown again"),
            None => {}
        }
    }
}

impl Place {
    fn of(host: &str, port: u16) -> Self {
        Self::Host {
            said: match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            },
            lookup: Lookup::new(host, port, RULES),
        }
    }

    async fn connect(&self, context: &CoverContext) -> Result<Socket, SiteFailure> {
        let reactor = &context.http.reactor;
        let lookup = match self {
            Self::Host { lookup, .. } => lookup,
            Self::Unix(path) => {
                let connected = Socket::connect_unix(reactor, path).await;
                return connected.map_err(SiteFailure::Connect);
            }
        };
        if lookup.is_older(RESOLVE_EVERY, reactor.now()) {
            lookup.begin(reactor, &context.executor);
        }
        let known = match lookup.known() {
            known if !known.is_empty() => known,
            _ => match reactor.timeout(RESOLVE_LIMIT, lookup.answer()).await {
                Some(answer) => answer.map_err(SiteFailure::Unresolved)?,
                None => return Err(SiteFailure::Unresolved("no answer of the resolver".into())),
            },
        };
        let mut failure = SiteFailure::Unresolved("it has no address".into());
        for address in known.iter() {
            if (context.is_ours)(*address) {
                failure = SiteFailure::Ours;
                continue;
            }
            match Socket::connect_within(reactor, *address, CONNECT_LIMIT).await {
                Ok(socket) => {
                    socket.set_nodelay();
                    return Ok(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    failure = SiteFailure::Silent;
                }
                Err(error) => failure = SiteFailure::Connect(error),
            }
        }
        Err(failure)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { said, .. } => f.write_str(said),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
