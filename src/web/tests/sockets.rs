//! Web sessions over WebSockets.

use std::time::Duration;

use super::app::{
    CLOSE, DATA, WINDOW, Ws, bearer, begin, bootstrap, frame, open, pause, session, upgrade,
    window, ws_frame,
};
use super::world::{Clients, run};
use crate::metrics::WebEnd;

#[test]
fn a_stream_is_echoed_and_its_credit_comes_back() {
    run(&[Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.send(&[open(7), frame(DATA, 7, b"hello")].concat()).await;
        // The window of the facts' vector, and the data: whichever is first.
        let mut came = [ws.next().await.unwrap(), ws.next().await.unwrap()];
        came.sort_by_key(|frame| frame.kind);
        assert_eq!((came[0].kind, came[0].stream), (DATA, 7));
        assert_eq!(came[0].payload, b"hello");
        assert_eq!(came[1].payload, 5u32.to_be_bytes());
        ws.send(&frame(CLOSE, 7, &[])).await;
        world
            .until("the stream is over", || {
                world.metrics.web_streams.get() == 0
            })
            .await;
        assert_eq!(world.metrics.web_sessions.get(), 1);
    });
}

#[test]
fn the_window_of_the_facts() {
    run(&[Clients::Nibbler], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.http.send(&[0x82, 0x88, 0x37, 0xfa, 0x21, 0x3d]).await;
        let masked = [0x36, 0xfa, 0x21, 0x3c, 0x37, 0xfa, 0x21, 0x3d];
        ws.http.send(&masked).await;
        ws.send(&frame(DATA, 1, &[1; 105])).await;
        let window = [0x04, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0x69];
        assert_eq!(ws.raw().await, Some((0x82, window.to_vec())));
    });
}

#[test]
fn messages_come_in_any_pieces() {
    run(&[Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        let data: Vec<u8> = (0..3000u32).map(|number| number as u8).collect();
        let batch = [open(1), frame(DATA, 1, &data)].concat();
        let (first, rest) = batch.split_at(11);
        let mut bytes = ws_frame(0x02, first);
        bytes.extend(ws_frame(0x89, b"in between"));
        for piece in rest.chunks(97) {
            bytes.extend(ws_frame(0x00, piece));
        }
        bytes.extend(ws_frame(0x80, &[]));
        for piece in bytes.chunks(41) {
            ws.http.send(piece).await;
            smol::future::yield_now().await;
        }
        assert_eq!(ws.raw().await, Some((0x8a, b"in between".to_vec())));
        assert_eq!(ws.data(1, data.len()).await, data);
    });
}

/// Every row ends the session, with what its WebSocket says.
#[test]
fn what_ends_a_session() {
    let data = |stream: u32, length: usize| frame(DATA, stream, &vec![0; length]);
    for (name, bytes, code, end) in [
        ("text", ws_frame(0x81, b"x"), 1003, WebEnd::BadFrame),
        ("no mask", vec![0x82, 1, 0], 1002, WebEnd::BadFrame),
        (
            "2^63",
            vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
            1009,
            WebEnd::BadFrame,
        ),
        (
            "too long",
            [
                &[0x82, 0xff][..],
                &(2u64 << 20).wrapping_add(1).to_be_bytes(),
                &[0; 4],
            ]
            .concat(),
            1009,
            WebEnd::BadFrame,
        ),
        ("empty", ws_frame(0x82, &[]), 1002, WebEnd::BadFrame),
        ("cut", ws_frame(0x82, &[1, 0, 0]), 1002, WebEnd::BadFrame),
        (
            "type 7",
            ws_frame(0x82, &frame(7, 1, &[])),
            1002,
            WebEnd::BadFrame,
        ),
        (
            "empty DATA",
            ws_frame(0x82, &frame(DATA, 1, &[])),
            1002,
            WebEnd::BadFrame,
        ),
        (
            "HELLO",
            ws_frame(0x82, super::app::HELLO),
            1002,
            WebEnd::BadFrame,
        ),
        (
            "no WINDOW",
            ws_frame(0x82, &[open(1), window(1, 0)].concat()),
            1002,
            WebEnd::BadFrame,
        ),
        (
            "not open",
            ws_frame(0x82, &data(1, 1)),
            1002,
            WebEnd::BadStream,
        ),
        (
            "open twice",
            ws_frame(0x82, &[open(1), open(1)].concat()),
            1002,
            WebEnd::BadStream,
        ),
    ] {
        run(&[Clients::Idle], |world| async move {
            let mut ws = Ws::new(&world).await;
            ws.http.send(&bytes).await;
            assert_eq!(ws.closed().await, Some(code), "{name}");
            assert_eq!(world.metrics.web_ends.get(end), 1, "{name}");
            assert_eq!(world.metrics.web_sessions.get(), 0, "{name}");
            world
                .until(name, || world.metrics.web_streams.get() == 0)
                .await;
        });
    }
}

/// They go with the next bytes to the app, or after a pause.
#[test]
fn small_grants_take_no_message_each() {
    run(&[Clients::Sink], |world| async move {
        let mut ws = Ws::new(&world).await;
        let start = world.reactor.now();
        ws.send(&[open(1), frame(DATA, 1, &[0; 100])].concat())
            .await;
        pause(&world, Duration::from_millis(5)).await;
        ws.send(&frame(DATA, 1, &[0; 50])).await;
        let window = ws.next().await.unwrap();
        assert_eq!((window.kind, window.stream), (WINDOW, 1));
        assert_eq!(window.payload, 100u32.to_be_bytes());
        let waited = world.reactor.now() - start;
        assert!((20..40).contains(&waited.as_millis()), "{waited:?}");
    });
    run(&[Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        let start = world.reactor.now();
        ws.send(&[open(1), frame(DATA, 1, &[0; 100])].concat())
            .await;
        let frames = [ws.next().await.unwrap(), ws.next().await.unwrap()];
        assert_eq!(frames.map(|frame| frame.kind), [WINDOW, DATA]);
        assert_eq!((world.reactor.now() - start).as_millis(), 0);
    });
}

#[test]
fn more_than_was_granted_ends_a_session() {
    run(&[Clients::Sink], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.send(&open(1)).await;
        // All of it is taken and granted again.
        for _ in 0..16 {
            ws.send(&frame(DATA, 1, &[0; 1 << 19])).await;
            let mut granted = 0;
            while granted < 1 << 19 {
                let window = ws.next().await.unwrap().payload;
                granted += u32::from_be_bytes(window.try_into().unwrap());
            }
        }
        assert_eq!(world.metrics.web_sessions.get(), 1);
    });
    run(&[Clients::Deaf], |world| async move {
        let ws = Ws::new(&world).await;
        ws.send(&open(1)).await;
        // What may come is not what there is room for: it is not even read.
        let data = frame(DATA, 1, &[0; 1 << 20]);
        let sending = async {
            for _ in 0..4 {
                ws.http.send(&ws_frame(0x82, &data)).await;
            }
        };
        // The kernel may have room for all of it.
        let _ = world.reactor.timeout(Duration::from_secs(2), sending).await;
        let used = world.buffers.used_bytes();
        assert!(used <= 256 * 1024, "{used}");
        drop(ws);
    });
}

#[test]
fn late_frames_of_closed_streams_are_nobodys() {
    run(&[Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        let late = [
            open(1),
            frame(CLOSE, 1, &[]),
            frame(DATA, 1, b"late"),
            window(1, 9),
            frame(CLOSE, 1, &[]),
            open(2),
            frame(DATA, 2, b"x"),
        ];
        ws.send(&late.concat()).await;
        assert_eq!(ws.data(2, 1).await, b"x");
        assert_eq!(world.metrics.web_sessions.get(), 1);
    });
}

#[test]
fn a_session_has_one_socket_and_its_loss_ends_it() {
    run(&[Clients::Idle], |world| async move {
        let token = session(&world).await;
        let ws = Ws::open(&world, &token).await;
        let mut second = world.connect().await;
        second.send(&upgrade(&token)).await;
        assert_eq!(second.answer().await.unwrap().status, 404);
        ws.send(&open(1)).await;
        world
            .until("it is open", || world.metrics.web_streams.get() == 1)
            .await;
        drop(ws);
        world
            .until("all is over", || world.metrics.web_sessions.get() == 0)
            .await;
        world
            .until("its streams too", || world.metrics.web_streams.get() == 0)
            .await;
        assert_eq!(world.metrics.web_ends.get(WebEnd::Lost), 1);
    });
}

/// The page gives a socket up that does not come up, and cannot know how far it came.
#[test]
fn a_socket_without_a_message_may_be_replaced() {
    run(&[Clients::Echo], |world| async move {
        let token = session(&world).await;
        let ws = Ws::open(&world, &token).await;
        drop(ws);
        pause(&world, Duration::from_secs(1)).await;
        let mut ws = Ws::open(&world, &token).await;
        ws.send(&[open(1), frame(DATA, 1, b"x")].concat()).await;
        assert_eq!(ws.data(1, 1).await, b"x");
    });
}

#[test]
fn a_silent_app_is_asked_and_then_given_up() {
    run(&[Clients::Idle], |world| async move {
        let mut ws = Ws::new(&world).await;
        let start = world.reactor.now();
        ws.send(&open(1)).await;
        assert_eq!(ws.raw().await, Some((0x89, Vec::new())));
        let passed = world.reactor.now() - start;
        assert!((25..27).contains(&passed.as_secs()), "{passed:?}");
        ws.http.send(&ws_frame(0x8a, &[])).await;
        assert_eq!(ws.raw().await, Some((0x89, Vec::new())));
        assert_eq!(ws.closed().await, None);
        let passed = world.reactor.now() - start;
        assert!((74..80).contains(&passed.as_secs()), "{passed:?}");
        assert_eq!(world.metrics.web_ends.get(WebEnd::Silent), 1);
    });
}

#[test]
fn a_session_without_a_carrier_ends() {
    run(&[Clients::Idle], |world| async move {
        let _ = session(&world).await;
        let held = world
            .reactor
            .until(Duration::from_secs(140), || {
                world.metrics.web_sessions.get() == 0
            })
            .await;
        assert!(held.unwrap() >= Duration::from_secs(119));
    });
}

#[test]
fn an_app_ends_its_session() {
    run(&[Clients::Idle], |world| async move {
        let bootstrap = bootstrap(&world, "192.0.2.1").await;
        let mut http = world.connect().await;
        let answer = begin(&mut http, &bootstrap).await;
        let token = answer.field("x-session-token").unwrap().to_owned();
        let mut ws = Ws::open(&world, &token).await;
        let bearer = bearer(&token);
        for _ in 0..2 {
            let fields = [("Authorization", bearer.as_str())];
            let answer = http.ask("DELETE", "/api/v1/session", &fields, &[]).await;
            assert_eq!(answer.status, 204);
        }
        assert_eq!(ws.closed().await, Some(1000));
        assert_eq!(begin(&mut http, &bootstrap).await.status, 404, "spent");
    });
}

#[test]
fn a_stop_ends_all() {
    run(&[Clients::Idle], |world| async move {
        let mut ws = Ws::new(&world).await;
        let ended = smol::future::zip(world.context.end_all(), ws.closed());
        assert_eq!(ended.await.1, Some(1001));
        let bootstrap = bootstrap(&world, "192.0.2.1").await;
        let mut http = world.connect().await;
        assert_eq!(begin(&mut http, &bootstrap).await.status, 503);
    });
}

#[test]
fn a_secret_that_goes_takes_its_sessions_along() {
    run(&[Clients::Idle], |world| async move {
        let mut ws = Ws::new(&world).await;
        let config = world.config.with(Clone::clone);
        world.config.set(crate::config::WebConfig {
            hosts: Vec::new(),
            ..config
        });
        assert_eq!(ws.closed().await, Some(1000));
        assert_eq!(world.metrics.web_ends.get(WebEnd::SecretRemoved), 1);
    });
}
