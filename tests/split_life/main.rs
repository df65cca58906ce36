//! Links that break, and who tries to join one: clients are served or closed,
//! never left in silence, and both sides' counters return to zero.

#[path = "../link_peer/mod.rs"]
mod link_peer;
mod namespaces;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::control::Accept;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, Split};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{before, eventually, run, within};
use smol_mtproxy_wire::link::{
    Frame, Hello, LinkSide, Open, OpenRoute, VERSION, data_header, proof,
};
use smol_mtproxy_wire::{dc::DcId, transport::Transport};

use link_peer::Peer;

async fn all_are_closed(clients: Vec<Client>) {
    for mut client in clients {
        within("a close", client.until_closed()).await.unwrap();
    }
}

fn lines(proxy: &Proxy, text: &str) -> usize {
    let log = proxy.log();
    log.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_back_that_goes_closes_its_clients_and_is_found_again() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let change = |o: ProxyOptions| match o.has("--listen") {
                true => o.set("--link-wait", 1),
                false => o,
            };
            let split = Split::start(built_binary!(), route, &secured, change).await;
            let clients = split.front.idle_clients(8).await;
            let Split {
                telegram,
                back,
                front,
            } = split;
            let options = back.stop().await;
            all_are_closed(clients).await;
            let lost = front.counted("closed_total", "reason=\"link_lost\"")
                + front.counted("closed_total", "reason=\"shutdown\"");
            assert_eq!(lost, 8);
            front.cleared().await;
            // Nobody is there: clients wait a little and are closed.
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(front.client(Kind::Padded).connect().await.unwrap());
            }
            for client in &mut clients {
                assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
            }
            assert_eq!(front.counted("closed_total", "reason=\"no_link\""), 3);
            assert_eq!(lines(&front, "clients wait up to"), 1, "{:#?}", front.log());
            let _back = options.start().await;
            front.linked(1).await;
            front.served_client(2).await;
            front.cleared().await;
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_client_that_comes_before_its_back_is_served() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let listener = [back.listener()];
        let front = ProxyOptions::front(
            built_binary!(),
            &telegram,
            Route::Middle,
            &secured,
            &listener,
        );
        let front = front.set("--link-wait", 30).start().await;
        let mut client = front.client(Kind::FakeTls).connect().await.unwrap();
        let request = echo(1, 64);
        let (outcome, _back) =
            smol::future::zip(within("an echo", client.echo(&request)), back.start()).await;
        outcome.unwrap();
    });
}

#[test]
fn a_client_that_leaves_before_its_back_comes_frees_its_place() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let listener = [back.listener()];
        let route = Route::Direct;
        let front = ProxyOptions::front(built_binary!(), &telegram, route, &secured, &listener);
        let front = front.set("--link-wait", 60).set("--max-clients", 1);
        let front = front.start().await;
        for kind in [Kind::Padded, Kind::FakeTls] {
            let mut client = front.client(kind).connect().await.unwrap();
            client.send(&echo(1, 64)).await.unwrap();
            eventually("a client", || front.counted("clients", "") == 1).await;
            drop(client);
            eventually("its end", || front.counted("clients", "") == 0).await;
        }
        let _back = back.start().await;
        front.served_client(2).await;
    });
}

#[test]
fn a_front_that_goes_takes_its_sessions_along() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let split = Split::start(built_binary!(), route, &secured, |o| o).await;
            let _clients = split.front.idle_clients(6).await;
            let options = match route {
                Route::Middle => {
                    split.front.signal("KILL");
                    None
                }
                Route::Direct => Some(split.front.stop().await),
            };
            drop(options);
            eventually("the sessions' end", || {
                split.telegram.sessions().is_empty() && split.telegram.counters().direct_live() == 0
            })
            .await;
            split.back.cleared().await;
            split.telegram.assert_clean();
        }
    });
}

#[test]
fn a_back_killed_under_load() {
    run(killed_under_load(5));
}

#[test]
#[ignore = "long: make test-release"]
fn a_back_killed_under_load_again_and_again() {
    run(killed_under_load(50));
}

async fn killed_under_load(times: usize) {
    let secured = Secured::default();
    let Split {
        telegram,
        back,
        front,
    } = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
    let kills = async {
        let mut back = back;
        for _ in 0..times {
            smol::Timer::after(Duration::from_millis(20)).await;
            back.signal("KILL");
            back.exit_status().await;
            back = back.again().start().await;
            front.linked(1).await;
        }
        back
    };
    let executor = smol::LocalExecutor::new();
    let tasks: Vec<_> = (0..6)
        .map(|number| executor.spawn(keeps_asking(&front, number)))
        .collect();
    let began = Instant::now();
    let working = async {
        let back = kills.await;
        for task in tasks {
            task.cancel().await;
        }
        back
    };
    let back = executor.run(working).await;
    assert!(began.elapsed() < Duration::from_secs(100));
    front.served_client(2).await;
    front.cleared().await;
    back.cleared().await;
    telegram.assert_clean();
}

/// Asks for ever; every question is answered or its client is closed.
async fn keeps_asking(front: &Proxy, number: usize) {
    loop {
        let Ok(mut client) = front.client(Kind::ALL[number % 4]).connect().await else {
            continue;
        };
        let (total, size) = (1 << 20, 64 << 10);
        while client.fate_of(&echo(number as u32, 40_000)).await == Fate::Answered {
            if within("a download", client.download(total, size))
                .await
                .is_err()
            {
                break;
            }
        }
    }
}

#[test]
fn two_fronts_share_a_back_and_two_backs_a_front() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let secured = Secured::default();
        let mut backs = Vec::new();
        for _ in 0..2 {
            let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
            backs.push(back.start().await);
        }
        let addresses: Vec<SocketAddr> = backs.iter().map(Proxy::address).collect();
        let mut fronts = Vec::new();
        for _ in 0..2 {
            let front = ProxyOptions::front(
                built_binary!(),
                &telegram,
                Route::Middle,
                &secured,
                &addresses,
            );
            let front = front.set("--link-connections", 2).start().await;
            front.linked(4).await;
            fronts.push(front);
        }
        let mut clients = Vec::new();
        for front in &fronts {
            clients.extend(front.idle_clients(8).await);
        }
        for back in &backs {
            assert_eq!(back.counted("links", ""), 4);
            assert_eq!(back.counted("link_streams", ""), 8);
        }
        // One is killed: its half of the clients is closed, the rest stays.
        let second = backs.pop().unwrap();
        second.signal("KILL");
        let mut fates = [0; 2];
        for client in &mut clients {
            match client.fate_of(&echo(2, 64)).await {
                Fate::Answered => fates[0] += 1,
                Fate::Closed => fates[1] += 1,
            }
        }
        assert_eq!(fates, [8, 8]);
        for front in &fronts {
            front.linked(2).await;
            front.served_client(2).await;
        }
        // And it comes back.
        let second = second.again().start().await;
        for front in &fronts {
            front.linked(4).await;
        }
        drop(clients);
        let mut clients = Vec::new();
        for front in &fronts {
            front.cleared().await;
            clients.extend(front.idle_clients(4).await);
        }
        assert_eq!(second.counted("link_streams", ""), 4);
        telegram.assert_clean();
    });
}

#[test]
fn who_has_another_key_gets_no_link_and_both_say_so() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let ours = Secured::default();
        let other = Secured::Key("another key of enough characters".to_owned());
        let back = ProxyOptions::back(built_binary!(), &telegram, &ours)
            .set("--log-level", "info")
            .start()
            .await;
        // A line about strangers does not take the place of the one about the key.
        let mut stranger = std::net::TcpStream::connect(back.address()).unwrap();
        std::io::Write::write_all(&mut stranger, &[b'x'; 64]).unwrap();
        eventually("a word about the stranger", || {
            back.log_contains("gets no link: what came is not a link's hello")
        })
        .await;
        let front = ProxyOptions::front(
            built_binary!(),
            &telegram,
            Route::Middle,
            &other,
            &[back.address()],
        );
        let front = front.start().await;
        for side in [&front, &back] {
            eventually("a word about it", || {
                side.log_contains("gets no link: the two sides have different keys")
                    || side.log_contains("the other side says: the two sides have different keys")
            })
            .await;
            assert!(side.counted("link_ends_total", "reason=\"wrong_key\"") > 0);
            assert_eq!(side.counted("links", ""), 0);
        }
    });
}

fn peer_of(back: &Proxy) -> Peer {
    Peer::over(TcpStream::connect(back.address()).unwrap())
}

/// A link, as a front with the tests' key, and the window that the back gives.
fn joined(back: &Proxy) -> (Peer, u32) {
    let mut peer = peer_of(back);
    let ours = front_hello();
    peer.say(&Frame::Hello(ours.clone()));
    let Some(Frame::Hello(theirs)) = peer.hear() else {
        panic!("no hello");
    };
    let key = match Secured::default() {
        Secured::Key(key) => key,
        Secured::Certificates(..) => unreachable!(),
    };
    let proof = proof(key.as_bytes(), LinkSide::Front, &ours, &theirs);
    peer.say(&Frame::Proof(proof));
    assert!(matches!(peer.hear(), Some(Frame::Proof(_))));
    (peer, theirs.window)
}

fn front_hello() -> Hello {
    Hello {
        side: LinkSide::Front,
        is_keyed: true,
        is_trial: false,
        lacks_middle: false,
        hears_middle: false,
        window: 1 << 16,
        random: [7; 32],
    }
}

fn open() -> Box<Open> {
    Box::new(Open {
        route: OpenRoute::Middle,
        dc: DcId(2),
        transport: Transport::Padded,
        client: "127.0.0.1:1".parse().unwrap(),
        local: "127.0.0.1:2".parse().unwrap(),
        tag: None,
    })
}

fn closed_with(peer: &mut Peer) -> Option<String> {
    let mut said = None;
    while let Some(frame) = peer.hear() {
        if let Frame::Close(refusal) = frame {
            said = Some(format!("{refusal:?}"));
        }
    }
    said
}

#[test]
fn strangers_get_nothing_and_disturb_nobody() {
    run(async {
        let secured = Secured::default();
        // Room for 128 half-open links.
        let change = |o: ProxyOptions| o.set("--buffers", "1M");
        let split = Split::start(built_binary!(), Route::Middle, &secured, change).await;
        let mut client = split.front.served_client(2).await;
        let back = &split.back;
        let count = |reason: &str| back.counted("link_ends_total", &format!("reason=\"{reason}\""));
        // Garbage.
        for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100], &[0; 100]] {
            let mut stream = TcpStream::connect(back.address()).unwrap();
            stream.write_all(garbage).unwrap();
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes);
            assert!(bytes.is_empty(), "{bytes:?}");
        }
        eventually("garbage counted", || count("not_a_link") == 3).await;
        // Another version: it is told ours.
        let mut peer = peer_of(back);
        let mut hello = Frame::Hello(front_hello()).encode().to_vec();
        hello[14] = 9;
        peer.stream.write_all(&hello).unwrap();
        assert!(matches!(peer.hear(), Some(Frame::Hello(_))));
        assert_eq!(closed_with(&mut peer).as_deref(), Some("Version"));
        let line = format!("it speaks version 9 of the link, this end {VERSION}");
        eventually("both versions in the log", || back.log_contains(&line)).await;
        // A replay of what another front said, and no key at all.
        let mut peer = peer_of(back);
        peer.say(&Frame::Hello(front_hello()));
        peer.say(&Frame::Proof([1; 32]));
        assert_eq!(closed_with(&mut peer).as_deref(), Some("WrongKey"));
        let mut peer = peer_of(back);
        peer.say(&Frame::Hello(Hello {
            is_keyed: false,
            is_trial: false,
            ..front_hello()
        }));
        assert_eq!(closed_with(&mut peer).as_deref(), Some("KeyMissing"));
        // Another back.
        let mut peer = peer_of(back);
        peer.say(&Frame::Hello(Hello {
            side: LinkSide::Back,
            ..front_hello()
        }));
        assert_eq!(closed_with(&mut peer).as_deref(), Some("Role"));
        // More silent ones than there is room for, and slow ones.
        let silent: Vec<_> = (0..134).map(|_| peer_of(back)).collect();
        eventually("the oldest ones' end", || count("pushed_out") >= 6).await;
        let slow = async {
            let mut peer = peer_of(back);
            let began = Instant::now();
            for byte in Frame::Hello(front_hello()).encode() {
                if peer.stream.write_all(&[byte]).is_err() {
                    break;
                }
                smol::Timer::after(Duration::from_secs(1)).await;
            }
            began.elapsed()
        };
        let asking = async {
            loop {
                within("an echo", client.echo(&echo(1, 64))).await.unwrap();
                smol::Timer::after(Duration::from_millis(100)).await;
            }
        };
        let elapsed = smol::future::or(slow, asking).await;
        assert!(elapsed < Duration::from_secs(40), "{elapsed:?}");
        eventually("the silent ones' end", || count("handshake_timeout") >= 128).await;
        drop(silent);
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        split.telegram.assert_clean();
    });
}

#[test]
fn a_peer_that_breaks_the_rules_loses_its_link_only() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        let mut client = split.front.served_client(2).await;
        // Twice what it has credit for, to a DC that is not there yet.
        split.telegram.behave_dc(4, |b| b.accept = Accept::Silent);
        let (mut peer, window) = joined(&split.back);
        let mut asked = open();
        asked.dc = DcId(4);
        peer.say(&Frame::Open {
            stream: 0,
            open: asked,
        });
        for piece in vec![0; 2 * window as usize].chunks(16 << 10) {
            let header = data_header(0, piece.len());
            if peer.stream.write_all(&header).is_err() || peer.stream.write_all(piece).is_err() {
                break;
            }
        }
        // It may have been cut off before it could hear why.
        if let Some(said) = closed_with(&mut peer) {
            assert_eq!(said, "CreditOverrun");
        }
        let count = |reason: &str| {
            let label = format!("reason=\"{reason}\"");
            split.back.counted("link_ends_total", &label)
        };
        eventually("the overrun to be counted", || count("credit_overrun") == 1).await;
        // A frame for no stream, a stream opened twice, a packet of odd length.
        for wrong in [
            vec![Frame::Credit {
                stream: 5,
                bytes: 1,
            }],
            vec![
                Frame::Open {
                    stream: 3,
                    open: open(),
                },
                Frame::Open {
                    stream: 3,
                    open: open(),
                },
            ],
            vec![Frame::Open {
                stream: 1 << 30,
                open: open(),
            }],
        ] {
            let (mut peer, _) = joined(&split.back);
            wrong.iter().for_each(|frame| peer.say(frame));
            assert_eq!(closed_with(&mut peer).as_deref(), Some("Protocol"));
        }
        eventually("the others to be counted", || count("protocol") == 3).await;
        eventually("their streams' end", || {
            split.back.counted("link_streams", "") == 1
        })
        .await;
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
    });
}

/// No FIN and no RST: the process is there, but says nothing.
#[test]
#[ignore = "long; a_pulled_cable has its silence, front::tests its time: make test-release"]
fn a_frozen_back_is_noticed() {
    run(async {
        let secured = Secured::default();
        let change = |o: ProxyOptions| match o.has("--listen") {
            true => o.set("--link-wait", 1),
            false => o,
        };
        let split = Split::start(built_binary!(), Route::Middle, &secured, change).await;
        let mut clients = split.front.idle_clients(4).await;
        split.back.signal("STOP");
        let request = Command::SendMe {
            total: 1 << 20,
            size: 1 << 20,
        };
        for client in &mut clients {
            client.send(&request.payload()).await.unwrap();
        }
        let limit = Duration::from_secs(25);
        assert!(before(limit, all_are_closed(clients)).await.is_some());
        let silent = split.front.counted("link_ends_total", "reason=\"silent\"");
        assert!(silent >= 1, "{silent}");
        split.back.signal("CONT");
        split.front.linked(1).await;
        split.front.served_client(2).await;
        split.front.cleared().await;
        split.back.cleared().await;
    });
}

/// Passes everything on, in order and whole, after `delay`.
async fn relay(listener: smol::net::TcpListener, to: SocketAddr, delay: Duration) {
    let executor = smol::LocalExecutor::new();
    let accepting = async {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = smol::net::TcpStream::connect(to).await.unwrap();
            executor
                .spawn(pass(near.clone(), far.clone(), delay))
                .detach();
            executor.spawn(pass(far, near, delay)).detach();
        }
    };
    executor.run(accepting).await
}

async fn pass(mut from: smol::net::TcpStream, mut to: smol::net::TcpStream, delay: Duration) {
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    let (sender, receiver) = smol::channel::bounded::<(Instant, Vec<u8>)>(256);
    let reading = async {
        loop {
            let mut bytes = vec![0; 64 << 10];
            match from.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(length) => bytes.truncate(length),
            }
            let due = Instant::now() + delay;
            if sender.send((due, bytes)).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        while let Ok((due, bytes)) = receiver.recv().await {
            smol::Timer::at(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    smol::future::or(reading, writing).await;
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_far_back_serves_all_and_opening_costs_no_round_trip() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured)
            .start()
            .await;
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = [listener.local_addr().unwrap()];
        let delay = Duration::from_millis(200);
        let relaying = relay(listener, back.address(), delay);
        let working = async {
            for route in Route::ALL {
                let front =
                    ProxyOptions::front(built_binary!(), &telegram, route, &secured, &address);
                let front = front.start().await;
                front.linked(1).await;
                let mut quickest = Duration::MAX;
                let mut clients = Vec::new();
                for kind in [Kind::Abridged, Kind::FakeTls] {
                    let mut client = front.client(kind).connect().await.unwrap();
                    let began = Instant::now();
                    within("an echo", client.echo(&echo(1, 1000)))
                        .await
                        .unwrap();
                    quickest = quickest.min(began.elapsed());
                    clients.push(client);
                }
                let client = clients.last_mut().unwrap();
                let downloading = client.download(3 << 20, 1 << 20);
                within("a download", downloading).await.unwrap();
                within("an echo", client.echo(&echo(1, 1 << 20)))
                    .await
                    .unwrap();
                drop(clients);
                // One way and back is 400 ms; a second time would be 800.
                assert!(quickest < 4 * delay, "{route:?}: {quickest:?}");
                front.cleared().await;
                front.stop().await;
            }
        };
        smol::future::or(working, relaying).await;
        back.cleared().await;
        telegram.assert_clean();
    });
}
