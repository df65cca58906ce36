use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The connections that have not proven themselves yet, oldest first.
///
/// When one more comes than there is room for, the oldest is told to go: whoever
/// opens connections and says nothing pushes out itself, while a good client
/// needs its seat for one round trip only.
pub struct HalfOpen {
    capacity: Cell<usize>,
    /// Wakers that do nothing until a seat is waited on.
    seats: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl HalfOpen {
    pub fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            capacity: Cell::new(capacity.max(1)),
            seats: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Takes effect as connections come and go.
    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.set(capacity.max(1));
    }

    pub fn len(&self) -> usize {
        self.seats.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a seat, the oldest one's if all are taken.
    pub fn enter(self: &Rc<Self>) -> Seat {
        let number = self.next.get();
        self.next.set(number + 1);
        while self.len() >= self.capacity.get() {
            let oldest = self.seats.borrow_mut().pop_first();
            if let Some((_, waker)) = oldest {
                waker.wake();
            }
        }
        self.seats
            .borrow_mut()
            .insert(number, Waker::noop().clone());
        Seat {
            half_open: self.clone(),
            number,
        }
    }
}

/// A place among the half-open connections until it is dropped.
pub struct Seat {
    half_open: Rc<HalfOpen>,
    number: u64,
}

impl Seat {
    /// Completes when the seat has been given to a newcomer.
    pub async fn evicted(&self) {
        poll_fn(|cx| self.poll_evicted(cx)).await;
    }

    pub fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.half_open.seats.borrow_mut().get_mut(&self.number) {
            None => Poll::Ready(()),
            Some(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.half_open.seats.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use smol::future::FutureExt;

    use super::*;

    fn is_evicted(seat: &Seat) -> bool {
        seat.poll_evicted(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn the_evicted_task_wakes() {
        let half_open = HalfOpen::new(1);
        let first = half_open.enter();
        let waits = async {
            first.evicted().await;
            true
        };
        let pushes = async {
            smol::future::yield_now().await;
            let _second = half_open.enter();
            smol::future::pending().await
        };
        assert!(smol::block_on(waits.or(pushes)));
    }

    proptest! {
        /// `Some(n)`: the n-th seat is left, `None`: one more comes.
        #[test]
        fn seats_are_a_bounded_queue(
            capacity in 1usize..6,
            steps in proptest::collection::vec(proptest::option::of(any::<proptest::sample::Index>()), 1..60),
        ) {
            let half_open = HalfOpen::new(capacity);
            let mut seats: Vec<(u32, Seat)> = Vec::new();
            let mut model: VecDeque<u32> = VecDeque::new();
            for (number, step) in (0u32..).zip(steps) {
                match step {
                    Some(which) if !seats.is_empty() => {
                        let (number, _) = seats.remove(which.index(seats.len()));
                        model.retain(|known| *known != number);
                    }
                    _ => {
                        seats.push((number, half_open.enter()));
                        model.push_back(number);
                        if model.len() > capacity {
                            model.pop_front();
                        }
                    }
                }
                prop_assert_eq!(half_open.len(), model.len());
                for (number, seat) in &seats {
                    prop_assert_eq!(is_evicted(seat), !model.contains(number));
                }
            }
            drop(seats);
            prop_assert!(half_open.is_empty());
        }
    }
}
