//! Streams that ask whether their app is there.

use std::time::Duration;

use rustix::net::sockopt;

use super::app::{CLOSE, Ws, frame, open, session_from, ws_frame};
use super::world::{Clients, World, run};
use crate::client::KEEPALIVE;

/// An app at `address` with two streams.
async fn app(world: &World, address: &str) -> Ws {
    let token = session_from(world, address).await;
    let ws = Ws::open_from(world, &token, address).await;
    ws.send(&[open(1), open(2)].concat()).await;
    let both = || world.kept.borrow().len() == 2;
    world.until("two streams", both).await;
    ws
}

/// Between the kernel's questions.
fn interval(world: &World) -> Duration {
    let session = world.context.sessions.all()[0].clone();
    let connection = session.connection().unwrap();
    sockopt::tcp_keepintvl(connection.socket()).unwrap()
}

#[test]
fn a_connection_is_asked_for_as_long_as_a_stream_asks() {
    run(&[Clients::Kept], |world| async move {
        // Where the connection comes from.
        let ws = app(&world, "127.0.0.1").await;
        let ends = world.kept.take();
        let [one, two] = ends.as_slice() else {
            panic!("two");
        };
        one.ask_peer().unwrap();
        two.ask_peer().unwrap();
        let asked = Duration::from_secs(2);
        assert_eq!(interval(&world), asked);
        one.let_be();
        one.let_be();
        assert_eq!(interval(&world), asked, "the other one asks");
        // What ends ends its asking; it may be let be all the same.
        two.close();
        assert_eq!(interval(&world), KEEPALIVE.interval);
        two.let_be();
        assert_eq!(interval(&world), KEEPALIVE.interval);
        one.ask_peer().unwrap();
        assert_eq!(interval(&world), asked);
        ws.send(&frame(CLOSE, 2, &[])).await;
        world.until("an answer", || one.has_answered()).await;
    });
}

#[test]
fn behind_a_web_server_the_app_itself_is_asked() {
    run(&[Clients::Kept], |world| async move {
        let mut ws = app(&world, "192.0.2.1").await;
        let ends = world.kept.take();
        let [one, two] = ends.as_slice() else {
            panic!("two");
        };
        for _ in 0..2 {
            one.ask_peer().unwrap();
            two.ask_peer().unwrap();
            world.reactor.sleep(Duration::from_secs(5)).await;
            assert!(!one.has_answered() && !two.has_answered());
            // Once for both.
            assert_eq!(ws.raw().await, Some((0x89, Vec::new())));
            ws.http.send(&ws_frame(0x8a, &[])).await;
            let both = || one.has_answered() && two.has_answered();
            world.until("an answer", both).await;
            one.let_be();
            two.let_be();
        }
        // One that is no more, of a session that is over, is let be yet.
        one.ask_peer().unwrap();
        drop(ws);
        let is_over = || world.metrics.web_sessions.get() == 0;
        world.until("its end", is_over).await;
        one.let_be();
        assert!(two.ask_peer().is_err() && two.has_answered());
    });
}
