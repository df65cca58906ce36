//! What is under way when a connection ends: who loses something by it is
//! closed, nobody else is.

use super::*;

fn later(millis: u32) -> Vec<u8> {
    Command::EchoLater { millis }.payload()
}

impl House {
    async fn answers(&self, session: &TestSession, count: usize) {
        self.until("the answers", || {
            session.sink.packets.borrow().len() == count
        })
        .await;
    }
}

#[test]
fn of_two_requests_one_is_not_answered_yet() {
    House::run(ON_DEMAND, |house| async move {
        let session = house.open().await;
        session.push(&later(100));
        session.push(&later(60_000));
        house.answers(&session, 1).await;
        house.rotate(Close::Fin).await;
        house.ends(&session, SessionEnd::MidSend).await;
    });
}

#[test]
fn an_answer_comes_while_a_packet_is_half_sent() {
    House::run(ON_DEMAND, |house| async move {
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        session.push(&later(500));
        let arrived = || house.fake.counters().requests() == 2;
        house.until("the first one arrives", arrived).await;
        house.fake.behave(|b| b.stop_reading = true);
        // More than the kernel takes.
        session.push(&payload::echo(0, 12 << 20));
        house.answers(&session, 2).await;
        house.rotate(Close::Reset).await;
        house.ends(&session, SessionEnd::MidSend).await;
        house.fake.behave(|b| b.stop_reading = false);
    });
}

/// The kernel takes packets long after the way to Telegram has gone dark.
#[test]
fn a_packet_goes_into_the_dark_long_before_that_is_noticed() {
    House::run(ON_DEMAND, |house| async move {
        let idle = house.open().await;
        house.echo(&idle, &payload::echo(1, 40)).await;
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        house.fake.behave(|b| {
            b.mute = true;
            b.ignore_pings = true;
        });
        session.push(&payload::echo(2, 40));
        let took = house.ends(&session, SessionEnd::MidSend).await;
        // A ping after 5 to 10 s, and 10 s for its answer.
        assert!((15..=20).contains(&took.as_secs()), "{took:?}");
        let timeouts = house
            .metrics
            .connection_ends
            .get(ConnectionEnd::PingTimeout);
        assert_eq!(timeouts, 1);
        house.fake.behave(|b| {
            b.mute = false;
            b.ignore_pings = false;
        });
        house.echo(&idle, &payload::echo(3, 40)).await;
    });
}

#[test]
fn an_answer_behind_a_slow_client_outlives_the_connection() {
    House::run(ON_DEMAND, |house| async move {
        let [slow, other, third] = [house.open().await, house.open().await, house.open().await];
        house.echo(&third, &payload::echo(1, 40)).await;
        slow.sink.full.set(true);
        other.push(&later(300));
        slow.push(&payload::echo(2, 40));
        let blocked = || house.metrics.backpressure.get();
        let never = Duration::ZERO;
        house.until("it blocks", || blocked() > never).await;
        let answered = || house.fake.counters().answers() == 3;
        house.until("the other one's answer", answered).await;
        let before = blocked();
        house.until("that has come", || blocked() > before).await;
        house.fake.rotate_all(Close::Reset);
        house
            .until("a write fails", || {
                house.migrated(MigrationOutcome::ClosedMidAnswer) == 1
            })
            .await;
        house.echo(&third, &payload::echo(4, 40)).await;
        assert_eq!(slow.sink.ended.get(), Some(SessionEnd::MidAnswer));
        house.answers(&other, 1).await;
        house.echo(&other, &payload::echo(5, 40)).await;
    });
}

/// As a client does that fetches a file in parts: the next request goes out
/// while others wait for their answers.
#[test]
fn a_renewal_loses_nothing_of_what_is_always_under_way() {
    House::run(&[("--dc-connections", "2")], |house| async move {
        house.telegram.warm_up();
        // One session each.
        house.connected(2).await;
        let sessions = [house.open().await, house.open().await];
        let drained = || house.metrics.connection_ends.get(ConnectionEnd::Drained);
        let mut pushed = 0;
        while drained() == 0 {
            assert!(pushed < 450, "none is renewed");
            for session in &sessions {
                assert_eq!(session.sink.ended.get(), None);
                session.push(&later(1500));
            }
            pushed += 1;
            house.reactor.sleep(Duration::from_millis(100)).await;
        }
        for session in &sessions {
            house.answers(session, pushed).await;
        }
        assert!(house.migrated(MigrationOutcome::MovedQueued) >= 1);
    });
}
