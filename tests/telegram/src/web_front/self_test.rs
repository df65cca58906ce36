//! The web front against a client of a few lines.

use std::time::Duration;

use super::manners::{Answer, Certificate, Cut, Frames, Ill, Manners, Step, Versions, Width};
use super::test_client::{HOST, Session, TestClient, config, request};
use super::{Kind, Options, WebFront, close_payload, frame};
use crate::obfuscated;
use crate::payload::{self, Command};
use crate::telegram::{self, FakeTelegram};
use crate::transport::Transport;
use crate::wait::eventually;

fn start(kind: Kind) -> (FakeTelegram, WebFront) {
    let telegram = FakeTelegram::start(telegram::Options::default()).unwrap();
    let front = WebFront::start(&telegram, Options::new(kind)).unwrap();
    (telegram, front)
}

fn wait(what: &str, condition: impl FnMut() -> bool) {
    smol::block_on(eventually(what, condition));
}

fn cuts() -> Vec<Frames> {
    let cuts = [
        Cut::UpTo(64 << 10),
        Cut::UpTo(100),
        Cut::Fragments { size: 50, count: 3 },
        Cut::Fragments {
            size: 7000,
            count: 0,
        },
        Cut::Exactly(100),
        Cut::Exactly(1 << 20),
        Cut::Exactly(16 << 20),
    ];
    let mut all = Vec::new();
    for cut in cuts {
        for (pings, empties, width) in [
            (false, false, Width::Minimal),
            (true, false, Width::Two),
            (true, true, Width::Eight),
        ] {
            all.push(Frames {
                cut,
                pings,
                empties,
                width,
                ..Frames::default()
            });
        }
    }
    all
}

#[test]
fn whole_sessions_go_through_however_frames_are_cut() {
    let (telegram, front) = start(Kind::Telegram);
    for frames in cuts() {
        front.behave(|manners| manners.frames = frames.clone());
        for transport in Transport::ALL {
            let client = TestClient::upgraded(&front, HOST, "/apiws");
            let mut session = Session::over(client, transport, 2);
            session.send(&payload::req_pq_multi([3; 16]));
            assert_eq!(session.recv().unwrap().len(), 84);
            for length in [8, 64, 508, 70_000] {
                session.echo(&payload::echo(1, length));
            }
            let (total, size) = (100 << 10, 30 << 10);
            session.send(&Command::SendMe { total, size }.payload());
            for index in 0..total.div_ceil(size) {
                let expected = payload::streamed(index, size as usize);
                assert!(session.recv() == Some(expected), "{frames:?}");
            }
        }
    }
    wait("the ends", || front.tally().live == 0);
    telegram.assert_clean();
    let tally = front.tally();
    assert_eq!(tally.upgraded, 3 * cuts().len() as u64);
    assert!(tally.pings > 1000 && tally.pongs > 0);
    assert_eq!(telegram.counters().direct_accepted(), 0);
}

#[test]
fn a_packet_of_a_mebibyte_is_one_message() {
    let (telegram, front) = start(Kind::Telegram);
    for transport in Transport::ALL {
        let client = TestClient::upgraded(&front, HOST, "/apiws");
        let mut session = Session::over(client, transport, -2);
        session.echo(&payload::echo(1, 1 << 20));
    }
    telegram.assert_clean();
    assert!(front.tally().longest_message > 1 << 20);
}

#[test]
fn every_dc_is_at_its_name() {
    let (telegram, front) = start(Kind::Telegram);
    for (host, path, field) in [
        ("kws1.web.telegram.org", "/apiws", 1),
        ("kws5-1.web.telegram.org", "/apiws", -5),
        (HOST, "/apiws", 203),
        (HOST, "/apiws_test", 2),
    ] {
        let client = TestClient::upgraded(&front, host, path);
        Session::over(client, Transport::Padded, field).echo(&payload::echo(1, 64));
    }
    telegram.assert_clean();
    assert_eq!(front.tally().opened, [1, -5, 203, 2]);
    let client = TestClient::upgraded(&front, HOST, "/apiws");
    let mut session = Session::over(client, Transport::Padded, 3);
    assert_eq!(session.recv(), None);
    wait("a violation", || !telegram.violations().is_empty());
    let violations = telegram.violations();
    assert!(
        violations[0].contains("a stream for DC 3"),
        "{violations:?}"
    );
}

/// What the violation's text contains, and how to commit it.
type Case<'a> = (&'a str, &'a dyn Fn(&WebFront) -> TestClient);

fn after_101(front: &WebFront, act: impl FnOnce(&mut TestClient)) -> TestClient {
    let mut client = TestClient::upgraded(front, HOST, "/apiws");
    act(&mut client);
    client
}

fn after_header(front: &WebFront, act: impl FnOnce(&mut Session)) -> TestClient {
    let client = TestClient::upgraded(front, HOST, "/apiws");
    let mut session = Session::over(client, Transport::Intermediate, 2);
    act(&mut session);
    session.client
}

fn asking(front: &WebFront, name: &str, request: &str) -> TestClient {
    let mut client = TestClient::connect(front, name).unwrap();
    client.write(request.as_bytes());
    client
}

#[test]
fn every_violation_is_noted_and_ends_the_connection() {
    let packet = |session: &mut Session| {
        let payload = payload::echo(1, 64);
        session.codec.packet(&payload, false, &[])
    };
    let cases: [Case; 19] = [
        ("a ping", &|front| {
            after_header(front, |s| s.client.send(0x89, b""))
        }),
        ("a first message of 65", &|front| {
            after_101(front, |client| client.send(0x82, &[7; 65]))
        }),
        ("those of HTTP", &|front| {
            after_101(front, |client| {
                let mut header = [1; 64];
                header[..4].copy_from_slice(b"GET ");
                client.send(0x82, &header);
            })
        }),
        ("of a packet in a message", &|front| {
            after_header(front, |s| {
                let packet = packet(s);
                s.client.send(0x82, &packet[..60]);
            })
        }),
        ("a message of 136 bytes for a packet of 68", &|front| {
            after_header(front, |s| {
                let both = [packet(s), packet(s)].concat();
                s.client.send(0x82, &both);
            })
        }),
        ("fragments", &|front| {
            after_header(front, |s| {
                let packet = packet(s);
                s.client.send(0x02, &packet[..60]);
                s.client.send(0x80, &packet[60..]);
            })
        }),
        ("opcode 1", &|front| {
            after_header(front, |s| s.client.send(0x81, b"text"))
        }),
        ("reserved bits", &|front| {
            after_header(front, |s| s.client.send(0xc2, b"packed"))
        }),
        ("without a mask", &|front| {
            after_header(front, |s| s.client.write(&frame(2, b"bare")))
        }),
        ("not asked for", &|front| {
            after_header(front, |s| s.client.send(0x8a, b"pong"))
        }),
        ("a CLOSE of 0", &|front| {
            after_header(front, |s| s.client.send(0x88, b""))
        }),
        ("CLOSE 1001", &|front| {
            after_header(front, |s| s.client.send(0x88, &close_payload(1001, "")))
        }),
        ("bytes behind a CLOSE", &|front| {
            after_header(front, |s| {
                s.client.send(0x88, &close_payload(1000, ""));
                s.client.send(0x82, b"more");
            })
        }),
        ("a message of 2097152", &|front| {
            after_header(front, |s| {
                let head = super::header(2, true, 2 << 20, Width::Minimal);
                s.client
                    .write(&[&[head[0], head[1] | 0x80], &head[2..], &[0; 4]].concat());
            })
        }),
        ("before the 101", &|front| {
            let both = request(HOST, "/apiws") + "header";
            asking(front, HOST, &both)
        }),
        ("the path", &|front| {
            asking(front, HOST, &request(HOST, "/api"))
        }),
        ("sub-protocol", &|front| {
            let asked = request(HOST, "/apiws");
            asking(
                front,
                HOST,
                &asked.replace("Sec-WebSocket-Protocol: binary\r\n", ""),
            )
        }),
        ("for the Host", &|front| {
            asking(front, HOST, &request("kws3.web.telegram.org", "/apiws"))
        }),
        ("the fields", &|front| {
            let asked = request(HOST, "/apiws");
            asking(
                front,
                HOST,
                &asked.replacen("\r\n\r\n", "\r\nOrigin: x\r\n\r\n", 1),
            )
        }),
    ];
    for (expected, misbehave) in cases {
        let (telegram, front) = start(Kind::Telegram);
        let mut client = misbehave(&front);
        wait(expected, || !telegram.violations().is_empty());
        let violations = telegram.violations();
        assert!(
            violations[0].contains(expected),
            "{expected}: {violations:?}"
        );
        while client.recv().is_some() {}
        drop(client);
        wait("the end", || front.tally().live == 0);
        assert_eq!(telegram.violations().len(), 1);
    }
}

#[test]
fn bytes_in_the_pause_before_the_101_are_a_violation() {
    let (telegram, front) = start(Kind::Telegram);
    front.behave(|manners| manners.ponder = Duration::from_millis(200));
    drop(TestClient::upgraded(&front, HOST, "/apiws"));
    telegram.assert_clean();
    let mut client = asking(&front, HOST, &request(HOST, "/apiws"));
    client.write(b"x");
    assert_eq!(client.head(), None);
    wait("a violation", || telegram.violations().len() == 1);
}

#[test]
fn only_a_good_certificate_is_accepted() {
    for (certificate, name, is_good) in [
        (Certificate::Good, HOST, true),
        (Certificate::Good, "api.telegram.org", true),
        (Certificate::Good, "site.example", false),
        (Certificate::WrongName, HOST, false),
        (Certificate::Expired, HOST, false),
        (Certificate::Stranger, HOST, false),
    ] {
        for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
            let (telegram, front) = start(Kind::Telegram);
            front.behave(|manners| {
                manners.certificate = certificate;
                manners.versions = versions;
            });
            let shaken = TestClient::connect(&front, name);
            assert_eq!(shaken.is_ok(), is_good, "{certificate:?} {name}");
            if is_good {
                wait("the handshake", || front.tally().shaken == 1);
                let is_13 = versions != Versions::Only12;
                assert_eq!(front.tally().shaken_13 == 1, is_13);
            }
            assert_eq!(front.tally().names, [name]);
            drop(shaken);
            telegram.assert_clean();
        }
    }
}

#[test]
fn a_second_connection_resumes_the_first_ones_session() {
    let (telegram, front) = start(Kind::Telegram);
    let config = config(&front.options().authority);
    for _ in 0..2 {
        let mut client = TestClient::connect_with(&front, HOST, config.clone()).unwrap();
        client.write(request(HOST, "/apiws").as_bytes());
        client.head().unwrap();
    }
    wait("both", || front.tally().shaken == 2);
    assert_eq!(front.tally().resumed, 1);
    telegram.assert_clean();
}

/// How far a client came.
fn progress(front: &WebFront) -> (usize, &'static str) {
    let Ok(mut client) = TestClient::connect(front, HOST) else {
        return (0, "unshaken");
    };
    client.write(request(HOST, "/apiws").as_bytes());
    if client.head().is_none() {
        return (1, "unanswered");
    }
    let mut session = Session::over(client, Transport::Abridged, 2);
    session.send(&payload::echo(1, 640));
    match session.recv() {
        None => (2, "unserved"),
        Some(_) => (3, "served"),
    }
}

#[test]
fn a_connection_ends_at_every_step() {
    let (telegram, front) = start(Kind::Telegram);
    for (step, reached) in [
        (Step::Accepted, 0),
        (Step::Hello, 0),
        (Step::Shaken, 1),
        (Step::Requested, 1),
        (Step::MidAnswer, 1),
        (Step::Upgraded, 2),
        (Step::Opened, 2),
        (Step::MidFrame, 2),
    ] {
        for ill in [Ill::Reset, Ill::End] {
            front.behave(|manners| manners.ill = Some((step, ill)));
            assert_eq!(progress(&front).0, reached, "{step:?} {ill:?}");
        }
        front.behave(|manners| manners.ill = Some((step, Ill::Silent)));
        // Nothing comes, and nothing ends, until the client has had enough.
        let silent = TestClient::connect_silent(&front, HOST, Duration::from_millis(300));
        assert_eq!(silent, Some(reached), "{step:?} silent");
    }
    front.behave(|manners| *manners = Manners::default());
    assert_eq!(progress(&front).1, "served");
    front.refuse(true);
    assert_eq!(progress(&front).1, "unshaken");
    front.refuse(false);
    assert_eq!(progress(&front).1, "served");
    wait("the ends", || front.tally().live == 0);
    telegram.assert_clean();
}

#[test]
fn a_filter_knows_names() {
    let (telegram, front) = start(Kind::Telegram);
    front.behave(|manners| {
        manners.filter = Some((".web.telegram.org".to_owned(), Ill::Reset));
        manners.fronting = Some("api.telegram.org".to_owned());
    });
    assert!(TestClient::connect(&front, HOST).is_err());
    let mut client = TestClient::connect(&front, "api.telegram.org").unwrap();
    client.write(request(HOST, "/apiws").as_bytes());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    Session::over(client, Transport::Padded, 2).echo(&payload::echo(1, 64));
    telegram.assert_clean();
    let visits = front.tally().visits;
    assert_eq!(
        (visits[0].name.as_str(), visits[0].host.as_str()),
        ("api.telegram.org", HOST)
    );
}

#[test]
fn requests_are_answered_as_told() {
    let (telegram, front) = start(Kind::Telegram);
    front.behave(|manners| manners.redirected = vec![HOST.to_owned()]);
    let asked = |host: &str| {
        let mut client = asking(&front, host, &request(host, "/apiws"));
        client.head()
    };
    let redirect = asked(HOST).unwrap();
    assert!(redirect.starts_with("HTTP/1.1 302 "), "{redirect}");
    assert!(redirect.contains("\r\nLocation: https://core.telegram.org/\r\n"));
    assert!(
        asked("kws2-1.web.telegram.org")
            .unwrap()
            .starts_with("HTTP/1.1 101 ")
    );
    front.behave(|manners| manners.redirected.clear());
    let proof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    for (answer, start, is_proven, tells) in [
        (Answer::Upgrade, Some("101"), true, true),
        (Answer::NoProtocol, Some("101"), true, false),
        (Answer::WrongAccept, Some("101"), false, true),
        (Answer::NoAccept, Some("101"), false, true),
        (Answer::Status(503), Some("503"), false, false),
    ] {
        front.behave(|manners| manners.answer = answer.clone());
        let head = asked(HOST).unwrap();
        assert_eq!(head.get(9..12), start, "{answer:?}");
        assert_eq!(head.contains(proof), is_proven, "{answer:?}");
        assert_eq!(head.contains("Protocol: binary"), tells, "{answer:?}");
    }
    telegram.assert_clean();
    front.behave(|manners| manners.answer = Answer::WrongAccept);
    let mut client = asking(&front, HOST, &request(HOST, "/apiws"));
    client.head().unwrap();
    client.send(0x82, &[1; 64]);
    assert_eq!(client.recv(), None);
    wait("a violation", || telegram.violations().len() == 1);
}

#[test]
fn frames_may_come_with_the_101_and_slowly() {
    let (telegram, front) = start(Kind::Telegram);
    front.behave(|manners| {
        manners.behind_head = [frame(10, b"early"), frame(2, b"")].concat();
        manners.pace = Some((7, Duration::from_micros(100)));
    });
    let mut client = TestClient::upgraded(&front, HOST, "/apiws");
    assert_eq!(client.recv(), Some((0x8a, b"early".to_vec())));
    assert_eq!(client.recv(), Some((0x82, Vec::new())));
    Session::over(client, Transport::Padded, 2).echo(&payload::echo(1, 640));
    telegram.assert_clean();
}

#[test]
fn pings_and_closes_are_sent_and_their_answers_checked() {
    let (telegram, front) = start(Kind::Telegram);
    let mut client = TestClient::upgraded(&front, HOST, "/apiws");
    assert_eq!(front.ping(b"are you there"), 1);
    assert_eq!(client.recv(), Some((0x89, b"are you there".to_vec())));
    client.send(0x8a, b"are you there");
    wait("the pong", || front.tally().pongs == 1);
    drop(client);
    wait("the end", || front.tally().live == 0);
    for (code, text) in [(1000, "404"), (4096, ""), (1001, "away")] {
        let mut client = TestClient::upgraded(&front, HOST, "/apiws");
        assert_eq!(front.close(code, text), 1);
        assert_eq!(client.recv(), Some((0x88, close_payload(code, text))));
        client.send(0x88, &close_payload(code, ""));
        assert_eq!(client.recv(), None);
        drop(client);
        wait("the end", || front.tally().live == 0);
    }
    let all_heard = || front.tally().close_echoes == [1000, 4096, 1001];
    wait("the answers", all_heard);
    telegram.assert_clean();
    let spare = TestClient::upgraded(&front, HOST, "/apiws");
    assert_eq!(front.close(1000, ""), 1);
    drop(spare);
    wait("the end", || front.tally().live == 0);
    telegram.assert_clean();
    let mut silent = TestClient::upgraded(&front, HOST, "/apiws");
    let (header, _) = obfuscated::initiate(Transport::Padded, 2, None);
    silent.send(0x82, &header);
    wait("the header", || front.tally().messages == 1);
    assert_eq!(front.close(1000, "404"), 1);
    wait("a violation", || telegram.violations().len() == 1);
    drop(silent);
    let mut client = TestClient::upgraded(&front, HOST, "/apiws");
    client.send(0x88, &close_payload(1000, ""));
    assert_eq!(client.last(), Some((0x88, close_payload(1000, ""))));
    wait("the close", || front.tally().closes == [1000]);
    assert_eq!(telegram.violations().len(), 1);
}

#[test]
fn a_dcs_end_is_a_close() {
    let (telegram, front) = start(Kind::Telegram);
    let client = TestClient::upgraded(&front, HOST, "/apiws");
    let mut session = Session::over(client, Transport::Padded, 2);
    session.send(&Command::EchoAndClose.payload());
    assert!(session.recv().is_some());
    assert_eq!(session.recv(), None);
    session.client.send(0x88, &close_payload(1000, ""));
    wait("the answer", || front.tally().close_echoes == [1000]);
    telegram.assert_clean();
}

#[test]
fn what_frames_should_not_have_they_have() {
    let (telegram, front) = start(Kind::Telegram);
    let first = |change: &dyn Fn(&mut Frames)| {
        front.behave(|manners| {
            manners.frames = Frames::default();
            change(&mut manners.frames);
        });
        let client = TestClient::upgraded(&front, HOST, "/apiws");
        let mut session = Session::over(client, Transport::Intermediate, 2);
        session.send(&payload::echo(1, 64));
        session.client.take_raw(4)
    };
    assert_eq!(first(&|_| {})[..2], [0x82, 68]);
    assert_eq!(first(&|frames| frames.opcode = 1)[..2], [0x81, 68]);
    assert_eq!(first(&|frames| frames.opcode = 7)[..2], [0x87, 68]);
    assert_eq!(first(&|frames| frames.reserved = 4)[..2], [0xc2, 68]);
    assert_eq!(
        first(&|frames| frames.masked = true)[..2],
        [0x82, 68 | 0x80]
    );
    assert_eq!(
        first(&|frames| frames.width = Width::Two),
        [0x82, 126, 0, 68]
    );
    let long = Cut::Exactly((16 << 20) + 1);
    assert_eq!(first(&|frames| frames.cut = long)[..2], [0x82, 127]);
    telegram.assert_clean();
}

#[test]
fn a_zone_is_the_same_at_other_names() {
    let kind = Kind::Zone("t{dc}.zone.example".to_owned());
    let (telegram, front) = start(kind);
    for (host, field) in [("t2.zone.example", -2), ("t203.zone.example", 203)] {
        let client = TestClient::upgraded(&front, host, "/apiws");
        Session::over(client, Transport::Padded, field).echo(&payload::echo(1, 64));
    }
    for status in [429, 503, 522] {
        front.behave(|manners| manners.answer = Answer::Status(status));
        let asked = request("t2.zone.example", "/apiws");
        let head = asking(&front, "t2.zone.example", &asked).head().unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    telegram.assert_clean();
    assert!(TestClient::connect(&front, HOST).is_err());
}

#[test]
fn a_worker_is_a_tunnel_of_bytes() {
    let kind = Kind::Worker {
        host: "w.example".to_owned(),
        key: Some("k".to_owned()),
    };
    let (telegram, front) = start(kind);
    let path = "/apiws?dst=127.0.0.1&dc=2&key=k";
    let bare = request("w.example", path).replace("Sec-WebSocket-Protocol: binary\r\n", "");
    let mut client = asking(&front, "w.example", &bare);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    // Any cut will do.
    let (header, streams) = obfuscated::initiate(Transport::Padded, 2, None);
    let mut codec = crate::client::Codec::over(Transport::Padded, streams);
    let packet = codec.packet(&payload::echo(1, 64), false, &[]);
    let bytes = [&header[..], &packet].concat();
    for part in bytes.chunks(50) {
        client.send(0x82, part);
    }
    let (first, answer) = client.recv().unwrap();
    assert_eq!(first, 0x82);
    codec.push(&answer).unwrap();
    assert!(codec.next_unit().unwrap().is_some());
    telegram.assert_clean();
    // Who has another key is told so.
    let head = asking(
        &front,
        "w.example",
        &request("w.example", "/apiws?dst=127.0.0.1&dc=2"),
    )
    .head();
    assert!(head.unwrap().starts_with("HTTP/1.1 403 "));
    telegram.assert_clean();
    // A message of a mebibyte is too long.
    client.send(0x82, &vec![7; 1 << 20]);
    assert_eq!(client.last(), Some((0x88, close_payload(1009, ""))));
    assert_eq!(telegram.violations().len(), 1);
    drop(client);
    // One that swallows everything says nothing.
    front.behave(|manners| manners.swallows = true);
    let client = TestClient::upgraded(&front, "w.example", path);
    let mut session = Session::over(client, Transport::Padded, 2);
    session.send(&payload::echo(1, 64));
    wait("the messages", || front.tally().opened.len() == 2);
    drop(session);
    wait("the ends", || front.tally().live == 0);
    assert_eq!(telegram.counters().direct_packets(), 1);
}

#[test]
fn a_dc_starves_who_has_had_enough() {
    let (telegram, front) = start(Kind::Telegram);
    front.behave_dcs(Some(2), |dc| dc.direct_starves_after = Some(20 << 10));
    let client = TestClient::upgraded(&front, HOST, "/apiws");
    let mut session = Session::over(client, Transport::Padded, 2);
    let (total, size) = (100 << 10, 8 << 10);
    session.send(&Command::SendMe { total, size }.payload());
    for index in 0..2 {
        assert!(session.recv() == Some(payload::streamed(index, size as usize)));
    }
    session.client.expect_silence(Duration::from_millis(200));
    // Another DC has no such wish.
    let host = "kws4.web.telegram.org";
    let client = TestClient::upgraded(&front, host, "/apiws");
    Session::over(client, Transport::Padded, 4).echo(&payload::echo(1, 64 << 10));
    drop(session);
    wait("the ends", || telegram.counters().direct_live() == 0);
    telegram.assert_clean();
}
