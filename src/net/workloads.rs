//! For `tests/guard`, which counts the instructions of this pure core: it is no
//! part of the room's interface.

use std::time::Duration;

use super::room::{Destination, Room, User};
use crate::clock::Clock;

/// Packets of 64 users for chunks that are enough for few of them, a step each
/// round; how many came whole.
pub(crate) fn claims(rounds: u32) -> u64 {
    const USERS: u64 = 64;
    const CHUNKS: usize = 16;
    let capacity = 8 * CHUNKS;
    let began = Clock::machine().now();
    let mut room = Room::new(capacity, CHUNKS);
    let mut claims = Vec::new();
    let mut next_user = 0;
    let mut whole = 0;
    for round in 0..rounds {
        let now = began + Duration::from_millis(10) * round;
        while claims.len() < USERS as usize {
            let to = Destination((next_user % 5) as i16 + 1);
            if let Some(id) = room.claim(User(next_user % USERS), to, CHUNKS, now) {
                claims.push((id, to, 0));
            }
            next_user += 1;
        }
        claims.retain_mut(|(id, to, taken)| {
            let free = capacity.saturating_sub(room.tally().taken);
            if !room.ask(*id, free, now) {
                room.received(*id, 1 << 10, now);
                room.wait(*id, now);
                return true;
            }
            if room.take(*id).is_some() {
                room.received(*id, 4 << 10, now);
                *taken += 1;
            }
            if *taken < CHUNKS {
                return true;
            }
            room.close(*id, now);
            (0..*taken).for_each(|_| room.freed(*to));
            whole += 1;
            false
        });
        let free = capacity.saturating_sub(room.tally().taken);
        room.call(free, now);
    }
    whole
}
