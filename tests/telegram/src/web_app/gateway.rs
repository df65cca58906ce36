//! TCP connections as streams of a session: whatever client speaks the classic protocol
//! comes by WEB so.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use smol::io::AsyncWriteExt;
use smol::{Async, Task};

use super::options::Options;
use super::session::Session;
use super::stream::Stream;
use crate::client::Kind;
use crate::harness::free_address;
use crate::shared::lock;
use crate::socket::read_some;

/// Runs until it is dropped. A session that is over is followed by another one, when the
/// next connection comes.
pub struct Gateway {
    address: SocketAddr,
    inner: Arc<Inner>,
    _accepting: Task<()>,
}

struct Inner {
    options: Options,
    session: smol::lock::Mutex<Option<Arc<Session>>>,
    /// Of sessions that are over.
    violations: Mutex<Vec<String>>,
    /// Of connections that are open; those that are over go when another one comes.
    relays: Mutex<Vec<Task<()>>>,
}

impl Gateway {
    /// One with a session that is there already.
    pub async fn start(options: &Options) -> io::Result<Self> {
        let session = options.session().await?;
        Self::listen(options, free_address(), Some(session))
    }

    /// One that opens its session when it is needed.
    pub fn at(options: &Options, address: SocketAddr) -> io::Result<Self> {
        Self::listen(options, address, None)
    }

    fn listen(
        options: &Options,
        address: SocketAddr,
        session: Option<Session>,
    ) -> io::Result<Self> {
        let listener = Async::new(TcpListener::bind(address)?)?;
        let inner = Arc::new(Inner {
            options: options.clone(),
            session: smol::lock::Mutex::new(session.map(Arc::new)),
            violations: Mutex::default(),
            relays: Mutex::default(),
        });
        Ok(Self {
            address,
            _accepting: smol::spawn(accept(inner.clone(), listener)),
            inner,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client with the tests' key that comes through here, for DC 2.
    pub fn client(&self, kind: Kind) -> crate::client::Options {
        assert_ne!(kind, Kind::FakeTls, "no stream begins with a hello");
        kind.options(self.address)
            .key(self.inner.options.secret.key)
    }

    /// Takes the violations of all its sessions away.
    pub fn take_violations(&self) -> Vec<String> {
        let mut violations = std::mem::take(&mut *lock(&self.inner.violations));
        let place = self.inner.session.try_lock();
        let session = place.as_ref().and_then(|place| place.as_ref());
        violations.extend(session.into_iter().flat_map(|one| one.take_violations()));
        violations
    }

    /// The session of its streams at present.
    pub async fn session(&self) -> io::Result<Arc<Session>> {
        self.inner.session().await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Here, as the session itself ends with the last task that has it.
        let violations = self.take_violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "violations: {violations:#?}");
        }
    }
}

impl Inner {
    async fn session(&self) -> io::Result<Arc<Session>> {
        let mut place = self.session.lock().await;
        if let Some(session) = place.as_ref().filter(|one| one.over().is_none()) {
            return Ok(session.clone());
        }
        if let Some(over) = place.take() {
            lock(&self.violations).append(&mut over.take_violations());
        }
        let session = Arc::new(self.options.session().await?);
        Ok(place.insert(session).clone())
    }
}

async fn accept(inner: Arc<Inner>, listener: Async<TcpListener>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            continue;
        };
        let _ = socket.get_ref().set_nodelay(true);
        let outcome = match inner.session().await {
            Ok(session) => session.stream(),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(stream) => {
                let mut relays = lock(&inner.relays);
                relays.retain(|relay| !relay.is_finished());
                relays.push(smol::spawn(relay(socket, stream)));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                lock(&inner.violations).push(error.to_string());
            }
            Err(error) => eprintln!("web gateway: no stream: {error}"),
        }
    }
}

async fn relay(socket: Async<TcpStream>, stream: Stream) {
    let up = async {
        while let Ok(bytes) = read_some(&socket).await {
            if bytes.is_empty() || stream.write(&bytes).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Ok(bytes) = stream.peek().await {
            if bytes.is_empty() || (&socket).write_all(&bytes).await.is_err() {
                break;
            }
            stream.used(bytes.len());
        }
        let _ = socket.get_ref().shutdown(Shutdown::Both);
    };
    smol::future::or(up, down).await;
}
