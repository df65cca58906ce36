use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::obfuscated2::{HEADER_LEN, replay_id};

/// What is enough of a hello to know it by, in bytes.
const ID_LEN: usize = 16;

/// A hello that leads back here is here after a round trip; meanwhile no more than so many
/// go out.
const MAX_SENT: usize = 64;

/// For so long nothing is sent to where a hello came back from.
const AVOIDED: Duration = Duration::from_secs(600);

/// The last hellos to next proxies: one that comes in at a listener of ours has been to
/// ourselves.
#[derive(Default)]
pub(crate) struct OwnHellos {
    sent: RefCell<VecDeque<[u8; ID_LEN]>>,
    came_back: Cell<Option<Instant>>,
}

impl OwnHellos {
    /// `random` is that of a TLS hello that goes out.
    pub(super) fn greets(&self, random: &[u8; 32]) {
        self.sends(id_of(random));
    }

    /// A header goes out.
    pub(super) fn begins(&self, header: &[u8; HEADER_LEN]) {
        self.sends(id_of(&replay_id(header)));
    }

    fn sends(&self, id: [u8; ID_LEN]) {
        let mut sent = self.sent.borrow_mut();
        if sent.len() >= MAX_SENT {
            sent.pop_front();
        }
        sent.push_back(id);
    }

    /// Whether a hello that came in, by what makes it the same one when it comes again,
    /// is ours. It is told once.
    pub(crate) fn is_own(&self, replay_id: &[u8], now: Instant) -> bool {
        let mut sent = self.sent.borrow_mut();
        let own = sent.iter().position(|id| replay_id.starts_with(id));
        let Some(own) = own else { return false };
        sent.remove(own);
        let was_known = self.has_come_back(now);
        self.came_back.set(Some(now));
        if !was_known {
            error!(
                "--upstream leads back to this proxy itself: name another one, or take upstream \
                 out of --route; until then that route is left alone"
            );
        }
        true
    }

    /// There is no use in sending another one.
    pub(crate) fn has_come_back(&self, now: Instant) -> bool {
        let came_back = self.came_back.get();
        came_back.is_some_and(|at| now.saturating_duration_since(at) < AVOIDED)
    }

    /// They go elsewhere from here on.
    pub(crate) fn forget(&self) {
        self.came_back.set(None);
    }
}

fn id_of(bytes: &[u8]) -> [u8; ID_LEN] {
    bytes.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_comes_back_once() {
        let (hellos, now) = (OwnHellos::default(), Instant::now());
        let mut header = [7; HEADER_LEN];
        header[8..].fill(9);
        hellos.greets(&[3; 32]);
        hellos.begins(&header);
        assert!(!hellos.is_own(&[4; 32], now) && !hellos.has_come_back(now));
        assert!(hellos.is_own(&[3; 32], now));
        assert!(!hellos.is_own(&[3; 32], now), "a copy of it is another's");
        assert!(hellos.is_own(&replay_id(&header), now));
        assert!(hellos.has_come_back(now + AVOIDED / 2));
        assert!(!hellos.has_come_back(now + AVOIDED));
        hellos.forget();
        assert!(!hellos.has_come_back(now));
    }

    #[test]
    fn few_are_remembered() {
        let (hellos, now) = (OwnHellos::default(), Instant::now());
        for number in 0..=MAX_SENT {
            hellos.greets(&[number as u8; 32]);
        }
        assert_eq!(hellos.sent.borrow().len(), MAX_SENT);
        assert!(!hellos.is_own(&[0; 32], now));
        assert!(hellos.is_own(&[1; 32], now));
        assert!(hellos.is_own(&[MAX_SENT as u8; 32], now));
    }
}
