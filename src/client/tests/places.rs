//! Sessions of a secret that are asked whether they are there.

use std::time::Duration;

use rustix::net::sockopt;

use super::app::App;
use super::{OTHER_SECRET, SECRET, Setup};
use crate::client::KEEPALIVE;
use crate::config::Reset;
use crate::metrics::{CloseReason, RejectReason};
use crate::net::Socket;
use crate::wire::transport::Transport;

#[test]
fn of_many_sessions_all_get_their_turn() {
    Setup::default().run(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let mut apps = Vec::new();
        for number in 0..10 {
            let secret = [SECRET, OTHER_SECRET][number % 2];
            apps.push(App::connect(reactor, address, Transport::Padded, &secret).await);
            let count = || world.telegram.opened.borrow().len();
            world.until("a session", || count() == number + 1).await;
        }
        let account = world.context.gate.account("first").unwrap();
        let sessions = &world.context.sessions;
        let is_there = || sessions.some_of(&account, 0, 10).0.len() == 5;
        world.until("all of them", is_there).await;
        let (mut next, mut seen) = (0, Vec::new());
        for _ in 0..5 {
            let (some, after) = sessions.some_of(&account, next, 2);
            assert_eq!(some.len(), 2);
            seen.extend(some.iter().map(|out| out.end.peer_address().unwrap()));
            next = after;
        }
        // Each twice, in the same order.
        assert_eq!(seen[..5], seen[5..]);
        let mut different = seen[..5].to_vec();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 5);
    });
}

#[test]
fn who_waits_for_a_place_is_asked_no_longer_than_that() {
    Setup::default().run(async |world| {
        let socket = Socket::connect(&world.reactor, world.listener.address()).await;
        let socket = socket.unwrap();
        let interval = || sockopt::tcp_keepintvl(&socket).unwrap();
        let waiting = world.context.wait_for_place("first", &socket).unwrap();
        assert_eq!(interval(), Duration::from_secs(2));
        drop(waiting);
        assert_eq!(interval(), KEEPALIVE.interval);
        assert_eq!(sockopt::tcp_keepidle(&socket).unwrap(), KEEPALIVE.interval);
        assert_eq!(sockopt::tcp_keepcnt(&socket).unwrap(), KEEPALIVE.probes);
        let timeout = sockopt::tcp_user_timeout(&socket).unwrap();
        assert_eq!(u128::from(timeout), KEEPALIVE.user_timeout.as_millis());
    });
}

/// Nobody waits when all have answered, whoever else waits for a place.
#[test]
fn who_answers_keeps_its_place_and_newcomers_go_soon() {
    let mut setup = Setup::default();
    let limits = &mut setup.rules.secrets[1].limits;
    limits.set("max-connections", "1").unwrap();
    setup.clients.reset = Reset::OnHandshakeError;
    // The kernel tells by its own clock who has answered.
    setup.run_in_real_time(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let connect = || App::connect(reactor, address, Transport::Padded, &SECRET);
        let _first = connect().await;
        let is_there = || world.metrics.clients.get() == 1;
        world.until("a client", is_there).await;
        let mut newcomers = Vec::new();
        for _ in 0..20 {
            newcomers.push(connect().await);
        }
        for newcomer in &mut newcomers {
            assert!(newcomer.is_closed().await);
        }
        let refused = world.metrics.rejected.get(RejectReason::SecretConnections);
        assert_eq!(refused, 20);
        assert_eq!(world.metrics.clients.get(), 1);
        assert_eq!(world.metrics.closed.get(CloseReason::NoAnswer), 0);
    });
}
