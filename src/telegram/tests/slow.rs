//! Clients that take their answers slowly or not at all, and those who share a
//! connection with them.

use super::*;

const MIB: usize = 1 << 20;

fn stream(total: usize) -> Vec<u8> {
    Command::SendMe {
        total: total as u32,
        size: MIB as u32,
    }
    .payload()
}

impl House {
    /// A session that takes nothing, with answers under way.
    async fn non_reader(&self) -> TestSession {
        let session = self.open().await;
        session.sink.full.set(true);
        session.push(&stream(4 * MIB));
        session
    }

    async fn isolated(&self, count: u64) {
        self.until("a connection of its own", || {
            self.metrics.isolations.get() == count
        })
        .await;
    }

    async fn quick_echo(&self, session: &TestSession, label: u32) {
        let start = self.reactor.now();
        self.echo(session, &payload::echo(label, 64)).await;
        let took = self.reactor.now() - start;
        assert!(took < Duration::from_secs(1), "{label}: {took:?}");
    }
}

#[test]
fn the_connection_is_left_to_who_blocks_it() {
    House::run(ON_DEMAND, |house| async move {
        let other = house.open().await;
        house.echo(&other, &payload::echo(1, 40)).await;
        let slow = house.non_reader().await;
        let blocked = || house.metrics.backpressure_events.get() > 0;
        house.until("it blocks", blocked).await;
        house.quick_echo(&other, 2).await;
        house.isolated(1).await;
        let new = house.open().await;
        house.quick_echo(&new, 3).await;
        assert_eq!(house.fake.counters().middle_live(), 2);
        assert_eq!(slow.sink.ended.get(), None);
        // What it asks for waits until it has taken what it asked for before.
        slow.push(&payload::echo(4, 64));
        slow.sink.full.set(false);
        slow.stream.resume();
        let all = || slow.sink.packets.borrow().len() == 5;
        house.until("all it asked for", all).await;
        let migrated = house.migrated(MigrationOutcome::MovedIdle)
            + house.migrated(MigrationOutcome::MovedQueued);
        assert_eq!((migrated, house.metrics.slow_cuts.get()), (1, 0));
    });
}

#[test]
fn many_that_take_nothing_hold_up_the_others_for_as_long_as_one() {
    House::run(ON_DEMAND, |house| async move {
        let other = house.open().await;
        house.echo(&other, &payload::echo(1, 40)).await;
        let mut slow = Vec::new();
        for _ in 0..6 {
            slow.push(house.open().await);
        }
        let start = house.reactor.now();
        let later = |millis| Command::EchoLater { millis }.payload();
        other.push(&later(300));
        for session in &slow {
            session.sink.full.set(true);
            session.push(&payload::echo(2, MIB));
        }
        house
            .until("its answer", || other.sink.packets.borrow().len() == 2)
            .await;
        let took = house.reactor.now() - start;
        assert!((4..=5).contains(&took.as_secs()), "{took:?}");
        let is_cut = |one: &&TestSession| one.sink.ended.get() == Some(SessionEnd::TooSlow);
        let cut = slow.iter().filter(is_cut).count() as u64;
        assert!(cut >= 5, "{cut}");
        assert_eq!(house.metrics.slow_cuts.get(), cut);
        house.quick_echo(&other, 3).await;
    });
}

/// 1.3 MB/s, with answers of others behind its own and little tolerance left.
#[test]
fn who_takes_little_is_not_cut() {
    House::run(ON_DEMAND, |house| async move {
        let other = house.open().await;
        house.echo(&other, &payload::echo(1, 40)).await;
        let slow = house.open().await;
        slow.sink.full.set(true);
        other.push(&Command::EchoLater { millis: 300 }.payload());
        slow.push(&stream(8 * MIB));
        let blocked = || house.metrics.backpressure_events.get() > 0;
        house.until("it blocks", blocked).await;
        let done = || slow.sink.packets.borrow().len() == 8;
        let start = house.reactor.now();
        while !done() {
            assert!(
                house.reactor.now() - start < DEADLINE,
                "it never has everything"
            );
            assert_eq!(slow.sink.ended.get(), None);
            slow.sink.full.set(false);
            slow.sink.room.set(64 << 10);
            slow.stream.resume();
            house.reactor.sleep(Duration::from_millis(50)).await;
            if house.reactor.now() - start > Duration::from_secs(1) {
                let third = house.open().await;
                house.quick_echo(&third, 2).await;
            }
        }
        house
            .until("its answer", || other.sink.packets.borrow().len() == 2)
            .await;
        assert_eq!(other.sink.ended.get(), None);
        house.quick_echo(&other, 3).await;
    });
}

#[test]
fn slow_clients_hold_few_connections() {
    House::run(ON_DEMAND, |house| async move {
        let mut slow = Vec::new();
        for count in 1..=10 {
            slow.push(house.non_reader().await);
            house.isolated(count).await;
        }
        let given_up = || house.metrics.connection_ends.get(ConnectionEnd::Slow);
        house.until("two are given up", || given_up() == 2).await;
        let ended = slow.iter().filter(|one| one.sink.ended.get().is_some());
        assert_eq!(ended.count(), 2);
        assert!(house.fake.counters().middle_live() <= 9);
        let other = house.open().await;
        house.quick_echo(&other, 1).await;
    });
}
