//! Each rule of frames that an app may not break, by both carriers.

use fake_telegram::client::Kind;
use fake_telegram::harness::Route;
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_app::{
    CLOSE, Carrier, DATA, HELLO, MAX_FRAMES, OPEN, PING, PONG, WELCOME, WINDOW, frame,
};

use crate::{Inside, Set};

fn violations() -> Vec<(&'static str, Vec<u8>)> {
    let data = frame(DATA, 50, &vec![7; 1 << 20]);
    let most = |bytes: Vec<u8>, count: usize| bytes.repeat(count);
    vec![
        ("OPEN of a stream that is open", frame(OPEN, 1, &[])),
        ("OPEN of stream 0", frame(OPEN, 0, &[])),
        ("OPEN with a payload", frame(OPEN, 2, &[1])),
        ("OPEN of a stream that was closed just now", {
            [
                frame(OPEN, 60, &[]),
                frame(CLOSE, 60, &[]),
                frame(OPEN, 60, &[]),
            ]
            .concat()
        }),
        ("DATA for a stream that never was", frame(DATA, 77, &[1])),
        (
            "WINDOW for a stream that never was",
            frame(WINDOW, 77, &[0, 0, 0, 1]),
        ),
        ("CLOSE for a stream that never was", frame(CLOSE, 77, &[])),
        ("DATA without a byte", frame(DATA, 1, &[])),
        ("DATA for stream 0", frame(DATA, 0, &[1])),
        ("CLOSE with a payload", frame(CLOSE, 1, &[1])),
        ("WINDOW of nothing", frame(WINDOW, 1, &[0; 4])),
        ("WINDOW of three bytes", frame(WINDOW, 1, &[0, 0, 1])),
        ("WINDOW of five bytes", frame(WINDOW, 1, &[0, 0, 0, 0, 1])),
        ("HELLO again", frame(HELLO, 0, &[1])),
        ("WELCOME", frame(WELCOME, 0, &[])),
        ("PING", frame(PING, 0, &[])),
        ("a long PONG", frame(PONG, 0, &[0; 65])),
        ("PONG for a stream", frame(PONG, 1, &[])),
        ("a type that there is not", frame(0x07, 1, &[])),
        ("a reserved type", frame(0x12, 0, &[])),
        ("half a header", vec![2, 0, 0, 1]),
        (
            "a frame without its end",
            vec![2, 0, 0, 1, 0, 0, 0, 3, 0x61, 0x62],
        ),
        (
            "DATA of more than a mebibyte",
            frame(DATA, 1, &vec![7; (1 << 20) + 1]),
        ),
        (
            "a length of 2^32 - 1",
            vec![2, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1],
        ),
        ("too many frames", most(frame(PONG, 0, &[]), MAX_FRAMES + 1)),
        ("a mebibyte for a stream without its OPEN", data),
    ]
}

async fn ends(set: &Set, carrier: Carrier, what: &str, bytes: &[u8]) {
    let (session, inside) = crate::session(&set.app(), carrier).await;
    session.send_raw(bytes);
    let over = within(what, session.until_over()).await;
    println!("{what}, {carrier:?}: {over}");
    drop(inside);
}

#[test]
fn violations_end_the_session() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            for (what, bytes) in violations() {
                ends(&set, carrier, what, &bytes).await;
            }
        }
        let over = || set.telegram.counters().direct_live() == 0;
        fake_telegram::wait::eventually("the end of all streams", over).await;
        set.telegram.assert_clean();
    });
}

/// More than its credit, for a DC that takes nothing and for a stream that is no client's.
#[test]
fn an_overrun_is_the_end_of_its_stream() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let (session, mut inside) = crate::session(&set.app(), carrier).await;
            // What is no client's is closed; what comes for it yet goes nowhere.
            let noise = session.stream_numbered(500).unwrap();
            for _ in 0..5 {
                session.send_raw(&frame(DATA, 500, &vec![7; 1 << 20]));
            }
            eventually("CLOSE of noise", || !noise.is_open()).await;
            within("an echo", inside.echo(&echo(1, 64))).await.unwrap();
            session.assert_clean();
            let mut stuck = Inside::open(&session, Kind::Padded, 4);
            within("an echo", stuck.echo(&echo(1, 64))).await.unwrap();
            set.telegram.behave_dc(4, |b| b.stop_reading = true);
            // So much of one packet that the DC's buffers are full before its end.
            let packet = stuck.codec.packet(&echo(2, 14 << 20), false, &[]);
            for part in packet.chunks(1 << 20) {
                let number = stuck.stream.id();
                session.send_raw(&frame(DATA, number, part));
            }
            eventually("its end", || {
                session.over().is_some() || !stuck.stream.is_open()
            })
            .await;
            assert!(session.violations().is_empty());
            set.telegram.behave_dc(4, |b| b.stop_reading = false);
            let (other, mut inside) = crate::session(&set.app(), carrier).await;
            within("an echo", inside.echo(&echo(1, 64))).await.unwrap();
            other.assert_clean();
        }
    });
}

/// As many as a batch may have are good.
#[test]
fn a_batch_of_4096_frames_is_taken() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let (session, mut inside) = crate::session(&set.app(), carrier).await;
            session.send_raw(&frame(PONG, 0, &[]).repeat(MAX_FRAMES));
            within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
            session.assert_clean();
        }
    });
}
