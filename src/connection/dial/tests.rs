//! A proxy of others in the test's own time, which does what it is told to.

use std::future::Future;
use std::net::TcpListener;

use fake_telegram::harness::TemporaryDirectory;

use super::*;
use crate::config::{ConfigSource, HostPort, MissingSecret, Origin, Setting};
use crate::net::Listener;

const SECOND: Duration = Duration::from_secs(1);
const DC: &str = "192.0.2.7:443";

const HELLO: &[u8] = b"\x05\x01\x00";
const METHOD: &[u8] = b"\x05\x00";
const ASKS: &[u8] = b"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb";
const GRANTED: &[u8] = b"\x05\x00\x00\x03\x03abc\x12\x34";
const CONNECT: &[u8] = b"CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\r\n";

/// What it reads, and what it answers.
type Script = &'static [(&'static [u8], &'static [u8])];

const SOCKS: Script = &[(HELLO, METHOD), (ASKS, GRANTED)];
const HTTP: Script = &[(CONNECT, b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n")];

struct World {
    reactor: Rc<Reactor>,
    config: Live<TelegramConfig>,
    dialer: Rc<Dialer>,
}

fn config(via: Option<&str>) -> TelegramConfig {
    let data_dir = TemporaryDirectory::new();
    let data_dir = data_dir.path().display().to_string();
    let flags = [("--data-dir", Some(data_dir.as_str())), ("--via", via)];
    let settings = flags.into_iter().filter_map(|(flag, value)| {
        Some(Setting {
            flag: flag.to_owned(),
            value: value?.to_owned(),
            origin: Origin::CommandLine,
        })
    });
    let source = ConfigSource::new(settings.collect(), MissingSecret::Leave);
    source.load(None).unwrap().telegram
}

impl World {
    fn run<F: Future<Output = ()>>(test: impl FnOnce(Rc<Self>) -> F) {
        let reactor = Reactor::virtual_time().unwrap();
        let executor = Rc::new(Executor::default());
        let config = Live::new(config(None));
        let dialer = Dialer::new(&reactor, &executor, config.clone());
        let world = Rc::new(Self {
            reactor: reactor.clone(),
            config,
            dialer,
        });
        reactor.block_on(&executor, test(world));
    }

    fn go_via(&self, url: &str) {
        self.config.set(config(Some(url)));
    }

    fn listener(&self) -> Listener {
        Listener::bind(&self.reactor, SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
    }

    /// One connection is answered so, in pieces of one byte, and given back.
    async fn answer(&self, listener: &Listener, script: Script) -> Socket {
        let socket = listener.accept().await.unwrap();
        socket.set_nodelay();
        for (reads, says) in script {
            let mut read = vec![0; reads.len()];
            socket.read_exact(&mut read).await.unwrap();
            assert_eq!(read, *reads);
            for byte in *says {
                socket.write_all(&[*byte]).await.unwrap();
                self.reactor.sleep(SECOND / 1000).await;
            }
        }
        socket
    }

    async fn dial(&self) -> Result<Socket, DialError> {
        self.dialer.dial(DC.parse().unwrap()).await
    }

    /// How a dial fails, and after how long.
    async fn failure(&self) -> (DialError, Duration) {
        let began = self.reactor.now();
        let failed = self.dial().await.map(drop).unwrap_err();
        (failed, self.reactor.now() - began)
    }

    /// The same of one to a proxy that answers so; it is kept open until `end`.
    async fn failure_with(
        &self,
        listener: &Listener,
        script: Script,
        closes: bool,
    ) -> (DialError, Duration) {
        let server = async {
            let socket = self.answer(listener, script).await;
            if !closes {
                std::future::pending::<()>().await;
            }
            drop(socket);
            std::future::pending().await
        };
        smol::future::or(server, self.failure()).await
    }
}

fn is_ill(failure: &(DialError, Duration), after: Duration, word: &str) {
    let (DialError::ViaIll(why), took) = failure else {
        panic!("{failure:?}")
    };
    assert!(why.contains(word), "{why}");
    assert!(*took >= after && *took < after + SECOND, "{failure:?}");
}

#[test]
fn what_follows_the_answer_is_the_tunnels() {
    const SOCKS_MORE: Script = &[
        (HELLO, METHOD),
        (ASKS, b"\x05\0\0\x01\0\0\0\0\0\0\x05\0more"),
    ];
    const HTTP_MORE: Script = &[(CONNECT, b"HTTP/1.1 200 OK\r\n\r\n\x05\0more")];
    for (scheme, script) in [("socks5", SOCKS_MORE), ("http", HTTP_MORE)] {
        World::run(|world| async move {
            let listener = world.listener();
            world.go_via(&format!("{scheme}://{}", listener.address()));
            let server = world.answer(&listener, script);
            let (server, socket) = smol::future::zip(server, world.dial()).await;
            let socket = socket.unwrap();
            let mut more = [0; 6];
            socket.read_exact(&mut more).await.unwrap();
            assert_eq!(&more, b"\x05\0more");
            socket.write_all(b"header").await.unwrap();
            server.read_exact(&mut more).await.unwrap();
            assert_eq!(&more, b"header");
            assert_eq!(socket.peer_address().unwrap(), listener.address());
        });
    }
}

#[test]
fn credentials_are_shown_where_they_are_wanted() {
    const WANTS: Script = &[
        (b"\x05\x02\x00\x02", b"\x05\x02"),
        (b"\x01\x02me\x03p:w", b"\x01\x01"),
    ];
    const BASIC: Script = &[(
        b"CONNECT 192.0.2.7:443 HTTP/1.1\r\nHost: 192.0.2.7:443\r\n\
          Proxy-Authorization: Basic bWU6cDp3\r\n\r\n",
        b"HTTP/1.1 407 x\r\n",
    )];
    for (scheme, script) in [("socks5", WANTS), ("http", BASIC)] {
        World::run(|world| async move {
            let listener = world.listener();
            world.go_via(&format!("{scheme}://me:p%3aw@{}", listener.address()));
            let failure = world.failure_with(&listener, script, false).await;
            is_ill(&failure, Duration::ZERO, "wrong user or password");
            assert!(!failure.0.to_string().contains("p:w"));
        });
    }
}

#[test]
fn whose_silence_it_is() {
    const SHAKEN: Script = &[(HELLO, METHOD), (ASKS, b"\x05\0")];
    World::run(|world| async move {
        let listener = world.listener();
        world.go_via(&format!("socks5://{}", listener.address()));
        for script in [SHAKEN, &SOCKS[..1]] {
            let (failed, took) = world.failure_with(&listener, script, false).await;
            assert!(matches!(failed, DialError::TimedOut), "{failed:?}");
            assert!(took >= 5 * SECOND && took < 6 * SECOND, "{took:?}");
        }
        let failure = world.failure_with(&listener, &[], false).await;
        is_ill(&failure, 5 * SECOND, "no answer");
        is_ill(&world.failure().await, Duration::ZERO, "tried again in 5 s");
    });
}

/// It may wait for a target that does not answer, or be ill itself.
#[test]
fn an_http_proxy_is_ill_that_is_silent_to_several_in_a_row() {
    World::run(|world| async move {
        let listener = world.listener();
        world.go_via(&format!("http://{}", listener.address()));
        let silent = async || {
            let failure = world.failure_with(&listener, &[(CONNECT, b"")], false);
            failure.await
        };
        for _ in 0..2 {
            for _ in 0..2 {
                assert!(matches!(silent().await, (DialError::TimedOut, _)));
            }
            let server = world.answer(&listener, HTTP);
            let (_, socket) = smol::future::zip(server, world.dial()).await;
            socket.unwrap();
        }
        for _ in 0..2 {
            assert!(matches!(silent().await, (DialError::TimedOut, _)));
        }
        is_ill(&silent().await, 5 * SECOND, "whatever it is asked");
    });
}

/// A search of routes has 4.5 s for each, which is not all that a handshake gets.
#[test]
fn who_gives_up_late_has_seen_enough() {
    World::run(|world| async move {
        let listener = world.listener();
        let gives_up = async |script: Script, after: Duration| {
            let failing = world.failure_with(&listener, script, false);
            let given_up = world.reactor.timeout(after, failing).await;
            assert!(given_up.is_none(), "{given_up:?}");
            world.dialer.is_resting()
        };
        world.go_via(&format!("socks5://{}", listener.address()));
        assert!(!gives_up(&[], SECOND).await);
        // It is the target that says nothing.
        assert!(!gives_up(&SOCKS[..1], 4 * SECOND + SECOND / 2).await);
        assert!(gives_up(&[], 4 * SECOND + SECOND / 2).await);
        is_ill(&world.failure().await, Duration::ZERO, "tried again in 5 s");
        world.reactor.sleep(5 * SECOND).await;
        assert!(!world.dialer.is_resting());
        world.go_via(&format!("http://{}", listener.address()));
        for is_ill in [false, false, true] {
            let asked: Script = &[(CONNECT, b"")];
            assert_eq!(gives_up(asked, 4 * SECOND + SECOND / 2).await, is_ill);
        }
    });
}

/// Nothing behind it is taken, though all of it comes at once.
#[test]
fn a_long_head_is_read_to_its_end() {
    World::run(|world| async move {
        let listener = world.listener();
        world.go_via(&format!("http://{}", listener.address()));
        let (head, tunnel) = ("HTTP/1.1 200 OK\r\nX: ", "the tunnel's");
        let head = format!("{head}{}\r\n\r\n", "x".repeat(16_000));
        let server = async {
            let socket = listener.accept().await.unwrap();
            let mut read = vec![0; CONNECT.len()];
            socket.read_exact(&mut read).await.unwrap();
            let answer = format!("{head}{tunnel}");
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket
        };
        let (_server, socket) = smol::future::zip(server, world.dial()).await;
        let socket = socket.unwrap();
        let mut read = vec![0; tunnel.len()];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(read, tunnel.as_bytes());
    });
}

#[test]
fn what_the_proxy_says_of_the_target_is_not_held_against_it() {
    const FORBIDDEN: Script = &[(HELLO, METHOD), (ASKS, b"\x05\x02")];
    const STATUS: Script = &[(CONNECT, b"HTTP/1.1 503 x\r\n")];
    for (scheme, script, word) in [
        ("socks5", FORBIDDEN, "rules"),
        ("socks5", &SOCKS[..1], "closes"),
        ("http", STATUS, "503"),
    ] {
        World::run(|world| async move {
            let listener = world.listener();
            world.go_via(&format!("{scheme}://{}", listener.address()));
            for _ in 0..3 {
                let failure = world.failure_with(&listener, script, true).await;
                let (DialError::ViaRefuses(why), took) = failure else {
                    panic!("{failure:?}")
                };
                assert!(why.contains(word) && took < SECOND, "{why}");
            }
        });
    }
}

#[test]
fn a_proxy_that_is_ill_rests_longer_and_longer_until_it_works() {
    World::run(|world| async move {
        let listener = world.listener();
        let address = listener.address();
        world.go_via(&format!("socks5://{address}"));
        drop(listener);
        for rest in [5, 10, 20, 40, 60, 60] {
            is_ill(
                &world.failure().await,
                Duration::ZERO,
                "nobody listens there",
            );
            for _ in 0..100 {
                is_ill(&world.failure().await, Duration::ZERO, "tried again in");
            }
            world.reactor.sleep(rest * SECOND).await;
        }
        let listener = Listener::bind(&world.reactor, address).unwrap();
        let server = world.answer(&listener, SOCKS);
        let (_, socket) = smol::future::zip(server, world.dial()).await;
        socket.unwrap();
        drop(listener);
        is_ill(
            &world.failure().await,
            Duration::ZERO,
            "nobody listens there",
        );
        world.reactor.sleep(5 * SECOND).await;
        is_ill(
            &world.failure().await,
            Duration::ZERO,
            "nobody listens there",
        );
    });
}

#[test]
fn closing_at_once_and_other_protocols_are_the_proxys() {
    const SSH: Script = &[(b"", b"SSH")];
    for (scheme, script, word) in [
        ("socks5", &[][..], "closes"),
        ("http", &[], "closes"),
        ("socks5", SSH, "another protocol"),
        ("http", SSH, "another protocol"),
    ] {
        World::run(|world| async move {
            let listener = world.listener();
            world.go_via(&format!("{scheme}://{}", listener.address()));
            let failure = world.failure_with(&listener, script, true).await;
            is_ill(&failure, Duration::ZERO, word);
        });
    }
}

#[test]
fn a_reload_is_for_new_connections_and_ends_a_rest_only_of_another() {
    World::run(|world| async move {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("socks5://{}", gone.local_addr().unwrap());
        drop(gone);
        world.go_via(&url);
        is_ill(
            &world.failure().await,
            Duration::ZERO,
            "nobody listens there",
        );
        // The same, of a config that is another one.
        let mut same = config(Some(&url));
        same.refresh = 7 * SECOND;
        world.config.set(same);
        is_ill(&world.failure().await, Duration::ZERO, "tried again in");
        let listener = world.listener();
        world.go_via(&format!("http://localhost:{}", listener.address().port()));
        let server = world.answer(&listener, HTTP);
        let (server, socket) = smol::future::zip(server, world.dial()).await;
        let socket = socket.unwrap();
        world.config.set(config(None));
        let straight = world.dialer.dial(listener.address()).await.unwrap();
        drop((listener.accept().await.unwrap(), straight));
        server.write_all(b"on").await.unwrap();
        socket.read_exact(&mut [0; 2]).await.unwrap();
    });
}

#[test]
fn a_name_is_looked_up_where_the_scheme_says() {
    const NAMED: Script = &[
        (HELLO, METHOD),
        (b"\x05\x01\x00\x03\x09localhost\x01\xbb", GRANTED),
    ];
    const LOOKED_UP: Script = &[(HELLO, METHOD), (b"\x05\x01\x00", b"")];
    World::run(|world| async move {
        let host = HostPort::Name {
            name: "localhost".to_owned(),
            port: 443,
        };
        let place = Place::new(&host);
        let listener = world.listener();
        world.go_via(&format!("socks5h://{}", listener.address()));
        let server = world.answer(&listener, NAMED);
        let dialling = world.dialer.dial_place(&place);
        let (_, socket) = smol::future::zip(server, dialling).await;
        socket.unwrap();
        world.go_via(&format!("socks5://{}", listener.address()));
        let server = async {
            let socket = world.answer(&listener, LOOKED_UP).await;
            let mut kind = [0];
            socket.read_exact(&mut kind).await.unwrap();
            assert!(kind == [1] || kind == [4]);
        };
        let dialling = async {
            let _ = world.dialer.dial_place(&place).await;
        };
        smol::future::or(server, dialling).await;
    });
}
