//! What one app can take from the others: rows like those of `tests/fairness`, where
//! every attacker is a WEB app and the others are WEB apps and ordinary clients.

use std::time::{Duration, Instant};

use fake_telegram::client::Kind;
use fake_telegram::fairness::watch::{Others, Watch};
use fake_telegram::harness::{ProxyOptions, Route};
use fake_telegram::payload::{Command, echo};
use fake_telegram::wait::{is_emulated, run, within};
use fake_telegram::web_app::{App, Carrier, Gateway, OPEN, Options, Request, Socket, frame};
use smol::{Task, Timer};

use crate::{HOST, Inside, Set};

/// How long the others are watched, and the longest that one may wait then.
const TIME: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_millis(2500);

/// The same while hundreds of mebibytes of others' go through a build for tests.
const BURST: Duration = Duration::from_secs(9);

/// The others: by both carriers, and not by WEB.
struct Bystanders {
    others: Others,
    gateways: Vec<Gateway>,
}

impl Bystanders {
    async fn arrive(set: &Set, dc: i16) -> Self {
        let mut gateways = Vec::new();
        let mut watches = vec![Watch::new(
            "64 B, classic",
            set.proxy.client(Kind::Padded).dc(dc),
            64,
        )];
        for carrier in Carrier::ALL {
            let app = set.app().carrier(carrier).forwarded_for("203.0.113.77");
            let gateway = Gateway::start(&app).await.unwrap();
            for (name, length) in [("64 B", 64), ("300 KB", 300_000)] {
                let name = format!("{name}, {carrier:?}");
                watches.push(Watch::new(
                    &name,
                    gateway.client(Kind::Padded).dc(dc),
                    length,
                ));
            }
            let client = gateway.client(Kind::Padded).dc(dc);
            watches.push(Watch::newcomer(&format!("newcomer, {carrier:?}"), client));
            gateways.push(gateway);
        }
        Self {
            others: Others::arrive(watches).await,
            gateways,
        }
    }

    /// They do not notice, or hardly.
    async fn are_well(self) {
        self.wait_but_once(SOON, TIME).await;
    }

    /// Of a burst each may notice once; it comes to its end, and they are well.
    async fn outlast_a_burst(self) {
        self.wait_but_once(BURST, TIME * 2).await;
    }

    async fn wait_but_once(self, once: Duration, time: Duration) {
        let mut complaints = Vec::new();
        for waits in self.others.watch(time, BURST).await {
            println!(
                "{}: worst {:?}, then {:?}, median {:?}, cut {}",
                waits.name,
                waits.worst(),
                waits.second_worst(),
                waits.median(),
                waits.cuts
            );
            let is_well = waits.worst() <= once && waits.second_worst() <= SOON;
            if !is_well || waits.cuts > 0 {
                complaints.push(waits.name);
            }
        }
        for gateway in &self.gateways {
            gateway.session().await.unwrap().assert_clean();
        }
        if !is_emulated() {
            assert!(complaints.is_empty(), "{complaints:#?}");
        }
    }
}

/// One stream's DC takes nothing: the others of its session wait a little, once.
#[test]
fn a_stuck_stream_holds_up_nobody_for_long() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let (session, mut good) = {
                let session = set.app().carrier(carrier).session().await.unwrap();
                let good = Inside::open(&session, Kind::Padded, 4);
                (session, good)
            };
            within("an echo", good.echo(&echo(1, 64))).await.unwrap();
            let mut stuck = Inside::open(&session, Kind::Padded, 2);
            within("an echo", stuck.echo(&echo(1, 64))).await.unwrap();
            set.telegram.behave_dc(2, |b| b.stop_reading = true);
            let packet = stuck.codec.packet(&echo(2, 12 << 20), false, &[]);
            let pushing = smol::spawn(async move {
                let _ = stuck.stream.write(&packet).await;
                stuck
            });
            let began = Instant::now();
            let mut worst = Duration::ZERO;
            while began.elapsed() < Duration::from_secs(8) {
                let sent = Instant::now();
                within("an echo", good.echo(&echo(3, 640))).await.unwrap();
                worst = worst.max(sent.elapsed());
                Timer::after(Duration::from_millis(50)).await;
            }
            println!("{carrier:?}: its session's others waited {worst:?} at most");
            assert!(is_emulated() || worst < Duration::from_secs(6), "{worst:?}");
            session.assert_clean();
            set.telegram.behave_dc(2, |b| b.stop_reading = false);
            drop(pushing);
        }
    });
}

/// Ten apps with streams to a DC that takes nothing.
#[test]
fn sessions_that_are_stuck_hold_up_no_others() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let bystanders = Bystanders::arrive(&set, 4).await;
        let mut pushing = Vec::new();
        let mut sessions = Vec::new();
        for number in 0..10 {
            let app = set.app().carrier(Carrier::ALL[number % 2]);
            let app = app.forwarded_for(&format!("198.51.100.{}", number / 4));
            let session = app.session().await.unwrap();
            for _ in 0..2 {
                let mut inside = Inside::open(&session, Kind::Padded, 2);
                within("an echo", inside.echo(&echo(1, 64))).await.unwrap();
                let packet = inside.codec.packet(&echo(2, 12 << 20), false, &[]);
                pushing.push((inside, packet));
            }
            sessions.push(session);
        }
        set.telegram.behave_dc(2, |b| b.stop_reading = true);
        let before = set.proxy.resident_memory();
        let tasks: Vec<Task<()>> = pushing
            .into_iter()
            .map(|(inside, packet)| {
                smol::spawn(async move {
                    let _ = inside.stream.write(&packet).await;
                    std::future::pending().await
                })
            })
            .collect();
        bystanders.outlast_a_burst().await;
        let grown = set.proxy.resident_memory().saturating_sub(before);
        println!("{} KiB more for 10 sessions", grown >> 10);
        assert!(is_emulated() || grown < 12 << 20, "{grown} bytes more");
        drop(tasks);
        for session in &sessions {
            assert!(session.take_violations().is_empty());
        }
    });
}

/// Apps that ask for much and grant nothing.
#[test]
fn windows_of_nothing_cost_nothing() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let bystanders = Bystanders::arrive(&set, 2).await;
        let before = set.proxy.resident_memory();
        let mut sessions = Vec::new();
        for number in 0..10 {
            let app = set.app().app(App::Miser).carrier(Carrier::ALL[number % 2]);
            let session = app.session().await.unwrap();
            let mut streams = Vec::new();
            for _ in 0..4 {
                let mut inside = Inside::open(&session, Kind::Padded, 2);
                let ask = Command::SendMe {
                    total: 32 << 20,
                    size: 1 << 20,
                };
                let packet = inside.codec.packet(&ask.payload(), false, &[]);
                inside.stream.write(&packet).await.unwrap();
                streams.push(inside);
            }
            sessions.push((session, streams));
        }
        bystanders.outlast_a_burst().await;
        let grown = set.proxy.resident_memory().saturating_sub(before);
        assert!(is_emulated() || grown < 8 << 20, "{grown} bytes more");
        for (session, streams) in &sessions {
            session.assert_clean();
            let spent = || {
                streams
                    .iter()
                    .all(|one| one.stream.credits().unwrap().0 == 0)
            };
            fake_telegram::wait::eventually("all credit to be spent", spent).await;
        }
    });
}

/// Sockets and polls that are not read, with streams that have much to say.
#[test]
fn apps_that_read_nothing_hold_up_no_others() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let bystanders = Bystanders::arrive(&set, 2).await;
        let before = set.proxy.resident_memory();
        let mut held = Vec::new();
        for _ in 0..8 {
            let api = set.app().api().await.unwrap();
            let (token, _) = api.create().await.unwrap();
            let socket = Socket::open(&api, &token).await.unwrap();
            let sender = socket.sender();
            for stream in 1..5 {
                let options = Kind::Padded.options(api.options.door);
                let mut codec =
                    fake_telegram::client::Codec::new(options.transport, 2, options.key.as_ref());
                let ask = Command::SendMe {
                    total: 32 << 20,
                    size: 1 << 20,
                };
                let packet = codec.packet(&ask.payload(), false, &[]);
                let frames = [
                    frame(OPEN, stream, &[]),
                    frame(fake_telegram::web_app::DATA, stream, &packet),
                ];
                sender.send(&frames.concat()).await.unwrap();
            }
            held.push(socket);
        }
        bystanders.outlast_a_burst().await;
        let grown = set.proxy.resident_memory().saturating_sub(before);
        assert!(is_emulated() || grown < 8 << 20, "{grown} bytes more");
    });
}

/// Asks for pages with capabilities that are none, as fast as it goes, for ever.
fn guesser(app: &Options) -> Task<()> {
    let app = app.clone();
    smol::spawn(async move {
        loop {
            let Ok(mut connection) = app.connect().await else {
                continue;
            };
            loop {
                let guess =
                    fake_telegram::web_app::unpadded(&fake_telegram::crypto::random::<32>());
                let request = Request::new(&app, "GET", &format!("/?bridge={guess}"));
                if connection.ask(&request).await.is_err() {
                    break;
                }
            }
        }
    })
}

#[test]
fn guesses_hold_up_nobody() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let bystanders = Bystanders::arrive(&set, 2).await;
        let guessers: Vec<_> = (0..16).map(|_| guesser(&set.app())).collect();
        bystanders.are_well().await;
        println!("{} guesses came to the site", set.origin.visits().len());
        drop(guessers);
    });
}

/// Bodies, heads and socket messages at a byte in a while.
#[test]
fn slow_talkers_hold_up_nobody() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let bystanders = Bystanders::arrive(&set, 2).await;
        let mut talkers: Vec<Task<()>> = Vec::new();
        for number in 0..60 {
            let api = set.app().api().await.unwrap();
            let bytes = match number % 4 {
                0 => {
                    let (token, _) = api.create().await.unwrap();
                    api.up(&token, 1, &frame(OPEN, 1, &[]).repeat(4000)).bytes()
                }
                1 => api.session(&[0x10; 60]).bytes(),
                2 => Request::new(&set.app(), "POST", "/echo")
                    .body(&[7; 9999])
                    .bytes(),
                _ => Request::new(&set.app(), "GET", &format!("/{}", "x".repeat(9999))).bytes(),
            };
            let app = set.app();
            talkers.push(smol::spawn(async move {
                let mut connection = app.connect().await.unwrap();
                for byte in bytes.chunks(1) {
                    if connection.send(byte).await.is_err() {
                        break;
                    }
                    Timer::after(Duration::from_millis(200)).await;
                }
                std::future::pending().await
            }));
        }
        bystanders.are_well().await;
    });
}

/// Sessions and streams of one address, as many as it gets.
#[test]
fn a_crowd_of_one_address_leaves_room_for_others() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let mut crowd = Vec::new();
        let app = set.app().forwarded_for("198.51.100.9");
        for _ in 0..400 {
            let api = app.api().await.unwrap();
            let hello = frame(fake_telegram::web_app::HELLO, 0, &[1]);
            let answer = api.ask(&api.session(&hello)).await.unwrap();
            match answer.status {
                200 => crowd.push(answer),
                503 => {
                    assert_eq!(answer.field("Retry-After"), Some("1"));
                    break;
                }
                status => panic!("status {status}"),
            }
        }
        println!("one address has {} sessions", crowd.len());
        let other = set.app().forwarded_for("203.0.113.5");
        let (session, mut inside) = crate::session(&other, Carrier::WebSocket).await;
        within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
        session.assert_clean();
        assert!(set.proxy.web_app(HOST).page().await.is_ok());
    });
}

/// One stranger behind the web server in front takes its part of the connections to the
/// site, and no other stranger waits for it.
#[test]
fn a_stranger_behind_a_web_server_leaves_the_site_to_others() {
    run(async {
        // 32 connections to the site, 16 for an address.
        let few = |o: ProxyOptions| o.set("--max-clients", "256");
        let set = Set::start_with(Route::Direct, few).await;
        let attacker = set.app().forwarded_for("198.51.100.7");
        let mut held = Vec::new();
        for _ in 0..16 {
            let mut connection = attacker.connect().await.unwrap();
            let request = Request::new(&attacker, "GET", "/");
            let answer = within("an answer", connection.ask(&request)).await.unwrap();
            assert_eq!(answer.status, 200);
            held.push(connection);
        }
        let other = set.app().forwarded_for("198.51.100.8");
        let began = Instant::now();
        let request = Request::new(&other, "GET", "/");
        assert_eq!(set.ask(&request).await.status, 200);
        let waited = began.elapsed();
        assert!(
            is_emulated() || waited < Duration::from_secs(9),
            "{waited:?}"
        );
        // A connection that has brought the attacker's requests brings this one's too.
        let answer = within("an answer", held[0].ask(&request)).await.unwrap();
        assert_eq!(answer.status, 200);
    });
}
