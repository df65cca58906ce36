//! How much of everything there may be.

use std::time::Duration;

use super::app::{CLOSE, Ws, begin, bootstrap, open, pause, session_from};
use super::world::{Clients, run, run_with};
use crate::metrics::WebEnd;

#[test]
fn a_session_has_so_many_streams() {
    run(&[Clients::Idle], |world| async move {
        let mut ws = Ws::new(&world).await;
        let batch: Vec<u8> = (1..=130).flat_map(open).collect();
        ws.send(&batch).await;
        for stream in [129, 130] {
            let frame = ws.next().await.unwrap();
            assert_eq!((frame.kind, frame.stream), (CLOSE, stream));
        }
        assert_eq!(world.metrics.web_streams.get(), 128);
        assert_eq!(world.metrics.web_streams_refused.get(), 2);
        drop(ws);
        world
            .until("all are over", || world.metrics.web_streams.get() == 0)
            .await;
        assert_eq!(world.context.streams.taken(), 0);
    });
}

#[test]
fn a_session_opens_so_many_streams() {
    run(&[Clients::Idle], |world| async move {
        let mut ws = Ws::new(&world).await;
        let close = |stream| super::app::frame(CLOSE, stream, &[]);
        let mut refused = 0;
        for stream in 1..=700 {
            ws.send(&[open(stream), close(stream)].concat()).await;
            if stream % 50 == 0 {
                let metrics = &world.metrics;
                let is_over = || {
                    let refused = metrics.web_streams_refused.get() as usize;
                    let is_read = world.arrived.get() + refused == stream as usize;
                    is_read && metrics.web_streams.get() == 0
                };
                world.until("their clients have ended", is_over).await;
            }
        }
        let counted = &world.metrics.web_streams_refused;
        world
            .until("some are refused", || counted.get() >= 100)
            .await;
        for _ in 0..counted.get() {
            assert_eq!(ws.next().await.unwrap().kind, CLOSE);
            refused += 1;
        }
        assert!((90..=100).contains(&refused), "{refused}");
    });
}

#[test]
fn who_opens_and_does_not_read_is_not_read() {
    run(&[Clients::Idle], |world| async move {
        let ws = Ws::new(&world).await;
        let refusals: Vec<u8> = (1..=4096).flat_map(open).collect();
        ws.send(&refusals).await;
        world
            .until("they are refused", || {
                world.metrics.web_streams_refused.get() >= 3000
            })
            .await;
        assert!(world.buffers.used_bytes() < 128 * 1024);
        drop(ws);
    });
}

#[test]
fn sessions_of_an_address_begin_so_often() {
    run_with(
        &[Clients::Idle],
        &[("--max-clients", "4000")],
        |world| async move {
            for _ in 0..120 {
                session_from(&world, "192.0.2.1").await;
            }
            let token = bootstrap(&world, "192.0.2.1").await;
            let mut http = world.connect_from("192.0.2.1").await;
            let full = begin(&mut http, &token).await;
            assert_eq!((full.status, full.field("retry-after")), (503, Some("1")));
            // An address of its own has its own; the token is good still.
            session_from(&world, "192.0.2.2").await;
            pause(&world, Duration::from_secs(2)).await;
            let mut http = world.connect_from("192.0.2.1").await;
            assert_eq!(begin(&mut http, &token).await.status, 200);
        },
    );
}

#[test]
fn who_has_most_makes_room() {
    run_with(
        &[Clients::Idle],
        &[("--max-clients", "128")],
        |world| async move {
            // 32 places.
            for _ in 0..31 {
                session_from(&world, "2001:db8::1").await;
            }
            session_from(&world, "192.0.2.7").await;
            assert_eq!(world.context.sessions.len(), 32);
            // Another address of the same subscriber.
            let token = bootstrap(&world, "2001:db8::2").await;
            let mut http = world.connect_from("2001:db8::2").await;
            assert_eq!(begin(&mut http, &token).await.status, 503);
            session_from(&world, "192.0.2.8").await;
            assert_eq!(world.metrics.web_ends.get(WebEnd::PushedOut), 1);
            assert_eq!(world.context.sessions.len(), 32);
        },
    );
}

/// Who is there stays when a reload makes it fewer.
#[test]
fn a_reload_says_how_much_there_may_be() {
    let flags = [("--max-clients", "128")];
    run_with(&[Clients::Idle], &flags, |world| async move {
        for last in 1..=32 {
            session_from(&world, &format!("192.0.2.{last}")).await;
        }
        let begun = async |from: &str| {
            let token = bootstrap(&world, from).await;
            let mut http = world.connect_from(from).await;
            begin(&mut http, &token).await.status
        };
        assert_eq!(begun("192.0.2.99").await, 503);
        world.context.set_most(400, 100);
        assert_eq!(begun("192.0.2.99").await, 200);
        world.context.set_most(128, 100);
        assert_eq!(begun("192.0.2.98").await, 503);
        assert_eq!(world.context.sessions.len(), 33);
        assert_eq!(world.metrics.web_ends.get(WebEnd::PushedOut), 0);
    });
}
