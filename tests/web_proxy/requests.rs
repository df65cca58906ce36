//! The requests of a session, one by one: what is repeated, what is lost, what ends it.

use std::time::Duration;

use fake_telegram::client::Kind;
use fake_telegram::harness::Route;
use fake_telegram::payload::echo;
use fake_telegram::wait::{run, within};
use fake_telegram::web_app::{
    Answer, Api, App, Carrier, DATA, HELLO, MAX_BATCH, OPEN, Request, Session, frame,
};
use smol::Timer;

use crate::{HOST, Set};

/// An answer of ours, not of the site, that says no more than that there is nothing.
fn assert_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 404, "{what}");
    assert_eq!(answer.field("Cache-Control"), Some("no-store"), "{what}");
    assert_eq!(answer.field("Server"), None, "{what}");
}

async fn created(set: &Set) -> (Api, String) {
    let api = set.app().carrier(Carrier::Https).api().await.unwrap();
    let (token, _) = api.create().await.unwrap();
    (api, token)
}

/// Whether the session's token is good for anything.
async fn lives(api: &Api, token: &str) -> bool {
    let mut connection = api.options.connect().await.unwrap();
    // A poll is answered late if it lives, at once if not.
    connection.send(&api.down(token, 0).bytes()).await.unwrap();
    let answer = fake_telegram::wait::before(Duration::from_secs(1), connection.answer("POST"));
    match answer.await {
        None => true,
        Some(answer) => answer.unwrap().status < 300,
    }
}

fn hello() -> Vec<u8> {
    frame(HELLO, 0, &[1])
}

#[test]
fn a_creation_may_be_repeated() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let api = set.app().api().await.unwrap();
        let first = api.create().await.unwrap();
        assert_eq!(api.create().await.unwrap(), first);
        let session = Session::begin(api.clone(), first.0.clone(), &first.1)
            .await
            .unwrap();
        assert_eq!(api.create().await.unwrap(), first);
        session.assert_clean();
        session.close().await.unwrap();
        // It does not come to life again.
        let answer = api.ask(&api.session(&hello())).await.unwrap();
        assert_refused(&answer, "a token that is used up");
    });
}

#[test]
fn a_creation_of_another_form_is_refused() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let api = set.app().api().await.unwrap();
        let good = api.session(&hello());
        let with = |request: Request, name: &str, value: &str| request.set(name, value);
        for (what, request) in [
            ("no body", api.session(&[])),
            ("another version", api.session(&frame(HELLO, 0, &[2]))),
            ("a frame more", api.session(&[hello(), hello()].concat())),
            ("a long body", api.session(&frame(HELLO, 0, &[1; 100]))),
            ("no type", good.clone().without("Content-Type")),
            (
                "another type",
                with(good.clone(), "Content-Type", "text/plain"),
            ),
            (
                "a type with more",
                with(
                    good.clone(),
                    "Content-Type",
                    "application/octet-stream; a=b",
                ),
            ),
            ("a cookie", good.clone().field("Cookie", "a=b")),
            (
                "two tokens",
                good.clone().field("Authorization", "Bearer x"),
            ),
            (
                "another host",
                with(good.clone(), "Host", "other.example.com"),
            ),
            (
                "a query",
                Request {
                    target: "/api/v1/session?x".into(),
                    ..good.clone()
                },
            ),
            (
                "GET",
                Request {
                    method: "GET".into(),
                    body: None,
                    ..good.clone()
                },
            ),
            (
                "another call",
                Request {
                    target: "/api/v1/up".into(),
                    ..good.clone()
                },
            ),
            (
                "an unknown call",
                Request {
                    target: "/api/v1/no".into(),
                    ..good.clone()
                },
            ),
            (
                "another path",
                Request {
                    target: "/x/api/v1/session".into(),
                    ..good.clone()
                },
            ),
        ] {
            let answer = set.ask(&request).await;
            assert_refused(&answer, what);
        }
        assert!(set.origin.visits().is_empty());
        // It was not used up by these.
        api.create().await.unwrap();
        // Who has no token of ours is the site's.
        let stranger = with(good, "Authorization", &format!("Bearer {}", "A".repeat(43)));
        assert!(set.is_covered(&stranger).await);
        let none = api.session(&hello()).without("Authorization");
        assert!(set.is_covered(&none).await);
        assert_eq!(set.origin.visits().len(), 2);
        assert_eq!(set.origin.visits()[0].body, hello());
    });
}

/// One stream's first bytes, as frames.
fn opening(stream: u32, payload: &[u8]) -> (Vec<u8>, fake_telegram::client::Codec) {
    let options = Kind::Padded.options(([127, 0, 0, 1], 1).into());
    let mut codec = fake_telegram::client::Codec::new(options.transport, 2, options.key.as_ref());
    let bytes = codec.packet(payload, false, &[]);
    let body = [frame(OPEN, stream, &[]), frame(DATA, stream, &bytes)].concat();
    (body, codec)
}

/// Polls until this packet has come.
async fn expect(
    api: &Api,
    token: &str,
    cursor: &mut u64,
    codec: &mut fake_telegram::client::Codec,
    payload: &[u8],
) {
    let expected = fake_telegram::transport::Unit::Packet {
        payload: payload.to_vec(),
        quick_ack: false,
    };
    loop {
        if let Some(unit) = codec.next_unit().unwrap() {
            assert!(unit == expected, "another packet came");
            return;
        }
        let asked = api.down(token, *cursor);
        let answer = within("a batch", api.ask(&asked)).await.unwrap();
        assert_eq!(answer.status, 200);
        *cursor += 1;
        for data in data_of(&answer.body) {
            codec.push(&data).unwrap();
        }
    }
}

fn data_of(mut batch: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((head, rest)) = batch.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (payload, rest) = rest.split_at(length);
        if head[0] == DATA {
            out.push(payload.to_vec());
        }
        batch = rest;
    }
    out
}

#[test]
fn a_body_counts_once_however_often_it_comes() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let (first, mut codec) = opening(1, &echo(1, 640));
        let next = frame(DATA, 1, &codec.packet(&echo(2, 300_000), false, &[]));
        let mut cursor = 0;
        for (seq, body) in [(1, &first), (2, &next)] {
            let request = api.up(&token, seq, body);
            // The beginning of it, on connections that end there.
            for part in [request.head().len() + 9, request.bytes().len() - 1] {
                let mut connection = api.options.connect().await.unwrap();
                connection.send(&request.bytes()[..part]).await.unwrap();
                Timer::after(Duration::from_millis(50)).await;
                drop(connection);
            }
            for _ in 0..3 {
                let answer = within("an ack", api.ask(&request)).await.unwrap();
                assert_eq!(answer.status, 204, "{seq}");
                assert_eq!(answer.field("X-Up-Ack"), Some(&*seq.to_string()));
            }
            let echoed = echo(seq as u32, if seq == 1 { 640 } else { 300_000 });
            expect(&api, &token, &mut cursor, &mut codec, &echoed).await;
        }
        set.telegram.assert_clean();
    });
}

#[test]
fn a_gap_or_another_body_ends_the_session() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (body, _) = opening(1, &echo(1, 64));
        let (other, _) = opening(2, &echo(1, 64));
        for (what, seq, again) in [
            ("a gap", 3, &other),
            ("another body", 1, &other),
            ("a longer body", 1, &[body.clone(), other.clone()].concat()),
        ] {
            let (api, token) = created(&set).await;
            let answer = api.ask(&api.up(&token, 1, &body)).await.unwrap();
            assert_eq!(answer.status, 204);
            assert!(lives(&api, &token).await);
            let answer = api.ask(&api.up(&token, seq, again)).await.unwrap();
            assert_refused(&answer, what);
            assert!(!lives(&api, &token).await, "{what}");
        }
    });
}

#[test]
fn bodies_of_another_form_are_refused() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let (body, _) = opening(1, &echo(1, 64));
        let good = api.up(&token, 1, &body);
        for (what, request) in [
            ("no number", good.clone().without("X-Up-Seq")),
            ("a number in letters", good.clone().set("X-Up-Seq", "one")),
            ("a number with a zero", good.clone().set("X-Up-Seq", "01")),
            ("a number with a sign", good.clone().set("X-Up-Seq", "+1")),
            ("two numbers", good.clone().field("X-Up-Seq", "1")),
            (
                "another type",
                good.clone().set("Content-Type", "text/plain"),
            ),
            (
                "a bootstrap token",
                good.clone()
                    .set("Authorization", &format!("Bearer {}", api.bootstrap)),
            ),
            ("a cookie", good.clone().field("Cookie", "a=b")),
        ] {
            assert_refused(&set.ask(&request).await, what);
        }
        assert!(set.origin.visits().is_empty());
    });
}

#[test]
fn a_body_may_have_two_mebibytes() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let (body, mut codec) = opening(1, &echo(1, 64));
        let room = MAX_BATCH - body.len() - 16;
        let packet = codec.packet(&echo(2, 1 << 20), false, &[]);
        let rest = codec.packet(&echo(3, (room - packet.len() - 4) / 4 * 4), false, &[]);
        let whole = [body, frame(DATA, 1, &packet[..1 << 20])].concat();
        let tail = [&packet[1 << 20..], &rest].concat();
        let whole = [whole, frame(DATA, 1, &tail[..tail.len().min(1 << 20)])].concat();
        assert!(whole.len() <= MAX_BATCH && whole.len() > MAX_BATCH - 64);
        let answer = within("an ack", api.ask(&api.up(&token, 1, &whole)))
            .await
            .unwrap();
        assert_eq!(answer.status, 204);
        let mut cursor = 0;
        expect(&api, &token, &mut cursor, &mut codec, &echo(1, 64)).await;
        expect(&api, &token, &mut cursor, &mut codec, &echo(2, 1 << 20)).await;
        let long = vec![0; MAX_BATCH + 1];
        let answer = api.ask(&api.up(&token, 2, &long)).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status >= 400));
    });
}

#[test]
fn an_old_cursor_gets_the_same_bytes() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let (body, _) = opening(1, &echo(1, 64));
        api.ask(&api.up(&token, 1, &body)).await.unwrap();
        let first = api.ask(&api.down(&token, 0)).await.unwrap();
        for _ in 0..2 {
            let again = api.ask(&api.down(&token, 0)).await.unwrap();
            assert_eq!((again.status, &again.body), (200, &first.body));
            assert_eq!(again.field("X-Down-Cursor"), Some("1"));
        }
        let answer = api.ask(&api.down(&token, 2)).await.unwrap();
        assert_refused(&answer, "a cursor that is to come");
        assert!(!lives(&api, &token).await);
    });
}

#[test]
fn a_newer_poll_takes_the_place_of_the_older_one() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let mut older = api.options.connect().await.unwrap();
        older.send(&api.down(&token, 0).bytes()).await.unwrap();
        Timer::after(Duration::from_millis(200)).await;
        let mut newer = api.options.connect().await.unwrap();
        newer.send(&api.down(&token, 0).bytes()).await.unwrap();
        let answer = within("the older one's end", older.answer("POST"))
            .await
            .unwrap();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.field("X-Down-Cursor"), Some("0"));
        let (body, _) = opening(1, &echo(1, 64));
        api.ask(&api.up(&token, 1, &body)).await.unwrap();
        let answer = within("a batch", newer.answer("POST")).await.unwrap();
        assert_eq!(answer.status, 200);
    });
}

/// telethon-webproxy sends `Content-Type:` with nothing in it.
#[test]
fn a_poll_may_have_an_empty_type() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let (body, _) = opening(1, &echo(1, 64));
        api.ask(&api.up(&token, 1, &body)).await.unwrap();
        let mut telethon = api.clone();
        telethon.options.app = App::Telethon;
        let request = telethon.down(&token, 0);
        assert!(String::from_utf8_lossy(&request.head()).contains("\r\nContent-Type:\r\n"));
        assert_eq!(api.ask(&request).await.unwrap().status, 200);
        let typed = request.set("Content-Type", "application/octet-stream");
        assert_refused(&set.ask(&typed).await, "a type without a body");
    });
}

#[test]
fn an_end_may_be_repeated() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (api, token) = created(&set).await;
        let (body, _) = opening(1, &echo(1, 64));
        api.ask(&api.up(&token, 1, &body)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(api.ask(&api.delete(&token)).await.unwrap().status, 204);
        }
        let answer = api.ask(&api.up(&token, 2, &body)).await.unwrap();
        assert_refused(&answer, "a body after the end");
        let answer = api.ask(&api.socket(&token)).await.unwrap();
        assert_refused(&answer, "a socket after the end");
        assert!(set.origin.visits().is_empty());
        assert!(!set.origin.has_seen(HOST));
    });
}
