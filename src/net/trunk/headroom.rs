use std::task::Waker;

use crate::net::Notify;

/// Bytes that may wait to be written before those who share the connection have to wait.
const LIMIT: usize = 256 * 1024;

/// Of those who wait, so many go on together.
const PER_TURN: usize = 8;

/// Who waits until less is to be written on a connection, in the order in which they came.
#[derive(Default)]
pub(crate) struct Headroom(Notify);

impl Headroom {
    /// While so many bytes wait to be written, nobody adds to them.
    pub(crate) fn is_full(bytes: usize) -> bool {
        bytes >= LIMIT
    }

    /// Wakes `waker` when it is its turn; false if it was waiting already.
    pub(crate) fn park(&self, waker: &Waker) -> bool {
        self.0.park(waker)
    }

    /// The task of `waker` does not wait any more.
    pub(crate) fn unpark(&self, waker: &Waker) {
        self.0.unpark(waker);
    }

    /// Completes when some have been told to go on, whoever that was.
    pub(crate) async fn changed(&self) {
        self.0.changed().await;
    }

    /// Somebody waits, and with `bytes` left to be written there is room again. That is
    /// so below half of the limit, so that they are not woken for each write.
    pub(crate) fn is_due(&self, bytes: usize) -> bool {
        bytes < LIMIT / 2 && self.0.is_awaited()
    }

    /// If there is room, wakes those that wait longest: `most` of them, and not many in one
    /// turn. Whether others still wait, so that the caller has to come back.
    pub(crate) fn give(&self, bytes: usize, most: usize) -> bool {
        self.is_due(bytes) && self.0.notify_first(most.min(PER_TURN))
    }

    /// The connection is over: wakes all.
    pub(crate) fn give_up(&self) {
        self.0.notify();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    /// Notes who is woken.
    struct Sharer {
        number: usize,
        woken: Arc<Mutex<Vec<usize>>>,
    }

    impl Wake for Sharer {
        fn wake(self: Arc<Self>) {
            self.woken.lock().unwrap().push(self.number);
        }
    }

    fn crowd(count: usize) -> (Vec<Waker>, Arc<Mutex<Vec<usize>>>) {
        let woken = Arc::<Mutex<Vec<usize>>>::default();
        let waker = |number| {
            Waker::from(Arc::new(Sharer {
                number,
                woken: woken.clone(),
            }))
        };
        ((0..count).map(waker).collect(), woken)
    }

    #[test]
    fn who_waits_goes_on_at_half_and_not_all_at_once() {
        let headroom = Headroom::default();
        let (wakers, woken) = crowd(20);
        assert!(!Headroom::is_full(LIMIT - 1) && Headroom::is_full(LIMIT));
        assert!(!headroom.is_due(0) && !headroom.give(0, 99), "nobody waits");
        assert!(wakers.iter().all(|waker| headroom.park(waker)));
        assert!(!headroom.park(&wakers[3]), "it waits already");
        assert!(!headroom.is_due(LIMIT / 2) && !headroom.give(LIMIT / 2, 99));
        assert!(woken.lock().unwrap().is_empty());
        assert!(
            headroom.give(LIMIT / 2 - 1, 3),
            "for so many there are buffers"
        );
        assert!(headroom.give(0, 99));
        assert_eq!(*woken.lock().unwrap(), Vec::from_iter(0..11));
        headroom.unpark(&wakers[15]);
        assert_eq!(woken.lock().unwrap().pop(), Some(15));
        assert!(!headroom.give(0, 99), "the last ones");
        let rest = (0..20).filter(|number| *number != 15);
        assert_eq!(*woken.lock().unwrap(), Vec::from_iter(rest));
        assert!(headroom.park(&wakers[1]));
        headroom.give_up();
        assert_eq!(woken.lock().unwrap().pop(), Some(1));
    }

    proptest! {
        /// However much waits to be written meanwhile: all go on, in their order, never more
        /// than a few in a turn and none while there is no room.
        #[test]
        fn everybody_goes_on_in_order(
            count in 1usize..60,
            turns in proptest::collection::vec((0..2 * LIMIT, 0usize..20), 1..60),
        ) {
            let headroom = Headroom::default();
            let (wakers, woken) = crowd(count);
            for waker in &wakers {
                headroom.park(waker);
            }
            for (bytes, most) in turns {
                let before = woken.lock().unwrap().len();
                let others = headroom.give(bytes, most);
                let after = woken.lock().unwrap().len();
                let room = if bytes < LIMIT / 2 { most.min(PER_TURN) } else { 0 };
                prop_assert_eq!(after - before, room.min(count - before));
                prop_assert_eq!(others, bytes < LIMIT / 2 && after < count);
            }
            while headroom.give(0, 1) {}
            prop_assert_eq!(&*woken.lock().unwrap(), &Vec::from_iter(0..count));
        }
    }
}
