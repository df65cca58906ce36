use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::claim::{BLOCKED, GOOD_PACE, LATE, MAX_PACKET_TIME};
use super::queue::MAX_USERS;
use super::*;
use crate::net::CHUNK_LEN;

/// What the kernel keeps of a client that is not read.
const KERNEL: usize = 64 * 1024;
const STEP: Duration = Duration::from_millis(10);
const LOOK: u32 = (LOOK_EVERY.as_millis() / STEP.as_millis()) as u32;
const MIB: usize = 1 << 20;
const DC: Destination = Destination(2);

/// How a client sends its packets.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// So many bytes each step, to the end, and then the next one.
    Steady(usize),
    /// So many bytes at once every so many steps.
    Bursts(usize, u32),
    /// This part of a packet at once, in 256ths, and then nothing.
    Stop(usize),
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    user: u64,
    packet: usize,
    manner: Manner,
}

impl Plan {
    /// It sends at a pace that nobody may call slow.
    fn is_good(&self) -> bool {
        let (bytes, steps) = match self.manner {
            Manner::Steady(bytes) => (bytes, 1),
            Manner::Bursts(bytes, steps) => (bytes, steps),
            Manner::Stop(_) => return false,
        };
        let good = GOOD_PACE as usize / 100 * 5 / 4;
        bytes >= good * steps as usize && steps <= 40
    }

    fn sent(&self, step: u32) -> usize {
        match self.manner {
            Manner::Steady(bytes) => bytes,
            Manner::Bursts(bytes, steps) if step.is_multiple_of(steps) => bytes,
            Manner::Bursts(..) => 0,
            Manner::Stop(part) => self.packet * part / 256,
        }
    }

    fn steps_alone(&self) -> u32 {
        let (bytes, steps) = match self.manner {
            Manner::Steady(bytes) => (bytes, 1),
            Manner::Bursts(bytes, steps) => (bytes, steps),
            Manner::Stop(_) => return 0,
        };
        (self.packet.div_ceil(bytes) as u32 + 1) * steps
    }
}

struct Client {
    plan: Plan,
    id: Id,
    /// When its packet was announced.
    begun: u32,
    /// Sent and not read.
    kernel: usize,
    unsent: usize,
    received: usize,
    held: usize,
    waits: bool,
    is_proven: bool,
    /// The longest that a packet took, in steps.
    slowest: u32,
    revoked: usize,
}

struct World {
    room: Room,
    free: usize,
    start: Instant,
    step: u32,
    clients: Vec<Client>,
}

impl World {
    fn new(capacity: usize, plans: &[Plan]) -> Self {
        let mut world = Self {
            room: Room::new(capacity, capacity / 16),
            free: capacity + capacity / 8,
            start: Instant::now(),
            step: 0,
            clients: Vec::new(),
        };
        for plan in plans {
            let mut client = Client {
                plan: *plan,
                id: 0,
                begun: 0,
                kernel: 0,
                unsent: 0,
                received: 0,
                held: 0,
                waits: false,
                is_proven: false,
                slowest: 0,
                revoked: 0,
            };
            world.announce(&mut client);
            world.clients.push(client);
        }
        world
    }

    fn now(&self) -> Instant {
        self.start + STEP * self.step
    }

    fn announce(&mut self, client: &mut Client) {
        let chunks = client.plan.packet.div_ceil(CHUNK_LEN);
        let user = User(client.plan.user);
        let id = self.room.claim(user, DC, chunks, self.now()).unwrap();
        client.id = id;
        if client.is_proven {
            self.room.vouch(id);
        }
        client.begun = self.step;
        client.unsent = match client.plan.manner {
            Manner::Stop(part) => client.plan.packet * part / 256,
            _ => client.plan.packet,
        };
        (client.kernel, client.received, client.held) = (0, 0, 0);
        client.waits = false;
    }

    fn leave(&mut self, client: &mut Client) {
        assert_eq!(self.room.close(client.id, self.now()), 0);
        for _ in 0..client.held {
            self.room.freed(DC);
            self.free += 1;
            self.called(None);
        }
        self.called(None);
    }

    fn called(&mut self, ids: Option<Vec<Id>>) {
        let ids = ids.unwrap_or_else(|| self.room.call(self.free, self.now()));
        if ids.is_empty() {
            return;
        }
        for client in &mut self.clients {
            client.waits &= !ids.contains(&client.id);
        }
    }

    fn serve(&mut self, client: &mut Client) {
        let sent = client.plan.sent(self.step).min(client.unsent);
        let sent = sent.min(KERNEL - client.kernel);
        client.kernel += sent;
        client.unsent -= sent;
        while client.kernel > 0 && !client.waits {
            if !self.room.ask(client.id, self.free, self.now()) {
                let left = client.plan.packet - client.received;
                if client.kernel < left.min(self.room.worth_waiting(client.id)) {
                    return;
                }
                self.room.wait(client.id, self.now());
                client.waits = true;
                return;
            }
            let length = client.kernel;
            client.kernel = 0;
            client.received += length;
            while client.held * CHUNK_LEN < client.received {
                assert!(self.room.take(client.id).is_some());
                client.held += 1;
                self.free -= 1;
            }
            self.room.received(client.id, length, self.now());
            self.called(None);
        }
        if client.received == client.plan.packet {
            client.is_proven = true;
            client.slowest = client.slowest.max(self.step - client.begun);
            self.leave(client);
            self.announce(client);
        }
    }

    fn turn(&mut self) {
        self.step += 1;
        let count = self.clients.len();
        for index in 0..count {
            let place = (index + self.step as usize) % count;
            // Out of the others for a moment, and back where it was.
            let mut client = self.clients.swap_remove(place);
            if self.room.revoked(client.id).is_some() {
                client.revoked += 1;
                client.is_proven = false;
                self.leave(&mut client);
                self.announce(&mut client);
            }
            self.serve(&mut client);
            self.clients.push(client);
            self.clients.swap(place, count - 1);
        }
        if self.step.is_multiple_of(LOOK) && self.room.is_short() {
            let outcome = self.room.look(self.free, self.now());
            self.called(Some(outcome.called));
            for client in &mut self.clients {
                client.waits &= !outcome.revoked.contains(&client.id);
            }
        }
        self.check();
    }

    fn check(&self) {
        let held: usize = self.clients.iter().map(|client| client.held).sum();
        assert_eq!(self.room.tally().taken, held);
        assert!(held <= self.room.capacity + self.room.extra);
        let missing = self.room.claims.values().map(Claim::missing);
        assert_eq!(self.room.missing, missing.sum::<usize>());
        // Somebody can be read to the end of his packet.
        let rest = |client: &Client| client.plan.packet.div_ceil(CHUNK_LEN) - client.held;
        let mut holders = self.clients.iter().filter(|client| client.held > 0);
        let available = self.room.available_to(false, self.free) + self.room.called;
        let small = self
            .clients
            .iter()
            .filter(|client| client.plan.packet <= CHUNK_LEN);
        let small: usize = small.map(|client| client.held).sum();
        assert!(held == 0 || holders.any(|client| rest(client) <= available + small));
    }

    fn end(mut self) {
        for mut client in std::mem::take(&mut self.clients) {
            self.leave(&mut client);
        }
        assert_eq!(self.room.tally(), Tally::default());
        assert_eq!(self.room.available_to(false, self.free), self.room.capacity);
        assert!(!self.room.is_short());
        assert_eq!(self.room.called, 0);
    }
}

/// The worst of the honest ones after so many steps: how long a packet took.
fn run(capacity: usize, honest: &[Plan], others: &[Plan], steps: u32) -> Duration {
    let mut world = World::new(capacity, &[others, honest].concat());
    for _ in 0..steps {
        world.turn();
    }
    let now = world.step;
    let worst = world.clients[others.len()..].iter().map(|client| {
        assert_eq!(client.revoked, 0, "{:?}", client.plan);
        // Also the packet that is under way.
        client.slowest.max(now - client.begun)
    });
    let worst = worst.max().unwrap_or(0);
    world.end();
    STEP * worst
}

fn honest(packet: usize) -> Plan {
    Plan {
        user: 1,
        packet,
        manner: Manner::Steady(KERNEL),
    }
}

const SMALL: usize = 259;
const MIDDLE: usize = 452;

const LARGE: usize = 3600;

/// Eighty at a time, at the address of the honest one.
#[test]
fn who_announces_a_large_packet_and_sends_little_of_it_does_not_hold_up_others() {
    for manner in [
        Manner::Stop(0),
        Manner::Stop(1),
        Manner::Stop(128),
        Manner::Bursts(1, 40),
        Manner::Bursts(1, 2500),
        Manner::Steady(40),
    ] {
        let other = Plan {
            packet: MIB,
            manner,
            ..honest(MIB)
        };
        for capacity in [SMALL, MIDDLE, LARGE] {
            let worst = run(capacity, &[honest(300_000)], &[other; 80], 3000);
            // With his first packet he waits for a round of those before him.
            let limit = Duration::from_millis(if capacity == LARGE { 1500 } else { 1000 });
            assert!(worst < limit, "{capacity} {manner:?}: {worst:?}");
        }
    }
}

/// Whatever the large packets do, and the small ones that are not finished.
#[test]
fn small_packets_pass() {
    for (packet, manner) in [
        (MIB, Manner::Stop(128)),
        (MIB, Manner::Steady(40)),
        (300_000, Manner::Stop(128)),
        (300_000, Manner::Steady(40)),
    ] {
        let other = Plan {
            packet,
            manner,
            ..honest(packet)
        };
        let worst = run(SMALL, &[honest(64)], &[other; 80], 3000);
        assert!(worst <= STEP * 5, "{manner:?}: {worst:?}");
    }
    for manner in [Manner::Stop(128), Manner::Bursts(1, 40)] {
        let other = Plan {
            packet: 4000,
            manner,
            ..honest(4000)
        };
        let worst = run(SMALL, &[honest(64)], &[other; 600], 2000);
        assert!(worst < Duration::from_secs(2), "{manner:?}: {worst:?}");
    }
}

/// They announce no more than he does, and so are told from him by what they do
/// only. From another address, he waits for those who have begun.
#[test]
fn another_address_does_not_wait_behind_a_crowd() {
    for part in [128, 250] {
        let other = Plan {
            user: 2,
            packet: 300_000,
            manner: Manner::Stop(part),
        };
        for capacity in [SMALL, MIDDLE, LARGE] {
            let worst = run(capacity, &[honest(300_000)], &[other; 80], 3000);
            assert!(
                worst < Duration::from_secs(5),
                "{capacity} {part}: {worst:?}"
            );
        }
    }
}

#[test]
fn many_good_senders_all_get_through() {
    for (bytes, packet) in [(KERNEL, 512 << 10), (2000, 512 << 10), (1000, MIB)] {
        let plan = Plan {
            manner: Manner::Steady(bytes),
            ..honest(packet)
        };
        let worst = run(MIDDLE, &[plan; 20], &[], 20_000);
        let alone = STEP * plan.steps_alone();
        assert!(
            worst < 20 * alone + Duration::from_secs(5),
            "{bytes}: {worst:?}"
        );
    }
}

#[test]
fn a_sender_that_is_slower_than_a_packet_may_be_goes_while_others_wait() {
    let mut room = Room::new(100, 0);
    let start = Instant::now();
    let slow = room.claim(User(1), DC, 60, start).unwrap();
    assert!(room.ask(slow, 100, start));
    assert!(room.take(slow).is_some());
    // So much is missing to somebody that nobody's going would help.
    room.taken += 30;
    let waiting = room.claim(User(2), DC, 99, start).unwrap();
    assert!(!room.ask(waiting, 100, start));
    room.wait(waiting, start);
    let mut gone = Vec::new();
    for second in 0..=300 {
        let now = start + Duration::from_secs(second);
        room.received(slow, 3900, now);
        let revoked = room.look(100, now).revoked;
        gone.extend(revoked.into_iter().map(|id| (id, second)));
    }
    assert_eq!(gone, [(slow, 30), (waiting, 300)]);
    assert_eq!(room.revoked(slow), Some(Revocation::TooSlow));
    assert_eq!(room.revoked(waiting), Some(Revocation::TooLong));
    assert!(!room.is_short());
}

#[test]
fn who_is_far_away_is_not_late_before_anything_can_come() {
    let way = Duration::from_millis(250);
    let mut room = Room::new(100, 0);
    let start = Instant::now();
    let told = room.claim(User(1), DC, 60, start).unwrap();
    assert!(room.ask(told, 100, start));
    assert_eq!(room.set_aside(told, 200), 60);
    room.is_away(told, start + way);
    let waiting = room.claim(User(1), DC, 50, start).unwrap();
    room.wait(waiting, start);
    let at = |time| start + time;
    assert!(room.look(100, at(BLOCKED)).revoked.is_empty());
    let just = at(way + LATE - STEP);
    assert!(room.look(100, just).revoked.is_empty());
    assert_eq!(room.look(100, at(way + LATE)).revoked, [told]);
    assert_eq!(room.close(told, at(MAX_PACKET_TIME)), 60);
    assert_eq!(room.call(100, at(MAX_PACKET_TIME)), [waiting]);
    assert!(room.ask(waiting, 100, at(MAX_PACKET_TIME)));
    assert_eq!(room.tally().waiters, 0);
}

#[test]
fn nobody_goes_while_nobody_waits() {
    let mut room = Room::new(100, 0);
    let start = Instant::now();
    let slow = room.claim(User(1), DC, 60, start).unwrap();
    assert!(room.ask(slow, 100, start) && room.take(slow).is_some());
    let late = start + MAX_PACKET_TIME * 2;
    assert!(room.look(100, late).revoked.is_empty());
    assert_eq!(room.revoked(slow), None);
}

#[test]
fn the_memory_of_users_is_bounded() {
    let mut room = Room::new(100, 0);
    let now = Instant::now();
    room.taken = 100;
    for user in 0..3 * MAX_USERS as u64 {
        let id = room.claim(User(user), DC, 50, now).unwrap();
        room.wait(id, now);
        if user > 0 {
            room.close(id, now);
        }
        assert!(room.next_turns.len() <= MAX_USERS + 1);
    }
}

fn manners() -> impl Strategy<Value = Manner> {
    prop_oneof![
        (0..=255usize).prop_map(Manner::Stop),
        (1..2000usize).prop_map(Manner::Steady),
        (1..100_000usize, 1..300u32).prop_map(|(bytes, steps)| Manner::Bursts(bytes, steps)),
    ]
}

fn adversaries() -> impl Strategy<Value = Plan> {
    (2..5u64, 70_000..=MIB, manners()).prop_map(|(user, packet, manner)| Plan {
        user,
        packet: packet / 4 * 4,
        manner,
    })
}

fn good() -> impl Strategy<Value = Plan> {
    let manners = prop_oneof![
        (300..70_000usize).prop_map(Manner::Steady),
        (1..40u32).prop_map(|steps| Manner::Bursts(300 * steps as usize, steps)),
    ];
    (70_000..600_000usize, manners).prop_map(|(packet, manner)| Plan {
        user: 1,
        packet,
        manner,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever others do: who sends well is never cut, and is served within
    /// a minute.
    #[test]
    fn good_senders_are_served_whatever_others_do(
        capacity in prop_oneof![Just(SMALL), Just(MIDDLE)],
        honest in vec(good(), 1..4),
        others in vec(adversaries(), 0..12),
    ) {
        for plan in &honest {
            prop_assert!(plan.is_good());
        }
        let alone = honest.iter().map(|plan| STEP * plan.steps_alone()).max().unwrap_or_default();
        let worst = run(capacity, &honest, &others, 8000);
        let limit = alone * 3 + Duration::from_secs(60);
        prop_assert!(worst < limit, "{worst:?}, alone {alone:?}");
    }
}

/// A packet over half of all room, among eleven senders of packets that fill the
/// room each time one ends, some of its own address.
#[test]
fn a_packet_over_half_of_the_room_is_not_passed_for_ever() {
    let plan = |user, packet, manner| Plan {
        user,
        packet,
        manner,
    };
    let large = plan(1, 581_153, Manner::Steady(8230));
    let next = plan(1, 215_345, Manner::Steady(17_882));
    let others = [
        plan(2, 348_848, Manner::Steady(1698)),
        plan(4, 183_848, Manner::Steady(1023)),
        plan(3, 567_820, Manner::Bursts(67_530, 8)),
        plan(4, 388_596, Manner::Stop(127)),
        plan(3, 741_228, Manner::Bursts(27_013, 150)),
        plan(4, 892_504, Manner::Steady(588)),
        plan(2, 875_812, Manner::Bursts(30_058, 103)),
        plan(2, 876_096, Manner::Steady(507)),
        plan(2, 235_588, Manner::Bursts(74_060, 135)),
    ];
    let worst = run(SMALL, &[large, next], &others, 30_000);
    assert!(worst < Duration::from_secs(60), "{worst:?}");
}

/// All looks come right behind bytes of a sender that is too slow, and of which two
/// others hold on to so much room that each is a little short of it.
#[test]
fn a_trickle_is_not_taken_for_a_pace() {
    let plan = |user, packet, pace| Plan {
        user,
        packet,
        manner: Manner::Steady(pace),
    };
    let others = [plan(2, 420_228, 57), plan(2, 967_236, 382)];
    let worst = run(SMALL, &[plan(1, 445_451, 5367)], &others, 8000);
    assert!(worst < Duration::from_secs(40), "{worst:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However its bytes come and whenever we look: who is too slow goes soon after
    /// it holds up somebody, and who is not stays.
    #[test]
    fn who_is_too_slow_is_found(
        every in prop_oneof![1..250u64, Just(5), Just(10), Just(25)],
        bytes in prop_oneof![1..8000usize, 1..400usize],
        first_look in prop_oneof![Just(0), 0..50u64],
    ) {
        let pace = bytes as u64 * 1000 / every;
        prop_assume!(pace.abs_diff(GOOD_PACE) > GOOD_PACE / 20);
        let (mut room, start) = (Room::new(100, 0), Instant::now());
        let sender = room.claim(User(1), DC, 60, start).unwrap();
        prop_assert!(room.ask(sender, 100, start) && room.take(sender).is_some());
        let waiting = room.claim(User(2), DC, 100, start).unwrap();
        room.wait(waiting, start);
        for millis in 1..10_000 {
            let now = start + Duration::from_millis(millis);
            if millis % every == 0 {
                room.received(sender, bytes, now);
            }
            if millis % 50 == first_look {
                room.look(99, now);
            }
        }
        prop_assert_eq!(room.revoked(sender).is_some(), pace < GOOD_PACE);
    }
}

/// Takes all of a packet that has room.
fn fill(room: &mut Room, id: Id, chunks: usize, free: &mut usize, now: Instant) {
    assert!(room.ask(id, *free, now));
    for _ in 0..chunks {
        assert!(room.take(id).is_some());
    }
    *free -= chunks;
}

#[test]
fn packets_that_a_dc_does_not_take_leave_a_part_to_others() {
    let (mut room, mut free) = (Room::new(2000, 0), 2000);
    let (now, other) = (Instant::now(), Destination(4));
    let stuck = room.claim(User(1), DC, 1200, now).unwrap();
    fill(&mut room, stuck, 1200, &mut free, now);
    room.close(stuck, now);
    // Of its destination there is more than its part.
    let next = room.claim(User(1), DC, 301, now).unwrap();
    assert!(!room.ask(next, free, now));
    room.wait(next, now);
    let free_to_go = room.claim(User(1), other, 600, now).unwrap();
    fill(&mut room, free_to_go, 600, &mut free, now);
    room.close(free_to_go, now);
    for _ in 0..600 {
        room.freed(other);
        free += 1;
        assert!(room.call(free, now).is_empty());
    }
    // It waits for one chunk of its own, however much is free.
    room.freed(DC);
    free += 1;
    assert_eq!(room.call(free, now), [next]);
    fill(&mut room, next, 301, &mut free, now);
    room.close(next, now);
    assert_eq!(room.tally().taken, 1500);
    for _ in 0..1500 {
        room.freed(DC);
    }
    // Alone it may have all.
    let large = room.claim(User(1), DC, 2000, now).unwrap();
    let mut free = 2000;
    fill(&mut room, large, 2000, &mut free, now);
    room.close(large, now);
}

#[test]
fn who_holds_up_others_of_his_destination_goes_though_much_is_free() {
    let (mut room, mut free) = (Room::new(2000, 0), 2000);
    let start = Instant::now();
    let silent = room.claim(User(1), DC, 1400, start).unwrap();
    fill(&mut room, silent, 1000, &mut free, start);
    let good = room.claim(User(2), DC, 800, start).unwrap();
    assert!(!room.ask(good, free, start));
    room.wait(good, start);
    let mut now = start;
    while room.revoked(silent).is_none() {
        assert!(now < start + Duration::from_secs(2));
        now += STEP * LOOK;
        room.look(free, now);
    }
    room.close(silent, now);
    for _ in 0..1000 {
        room.freed(DC);
        free += 1;
    }
    let called = room.call(free, now);
    assert_eq!(called, [good]);
    fill(&mut room, good, 800, &mut free, now);
}
