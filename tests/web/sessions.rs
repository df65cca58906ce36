//! Whole sessions by `ws`.

use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{ProxyOptions, Route, Secured};
use fake_telegram::payload::{Command, echo};
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_front::Kind as Front;
use fake_telegram::web_front::manners::{Cut, Ill, Versions};

use crate::{AT_ONCE, Set, Set0, served, served_within};

/// Echoes of every size class and bulk both ways, by clients of every kind.
pub async fn whole_sessions(proxy: std::net::SocketAddr, dc: i16) {
    let small = (4..=64).step_by(4);
    let sizes = small.chain([500, 504, 508, 512, 16_380, 16_384, 65_532, 100 << 10]);
    let sizes: Vec<usize> = sizes.chain([(1 << 20) - 4, 1 << 20]).collect();
    for kind in Kind::ALL {
        let mut client = kind.options(proxy).dc(dc).connect().await.unwrap();
        for size in &sizes {
            let outcome = within("an echo", client.echo(&echo(*size as u32, *size))).await;
            outcome.unwrap_or_else(|error| panic!("{kind:?}, {size} bytes: {error}"));
        }
        for (total, size) in [(4096, 64), (1 << 20, 100 << 10), (4 << 20, 1 << 20)] {
            let download = within("a download", client.download(total, size)).await;
            download.unwrap_or_else(|error| panic!("{kind:?}, {size} bytes down: {error}"));
        }
        for _ in 0..4 {
            let request = Command::Swallow.payload_of(1 << 20);
            client.send(&request).await.unwrap();
        }
        for _ in 0..4 {
            within("an answer", client.recv_packet()).await.unwrap();
        }
    }
}

#[test]
fn packets_of_every_size_are_one_message_each() {
    run(async {
        let set = Set::start("ws").await;
        whole_sessions(set.proxy.address(), 2).await;
        set.left().await;
        set.assert_clean();
        let tally = set.front.tally();
        assert_eq!(tally.opened, [2; 4]);
        assert!(tally.longest_message > 1 << 20);
        assert_eq!(set.telegram.counters().direct_accepted(), 0);
        // Clients that go are a CLOSE.
        eventually("their CLOSEs", || set.front.tally().closes.len() >= 4).await;
    });
}

#[test]
fn a_front_of_one_tls_alone_will_do() {
    run(async {
        let prepare = |set: &Set0| set.front.behave(|m| m.versions = Versions::Only13);
        let set = Set::start_with("ws", prepare, |o| o).await;
        for _ in 0..3 {
            served_within(&set.proxy, AT_ONCE).await;
        }
        set.assert_clean();
        let tally = set.front.tally();
        assert_eq!(tally.shaken_13, tally.shaken);
        assert!(tally.resumed > 0, "no session is resumed");
    });
    run(async {
        let prepare = |set: &Set0| set.front.behave(|m| m.versions = Versions::Only12);
        let set = Set::start_with("ws", prepare, |o| o).await;
        whole_sessions(set.proxy.address(), 2).await;
        set.left().await;
        set.assert_clean();
        let tally = set.front.tally();
        assert!(tally.shaken > 0);
        assert_eq!(tally.shaken_13, 0);
    });
}

#[test]
fn packets_in_a_row_and_byte_by_byte_stay_what_they_are() {
    run(async {
        let set = Set::start("ws").await;
        for kind in Kind::ALL {
            let (mut client, _) = served(&set.proxy, kind, 2).await;
            let packets: Vec<_> = (1..200).map(|n| echo(n, 8 + 4 * n as usize)).collect();
            for packet in &packets {
                client.send(packet).await.unwrap();
            }
            for packet in &packets {
                let answer = within("an answer", client.recv_packet()).await.unwrap();
                assert!(answer == *packet, "{kind:?}");
            }
            client.send_in_pieces(&echo(3, 520), 1).await.unwrap();
            let answer = within("an answer", client.recv_packet()).await.unwrap();
            assert!(answer == echo(3, 520), "{kind:?}");
            let request = echo(9, 700);
            let quick = client.echo_for_quick_ack(&request);
            assert!(within("an answer", quick).await.unwrap(), "{kind:?}");
        }
        set.assert_clean();
    });
}

#[test]
fn every_dc_is_asked_for_by_its_name() {
    run(async {
        let set = Set::start_with("ws", |_| {}, |o| o.set("--ws-spare", 0)).await;
        let named = [
            (1, "kws1.web.telegram.org"),
            (-2, "kws2-1.web.telegram.org"),
            (3, "kws3.web.telegram.org"),
            (-4, "kws4-1.web.telegram.org"),
            (5, "kws5.web.telegram.org"),
            (203, "kws2.web.telegram.org"),
            (10_002, "kws2.web.telegram.org"),
        ];
        for (dc, host) in named {
            served(&set.proxy, Kind::Intermediate, dc).await;
            let tally = set.front.tally();
            let visit = tally.visits.last().unwrap();
            assert_eq!((visit.host.as_str(), visit.name.as_str()), (host, host));
            let (path, field) = match dc {
                10_002 => ("/apiws_test", 2),
                dc => ("/apiws", dc),
            };
            assert_eq!(visit.path, path);
            assert_eq!(tally.opened.last(), Some(&field));
        }
        // None of them has pushed out what another left for the next time.
        let resumed = set.front.tally().resumed;
        for (dc, _) in named {
            served(&set.proxy, Kind::Intermediate, dc).await;
        }
        assert_eq!(set.front.tally().resumed - resumed, named.len() as u64);
        set.assert_clean();
    });
}

#[test]
fn the_other_name_is_tried_where_one_is_redirected() {
    run(async {
        let prepare = |set: &Set0| {
            set.front
                .behave(|m| m.redirected = vec!["kws2.web.telegram.org".to_owned()]);
        };
        let set = Set::start_with("ws", prepare, |o| o.set("--ws-spare", 0)).await;
        served_within(&set.proxy, Duration::from_secs(5)).await;
        served_within(&set.proxy, Duration::from_secs(5)).await;
        let visits = set.front.tally().visits;
        let last = visits.last().unwrap();
        assert_eq!(last.host, "kws2-1.web.telegram.org");
        set.assert_clean();
    });
}

#[test]
fn a_filter_of_names_is_passed_by_another_name() {
    for ill in [Ill::Reset, Ill::End, Ill::Silent] {
        run(async {
            let prepare = |set: &Set0| {
                set.front.behave(|m| {
                    m.filter = Some((".web.telegram.org".to_owned(), ill));
                    m.fronting = Some("api.telegram.org".to_owned());
                });
            };
            let sni = |o: ProxyOptions| o.set("--ws-sni", "api.telegram.org");
            let set = Set::start_with("ws", prepare, sni).await;
            let limit = Duration::from_secs(12);
            served_within(&set.proxy, limit).await;
            // What was found out is kept.
            served_within(&set.proxy, AT_ONCE).await;
            let tally = set.front.tally();
            let visit = tally.visits.last().unwrap();
            assert_eq!(visit.name, "api.telegram.org");
            assert_eq!(visit.host, "kws2.web.telegram.org");
            set.assert_clean();
        });
    }
}

#[test]
fn a_back_reaches_telegram_by_ws_too() {
    run(async {
        let set = Set0::new(Front::Telegram);
        set.front.behave(|m| {
            m.frames.cut = Cut::Fragments {
                size: 900,
                count: 3,
            };
            m.frames.pings = true;
        });
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &set.telegram, &secured)
            .set("--route", "ws")
            .web_front(&set.front)
            .start()
            .await;
        let backs = [back.address()];
        let front = ProxyOptions::front(
            built_binary!(),
            &set.telegram,
            Route::Direct,
            &secured,
            &backs,
        );
        let front = front.start().await;
        front.linked(1).await;
        whole_sessions(front.address(), 2).await;
        front.cleared().await;
        set.telegram.assert_clean();
        assert_eq!(set.front.tally().opened.len(), 4);
        assert_eq!(set.telegram.counters().direct_accepted(), 0);
    });
}
