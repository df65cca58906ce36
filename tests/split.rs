//! Front and back on loopback, joined by a plain link with a key: what clients
//! see of it must be what they see of one process.

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind, is_close};
use fake_telegram::control::{Accept, Close, Cut};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, Split};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::Options;
use fake_telegram::wait::{before, eventually, is_emulated, run, within};

const TAG: [u8; 16] = [0xab; 16];

fn tagged(route: Route) -> Options {
    Options {
        tag: (route == Route::Middle).then_some(TAG),
        ..Options::default()
    }
}

async fn packets_of_every_size(route: Route) {
    let secured = Secured::default();
    let split = Split::start_with(built_binary!(), route, tagged(route), &secured, |o| o).await;
    let small = (4..=64).step_by(4);
    let sizes = small.chain([500, 504, 508, 512, 1000, 16_380, 16_384, 65_532]);
    let sizes: Vec<usize> = sizes.chain([100 << 10, (1 << 20) - 4, 1 << 20]).collect();
    for kind in Kind::ALL {
        let mut client = split.front.client(kind).connect().await.unwrap();
        for size in &sizes {
            let request = echo(*size as u32, *size);
            let outcome = within("an echo", client.echo(&request)).await;
            outcome.unwrap_or_else(|error| panic!("{kind:?}, {size} bytes: {error}"));
        }
        for (total, size) in [(4096, 64), (1 << 20, 100 << 10), (4 << 20, 1 << 20)] {
            within("a download", client.download(total, size))
                .await
                .unwrap();
        }
    }
    split.front.cleared().await;
    split.back.cleared().await;
    split.telegram.assert_clean();
    split.front.stop().await;
    split.back.stop().await;
}

#[test]
fn middle_carries_packets_of_every_size() {
    run(packets_of_every_size(Route::Middle));
}

#[test]
fn direct_carries_packets_of_every_size() {
    run(packets_of_every_size(Route::Direct));
}

#[test]
fn quick_acks_and_rows_of_packets_arrive_in_order() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let split = Split::start(built_binary!(), route, &secured, |o| o).await;
            for kind in Kind::ALL {
                let mut client = split.front.client(kind).connect().await.unwrap();
                for size in [64, 700, 100 << 10] {
                    let request = echo(9, size);
                    let exchange = client.echo_for_quick_ack(&request);
                    let is_acknowledged = within("an answer", exchange).await.unwrap();
                    // In records one waits for the answer, but not for long.
                    let may_lack = kind == Kind::FakeTls && route == Route::Middle;
                    assert!(is_acknowledged || may_lack, "{kind:?}, {size} bytes");
                }
                let packets: Vec<_> = (1..200).map(|n| echo(n, 8 + 4 * n as usize)).collect();
                for packet in &packets {
                    client.send(packet).await.unwrap();
                }
                for packet in &packets {
                    let answer = within("an answer", client.recv_packet()).await.unwrap();
                    assert!(answer == *packet, "{kind:?} over {route:?}");
                }
            }
            split.telegram.assert_clean();
        }
    });
}

async fn all_are_served(clients: &mut [Client]) {
    for (number, client) in clients.iter_mut().enumerate() {
        let outcome = within("an echo", client.echo(&echo(number as u32, 1000))).await;
        outcome.unwrap_or_else(|error| panic!("client {number}: {error}"));
    }
}

#[test]
fn idle_clients_survive_the_end_of_a_connection_to_telegram() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        let mut clients = split.front.idle_clients(12).await;
        for how in [Close::Fin, Close::Drop, Close::Reset] {
            let old = split.telegram.connections();
            split.telegram.rotate_all(how);
            eventually("the old connections' end", || {
                let now = split.telegram.connections();
                now.iter()
                    .all(|one| old.iter().all(|gone| gone.number != one.number))
            })
            .await;
            all_are_served(&mut clients).await;
        }
        assert!(split.back.counted("migrations_total", "outcome=\"moved") >= 36);
        split.telegram.assert_clean();
    });
}

#[test]
fn a_client_is_closed_in_the_middle_of_its_packet_or_answer() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        let mut others = split.front.idle_clients(4).await;
        for kind in Kind::ALL {
            let mut client = split.front.client(kind).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            let cut = Cut::AfterRequest(Close::Drop);
            split.telegram.behave_dc(2, |b| b.cut = Some(cut));
            assert_eq!(client.fate_of(&echo(2, 1 << 20)).await, Fate::Closed);
            let mut client = split.front.client(kind).connect().await.unwrap();
            let cut = Cut::MidAnswer(Close::Drop);
            split.telegram.behave_dc(2, |b| b.cut = Some(cut));
            let request = Command::SendMe {
                total: 1 << 20,
                size: 1 << 20,
            };
            client.send(&request.payload()).await.unwrap();
            let outcome = within("a close", client.recv()).await;
            assert!(outcome.is_err_and(|error| is_close(&error)), "{kind:?}");
            all_are_served(&mut others).await;
        }
        for reason in ["mid_send", "mid_answer"] {
            let label = format!("reason=\"{reason}\"");
            assert_eq!(split.front.counted("closed_total", &label), 4);
        }
        split.telegram.assert_clean();
    });
}

#[test]
fn telegram_ends_sessions_and_learns_of_their_end() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        for kind in Kind::ALL {
            let mut client = split.front.client(kind).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            // Its real address is what Telegram sees.
            let session = split.telegram.session_of(client.local_addr());
            assert!(session.is_some(), "{kind:?}");
            let request = Command::EchoAndClose.payload_of(100 << 10);
            client.send(&request).await.unwrap();
            let units = within("a close", client.until_closed()).await.unwrap();
            assert_eq!(units.len(), 1, "{kind:?}");
            let mut client = split.front.client(kind).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            drop(client);
            eventually("its end", || split.telegram.sessions().is_empty()).await;
        }
        split.back.cleared().await;
        split.telegram.assert_clean();
    });
}

#[test]
fn what_cannot_be_opened_is_closed_and_tried_again_for_the_next() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        let mut client = split
            .front
            .client(Kind::Padded)
            .dc(77)
            .connect()
            .await
            .unwrap();
        client.fate_of(&echo(1, 64)).await;
        drop(client);
        split.telegram.behave(|b| b.accept = Accept::Refuse);
        let mut client = split
            .front
            .client(Kind::Padded)
            .dc(4)
            .connect()
            .await
            .unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        // Who may not go direct is not told what another one met, but tried for.
        split.telegram.behave(|b| b.accept = Accept::Normal);
        let start = Instant::now();
        let mut client = split.front.served_client(4).await;
        within("an echo", client.echo(&echo(2, 64))).await.unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let label = "reason=\"middle_unavailable\"";
        assert_eq!(split.front.counted("closed_total", label), 0);
        drop(client);
        split.front.cleared().await;
    });
}

/// Eight clients that do not read, and one of another DC that does.
#[test]
fn slow_clients_stall_nobody_and_memory_stays() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let change = |o: ProxyOptions| match o.has("--listen") {
                true => o.set("--buffers", "4M").set("--send-timeout", 60),
                false => o.set("--buffers", "4M"),
            };
            let split = Split::start(built_binary!(), route, &secured, change).await;
            let mut clients = split.front.idle_clients(8).await;
            let mut quick = split.front.served_client(4).await;
            let halves = [&split.front, &split.back];
            let before_load = halves.map(Proxy::resident_memory);
            let (total, size) = (8 << 20, 1 << 20);
            for client in &mut clients {
                let request = Command::SendMe { total, size };
                client.send(&request.payload()).await.unwrap();
            }
            for round in 0..20 {
                let limit = Duration::from_secs(10);
                let outcome = before(limit, quick.echo(&echo(round, 256))).await;
                assert!(matches!(outcome, Some(Ok(()))), "{route:?}: {outcome:?}");
                smol::Timer::after(Duration::from_millis(20)).await;
            }
            let growth = [0, 1].map(|at| {
                halves[at].resident_memory() - before_load[at].min(halves[at].resident_memory())
            });
            assert!(growth.iter().all(|bytes| *bytes < 12 << 20), "{growth:?}");
            // All of them read now, a little at a time and side by side; the
            // middle connection may have closed the slowest.
            let executor = smol::LocalExecutor::new();
            let tasks: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    executor.spawn(async move { client.take_download(total, size).await })
                })
                .collect();
            executor
                .run(async {
                    for task in tasks {
                        match within("a download", task).await {
                            Err(error) if !is_close(&error) => panic!("{error}"),
                            Err(error) if route == Route::Direct => panic!("{error}"),
                            _ => {}
                        }
                    }
                })
                .await;
            drop(quick);
            split.front.cleared().await;
            split.back.cleared().await;
            split.telegram.assert_clean();
        }
    });
}

#[test]
fn uploads_wait_while_the_dc_does_not_read() {
    run(async {
        for route in Route::ALL {
            let secured = Secured::default();
            let change = |o: ProxyOptions| o.set("--buffers", "16M");
            let split = Split::start(built_binary!(), route, &secured, change).await;
            let clients = split.front.idle_clients(8).await;
            let mut elsewhere = split.front.served_client(4).await;
            let mut large = split.front.served_client(4).await;
            split.telegram.behave_dc(2, |b| b.stop_reading = true);
            let before_load = split.back.resident_memory();
            let executor = smol::LocalExecutor::new();
            let tasks: Vec<_> = clients
                .into_iter()
                .map(|client| executor.spawn(upload(client)))
                .collect();
            let watching = async {
                for round in 0..20 {
                    let request = echo(round, 64);
                    let outcome = within("an echo elsewhere", elsewhere.echo(&request)).await;
                    outcome.unwrap();
                    smol::Timer::after(Duration::from_millis(30)).await;
                }
                let limit = Duration::from_secs(5);
                let outcome = before(limit, large.echo(&echo(1, 256 << 10))).await;
                assert!(matches!(outcome, Some(Ok(()))), "{route:?}: {outcome:?}");
                let now = split.back.resident_memory();
                split.telegram.behave_dc(2, |b| b.stop_reading = false);
                now
            };
            let uploading = async {
                for task in tasks {
                    within("an upload", task).await;
                }
            };
            let (now, ()) = executor.run(smol::future::zip(watching, uploading)).await;
            let allowed = before_load + (24 << 20);
            assert!(now < allowed || is_emulated(), "{route:?}: {now}");
            drop((elsewhere, large));
            split.front.cleared().await;
            split.back.cleared().await;
            split.telegram.assert_clean();
        }
    });
}

/// Eight packets of 1 MiB, then their short answers.
async fn upload(mut client: Client) {
    let packet = Command::Swallow.payload_of(1 << 20);
    for _ in 0..8 {
        client.send(&packet).await.unwrap();
    }
    for _ in 0..8 {
        client.recv_packet().await.unwrap();
    }
}
