//! Telegram ends its connections: idle clients stay, a client whose packet may
//! be lost is closed at once, and nobody is left in silence.

use std::cell::Cell;
use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind, is_close};
use fake_telegram::control::{Close, Cut};
use fake_telegram::harness::{self, Proxy, ProxyOptions, Route};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{before, eventually, is_emulated, run, within};

const CLOSES: [Close; 3] = [Close::Fin, Close::Drop, Close::Reset];

async fn middle(change: impl FnOnce(ProxyOptions) -> ProxyOptions) -> (FakeTelegram, Proxy) {
    harness::start(built_binary!(), Route::Middle, change).await
}

async fn all_are_served(clients: &mut [Client]) {
    for (number, client) in clients.iter_mut().enumerate() {
        let request = echo(number as u32, 1000);
        let outcome = within("an echo", client.echo(&request)).await;
        outcome.unwrap_or_else(|error| panic!("client {number}: {error}"));
    }
}

/// Ends all connections and waits until the proxy has noticed: a packet sent
/// before that may be lost with its connection.
async fn rotate_all(telegram: &FakeTelegram, proxy: &Proxy, how: Close) {
    let ended = || proxy.counted("dc_connection_ends_total", "");
    let (before, old) = (ended(), telegram.connections().len());
    assert_eq!(telegram.rotate_all(how), old);
    eventually("the old connections' end", || {
        ended() >= before + old as u64
    })
    .await;
}

#[test]
fn idle_clients_survive_the_end_of_their_connection() {
    run(async {
        let (telegram, proxy) = middle(|o| o).await;
        let mut clients = proxy.idle_clients(30).await;
        for how in CLOSES.into_iter().cycle().take(9) {
            rotate_all(&telegram, &proxy, how).await;
            all_are_served(&mut clients).await;
        }
        let moved = proxy.counted("migrations_total", "outcome=\"moved");
        assert_eq!(moved, 30 * 9);
        telegram.assert_clean();
    });
}

#[test]
fn fifty_idle_clients_survive_the_end_of_all_connections_at_once() {
    run(async {
        let (telegram, proxy) = middle(|o| o.set("--clients-per-connection", 10)).await;
        let mut clients = proxy.idle_clients(50).await;
        assert!(
            telegram.connections().len() >= 4,
            "{:?}",
            telegram.connections()
        );
        for how in CLOSES {
            rotate_all(&telegram, &proxy, how).await;
            all_are_served(&mut clients).await;
            assert_eq!(telegram.sessions().len(), 50);
        }
        telegram.assert_clean();
    });
}

#[test]
fn clients_move_without_a_byte_of_their_own() {
    run(async {
        let (telegram, proxy) = middle(|o| o.set("--clients-per-connection", 10)).await;
        let mut clients = proxy.idle_clients(20).await;
        // Only one of the connections ends: the rest must not notice.
        let first = telegram.connections()[0].number;
        assert_eq!(telegram.rotate(Close::Drop, |one| one.number == first), 1);
        for client in &mut clients {
            let silence = before(Duration::from_millis(20), client.recv()).await;
            assert!(silence.is_none(), "{silence:?}");
        }
        all_are_served(&mut clients).await;
        telegram.assert_clean();
    });
}

#[test]
fn a_client_stays_idle_through_an_outage() {
    run(async {
        use fake_telegram::control::Accept;
        let (telegram, proxy) = middle(|o| o).await;
        let mut clients = proxy.idle_clients(10).await;
        telegram.behave(|b| b.accept = Accept::Refuse);
        rotate_all(&telegram, &proxy, Close::Drop).await;
        let failures = || proxy.counted("dc_connect_failures_total", "");
        eventually("an attempt that fails", || failures() > 0).await;
        telegram.behave(|b| b.accept = Accept::Normal);
        for client in &mut clients {
            client.fate_of(&echo(1, 64)).await;
        }
        let probing = async {
            let mut probe = proxy.client(Kind::Padded).connect().await.unwrap();
            while probe.fate_of(&echo(1, 64)).await == Fate::Closed {
                probe = proxy.client(Kind::Padded).connect().await.unwrap();
            }
        };
        within("the end of the outage", probing).await;
        let mut fresh = proxy.idle_clients(10).await;
        all_are_served(&mut fresh).await;
        telegram.assert_clean();
    });
}

/// Clients come while connections go: the race of the choreography.
#[test]
fn clients_that_arrive_during_a_rotation_are_never_silent() {
    run(async {
        let (telegram, proxy) = middle(|o| o.set("--clients-per-connection", 5)).await;
        let mut idle = proxy.idle_clients(20).await;
        let ended = Cell::new(proxy.counted("dc_connection_ends_total", ""));
        // An emulated proxy needs longer to have another connection, and nobody can
        // stay where none lasts until it can be used.
        let slowness = if is_emulated() { 10 } else { 1 };
        let rotating = async {
            loop {
                for connection in telegram.connections() {
                    let number = connection.number;
                    let closed = telegram.rotate(Close::Drop, |one| one.number == number);
                    ended.set(ended.get() + closed as u64);
                    smol::Timer::after(Duration::from_millis(3 * slowness)).await;
                }
                smol::Timer::after(Duration::from_millis(20 * slowness)).await;
            }
        };
        let arriving = async {
            let mut fates = [0; 2];
            for number in 0..150 {
                let kind = Kind::ALL[number as usize % Kind::ALL.len()];
                let mut client = proxy.client(kind).connect().await.unwrap();
                match client.fate_of(&echo(number, 64)).await {
                    Fate::Answered => fates[0] += 1,
                    Fate::Closed => fates[1] += 1,
                }
            }
            fates
        };
        let [answered, closed] = smol::future::or(arriving, rotating).await;
        assert!(answered > closed, "{answered} answered, {closed} closed");
        // A packet that meets an end not noticed yet may be lost with it. Ends of
        // connections that the proxy needs no more are counted too.
        eventually("the end of all old connections", || {
            let there = telegram.connections().len() as u64;
            proxy.counted("dc_connection_ends_total", "") >= ended.get()
                && proxy.counted("dc_connections", "") == there
        })
        .await;
        all_are_served(&mut idle).await;
        telegram.assert_clean();
    });
}

/// Its connection dies while a packet is on its way: the client is answered or
/// closed, the others on the connection do not notice.
#[test]
fn a_client_in_mid_send_is_closed_at_once() {
    run(async {
        let (telegram, proxy) = middle(|o| o).await;
        let mut others = proxy.idle_clients(10).await;
        for how in CLOSES {
            for cut in [Cut::MidRequest(how), Cut::AfterRequest(how)] {
                for kind in Kind::ALL {
                    let mut client = proxy.client(kind).connect().await.unwrap();
                    within("an echo", client.echo(&echo(1, 64))).await.unwrap();
                    telegram.behave_dc(2, |b| b.cut = Some(cut));
                    let request = echo(2, 1 << 20);
                    let limit = Duration::from_secs(10);
                    let fate = before(limit, client.fate_of(&request)).await;
                    assert!(fate.is_some(), "silence after {cut:?}, {kind:?}");
                    if matches!(cut, Cut::AfterRequest(_)) {
                        assert_eq!(fate, Some(Fate::Closed), "{cut:?}, {kind:?}");
                    }
                    all_are_served(&mut others).await;
                }
            }
        }
        assert!(proxy.counted("migrations_total", "outcome=\"closed_mid_send\"") >= 12);
        telegram.assert_clean();
    });
}

#[test]
fn a_client_in_mid_answer_is_closed_at_once() {
    run(async {
        let (telegram, proxy) = middle(|o| o).await;
        let mut others = proxy.idle_clients(10).await;
        for how in CLOSES {
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                telegram.behave_dc(2, |b| b.cut = Some(Cut::MidAnswer(how)));
                let size = 1 << 20;
                client
                    .send(&Command::SendMe { total: size, size }.payload())
                    .await
                    .unwrap();
                match within("a close", client.recv()).await {
                    Err(error) if is_close(&error) => {}
                    other => panic!("{how:?}, {kind:?}: {:?}", other.map(|_| "an answer")),
                }
                all_are_served(&mut others).await;
            }
        }
        assert_eq!(
            proxy.counted("migrations_total", "outcome=\"closed_mid_answer\""),
            12
        );
        telegram.assert_clean();
    });
}

/// Traffic all the time, rotations all the time: every client is answered
/// until it is closed, and a closed one can come back.
#[test]
fn busy_clients_are_answered_or_closed() {
    run(async {
        let (telegram, proxy) = middle(|o| o.set("--clients-per-connection", 5)).await;
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = (0..40u32)
            .map(|number| executor.spawn(busy_client(&proxy, number)))
            .collect();
        let rotating = async {
            loop {
                smol::Timer::after(Duration::from_millis(50)).await;
                telegram
                    .rotate_staggered(Close::Drop, Duration::from_millis(5))
                    .await;
            }
        };
        let working = async {
            let mut answered = 0;
            for task in tasks {
                answered += task.await;
            }
            answered
        };
        let answered = executor.run(smol::future::or(working, rotating)).await;
        assert!(answered > 40 * 10, "only {answered} answers");
        telegram.assert_clean();
    });
}

async fn busy_client(proxy: &Proxy, number: u32) -> u32 {
    let kind = Kind::ALL[number as usize % Kind::ALL.len()];
    let mut client = proxy.client(kind).connect().await.unwrap();
    let mut answered = 0;
    for round in 0..30 {
        let size = 64 << (round % 10);
        match client.fate_of(&echo(number, size)).await {
            Fate::Answered => answered += 1,
            Fate::Closed => client = proxy.client(kind).connect().await.unwrap(),
        }
    }
    answered
}

#[test]
fn direct_clients_end_with_their_dc_connection() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Direct, |o| o).await;
        for how in CLOSES {
            let mut clients = proxy.idle_clients(8).await;
            assert_eq!(telegram.close_direct(how), 8);
            for client in &mut clients {
                assert_eq!(within("a close", client.until_closed()).await.unwrap(), []);
            }
        }
        telegram.assert_clean();
    });
}
