//! One client at a time: every transport over both routes, every size, every
//! DC id, against the built binary.

use fake_telegram::built_binary;
use fake_telegram::client::{Kind, is_close};
use fake_telegram::harness::{self, Route};
use fake_telegram::payload::{self, Command, echo};
use fake_telegram::telegram::Options;
use fake_telegram::wait::{eventually, run, within};

const TAG: [u8; 16] = [0xab; 16];

fn tagged() -> Options {
    Options {
        tag: Some(TAG),
        ..Options::default()
    }
}

async fn packets_of_every_size(route: Route) {
    let (telegram, proxy) = harness::start_with(built_binary!(), route, tagged(), |o| o).await;
    let small = (4..=64).step_by(4);
    let sizes = small.chain([500, 504, 508, 512, 1000, 16_380, 16_384, 65_532]);
    let sizes: Vec<usize> = sizes.chain([100 << 10, (1 << 20) - 4, 1 << 20]).collect();
    for kind in Kind::ALL {
        let mut client = proxy.client(kind).connect().await.unwrap();
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
    eventually("the sessions' ends", || {
        telegram.sessions().is_empty() && telegram.counters().direct_live() == 0
    })
    .await;
    telegram.assert_clean();
    proxy.stop().await;
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
fn quick_acks_reach_the_client() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                harness::start_with(built_binary!(), route, tagged(), |o| o).await;
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                for size in [64, 700, 100 << 10] {
                    let request = echo(9, size);
                    let exchange = client.echo_for_quick_ack(&request);
                    let is_acknowledged = within("an answer", exchange).await.unwrap();
                    // In records one waits for the answer, but not for long.
                    let may_lack = kind == Kind::FakeTls && route == Route::Middle;
                    assert!(is_acknowledged || may_lack, "{kind:?}, {size} bytes");
                }
            }
            assert_eq!(telegram.counters().quick_acks(), 12);
            telegram.assert_clean();
        }
    });
}

#[test]
fn packets_sent_in_a_row_are_answered_in_order() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                harness::start_with(built_binary!(), route, tagged(), |o| o).await;
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                let packets: Vec<_> = (1..200).map(|n| echo(n, 8 + 4 * n as usize)).collect();
                for packet in &packets {
                    client.send(packet).await.unwrap();
                }
                for packet in &packets {
                    let answer = within("an answer", client.recv_packet()).await.unwrap();
                    assert!(answer == *packet, "{kind:?} over {route:?}");
                }
            }
            telegram.assert_clean();
        }
    });
}

#[test]
fn bytes_may_come_one_by_one() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                harness::start_with(built_binary!(), route, tagged(), |o| o).await;
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                let request = echo(3, 520);
                within("the sending", client.send_in_pieces(&request, 1))
                    .await
                    .unwrap();
                let answer = within("an answer", client.recv_packet()).await.unwrap();
                assert!(answer == request, "{kind:?} over {route:?}");
            }
            telegram.assert_clean();
        }
    });
}

#[test]
fn middle_mode_knows_its_dcs() {
    run(async {
        let (telegram, proxy) =
            harness::start_with(built_binary!(), Route::Middle, tagged(), |o| o).await;
        for (asked, served) in [(1, 1), (-2, -2), (5, 5), (-4, -4), (203, 203), (77, 2)] {
            let options = proxy.client(Kind::Padded).dc(asked);
            let mut client = options.connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            let session = telegram.session_of(client.local_addr()).unwrap();
            assert_eq!(session.dc, served, "for DC {asked}");
            assert_eq!(session.tag, Some(TAG));
            assert_ne!(session.our.port(), 0);
        }
        telegram.assert_clean();
    });
}

#[test]
fn direct_mode_knows_its_dcs() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Direct, |o| o).await;
        for (asked, served) in [(1, 1), (-2, 2), (5, 5), (203, 203), (10_002, 10_002)] {
            let options = proxy.client(Kind::Intermediate).dc(asked);
            let mut client = options.connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            let connections = telegram.direct_connections();
            let mut dcs = connections.iter().map(|one| (one.dc, one.listener));
            assert!(dcs.any(|dcs| dcs == (asked, served)), "{connections:?}");
        }
        let mut lost = proxy.client(Kind::Padded).dc(77).connect().await.unwrap();
        lost.send(&echo(1, 64)).await.unwrap();
        let units = within("a close", lost.until_closed()).await.unwrap();
        assert_eq!(units, []);
        telegram.assert_clean();
    });
}

#[test]
fn without_a_tag_none_is_sent() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, |o| o).await;
        let mut client = proxy.client(Kind::Abridged).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        let session = telegram.session_of(client.local_addr()).unwrap();
        assert_eq!(session.tag, None);
        telegram.assert_clean();
    });
}

#[test]
fn hellos_may_come_in_any_pieces() {
    run(async {
        let (telegram, proxy) =
            harness::start_with(built_binary!(), Route::Middle, tagged(), |o| o).await;
        for (records, segment, post_quantum) in [
            (1, Some(1), true),
            (1, Some(517), true),
            (1, None, false),
            (2, None, true),
            (5, Some(100), true),
            (usize::MAX, None, true),
        ] {
            let options = proxy.client(Kind::FakeTls).hello(|hello| {
                hello.records = records;
                hello.segment = segment;
                hello.post_quantum = post_quantum;
            });
            let connecting = within("a handshake", options.connect()).await;
            let mut client = connecting.unwrap_or_else(|error| {
                panic!("{records} records, segments of {segment:?}: {error}")
            });
            within("an echo", client.echo(&echo(1, 2000)))
                .await
                .unwrap();
        }
        telegram.assert_clean();
    });
}

#[test]
fn the_middle_handshake_takes_what_telegram_may_choose() {
    run(async {
        let options = Options {
            ipv6: true,
            ..tagged()
        };
        let (telegram, proxy) =
            harness::start_with(built_binary!(), Route::Middle, options, |o| o).await;
        telegram.behave_dc(1, |b| b.refuse_crc32c = true);
        telegram.behave_dc(3, |b| b.pad_nonce = true);
        for (dc, crc32c) in [(1, false), (2, true), (3, true)] {
            let mut client = proxy.client(Kind::Padded).dc(dc).connect().await.unwrap();
            for size in [64, 1 << 20] {
                within("an echo", client.echo(&echo(1, size)))
                    .await
                    .unwrap();
            }
            let session = telegram.session_of(client.local_addr()).unwrap();
            let connections = telegram.connections();
            let mut its = connections
                .iter()
                .filter(|one| one.number == session.connection);
            assert_eq!(its.next().unwrap().crc32c, crc32c, "DC {dc}");
        }
        telegram.assert_clean();
    });
}

/// What TDLib and Telethon check first.
#[test]
fn unencrypted_messages_are_answered() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                harness::start_with(built_binary!(), route, tagged(), |o| o).await;
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                client.send(&payload::req_pq_multi([7; 16])).await.unwrap();
                let answer = within("an answer", client.recv_packet()).await.unwrap();
                assert_eq!(
                    (answer.len(), &answer[24..40]),
                    (84, &[7; 16][..]),
                    "{kind:?}"
                );
            }
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_packet_over_the_limit_ends_the_connection() {
    run(async {
        let (telegram, proxy) =
            harness::start_with(built_binary!(), Route::Middle, tagged(), |o| o).await;
        for kind in Kind::ALL {
            let mut client = proxy.client(kind).connect().await.unwrap();
            // The whole packet may not get through before the close.
            match client.send(&echo(1, (1 << 20) + 64)).await {
                Err(error) if !is_close(&error) => panic!("{error}"),
                _ => {}
            }
            let units = within("a close", client.until_closed()).await.unwrap();
            assert_eq!(units, [], "{kind:?}");
        }
        assert_eq!(telegram.counters().requests(), 0);
        assert_eq!(
            proxy.counted("closed_total", "reason=\"packet_too_long\""),
            4
        );
        telegram.assert_clean();
    });
}

#[test]
fn the_end_of_a_session_reaches_the_other_side() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                harness::start_with(built_binary!(), route, tagged(), |o| o).await;
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                client.send(&Command::EchoAndClose.payload()).await.unwrap();
                let units = within("a close", client.until_closed()).await.unwrap();
                assert_eq!(units.len(), 1, "{kind:?} over {route:?}");

                let mut client = proxy.client(kind).connect().await.unwrap();
                within("an echo", client.echo(&echo(1, 64))).await.unwrap();
                drop(client);
                eventually("the session's end", || {
                    telegram.sessions().is_empty() && telegram.counters().direct_live() == 0
                })
                .await;
            }
            telegram.assert_clean();
        }
    });
}
