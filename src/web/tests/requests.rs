//! Web sessions over requests: what is repeated, and what comes out of order.

use std::time::Duration;

use super::app::{
    Answer, DATA, Http, OCTETS, WELCOME, Ws, bearer, begin, bootstrap, frame, frames, open, pause,
    request, session,
};
use super::world::{Clients, World, run};
use crate::metrics::WebEnd;

async fn up(http: &mut Http, token: &str, number: u64, body: &[u8]) -> Answer {
    let (bearer, number) = (bearer(token), number.to_string());
    let fields = [
        ("Authorization", bearer.as_str()),
        OCTETS,
        ("X-Up-Seq", &number),
    ];
    http.ask("POST", "/api/v1/up", &fields, body).await
}

async fn down(http: &mut Http, token: &str, cursor: u64) -> Answer {
    http.send(&ask_down(token, cursor)).await;
    http.answer().await.expect("an answer")
}

fn ask_down(token: &str, cursor: u64) -> Vec<u8> {
    let (bearer, cursor) = (bearer(token), cursor.to_string());
    let fields = [
        ("Authorization", bearer.as_str()),
        ("X-Down-Cursor", cursor.as_str()),
        ("Content-Type", ""),
    ];
    request("POST", "/api/v1/down", &fields, &[])
}

fn cursor_of(answer: &Answer) -> u64 {
    answer.field("x-down-cursor").unwrap().parse().unwrap()
}

/// Data of all frames of `stream`.
async fn collect(http: &mut Http, token: &str, cursor: &mut u64, count: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < count {
        let answer = down(http, token, *cursor).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        *cursor = cursor_of(&answer);
        let frames = frames(&answer.body);
        let of_data = frames.iter().filter(|frame| frame.kind == DATA);
        of_data.for_each(|frame| data.extend(&frame.payload));
    }
    data
}

struct Both {
    token: String,
    up: Http,
    down: Http,
}

async fn both(world: &World) -> Both {
    Both {
        token: session(world).await,
        up: world.connect().await,
        down: world.connect().await,
    }
}

#[test]
fn a_session_begins_once_however_often_it_is_asked_for() {
    run(&[Clients::Idle], |world| async move {
        let token = bootstrap(&world, "192.0.2.1").await;
        let mut http = world.connect().await;
        let first = begin(&mut http, &token).await;
        let again = begin(&mut http, &token).await;
        assert_eq!((first.status, again.status), (200, 200));
        assert_eq!(again.body, WELCOME);
        let token_of = |answer: &Answer| answer.field("x-session-token").unwrap().to_owned();
        assert_eq!(token_of(&first), token_of(&again));
        assert_eq!(first.field("cache-control"), Some("no-store"));
        assert_eq!(first.field("x-down-cursor"), Some("0"));
        assert_eq!(world.metrics.web_sessions.get(), 1);
        pause(&world, Duration::from_secs(119)).await;
        let mut http = world.connect().await;
        assert_eq!(begin(&mut http, &token).await.status, 200, "it lives");
    });
    run(&[Clients::Idle], |world| async move {
        let token = bootstrap(&world, "192.0.2.1").await;
        let mut http = world.connect().await;
        let bearer = bearer(&token);
        let fields = [("Authorization", bearer.as_str()), OCTETS];
        let wrong = http.ask("POST", "/api/v1/session", &fields, b"x").await;
        assert_eq!(wrong.status, 404);
        pause(&world, Duration::from_secs(122)).await;
        let mut http = world.connect().await;
        assert_eq!(begin(&mut http, &token).await.status, 404, "too old");
    });
}

#[test]
fn bytes_go_up_and_come_down() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let data: Vec<u8> = (0..300_000u32).map(|number| (number / 7) as u8).collect();
        let sending = async {
            let mut number = 1;
            up(&mut it.up, &it.token, number, &open(9)).await;
            for piece in data.chunks(40_000) {
                number += 1;
                let answer = up(&mut it.up, &it.token, number, &frame(DATA, 9, piece)).await;
                assert_eq!(answer.status, 204, "{}", answer.head);
                assert_eq!(answer.field("x-up-ack"), Some(&*number.to_string()));
            }
        };
        let mut cursor = 0;
        let receiving = collect(&mut it.down, &it.token, &mut cursor, data.len());
        let ((), received) = smol::future::zip(sending, receiving).await;
        assert!(received == data);
    });
}

/// Whatever else goes on: here nothing does.
#[test]
fn a_poll_that_waits_is_answered_when_there_is_something() {
    run(&[Clients::Kept], |world| async move {
        let mut it = both(&world).await;
        up(&mut it.up, &it.token, 1, &open(1)).await;
        let end = world.kept.borrow_mut().pop().unwrap();
        for cursor in 0..3 {
            it.down.send(&ask_down(&it.token, cursor)).await;
            pause(&world, Duration::from_secs(1)).await;
            let began = world.reactor.now();
            let slices = [std::io::IoSlice::new(b"late")];
            assert_eq!(end.try_write_vectored(&slices).unwrap(), 4);
            let answer = it.down.answer().await.unwrap();
            assert_eq!((answer.status, cursor_of(&answer)), (200, cursor + 1));
            assert_eq!(frames(&answer.body)[0].payload, b"late");
            assert!(world.reactor.now() - began < Duration::from_secs(1));
        }
    });
}

#[test]
fn a_body_that_comes_again_is_applied_once() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let body = [open(1), frame(DATA, 1, b"once")].concat();
        for _ in 0..3 {
            assert_eq!(up(&mut it.up, &it.token, 1, &body).await.status, 204);
        }
        let mut cursor = 0;
        assert_eq!(
            collect(&mut it.down, &it.token, &mut cursor, 4).await,
            b"once"
        );
        let body = frame(DATA, 1, b"more");
        assert_eq!(up(&mut it.up, &it.token, 2, &body).await.status, 204);
        assert_eq!(
            collect(&mut it.down, &it.token, &mut cursor, 4).await,
            b"more"
        );
    });
}

/// Every row ends the session.
#[test]
fn what_no_app_asks_ends_a_session() {
    type Asking = fn(u64) -> (u64, Vec<u8>);
    let rows: [(&str, Asking); 5] = [
        ("a gap", |_| (3, open(2))),
        ("an old one", |_| (0, open(2))),
        ("other bytes", |_| (1, open(3))),
        ("fewer bytes", |_| (1, open(1)[..7].to_vec())),
        ("more bytes", |_| (1, [open(1), open(2)].concat())),
    ];
    for (name, asking) in rows {
        run(&[Clients::Idle], |world| async move {
            let mut it = both(&world).await;
            assert_eq!(up(&mut it.up, &it.token, 1, &open(1)).await.status, 204);
            let (number, body) = asking(1);
            let answer = up(&mut it.up, &it.token, number, &body).await;
            assert_eq!(answer.status, 404, "{name}");
            // 0 is no number of an app's: the session does not hear of it.
            let ends = world.metrics.web_ends.get(WebEnd::BadSequence);
            assert_eq!(ends, u64::from(number > 0), "{name}");
        });
    }
    for cursor in [1, 2, u64::MAX] {
        run(&[Clients::Idle], |world| async move {
            let mut it = both(&world).await;
            let answer = down(&mut it.down, &it.token, cursor).await;
            assert_eq!(answer.status, 404, "{cursor}");
            assert_eq!(world.metrics.web_ends.get(WebEnd::BadSequence), 1);
        });
    }
}

#[test]
fn a_body_that_breaks_goes_on_when_it_comes_again() {
    for cut in [1, 9, 20, 2000] {
        run(&[Clients::Echo], |world| async move {
            let mut it = both(&world).await;
            let data: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
            let body = [open(1), frame(DATA, 1, &data)].concat();
            let (bearer, number) = (bearer(&it.token), "1".to_owned());
            let fields = [
                ("Authorization", bearer.as_str()),
                OCTETS,
                ("X-Up-Seq", &number),
            ];
            let whole = request("POST", "/api/v1/up", &fields, &body);
            let broken = world.connect().await;
            broken.send(&whole[..whole.len() - body.len() + cut]).await;
            pause(&world, Duration::from_secs(1)).await;
            drop(broken);
            assert_eq!(up(&mut it.up, &it.token, 1, &body).await.status, 204);
            let mut cursor = 0;
            let echoed = collect(&mut it.down, &it.token, &mut cursor, data.len()).await;
            assert!(echoed == data, "{cut}");
        });
    }
}

/// A stalled request loses its say to the one that repeats it.
#[test]
fn the_newer_of_two_bodies_goes_on() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let body = [open(1), frame(DATA, 1, b"abcdef")].concat();
        let bearer = bearer(&it.token);
        let fields = [
            ("Authorization", bearer.as_str()),
            OCTETS,
            ("X-Up-Seq", "1"),
        ];
        let whole = request("POST", "/api/v1/up", &fields, &body);
        let mut old = world.connect().await;
        old.send(&whole[..whole.len() - 3]).await;
        pause(&world, Duration::from_secs(1)).await;
        assert_eq!(up(&mut it.up, &it.token, 1, &body).await.status, 204);
        old.send(&whole[whole.len() - 3..]).await;
        assert!(old.answer().await.is_none());
        let mut cursor = 0;
        assert_eq!(
            collect(&mut it.down, &it.token, &mut cursor, 6).await,
            b"abcdef"
        );
    });
}

#[test]
fn a_body_has_its_time() {
    run(&[Clients::Echo], |world| async move {
        let it = both(&world).await;
        let bearer = bearer(&it.token);
        let fields = [
            ("Authorization", bearer.as_str()),
            OCTETS,
            ("X-Up-Seq", "1"),
        ];
        let whole = request("POST", "/api/v1/up", &fields, &[0; 100]);
        let mut slow = world.connect().await;
        slow.send(&whole[..whole.len() - 100]).await;
        let start = world.reactor.now();
        assert!(slow.has_ended().await);
        assert!(world.reactor.now() - start < Duration::from_secs(40));
    });
}

#[test]
fn an_answer_is_given_again_until_the_next_question() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let body = [open(1), frame(DATA, 1, b"abc")].concat();
        up(&mut it.up, &it.token, 1, &body).await;
        let first = down(&mut it.down, &it.token, 0).await;
        let again = down(&mut it.down, &it.token, 0).await;
        assert_eq!((first.status, cursor_of(&first)), (200, 1));
        assert_eq!(cursor_of(&again), 1);
        assert_eq!(first.body, again.body);
        let next = cursor_of(&first);
        let start = world.reactor.now();
        let nothing = down(&mut it.down, &it.token, next).await;
        let mut cursor = next;
        if nothing.status == 200 {
            // The window came apart from the data.
            cursor = cursor_of(&nothing);
            let nothing = down(&mut it.down, &it.token, cursor).await;
            assert_eq!(nothing.status, 204);
        }
        let passed = world.reactor.now() - start;
        assert!((25..27).contains(&passed.as_secs()), "{passed:?}");
        // What was acknowledged is not there any more.
        assert_eq!(down(&mut it.down, &it.token, cursor - 1).await.status, 404);
    });
}

#[test]
fn a_newer_poll_ends_the_older_one() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        it.down.send(&ask_down(&it.token, 0)).await;
        pause(&world, Duration::from_secs(1)).await;
        let mut newer = world.connect().await;
        newer.send(&ask_down(&it.token, 0)).await;
        let old = it.down.answer().await.unwrap();
        assert_eq!((old.status, cursor_of(&old)), (204, 0));
        let body = [open(1), frame(DATA, 1, b"abc")].concat();
        up(&mut it.up, &it.token, 1, &body).await;
        assert_eq!(newer.answer().await.unwrap().status, 200);
    });
}

/// The page polls at once where it gives up a socket that came up later than it waits.
#[test]
fn a_poll_takes_over_from_a_socket_without_a_message() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let ws = Ws::open(&world, &it.token).await;
        it.down.send(&ask_down(&it.token, 0)).await;
        pause(&world, Duration::from_secs(1)).await;
        let start = world.reactor.now();
        let body = [open(1), frame(DATA, 1, b"abc")].concat();
        assert_eq!(up(&mut it.up, &it.token, 1, &body).await.status, 204);
        assert_eq!(it.down.answer().await.unwrap().status, 200);
        assert!(world.reactor.now() - start < Duration::from_secs(1));
        drop(ws);
    });
}

#[test]
fn an_app_that_ends_its_session_gets_no_error_for_its_poll() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        it.down.send(&ask_down(&it.token, 0)).await;
        pause(&world, Duration::from_secs(1)).await;
        let bearer = bearer(&it.token);
        let fields = [("Authorization", bearer.as_str())];
        let gone = it.up.ask("DELETE", "/api/v1/session", &fields, &[]).await;
        assert_eq!(gone.status, 204);
        let poll = it.down.answer().await.unwrap();
        assert_eq!((poll.status, cursor_of(&poll)), (204, 0));
        assert_eq!(down(&mut it.down, &it.token, 0).await.status, 404);
    });
}

/// What clients say by themselves, nothing else being on its way.
#[test]
fn a_poll_is_answered_at_once() {
    run(&[Clients::Late], |world| async move {
        let mut it = both(&world).await;
        up(&mut it.up, &it.token, 1, &open(1)).await;
        let start = world.reactor.now();
        let answer = down(&mut it.down, &it.token, 0).await;
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert_eq!(frames(&answer.body)[0].payload, b"late");
        assert_eq!((world.reactor.now() - start).as_secs(), 5);
    });
}

/// The older one, which is told, does not take the newer one's place.
#[test]
fn the_newer_of_two_polls_is_answered_at_once() {
    run(&[Clients::Late], |world| async move {
        let mut it = both(&world).await;
        up(&mut it.up, &it.token, 1, &open(1)).await;
        let start = world.reactor.now();
        it.down.send(&ask_down(&it.token, 0)).await;
        pause(&world, Duration::from_secs(1)).await;
        let mut newer = world.connect().await;
        newer.send(&ask_down(&it.token, 0)).await;
        assert_eq!(it.down.answer().await.unwrap().status, 204);
        assert_eq!(newer.answer().await.unwrap().status, 200);
        assert_eq!((world.reactor.now() - start).as_secs(), 5);
    });
}

/// While the app has much to be told nothing is read of it; it goes on when that is told.
#[test]
fn who_is_told_much_is_read_again() {
    let refused: Vec<u8> = (1..600).flat_map(open).collect();
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        up(&mut it.up, &it.token, 1, &refused).await;
        let bearer = bearer(&it.token);
        let fields = [
            ("Authorization", bearer.as_str()),
            OCTETS,
            ("X-Up-Seq", "2"),
        ];
        let data = frame(DATA, 1, b"more");
        it.up
            .send(&request("POST", "/api/v1/up", &fields, &data))
            .await;
        pause(&world, Duration::from_secs(1)).await;
        let start = world.reactor.now();
        let mut cursor = 0;
        assert_eq!(
            collect(&mut it.down, &it.token, &mut cursor, 4).await,
            b"more"
        );
        assert_eq!(it.up.answer().await.unwrap().status, 204);
        assert!(world.reactor.now() - start < Duration::from_secs(1));
    });
    let refused: Vec<u8> = (1..600).flat_map(open).collect();
    run(&[Clients::Echo], |world| async move {
        let mut ws = super::app::Ws::new(&world).await;
        ws.send(&refused).await;
        ws.send(&frame(DATA, 1, b"more")).await;
        let start = world.reactor.now();
        while ws.next().await.unwrap().payload != b"more" {}
        assert!(world.reactor.now() - start < Duration::from_secs(1));
    });
}

#[test]
fn a_session_goes_one_way() {
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        up(&mut it.up, &it.token, 1, &open(1)).await;
        let mut http = world.connect().await;
        http.send(&super::app::upgrade(&it.token)).await;
        assert_eq!(http.answer().await.unwrap().status, 404);
    });
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let mut ws = super::app::Ws::open(&world, &it.token).await;
        ws.send(&[open(1), frame(DATA, 1, b"x")].concat()).await;
        assert_eq!(ws.data(1, 1).await, b"x");
        assert_eq!(up(&mut it.up, &it.token, 1, &open(2)).await.status, 404);
        assert_eq!(world.metrics.web_sessions.get(), 1);
    });
    // One that was opened, and has brought nothing, gives way.
    run(&[Clients::Echo], |world| async move {
        let mut it = both(&world).await;
        let mut ws = super::app::Ws::open(&world, &it.token).await;
        let body = [open(1), frame(DATA, 1, b"x")].concat();
        assert_eq!(up(&mut it.up, &it.token, 1, &body).await.status, 204);
        assert_eq!(ws.closed().await, Some(1000));
        let mut cursor = 0;
        assert_eq!(collect(&mut it.down, &it.token, &mut cursor, 1).await, b"x");
    });
}

#[test]
fn what_comes_down_is_bounded_until_it_is_fetched() {
    run(&[Clients::Source], |world| async move {
        let mut it = both(&world).await;
        up(&mut it.up, &it.token, 1, &open(1)).await;
        pause(&world, Duration::from_secs(10)).await;
        let used = world.buffers.used_bytes();
        assert!((64 * 1024..160 * 1024).contains(&used), "{used}");
        let mut cursor = 0;
        let data = collect(&mut it.down, &it.token, &mut cursor, 3 << 20).await;
        assert!(data.iter().all(|byte| *byte == 7));
        let used = world.buffers.used_bytes();
        assert!(used < 300 * 1024, "{used}");
    });
}
