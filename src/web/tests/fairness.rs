//! What one stream, or one session, can take from the others.

use std::time::Duration;

use super::app::{CLOSE, DATA, WINDOW, Ws, frame, open, pause, window};
use super::world::{Clients, run};

/// A DC that takes nothing ends its own stream, and not soon where it is the only one.
#[test]
fn a_stream_that_is_stuck_lets_the_others_go_on() {
    run(&[Clients::Deaf, Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.send(&[open(1), open(2)].concat()).await;
        ws.send(&frame(DATA, 2, b"before")).await;
        assert_eq!(ws.data(2, 6).await, b"before");
        let start = world.reactor.now();
        ws.send(&frame(DATA, 1, &[0; 200 * 1024])).await;
        ws.send(&frame(DATA, 2, b"behind")).await;
        let mut came = Vec::new();
        while came.len() < 6 {
            let frame = ws.next().await.unwrap();
            match (frame.kind, frame.stream) {
                (CLOSE, 1) | (WINDOW, 2) => {}
                (DATA, 2) => came.extend(frame.payload),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(came, b"behind");
        let passed = world.reactor.now() - start;
        assert!(passed < Duration::from_secs(5), "{passed:?}");
        assert_eq!(world.metrics.web_streams_stuck.get(), 1);
    });
    run(&[Clients::Deaf], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.send(&open(1)).await;
        let start = world.reactor.now();
        ws.send(&frame(DATA, 1, &[0; 200 * 1024])).await;
        loop {
            let frame = ws.next().await.unwrap();
            if frame.kind == CLOSE {
                break;
            }
        }
        let passed = world.reactor.now() - start;
        assert!((29..45).contains(&passed.as_secs()), "{passed:?}");
    });
}

/// Little that waits does not keep anybody from being read, and ends all the same.
#[test]
fn a_stream_that_holds_little_ends_too() {
    run(&[Clients::Deaf, Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.send(&[open(1), open(2), frame(DATA, 1, b"x")].concat())
            .await;
        let frame = ws.next().await.unwrap();
        assert_eq!((frame.kind, frame.stream), (CLOSE, 1));
        assert_eq!(world.buffers.used_bytes(), 0);
    });
}

/// Who reads nothing costs one frame, however much its DC would send.
#[test]
fn an_app_that_does_not_read_costs_little() {
    run(&[Clients::Source], |world| async move {
        let ws = Ws::new(&world).await;
        let batch: Vec<u8> = (1..=20).flat_map(open).collect();
        ws.send(&batch).await;
        pause(&world, Duration::from_secs(10)).await;
        let used = world.buffers.used_bytes();
        assert!(used <= 72 * 1024, "{used}");
        drop(ws);
    });
}

/// Streams that all have much to send come one after another.
#[test]
fn streams_take_turns() {
    run(&[Clients::Source], |world| async move {
        let mut ws = Ws::new(&world).await;
        let batch: Vec<u8> = (1..=5).flat_map(open).collect();
        ws.send(&batch).await;
        let mut had = [0usize; 6];
        for _ in 0..400 {
            let frame = ws.next().await.unwrap();
            assert_eq!(frame.kind, DATA);
            let stream = frame.stream as usize;
            had[stream] += frame.payload.len();
            ws.send(&window(frame.stream, frame.payload.len() as u32))
                .await;
        }
        let (least, most) = (had[1..].iter().min(), had[1..].iter().max());
        assert!(least.unwrap() * 2 > *most.unwrap(), "{had:?}");
    });
}

/// One that got its turn and has nothing to say does not hold the others up.
#[test]
fn a_turn_that_is_not_used_is_passed_on() {
    run(&[Clients::Idle, Clients::Source], |world| async move {
        let mut ws = Ws::new(&world).await;
        let batch: Vec<u8> = (1..=3).flat_map(open).collect();
        ws.send(&batch).await;
        pause(&world, Duration::from_secs(1)).await;
        ws.send(&frame(CLOSE, 2, &[])).await;
        for _ in 0..300 {
            let frame = ws.next().await.unwrap();
            if frame.stream == 3 {
                ws.send(&window(3, frame.payload.len() as u32)).await;
            }
        }
    });
}

/// No byte goes beyond what an app takes.
#[test]
fn credit_to_an_app_is_kept_to() {
    run(&[Clients::Source, Clients::Echo], |world| async move {
        let mut ws = Ws::new(&world).await;
        ws.send(&[open(1), open(2)].concat()).await;
        let mut had = 0;
        while had < 4 << 20 {
            had += ws.next().await.unwrap().payload.len();
        }
        assert_eq!(had, 4 << 20);
        // It has none left, the other one has.
        ws.send(&frame(DATA, 2, b"abc")).await;
        assert_eq!(ws.data(2, 3).await, b"abc");
        ws.send(&window(1, 10)).await;
        let frame = loop {
            let frame = ws.next().await.unwrap();
            if frame.kind == DATA {
                break frame;
            }
        };
        assert_eq!((frame.stream, frame.payload.len()), (1, 10));
    });
}
