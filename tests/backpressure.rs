//! Slow clients and slow DCs: they wait for each other, the rest does not wait
//! for them, and memory stays where it is.

use std::thread;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind, is_close};
use fake_telegram::harness::{self, Proxy, Route, Secured, Split};
use fake_telegram::payload::{Command, echo};
use fake_telegram::wait::{before, eventually, is_emulated, run, within};

const MIB: u64 = 1 << 20;

/// What the proxy's memory may grow by in these tests: its buffers and the
/// kernel's share of nothing. Emulators have pages of their own.
fn growth_limit() -> u64 {
    if is_emulated() {
        return 32 * MIB;
    }
    6 * MIB
}

async fn served(proxy: &Proxy, kind: Kind, dc: i16) -> Client {
    let client = proxy.client(kind).dc(dc).served().await;
    client.expect("it is served")
}

/// Twenty clients ask for 8 MiB each in answers of 1 MiB and do not read; all
/// of it must wait in Telegram, not in the proxy.
async fn answers_wait_outside(route: Route) {
    let change = |o: harness::ProxyOptions| o.set("--buffers", "4M").set("--send-timeout", 60);
    let (telegram, proxy) = harness::start(built_binary!(), route, change).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(served(&proxy, Kind::ALL[number % 4], 2).await);
    }
    let before_load = proxy.resident_memory();
    let (total, size) = (8 << 20, 1 << 20);
    for client in &mut clients {
        client
            .send(&Command::SendMe { total, size }.payload())
            .await
            .unwrap();
    }
    let mut most = 0;
    for _ in 0..20 {
        smol::Timer::after(Duration::from_millis(50)).await;
        most = most.max(proxy.resident_memory());
    }
    // All of them read now, a little at a time and side by side.
    let executor = smol::LocalExecutor::new();
    let tasks = clients
        .into_iter()
        .map(|mut client| executor.spawn(async move { client.take_download(total, size).await }));
    let tasks: Vec<_> = tasks.collect();
    let downloading = async {
        for task in tasks {
            within("a download", task).await.unwrap();
        }
    };
    executor.run(downloading).await;
    most = most.max(proxy.resident_memory());
    assert!(
        most < before_load + growth_limit(),
        "{} KiB more than the {} KiB before",
        (most - before_load) >> 10,
        before_load >> 10
    );
    telegram.assert_clean();
}

#[test]
fn middle_answers_wait_outside_the_proxy() {
    run(answers_wait_outside(Route::Middle));
}

#[test]
fn direct_answers_wait_outside_the_proxy() {
    run(answers_wait_outside(Route::Direct));
}

#[test]
fn a_slow_reader_gets_every_byte() {
    run(async {
        for (route, kind) in [
            (Route::Middle, Kind::FakeTls),
            (Route::Direct, Kind::Padded),
        ] {
            let (telegram, proxy) = harness::start(built_binary!(), route, |o| o).await;
            let mut client = served(&proxy, kind, 2).await;
            let (total, size) = (4 << 20, 1 << 20);
            client.read_at_most(16 << 10, Duration::from_millis(1));
            within("a slow download", client.download(total, size))
                .await
                .unwrap();
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_client_that_never_reads_is_closed_and_stalls_nobody() {
    run(async {
        for route in Route::ALL {
            let change = |o: harness::ProxyOptions| o.set("--send-timeout", 2);
            let (telegram, proxy) = harness::start(built_binary!(), route, change).await;
            let mut neighbour = served(&proxy, Kind::Padded, 2).await;
            let mut elsewhere = served(&proxy, Kind::Padded, 4).await;
            let mut stuck = served(&proxy, Kind::Abridged, 2).await;
            let (total, size) = (256 << 20, 256 << 10);
            stuck
                .send(&Command::SendMe { total, size }.payload())
                .await
                .unwrap();
            for round in 0..20 {
                let request = echo(round, 256);
                let limit = Duration::from_secs(8);
                let outcome = before(limit, neighbour.echo(&request)).await;
                assert!(
                    matches!(outcome, Some(Ok(()))),
                    "its neighbour: {outcome:?}"
                );
                let limit = Duration::from_secs(2);
                let outcome = before(limit, elsewhere.echo(&request)).await;
                assert!(matches!(outcome, Some(Ok(()))), "another DC's: {outcome:?}");
                smol::Timer::after(Duration::from_millis(20)).await;
            }
            eventually("the end of the stuck session", || {
                telegram.session_of(stuck.local_addr()).is_none()
                    && telegram.counters().direct_live() <= 2
            })
            .await;
            // It sees its end once it reads what the kernel holds for it.
            let units = within("its end", stuck.until_closed()).await.unwrap();
            assert!((units.len() as u32) < total / size, "everything came");
            telegram.assert_clean();
        }
    });
}

#[test]
fn uploads_wait_while_the_dc_does_not_read() {
    run(async {
        for route in Route::ALL {
            let change = |o: harness::ProxyOptions| o.set("--buffers", "4M");
            let (telegram, proxy) = harness::start(built_binary!(), route, change).await;
            let mut clients = Vec::new();
            for number in 0..8 {
                clients.push(served(&proxy, Kind::ALL[number % 4], 2).await);
            }
            let before_load = proxy.resident_memory();
            telegram.behave_dc(2, |b| b.stop_reading = true);
            let executor = smol::LocalExecutor::new();
            let tasks = clients
                .into_iter()
                .map(|client| executor.spawn(upload(client)));
            let tasks: Vec<_> = tasks.collect();
            let uploading = async {
                for task in tasks {
                    within("an upload", task).await;
                }
            };
            let watching = async {
                let mut most = 0;
                for _ in 0..20 {
                    smol::Timer::after(Duration::from_millis(50)).await;
                    most = most.max(proxy.resident_memory());
                }
                telegram.behave_dc(2, |b| b.stop_reading = false);
                most
            };
            let (most, ()) = executor.run(smol::future::zip(watching, uploading)).await;
            assert!(
                most < before_load + growth_limit(),
                "{route:?}: {} KiB more than the {} KiB before",
                (most - before_load) >> 10,
                before_load >> 10
            );
            telegram.assert_clean();
        }
    });
}

/// What waits for a DC that does not read is bounded for its clients, however
/// many buffers there are and whatever the length of their packets.
#[test]
fn a_stalled_dc_leaves_the_buffers_to_others() {
    run(async {
        for length in [1000, 200_000, 1 << 20] {
            let change = |o: harness::ProxyOptions| o.set("--buffers", "16M");
            let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, change).await;
            let mut client = served(&proxy, Kind::Abridged, 2).await;
            telegram.behave_dc(2, |b| b.stop_reading = true);
            let uploading = async {
                let packet = Command::Ignore.payload_of(length);
                while client.send(&packet).await.is_ok() {}
            };
            let watching = async {
                let mut most = 0.0;
                for _ in 0..20 {
                    smol::Timer::after(Duration::from_millis(50)).await;
                    let used = proxy.metrics().sum("smol_mtproxy_buffer_bytes_used", &[]);
                    most = f64::max(most, used);
                }
                // A quarter of a MiB in the queue, a packet behind it and one
                // being read.
                assert!(
                    most > 0.0 && most < 3.0 * MIB as f64,
                    "{length}: {most} bytes"
                );
            };
            smol::future::or(watching, uploading).await;
            telegram.assert_clean();
        }
    });
}

/// Clients come and go while their DC does not read, which is stuck for good:
/// its pings say that the connection is alive.
#[test]
fn clients_leave_while_the_dc_does_not_read() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = harness::start(built_binary!(), route, |o| o).await;
            telegram.behave_dc(2, |b| b.ping_every = Some(Duration::from_millis(20)));
            let mut clients = Vec::new();
            for kind in [Kind::Padded, Kind::FakeTls] {
                clients.push(served(&proxy, kind, 2).await);
            }
            telegram.behave_dc(2, |b| b.stop_reading = true);
            for client in &mut clients {
                send_until_held(&proxy, client).await;
            }
            let count = clients.len();
            drop(clients);
            all_left(&proxy, count).await;
            if route == Route::Middle {
                // It dies of its own after half a minute.
                let ends = proxy.counted("dc_connection_ends_total", "");
                assert!(ends == 0 || is_emulated(), "{ends}");
            } else {
                assert_eq!(proxy.counted("buffer_bytes_used", ""), 0);
            }
            telegram.behave_dc(2, |b| b.stop_reading = false);
            proxy.served_client(2).await;
            telegram.assert_clean();
        }
    });
}

#[test]
fn clients_leave_a_front_while_the_dc_does_not_read() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let split = Split::start(built_binary!(), route, &secured, |o| o).await;
            let Split {
                telegram, front, ..
            } = &split;
            telegram.behave_dc(2, |b| b.ping_every = Some(Duration::from_millis(20)));
            let mut clients = Vec::new();
            for kind in [Kind::Padded, Kind::FakeTls] {
                clients.push(served(front, kind, 2).await);
            }
            telegram.behave_dc(2, |b| b.stop_reading = true);
            for client in &mut clients {
                send_until_held(front, client).await;
            }
            let count = clients.len();
            drop(clients);
            all_left(front, count).await;
            for gauge in ["link_streams", "dc_sessions"] {
                eventually(gauge, || split.back.counted(gauge, "") == 0).await;
            }
            telegram.behave_dc(2, |b| b.stop_reading = false);
            front.served_client(2).await;
            telegram.assert_clean();
        }
    });
}

/// The proxy's `count` clients, all there are, are seen to hang up.
async fn all_left(proxy: &Proxy, count: usize) {
    eventually("their end", || {
        proxy.counted("closed_total", "reason=\"client_closed\"") == count as u64
    })
    .await;
    assert_eq!(proxy.counted("clients", ""), 0);
}

/// Sends until the proxy reads no more, and so little beyond that there is
/// room in the kernel for the client's end.
async fn send_until_held(proxy: &Proxy, client: &mut Client) {
    const LENGTH: usize = 50_000;
    let packet = Command::Ignore.payload_of(LENGTH);
    loop {
        let wanted = proxy.counted("client_bytes_total", "direction=\"in\"") + LENGTH as u64;
        client.send(&packet).await.unwrap();
        let is_read = eventually("a read", || {
            proxy.counted("client_bytes_total", "direction=\"in\"") >= wanted
        });
        if before(Duration::from_millis(500), is_read).await.is_none() {
            return;
        }
    }
}

/// Sixteen packets of 1 MiB, then their short answers.
async fn upload(mut client: Client) {
    let packet = Command::Swallow.payload_of(1 << 20);
    for _ in 0..16 {
        client.send(&packet).await.unwrap();
    }
    for _ in 0..16 {
        client.recv_packet().await.unwrap();
    }
}

/// The buffers are smaller than what the clients send at once: they are slowed
/// down, none is lost, nothing deadlocks.
#[test]
fn scarce_buffers_slow_clients_down() {
    run(async {
        let change = |o: harness::ProxyOptions| o.set("--buffers", "2M");
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let mut clients = Vec::new();
        for number in 0..16 {
            clients.push(served(&proxy, Kind::ALL[number % 4], 2).await);
        }
        // Each on a thread of its own: one that waited while others encrypt would be
        // silent for so long that it is given up.
        let uploading = |client| thread::spawn(|| run(within("an upload", upload(client))));
        let threads: Vec<_> = clients.into_iter().map(uploading).collect();
        let has_ended = || threads.iter().all(thread::JoinHandle::is_finished);
        eventually("all uploads", has_ended).await;
        for thread in threads {
            thread.join().unwrap();
        }
        telegram.assert_clean();
    });
}

/// Clients begin big packets and never end them; those who do end theirs are
/// served all the same.
#[test]
fn unfinished_packets_do_not_hold_the_buffers_for_ever() {
    run(async {
        let change = |o: harness::ProxyOptions| o.set("--buffers", "4M").set("--idle-timeout", 3);
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let packet = echo(1, 1 << 20);
        let mut unfinished = Vec::new();
        for number in 0..8 {
            let mut client = proxy.client(Kind::ALL[number % 4]).connect().await.unwrap();
            match client.send_part(&packet, 512 << 10).await {
                Err(error) if !is_close(&error) => panic!("{error}"),
                _ => unfinished.push(client),
            }
        }
        let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
        within("an echo", client.echo(&packet)).await.unwrap();
        telegram.assert_clean();
    });
}

/// Thirty clients that never read, on one DC with one that does: it waits once,
/// about as long as for one of them, not for each in turn.
#[test]
fn many_that_never_read_cost_others_little_more_than_one() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, |o| o).await;
        let mut neighbour = served(&proxy, Kind::Padded, 2).await;
        let mut stuck = Vec::new();
        let size = 1 << 20;
        for number in 0..30 {
            let mut client = served(&proxy, Kind::ALL[number % 4], 2).await;
            let request = Command::SendMe { total: size, size }.payload();
            for _ in 0..12 {
                client.send(&request).await.unwrap();
            }
            stuck.push(client);
        }
        let mut waits = Vec::new();
        for round in 0..50 {
            let start = Instant::now();
            within("its neighbour's echo", neighbour.echo(&echo(round, 64)))
                .await
                .unwrap();
            waits.push(start.elapsed());
            smol::Timer::after(Duration::from_millis(50)).await;
        }
        waits.sort();
        // The first of them alone took 5 s.
        let longest = waits.last().unwrap();
        assert!(*longest < Duration::from_secs(12), "{longest:?}");
        let second = waits[waits.len() - 2];
        assert!(second < Duration::from_secs(5), "{second:?}");
        assert!(waits[25] < Duration::from_millis(500), "{:?}", waits[25]);
        assert!(proxy.counted("isolations_total", "") > 0);
        assert!(proxy.log_contains("info DC 2: a client takes its data more slowly"));
        telegram.assert_clean();
    });
}

/// One that does read, if slowly, is left a connection of its own.
#[test]
fn a_slow_reader_stays_and_holds_up_nobody() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, |o| o).await;
        a_slow_reader_stays(&proxy).await;
        telegram.assert_clean();
    });
}

#[test]
fn a_slow_reader_of_a_front_stays_and_holds_up_nobody() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        a_slow_reader_stays(&split.front).await;
        split.telegram.assert_clean();
    });
}

/// For longer than one that takes nothing is put up with.
async fn a_slow_reader_stays(front: &Proxy) {
    let mut neighbour = served(front, Kind::Padded, 2).await;
    let mut slow = served(front, Kind::FakeTls, 2).await;
    slow.read_at_most(50_000, Duration::from_millis(50));
    let (total, size) = (24 << 20, 1 << 20);
    let reading = async {
        let download = slow.download(total, size);
        let outcome = before(Duration::from_secs(6), download).await;
        assert!(!matches!(outcome, Some(Err(_))), "{outcome:?}");
    };
    let mut waits = Vec::new();
    let echoing = async {
        loop {
            let start = Instant::now();
            within("its neighbour's echo", neighbour.echo(&echo(1, 64)))
                .await
                .unwrap();
            waits.push(start.elapsed());
            smol::Timer::after(Duration::from_millis(50)).await;
        }
    };
    smol::future::or(reading, echoing).await;
    waits.sort();
    let median = waits[waits.len() / 2];
    assert!(median < Duration::from_millis(500), "{median:?}");
}
