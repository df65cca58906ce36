//! A client, the cover in between, and a site that does as it is told; in virtual time.

mod answers;
mod directories;
mod endings;
#[cfg(feature = "tls")]
mod over_tls;

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::client::Peer;
use crate::config::CoverSite;
use crate::config::{CoverSource, Fronting, WebConfig};
use crate::http::HttpContext;
use crate::http::{Connection, Exchange, Incoming, Next};
use crate::net::Executor;
use crate::net::test_help::pair;
use crate::net::{BufferPool, Listener, Reactor, Socket};
use crate::wire::http::Url;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    reactor: Rc<Reactor>,
    executor: Rc<Executor>,
    http: Rc<HttpContext>,
    listener: Rc<Listener>,
    /// Connections that the site has taken.
    visits: Rc<Cell<usize>>,
    guests: Rc<Guests>,
    /// Sites are where we listen.
    is_own: Rc<Cell<bool>>,
}

impl World {
    fn new() -> Self {
        let reactor = Reactor::virtual_time().unwrap();
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listener: Rc::new(Listener::bind(&reactor, here).unwrap()),
            executor: Rc::default(),
            http: Rc::new(HttpContext {
                scratch: Rc::default(),
                buffers: BufferPool::new(reactor.clock(), 1 << 20),
                reactor: reactor.clone(),
                long_heads: Rc::default(),
            }),
            reactor,
            visits: Rc::default(),
            guests: Guests::new(100),
            is_own: Rc::default(),
        }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let limit = 3600 * SECOND;
        let limited = async {
            let ended = self.reactor.timeout(limit, future).await;
            ended.expect("an end within the hour")
        };
        self.reactor.block_on(&self.executor, limited)
    }

    fn cover(&self, source: CoverSource) -> Rc<Cover> {
        let config = WebConfig {
            sites: vec![CoverSite { host: None, source }],
            ..WebConfig::default()
        };
        let directories = Directories::read(&config).unwrap();
        let is_own = self.is_own.clone();
        let context = Rc::new(CoverContext {
            http: self.http.clone(),
            executor: self.executor.clone(),
            guests: self.guests.clone(),
            is_ours: Box::new(move |_| is_own.get()),
            #[cfg(feature = "tls")]
            tls: SiteTls::new(crate::tls::Batch::default(), crate::tls::public_roots()).unwrap(),
        });
        let covers = covers(&context, &config, &Fronting::default(), &directories);
        let [(None, cover)] = &covers[..] else {
            panic!("not one for all names");
        };
        cover.clone()
    }

    fn url(&self) -> CoverSource {
        let url = format!("http://{}/", self.listener.address());
        CoverSource::Origin(Url::parse(&url).unwrap())
    }

    /// A client whose requests this site answers.
    async fn client(&self) -> Client {
        self.client_at(&self.cover(self.url())).await
    }

    async fn client_at(&self, cover: &Rc<Cover>) -> Client {
        let (near, far) = pair(&self.reactor).await;
        let serving = serve(self.http.clone(), cover.clone(), far, false);
        self.executor.spawn(serving).detach();
        Client(near)
    }

    /// A web server whose clients' requests this site answers.
    async fn front(&self) -> Client {
        let (near, far) = pair(&self.reactor).await;
        let cover = self.cover(self.url());
        let serving = serve(self.http.clone(), cover, far, true);
        self.executor.spawn(serving).detach();
        Client(near)
    }

    /// The connection on which the site hears what `client` says now.
    async fn visit_after(&self, client: &Client, text: &str) -> Client {
        client.says(text).await;
        let site = self.visit().await;
        site.hears(text).await;
        site
    }

    /// The next connection that the site takes.
    async fn visit(&self) -> Client {
        let socket = self.listener.accept().await.unwrap();
        self.visits.set(self.visits.get() + 1);
        Client(socket)
    }
}

/// What must not come to a site.
const SECRET: &[u8] = b"as-many-letters-as-a-secret-of-ours-has-in-it";

/// As the room does it that decides who is who.
async fn serve(http: Rc<HttpContext>, cover: Rc<Cover>, socket: Socket, is_shared: bool) {
    let peer = Peer {
        client: socket.peer_address().unwrap(),
        local: socket.local_address().unwrap(),
    };
    let connection = Rc::new(Connection::plain(socket));
    let mut exchange = Exchange::new(&http, connection, Vec::new());
    let mut visit = cover.visit(peer);
    visit.keep_back(Rc::new(|text| {
        text.windows(SECRET.len()).any(|some| some == SECRET)
    }));
    if is_shared {
        visit.share();
    }
    loop {
        match visit.next(&mut exchange).await {
            Incoming::Request(request) => match visit.answer(&mut exchange, &request).await {
                Next::KeepAlive => {}
                Next::Close => break,
            },
            Incoming::Unparsable => {
                visit.relay_raw(&mut exchange).await;
                break;
            }
            Incoming::End => break,
        }
    }
    exchange.finish().await;
}

/// One end of a connection that is spoken to by hand.
struct Client(Socket);

impl Client {
    async fn says(&self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Exactly this is what comes next.
    async fn hears(&self, text: impl AsRef<[u8]>) {
        let expected = text.as_ref();
        let mut heard = vec![0; expected.len()];
        self.0.read_exact(&mut heard).await.unwrap();
        let [heard, expected] = [&heard, expected].map(String::from_utf8_lossy);
        assert_eq!(heard, expected);
    }

    /// The end comes next.
    async fn hears_end(&self) {
        let read = self.0.read(&mut [0; 100]).await;
        assert!(matches!(read, Ok(0)), "{read:?}");
    }

    /// All that comes to the end.
    async fn hears_all(&self) -> String {
        let mut all = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part).await {
                Ok(length) if length > 0 => all.extend_from_slice(&part[..length]),
                _ => return String::from_utf8(all).unwrap(),
            }
        }
    }

    fn says_no_more(&self) {
        self.0.shutdown_write().unwrap();
    }
}

/// A request and an answer, both unchanged.
async fn passes(client: &Client, site: &Client, request: &str, answer: &str) {
    client.says(request).await;
    site.hears(request).await;
    site.says(answer).await;
    client.hears(answer).await;
}
