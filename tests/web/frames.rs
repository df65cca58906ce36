//! What a web front may make of a DC's bytes, and what it may not.

use std::time::Duration;

use fake_telegram::client::Kind;
use fake_telegram::harness::ProxyOptions;
use fake_telegram::payload::{Command, echo};
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_front::frame;
use fake_telegram::web_front::manners::{Cut, Frames, Width};

use crate::{Set, refused, served};

/// A connection keeps the manners that there were when it came.
fn no_spare(options: ProxyOptions) -> ProxyOptions {
    options.set("--ws-spare", 0)
}

#[test]
fn frames_of_any_cut_are_read() {
    run(async {
        let set = Set::start_with("ws", |_| {}, no_spare).await;
        for cut in [
            Cut::UpTo(1 << 20),
            Cut::UpTo(100),
            Cut::Fragments { size: 50, count: 3 },
            Cut::Fragments {
                size: 7000,
                count: 0,
            },
            Cut::Exactly(100),
            Cut::Exactly(1 << 20),
            Cut::Exactly(16 << 20),
        ] {
            for (pings, empties, width) in [
                (false, false, Width::Minimal),
                (true, true, Width::Minimal),
                (true, false, Width::Minimal),
            ] {
                set.front.behave(|m| {
                    m.frames = Frames {
                        cut,
                        pings,
                        empties,
                        width,
                        ..Frames::default()
                    }
                });
                for kind in Kind::ALL {
                    let (mut client, _) = served(&set.proxy, kind, 2).await;
                    for size in [8, 508, 70_000] {
                        let outcome = within("an echo", client.echo(&echo(1, size))).await;
                        outcome.unwrap_or_else(|error| panic!("{kind:?} {cut:?}: {error}"));
                    }
                    let download = client.download(200 << 10, 50 << 10);
                    within("a download", download).await.unwrap();
                }
            }
        }
        set.left().await;
        set.assert_clean();
        let tally = set.front.tally();
        assert!(tally.pings > 1000 && tally.pongs > 0);
    });
}

#[test]
fn frames_come_with_the_101_and_in_pieces() {
    run(async {
        let prepare = |set: &crate::Set0| {
            set.front.behave(|m| {
                m.behind_head = [frame(10, b"early"), frame(2, b"")].concat();
                m.pace = Some((7, Duration::from_micros(100)));
            });
        };
        let set = Set::start_with("ws", prepare, no_spare).await;
        for kind in Kind::ALL {
            served(&set.proxy, kind, 2).await;
        }
        set.assert_clean();
    });
}

#[test]
fn idle_clients_answer_pings() {
    run(async {
        let set = Set::start("ws").await;
        let mut idle = Vec::new();
        for kind in Kind::ALL {
            idle.push(served(&set.proxy, kind, 2).await.0);
        }
        for payload in [&b""[..], b"x", &[7; 125]] {
            let before = set.front.tally();
            let asked = set.front.ping(payload) as u64;
            assert!(asked >= 4);
            let answered = || set.front.tally().pongs >= before.pongs + 4;
            eventually("pongs", answered).await;
        }
        for client in &mut idle {
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        }
        set.assert_clean();
    });
}

#[test]
fn a_close_of_the_front_is_the_clients_end() {
    run(async {
        let set = Set::start_with("ws", |_| {}, no_spare).await;
        for (code, text) in [(1000, "404"), (4096, ""), (1001, "going away")] {
            let (mut client, _) = served(&set.proxy, Kind::FakeTls, 2).await;
            assert!(set.front.close(code, text) >= 1);
            let units = within("a close", client.until_closed()).await.unwrap();
            assert_eq!(units, []);
            let heard = || set.front.tally().close_echoes.contains(&code);
            eventually("the answer to CLOSE", heard).await;
        }
        let told = || set.proxy.log_contains("404");
        eventually("the text in the log", told).await;
        // The DC's own end has no text.
        let (mut client, _) = served(&set.proxy, Kind::Padded, 2).await;
        client.send(&Command::EchoAndClose.payload()).await.unwrap();
        let units = within("a close", client.until_closed()).await.unwrap();
        assert_eq!(units.len(), 1);
        set.assert_clean();
    });
}

#[test]
fn the_end_of_a_client_is_a_close() {
    run(async {
        let set = Set::start_with("ws", |_| {}, no_spare).await;
        for kind in Kind::ALL {
            drop(served(&set.proxy, kind, 2).await);
        }
        eventually("their CLOSEs", || set.front.tally().closes == [1000; 4]).await;
        eventually("their ends", || set.front.tally().live == 0).await;
        set.assert_clean();
    });
}

/// What is no WebSocket ends the client's connection, and the next one is served.
#[test]
fn bad_frames_end_the_connection() {
    run(async {
        let set = Set::start_with("ws", |_| {}, no_spare).await;
        let bad: [fn(&mut Frames); 4] = [
            |frames| frames.masked = true,
            |frames| frames.reserved = 4,
            |frames| frames.opcode = 7,
            |frames| frames.cut = Cut::Exactly((16 << 20) + 1),
        ];
        for spoil in bad {
            set.front.behave(|m| {
                m.frames = Frames::default();
                spoil(&mut m.frames);
            });
            refused(&set.proxy).await;
            set.front.behave(|m| m.frames = Frames::default());
            served(&set.proxy, Kind::Padded, 2).await;
        }
        for bytes in [
            // A ping that is too long, one in fragments, a continuation of nothing.
            [&[0x89, 126, 0, 126][..], &[0; 126]].concat(),
            vec![0x09, 1, 7],
            vec![0x80, 1, 7],
            vec![0x8b, 0],
        ] {
            let (mut client, _) = served(&set.proxy, Kind::Padded, 2).await;
            assert_eq!(set.front.send(&bytes), 1, "{bytes:02x?}");
            within("a close", client.until_closed()).await.unwrap();
            drop(client);
            eventually("its end", || set.front.tally().live == 0).await;
        }
        set.assert_clean();
    });
}
