//! The socket, as far as it differs from requests, and what no app sends through it.

use std::time::Duration;

use fake_telegram::harness::Route;
use fake_telegram::payload::echo;
use fake_telegram::wait::{run, within};
use fake_telegram::web_app::{
    Carrier, Cut, Message, OPEN, PONG, Request, Session, Socket, WELCOME, frame,
};
use fake_telegram::web_front;

use crate::Set;

#[test]
fn a_session_has_one_socket() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (session, mut inside) = crate::session(&set.app(), Carrier::WebSocket).await;
        let another = session.api().socket(session.token());
        let answer = session.api().ask(&another).await.unwrap();
        assert_eq!(answer.status, 404);
        within("an echo", inside.echo(&echo(1, 64))).await.unwrap();
        session.assert_clean();
    });
}

#[test]
fn its_loss_is_the_sessions_end() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (session, _inside) = crate::session(&set.app(), Carrier::WebSocket).await;
        session.socket().unwrap().cut();
        session.until_over().await;
        let again = session.api().socket(session.token());
        let ended = async {
            loop {
                let answer = session.api().ask(&again).await.unwrap();
                if answer.status == 404 {
                    return;
                }
                smol::Timer::after(Duration::from_millis(20)).await;
            }
        };
        within("the session's end at the relay", ended).await;
        let over = || set.telegram.counters().direct_live() == 0;
        fake_telegram::wait::eventually("the end of its streams", over).await;
    });
}

#[test]
fn requests_for_a_socket_are_read_to_the_letter() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let api = set.app().api().await.unwrap();
        let (token, _) = api.create().await.unwrap();
        let good = api.socket(&token);
        for (what, request) in [
            ("no version", good.clone().without("Sec-WebSocket-Version")),
            (
                "another version",
                good.clone().set("Sec-WebSocket-Version", "8"),
            ),
            ("no key", good.clone().without("Sec-WebSocket-Key")),
            ("a short key", good.clone().set("Sec-WebSocket-Key", "dGhl")),
            ("no upgrade", good.clone().without("Upgrade")),
            (
                "a token more",
                good.clone()
                    .field("Authorization", &format!("Bearer {token}")),
            ),
            (
                "two protocols",
                good.clone().set(
                    "Sec-WebSocket-Protocol",
                    &format!("tproxy-v1.{token}, chat"),
                ),
            ),
            (
                "another protocol",
                good.clone()
                    .set("Sec-WebSocket-Protocol", &format!("chat.{token}")),
            ),
            (
                "a query",
                Request {
                    target: "/api/v1/ws?x=1".into(),
                    ..good.clone()
                },
            ),
            (
                "POST",
                Request {
                    method: "POST".into(),
                    ..good.clone()
                },
            ),
        ] {
            let answer = set.ask(&request).await;
            assert_eq!(
                (answer.status, answer.field("Server")),
                (404, None),
                "{what}"
            );
        }
        assert!(set.origin.visits().is_empty());
        let noise = good.clone().set(
            "Sec-WebSocket-Protocol",
            &format!("tproxy-v1.{}", "A".repeat(43)),
        );
        assert_eq!(
            set.ask(&noise).await.field("Upgrade"),
            Some("echo"),
            "the site's"
        );
        assert_eq!(set.origin.visits().len(), 1);
        // Cookies go with a socket whether the page wants it or not.
        let request = good.field("Cookie", "a=b");
        let protocol = format!("tproxy-v1.{token}");
        Socket::upgrade(&api, &request, &protocol).await.unwrap();
    });
}

async fn socket(set: &Set) -> Socket {
    let api = set.app().cut(Cut::Whole).api().await.unwrap();
    let (token, welcome) = api.create().await.unwrap();
    assert_eq!(welcome, frame(WELCOME, 0, &[]));
    Socket::open(&api, &token).await.unwrap()
}

/// What the socket's end says: a code, or nothing.
async fn end(socket: &mut Socket) -> Option<u16> {
    let last = async {
        let mut code = None;
        while let Ok(Some(message)) = socket.recv().await {
            if let Message::Close(said, _) = message {
                code = Some(said);
            }
        }
        code
    };
    within("the socket's end", last).await
}

#[test]
fn what_is_no_websocket_ends_it() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let masked = |first: u8, rest: &[u8]| [&[first][..], rest].concat();
        for (what, bytes) in [
            ("no mask", web_front::frame(2, &frame(OPEN, 1, &[]))),
            ("text", masked(0x81, &[0x81, 1, 2, 3, 4, 5])),
            ("a reserved bit", masked(0xc2, &[0x80, 1, 2, 3, 4])),
            ("an unknown opcode", masked(0x83, &[0x80, 1, 2, 3, 4])),
            (
                "a continuation of nothing",
                masked(0x80, &[0x80, 1, 2, 3, 4]),
            ),
            ("a ping in fragments", masked(0x09, &[0x80, 1, 2, 3, 4])),
            ("a long ping", masked(0x89, &[0xfe, 0, 126, 1, 2, 3, 4])),
            (
                "2^63 bytes",
                masked(0x82, &[0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
            ),
            (
                "2^62 bytes",
                masked(0x82, &[0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
            ),
            (
                "2 MiB and one",
                masked(0x82, &[0xff, 0, 0, 0, 0, 0, 0x20, 0, 1, 1, 2, 3, 4]),
            ),
            ("no message", masked(0x82, &[0x80, 1, 2, 3, 4])),
        ] {
            let mut socket = socket(&set).await;
            socket.sender().raw(&bytes).await.unwrap();
            end(&mut socket).await;
            println!("{what}: ended");
        }
        // A message that begins within another one.
        let mut socket = socket(&set).await;
        let sender = socket.sender();
        sender.frame(0x02, &frame(OPEN, 1, &[])[..4]).await.unwrap();
        sender.frame(0x82, &frame(OPEN, 2, &[])).await.unwrap();
        end(&mut socket).await;
    });
}

#[test]
fn pings_are_answered_and_a_close_too() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let mut socket = socket(&set).await;
        let sender = socket.sender();
        sender.frame(0x88, &1000u16.to_be_bytes()).await.unwrap();
        assert_eq!(end(&mut socket).await, Some(1000));
        // The app checks pongs to the letter: pings go between all fragments here.
        let app = set.app().cut(Cut::Anywhere(3));
        let (session, mut inside) = crate::session(&app, Carrier::WebSocket).await;
        for round in 0..50 {
            within("an echo", inside.echo(&echo(round, 5000)))
                .await
                .unwrap();
        }
        session.assert_clean();
    });
}

/// 25 s and more without a word: the relay asks for a sign of life, or answers a poll.
#[test]
#[ignore = "takes a minute: make test-release"]
fn silent_sessions_live_on() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let mut all = Vec::new();
        for carrier in Carrier::ALL {
            all.push(crate::session(&set.app(), carrier).await);
        }
        smol::Timer::after(Duration::from_secs(57)).await;
        for (session, inside) in &mut all {
            within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
            session.assert_clean();
        }
    });
}

/// A session that nobody asks for anything is over after 2 minutes.
#[test]
#[ignore = "takes two minutes: make test-release"]
fn who_is_gone_is_forgotten() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let api = set.app().carrier(Carrier::Https).api().await.unwrap();
        let (token, _) = api.create().await.unwrap();
        let unused = set.app().api().await.unwrap();
        smol::Timer::after(Duration::from_secs(125)).await;
        let body = frame(PONG, 0, &[]);
        let answer = api.ask(&api.up(&token, 1, &body)).await.unwrap();
        assert_eq!((answer.status, answer.field("Server")), (404, None));
        assert!(
            Session::open_with(unused).await.is_err(),
            "a page that is too old"
        );
        assert!(set.origin.visits().is_empty());
    });
}
