mod adversaries;
mod crowds;
mod destinations;
mod slow;

use std::time::Duration;

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
