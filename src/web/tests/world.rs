//! A WEB proxy whose streams go to scripted clients.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use super::app::Http;
use crate::client::{Peer, WebArrival};
use crate::config::Config;
use crate::connection::StreamEnd;
use crate::guard::gate::Gate;
use crate::http::{Connection, HttpContext};
use crate::metrics::Metrics;
use crate::net::test_help::pair;
use crate::net::{BufferPool, Executor, Live, Reactor, Socket};
#[cfg(feature = "tls")]
use crate::web::SiteTls;
use crate::web::{CoverContext, Directories, Guests, WebContext, WebParts, covers};

pub(super) const HOST: &str = "proxy.example.com";
pub(super) const SECRET: &str = "000102030405060708090a0b0c0d0e0f";

/// Of the facts' table: `SECRET` at `HOST`.
pub(super) const CAPABILITY: &str = "MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk";
pub(super) const PADDED_CAPABILITY: &str = "IpJrt3e7sKtzPyoXy6w-Zj6GGEvsvclN66JzQEfPYLA";

/// No condition takes as long.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What becomes of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clients {
    /// Everything comes back.
    Echo,
    /// The same, a second later.
    LateEcho,
    /// Nothing is ever read of them.
    Deaf,
    /// What comes is read, and thrown away.
    Sink,
    /// The same, 64 bytes at a time.
    Nibbler,
    /// Bytes without an end are written to them.
    Source,
    /// Nothing happens.
    Idle,
    /// It says a word after five seconds, without being asked.
    Late,
    /// The test itself is the client, by what is [kept](World::kept).
    Kept,
}

pub(super) struct World {
    pub(super) reactor: Rc<Reactor>,
    pub(super) executor: Rc<Executor>,
    pub(super) buffers: Rc<BufferPool>,
    pub(super) metrics: Rc<Metrics>,
    pub(super) context: Rc<WebContext>,
    pub(super) sites: Rc<CoverContext>,
    pub(super) config: Live<crate::config::WebConfig>,
    pub(super) arrived: Rc<Cell<usize>>,
    pub(super) kept: Kept,
}

type Kept = Rc<RefCell<Vec<Box<dyn StreamEnd>>>>;

/// Runs `test` where the streams become, one after another, `kinds`; the last of them
/// counts for all that follow.
pub(super) fn run<F: Future<Output = ()>>(kinds: &[Clients], test: impl FnOnce(Rc<World>) -> F) {
    run_with(kinds, &[("--max-clients", "400")], test);
}

pub(super) fn run_with<F: Future<Output = ()>>(
    kinds: &[Clients],
    flags: &[(&str, &str)],
    test: impl FnOnce(Rc<World>) -> F,
) {
    let mut all = vec![
        ("--listen", "127.0.0.1:1"),
        ("--secret", SECRET),
        ("--web", HOST),
        ("--web-listen", "127.0.0.1:2"),
        ("--web-site", "http://127.0.0.1:3/"),
        ("--buffers", "4M"),
    ];
    all.extend(flags);
    let config = Config::of(&all);
    let reactor = Reactor::virtual_time().unwrap();
    let executor = Rc::new(Executor::default());
    let metrics = Rc::new(Metrics::default());
    let buffers = BufferPool::new(reactor.clock(), config.process.buffers);
    let gate = Gate::new(&config.guard, [], "", reactor.now()).unwrap();
    let http = Rc::new(HttpContext {
        reactor: reactor.clone(),
        scratch: Rc::default(),
        buffers: buffers.clone(),
        long_heads: Rc::default(),
    });
    let sites = Rc::new(CoverContext {
        http: http.clone(),
        executor: executor.clone(),
        guests: Guests::new(10),
        is_ours: Box::new(|_| false),
        #[cfg(feature = "tls")]
        tls: SiteTls::default(),
    });
    let directories = Directories::read(&config.web).unwrap();
    let covers = covers(&sites, &config.web, &config.sites.fronting, &directories);
    let arrived = Rc::new(Cell::new(0));
    let kept = Kept::default();
    let live = Live::new(config.web.clone());
    let parts = WebParts {
        reactor: reactor.clone(),
        executor: executor.clone(),
        buffers: buffers.clone(),
        scratch: http.scratch.clone(),
        http,
        metrics: metrics.clone(),
        gate,
        serve: serve(&reactor, &executor, (&arrived, &kept), kinds.to_vec()),
        clients: Live::new(config.clients),
        connections: 1000,
        config: live.clone(),
        doors: Live::new(config.doors),
    };
    let context = WebContext::new(parts);
    context.set_covers(covers);
    let world = Rc::new(World {
        reactor: reactor.clone(),
        executor: executor.clone(),
        buffers,
        metrics,
        context,
        sites,
        config: live,
        arrived,
        kept,
    });
    reactor.block_on(&executor, test(world));
}

fn serve(
    reactor: &Rc<Reactor>,
    executor: &Rc<Executor>,
    (arrived, kept): (&Rc<Cell<usize>>, &Kept),
    kinds: Vec<Clients>,
) -> Box<dyn Fn(WebArrival)> {
    let (reactor, executor) = (reactor.clone(), executor.clone());
    let (arrived, kept) = (arrived.clone(), kept.clone());
    Box::new(move |arrival: WebArrival| {
        let number = arrived.replace(arrived.get() + 1);
        let kind = kinds.get(number).or(kinds.last()).copied();
        match kind.unwrap() {
            Clients::Kept => kept.borrow_mut().push(arrival.end),
            kind => {
                let client = client(reactor.clone(), arrival.end, kind);
                executor.spawn(client).detach();
            }
        }
    })
}

async fn client(reactor: Rc<Reactor>, end: Box<dyn StreamEnd>, kind: Clients) {
    match kind {
        Clients::Echo => echo(&*end).await,
        Clients::LateEcho => {
            let mut space = vec![0; 65536];
            loop {
                let length = read(&*end, &mut space).await;
                reactor.sleep(Duration::from_secs(1)).await;
                if length == 0 || !write(&*end, &space[..length]).await {
                    break;
                }
            }
        }
        Clients::Idle | Clients::Deaf | Clients::Kept => poll_fn(|cx| end.poll_hung_up(cx)).await,
        Clients::Sink => while read(&*end, &mut [0; 65536]).await > 0 {},
        Clients::Nibbler => while read(&*end, &mut [0; 64]).await > 0 {},
        Clients::Source => {
            let data = [7; 65536];
            while write(&*end, &data).await {}
        }
        Clients::Late => {
            reactor.sleep(Duration::from_secs(5)).await;
            write(&*end, b"late").await;
            poll_fn(|cx| end.poll_hung_up(cx)).await;
        }
    }
    end.close();
}

async fn echo(end: &dyn StreamEnd) {
    let mut space = vec![0; 65536];
    loop {
        let length = read(end, &mut space).await;
        if length == 0 || !write(end, &space[..length]).await {
            return;
        }
    }
}

pub(super) async fn read(end: &dyn StreamEnd, space: &mut [u8]) -> usize {
    poll_fn(|cx| end.poll_read(cx, space)).await.unwrap_or(0)
}

/// All of it; false if it broke.
async fn write(end: &dyn StreamEnd, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        match end.try_write_vectored(&[IoSlice::new(data)]) {
            Err(_) => return false,
            Ok(0) => poll_fn(|cx| end.poll_writable(cx)).await,
            Ok(written) => data = &data[written..],
        }
    }
    true
}

impl World {
    /// A connection of HTTP to an open door.
    pub(super) async fn connect_to(&self, address: std::net::SocketAddr) -> Http {
        let socket = Socket::connect(&self.reactor, address).await.unwrap();
        Http::new(&self.reactor, socket)
    }

    /// A connection of HTTP.
    pub(super) async fn connect(&self) -> Http {
        self.connect_from("192.0.2.1").await
    }

    pub(super) async fn connect_from(&self, address: &str) -> Http {
        let (near, far) = pair(&self.reactor).await;
        let peer = Peer {
            client: (address.parse::<std::net::IpAddr>().unwrap(), 5).into(),
            local: near.local_address().unwrap(),
        };
        let connection = Rc::new(Connection::plain(near));
        let serving = self.context.clone().serve(connection, Vec::new(), peer);
        self.executor.spawn(serving).detach();
        Http::new(&self.reactor, far)
    }

    /// Waits until `condition` holds.
    pub(super) async fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        let held = self.reactor.until(DEADLINE, condition).await;
        assert!(held.is_some(), "{what}");
    }
}
