use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SignatureAlgorithm,
    SignatureScheme, SupportedProtocolVersion,
};

use super::*;
use crate::net::test_help::pair;
use crate::net::{Executor, Reactor};
use crate::tls::server::tests::Strange;
use crate::tls::{ByName, server, tickets};

const HOST: &str = "proxy.example.com";

/// Long enough for any machine; whoever waits so long waits for ever.
const FOR_EVER: Duration = Duration::from_secs(20);

/// A key that says when it is to sign, and waits until it is let.
#[derive(Debug)]
struct Slow {
    key: Arc<dyn SigningKey>,
    signs: SyncSender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl SigningKey for Slow {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(SlowSigner {
            signer: self.key.choose_scheme(offered)?,
            signs: self.signs.clone(),
            go: self.go.clone(),
        }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }
}

#[derive(Debug)]
struct SlowSigner {
    signer: Box<dyn Signer>,
    signs: SyncSender<()>,
    go: Arc<Mutex<Receiver<()>>>,
}

impl Signer for SlowSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signs.send(()).unwrap();
        let went = self.go.lock().unwrap().recv_timeout(FOR_EVER);
        went.map_err(|_| rustls::Error::General("nobody went on meanwhile".to_owned()))?;
        self.signer.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.signer.scheme()
    }
}

struct World {
    reactor: Rc<Reactor>,
    config: Arc<ServerConfig>,
    roots: RootCertStore,
    signs: Receiver<()>,
    go: SyncSender<()>,
}

impl World {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([HOST.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let (signs, has_to_sign) = sync_channel(8);
        let (go, may_go) = sync_channel(8);
        let slow = Slow {
            key: any_supported_type(&key).unwrap(),
            signs,
            go: Arc::new(Mutex::new(may_go)),
        };
        let certified = CertifiedKey::new(vec![certificate], Arc::new(slow));
        let hosts = vec![(HOST.to_owned(), Arc::new(certified))];
        Self {
            reactor: Reactor::new().unwrap(),
            config: server(Arc::new(ByName::new(hosts)), &tickets().unwrap()).unwrap(),
            roots,
            signs: has_to_sign,
            go,
        }
    }

    fn client(
        &self,
        groups: &[&'static dyn SupportedKxGroup],
        version: &'static SupportedProtocolVersion,
    ) -> Arc<ClientConfig> {
        let provider = CryptoProvider {
            kx_groups: groups.to_vec(),
            ..default_provider()
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Shakes hands with `client`, whose first `heard` bytes have been read by others.
    /// While the key signs, others are served.
    fn meet(&self, client: &Arc<ClientConfig>, heard: usize) -> HandshakeKind {
        let name = ServerName::try_from(HOST).unwrap();
        let mut them = ClientConnection::new(client.clone(), name).unwrap();
        let context = context(&self.reactor);
        let turnstile = FairTurnstile::default();
        let executor = Rc::new(Executor::default());
        self.reactor.block_on(&executor, async {
            let (near, far) = pair(&self.reactor).await;
            let mut hello = Vec::new();
            them.write_tls(&mut hello).unwrap();
            let (heard, rest) = hello.split_at(heard.min(hello.len()));
            let turn = (&turnstile, 7);
            let accepting = accept_away(&context, &self.config, &near, heard, turn);
            let asking = async {
                far.write_all(rest).await.unwrap();
                talk(&mut them, &far).await;
            };
            let others = async {
                while self.signs.try_recv().is_err() {
                    self.reactor.sleep(Duration::from_millis(1)).await;
                }
                let (one, other) = pair(&self.reactor).await;
                one.write_all(b"an echo").await.unwrap();
                assert_eq!(other.read(&mut [0; 32]).await.unwrap(), 7);
                self.go.send(()).unwrap();
            };
            let both = smol::future::zip(accepting, smol::future::zip(asking, others));
            let done = self.reactor.timeout(FOR_EVER, Box::pin(both)).await;
            let (accepted, _) = done.expect("it does not come to an end");
            assert!(!accepted.unwrap().is_handshaking());
        });
        them.handshake_kind().unwrap()
    }
}

fn context(reactor: &Reactor) -> AcceptContext {
    let buffers = BufferPool::new(reactor.clock(), 1 << 20);
    AcceptContext::new(&Rc::default(), &buffers, Batch::default())
}

/// The client's half, until its last word is gone.
async fn talk(them: &mut ClientConnection, socket: &Socket) {
    loop {
        let mut said = Vec::new();
        while them.wants_write() {
            them.write_tls(&mut said).unwrap();
        }
        socket.write_all(&said).await.unwrap();
        if !them.is_handshaking() {
            return;
        }
        let mut bytes = [0; 4096];
        let length = socket.read(&mut bytes).await.unwrap();
        assert!(length > 0, "it has ended");
        let mut input = &bytes[..length];
        while !input.is_empty() {
            them.read_tls(&mut input).unwrap();
            them.process_new_packets().unwrap();
        }
    }
}

#[test]
fn others_are_served_while_a_key_signs() {
    let world = World::new();
    for heard in [0, 1, 100, usize::MAX] {
        let kind = world.meet(&world.client(&[X25519], &TLS13), heard);
        assert_eq!(kind, HandshakeKind::Full, "{heard}");
    }
    let kind = world.meet(&world.client(&[X25519], &TLS12), usize::MAX);
    assert_eq!(kind, HandshakeKind::Full);
    // It is the second hello that is signed for.
    let kind = world.meet(&world.client(&[&Strange, X25519], &TLS13), usize::MAX);
    assert_eq!(kind, HandshakeKind::FullWithHelloRetryRequest);
}

#[test]
fn what_is_no_hello_is_told_so_from_another_thread_too() {
    let world = World::new();
    let turnstile = FairTurnstile::default();
    let context = context(&world.reactor);
    world
        .reactor
        .block_on(&Rc::new(Executor::default()), async {
            let (near, far) = pair(&world.reactor).await;
            let turn = (&turnstile, 7);
            let request = b"GET / HTTP/1.1\r\n\r\n";
            let accepted = accept_away(&context, &world.config, &near, request, turn).await;
            assert!(matches!(accepted, Err(Error::Tls(_))));
            let mut alert = [0; 32];
            let length = far.read(&mut alert).await.unwrap();
            assert_eq!((length, alert[0]), (7, 21));
            // And who goes away is gone.
            drop(near);
            let (near, far) = pair(&world.reactor).await;
            drop(far);
            let accepted = accept_away(&context, &world.config, &near, &[22], turn).await;
            assert!(matches!(accepted, Err(Error::Closed)));
        });
}
