//! Ways to Telegram that go dark without a word.

use super::*;

/// A part of what people have.
const PATIENCE: Patience = Patience {
    ping_after: Duration::from_millis(500),
    ping_after_leaving: Duration::from_millis(100),
    doubt_after: Duration::from_millis(200),
    pong_limit: Duration::from_millis(3000),
};

impl House {
    fn live(&self) -> usize {
        self.fake.counters().middle_live() as usize
    }

    fn timeouts(&self) -> u64 {
        self.metrics.connection_ends.get(ConnectionEnd::PingTimeout)
    }
}

#[test]
fn a_dark_connection_gets_nobody_new_and_ends_on_time() {
    House::run_with(1, PATIENCE, ON_DEMAND, |house| async move {
        let idle = house.open().await;
        house.echo(&idle, &payload::echo(1, 40)).await;
        let first = house.fake.connections()[0].number;
        assert_eq!(house.fake.darken(true, |_| true), 1);
        let start = house.reactor.now();
        let [speaking, silent] = [house.open().await, house.open().await];
        speaking.push(&payload::echo(2, 40));
        // Longer than until a ping is unanswered for too long.
        let doubted = 2 * PATIENCE.ping_after + PATIENCE.doubt_after;
        house.reactor.sleep(doubted).await;
        let newcomer = house.open().await;
        house.echo(&newcomer, &payload::echo(3, 40)).await;
        // Who has nothing under way says what it has to say there, too.
        std::future::poll_fn(|cx| idle.stream.poll_ready(cx)).await;
        house.echo(&idle, &payload::echo(4, 40)).await;
        assert_eq!((house.live(), house.timeouts()), (2, 0));
        house.ends(&speaking, SessionEnd::MidSend).await;
        let took = house.reactor.now() - start;
        println!("its end was noticed after {took:?}");
        assert!(took >= PATIENCE.ping_after + PATIENCE.pong_limit);
        assert!(took <= 2 * PATIENCE.ping_after + PATIENCE.pong_limit);
        assert_eq!(house.timeouts(), 1);
        for session in [&idle, &silent] {
            house.echo(session, &payload::echo(5, 40)).await;
            assert_eq!(session.sink.ended.get(), None);
        }
        house.fake.darken(false, |one| one.number == first);
    });
}

/// A middle proxy that has stood still ends the connection itself: nobody has read
/// what went there.
#[test]
fn a_request_to_a_connection_that_is_closed_unread_is_asked_again() {
    let patience = Patience {
        pong_limit: Duration::from_secs(60),
        ..PATIENCE
    };
    House::run_with(1, patience, ON_DEMAND, |house| async move {
        let [session, idle] = [house.open().await, house.open().await];
        house.echo(&session, &payload::echo(1, 40)).await;
        house.fake.behave(|b| {
            b.mute = true;
            b.ignore_pings = true;
        });
        session.push(&payload::echo(2, 40));
        // A session that hears nothing for longer than 3 s else waits for nothing.
        house.reactor.sleep(Duration::from_secs(4)).await;
        house.rotate(Close::Fin).await;
        house.ends(&session, SessionEnd::MidSend).await;
        house.fake.behave(|b| {
            b.mute = false;
            b.ignore_pings = false;
        });
        house.echo(&idle, &payload::echo(3, 40)).await;
    });
}

#[test]
fn a_connection_that_answers_late_is_used_again() {
    House::run_with(1, PATIENCE, ON_DEMAND, |house| async move {
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        house.fake.darken(true, |_| true);
        // No other one can be had meanwhile.
        house.fake.behave(|b| b.accept = Accept::Silent);
        let doubted = 2 * PATIENCE.ping_after + PATIENCE.doubt_after;
        house.reactor.sleep(doubted).await;
        let house = &house;
        let opening = house.open();
        let answering = async {
            house.reactor.sleep(Duration::from_millis(100)).await;
            house.fake.darken(false, |_| true);
        };
        let start = house.reactor.now();
        let (newcomer, ()) = smol::future::zip(opening, answering).await;
        assert!(house.reactor.now() - start < Duration::from_secs(3));
        house.echo(&newcomer, &payload::echo(2, 40)).await;
        house.echo(&session, &payload::echo(3, 40)).await;
        assert_eq!(house.timeouts(), 0);
        assert_eq!(house.metrics.connection_ends.total(), 0);
    });
}

/// Telegram answers the handshake and nothing more: how many connections that
/// makes.
#[test]
fn silence_does_not_open_many_connections() {
    let patience = Patience {
        pong_limit: Duration::from_millis(1000),
        ..PATIENCE
    };
    House::run_with(1, patience, ON_DEMAND, |house| async move {
        house.fake.behave(|b| {
            b.mute = true;
            b.ignore_pings = true;
        });
        let start = house.reactor.now();
        let mut sessions = Vec::new();
        while house.reactor.now() - start < Duration::from_secs(4) {
            sessions.push(house.open().await);
            let live = house.live();
            // 1.5 to 2 s of life each, one more after 0.7 to 1.2 s.
            assert!(live <= 4, "{live} connections");
            house.reactor.sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_client_that_has_nowhere_else_to_go_is_tried_for() {
    House::run(ON_DEMAND, |house| async move {
        house.fake.behave(|b| b.accept = Accept::Refuse);
        let failures = || house.metrics.connect_failures.total();
        // The pauses have grown: the next is 4.8 to 9.6 s long.
        let pools = config(&[("--dc-connections", "1".to_owned())]).pools;
        let config = &house.telegram.shared.config;
        let mut changed = (*config.get()).clone();
        changed.pools = pools;
        config.set(changed);
        house.telegram.warm_up();
        house.until("some failures", || failures() >= 5).await;
        house.fake.behave(|b| b.accept = Accept::Normal);
        let refused = house.try_open_with(Route::Middle, true).await;
        assert!(matches!(refused, Err(OpenError::MiddleUnavailable)));
        let start = house.reactor.now();
        let session = house.open().await;
        let took = house.reactor.now() - start;
        println!("a session after {took:?}");
        assert!(took < Duration::from_secs(4), "{took:?}");
        house.echo(&session, &payload::echo(1, 40)).await;
    });
}
