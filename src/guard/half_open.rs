//! The places of connections that have not proven anything.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::fair_queue::{FairQueue, Member};
pub(crate) use super::fair_queue::{Hope, Origin};

/// The connections that have not proven themselves yet.
///
/// When one more comes than there is room for, one is told to go
/// (`FairQueue`): whoever opens connections and says nothing pushes out
/// itself, while a good client needs its seat for one or two round trips only.
pub(crate) struct HalfOpen {
    capacity: Cell<usize>,
    crowd: RefCell<Crowd>,
    next: Cell<u64>,
}

#[derive(Default)]
struct Crowd {
    all: FairQueue,
    /// Those that the capacity is for.
    seated: FairQueue,
    /// Wakers that do nothing until a seat is waited on.
    wakers: BTreeMap<u64, Waker>,
}

impl Crowd {
    /// The waker of whoever is told to go.
    fn push_out(&mut self, member: Member) -> Option<Waker> {
        self.all.remove(member);
        self.seated.remove(member);
        self.wakers.remove(&member.number)
    }
}

impl HalfOpen {
    pub(crate) fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            capacity: Cell::new(capacity.max(1)),
            crowd: RefCell::default(),
            next: Cell::new(0),
        })
    }

    /// Takes effect as connections come and go.
    pub(crate) fn set_capacity(&self, capacity: usize) {
        self.capacity.set(capacity.max(1));
    }

    /// Those who were set aside too.
    pub(crate) fn len(&self) -> usize {
        self.crowd.borrow().all.len()
    }

    /// Takes a seat, another one's if all are taken. `is_trusted`: somebody from
    /// there has proven himself lately.
    pub(crate) fn enter(self: &Rc<Self>, origin: Origin, is_trusted: bool) -> Seat {
        self.push_out(|crowd| match crowd.seated.len() >= self.capacity.get() {
            true => crowd.seated.first(),
            false => None,
        });
        let number = self.next.get();
        self.next.set(number + 1);
        let member = Member {
            origin,
            hope: Hope::Some,
            number,
        };
        let mut crowd = self.crowd.borrow_mut();
        crowd.all.insert(member, is_trusted);
        crowd.seated.insert(member, is_trusted);
        crowd.wakers.insert(number, Waker::noop().clone());
        drop(crowd);
        Seat {
            half_open: self.clone(),
            member: Cell::new(member),
            is_trusted: Cell::new(is_trusted),
        }
    }

    /// Pushes out all but so many, counting those who were set aside.
    pub(crate) fn shrink_to(&self, most: usize) {
        self.push_out(|crowd| match crowd.all.len() > most {
            true => crowd.all.first(),
            false => None,
        });
    }

    fn push_out(&self, next: impl Fn(&Crowd) -> Option<Member>) {
        loop {
            let mut crowd = self.crowd.borrow_mut();
            let Some(member) = next(&crowd) else {
                return;
            };
            let waker = crowd.push_out(member);
            drop(crowd);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// A place among the half-open connections until it is dropped.
pub(crate) struct Seat {
    half_open: Rc<HalfOpen>,
    member: Cell<Member>,
    is_trusted: Cell<bool>,
}

impl Seat {
    /// It comes from elsewhere than it seemed.
    pub(crate) fn come_from(&self, origin: Origin, is_trusted: bool) {
        self.is_trusted.set(is_trusted);
        self.change(|member| member.origin = origin);
    }

    pub(crate) fn set_hope(&self, hope: Hope) {
        self.change(|member| member.hope = hope);
    }

    /// It takes none of the capacity any more, but still can be pushed out.
    pub(crate) fn set_aside(&self) {
        let mut crowd = self.half_open.crowd.borrow_mut();
        crowd.seated.remove(self.member.get());
    }

    fn change(&self, change: impl FnOnce(&mut Member)) {
        let before = self.member.get();
        let mut member = before;
        change(&mut member);
        self.member.set(member);
        let crowd = &mut *self.half_open.crowd.borrow_mut();
        for queue in [&mut crowd.all, &mut crowd.seated] {
            if queue.remove(before) {
                queue.insert(member, self.is_trusted.get());
            }
        }
    }

    /// Completes when the seat has been given to a newcomer.
    pub(crate) async fn evicted(&self) {
        poll_fn(|cx| self.poll_evicted(cx)).await;
    }

    pub(crate) fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut crowd = self.half_open.crowd.borrow_mut();
        match crowd.wakers.get_mut(&self.member.get().number) {
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
        let mut crowd = self.half_open.crowd.borrow_mut();
        crowd.push_out(self.member.get());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use smol::future::FutureExt;

    use super::*;

    fn here() -> Origin {
        Origin::of([127, 0, 0, 1].into())
    }

    fn there() -> Origin {
        Origin::of([192, 0, 2, 1].into())
    }

    fn is_evicted(seat: &Seat) -> bool {
        seat.poll_evicted(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn the_evicted_task_wakes() {
        let half_open = HalfOpen::new(1);
        let first = half_open.enter(here(), false);
        let waits = async {
            first.evicted().await;
            true
        };
        let pushes = async {
            smol::future::yield_now().await;
            let _second = half_open.enter(here(), false);
            smol::future::pending().await
        };
        assert!(smol::block_on(waits.or(pushes)));
    }

    #[test]
    fn who_is_set_aside_takes_no_seat_but_can_be_pushed_out() {
        let half_open = HalfOpen::new(1);
        let aside = half_open.enter(here(), false);
        aside.set_hope(Hope::Site);
        aside.set_aside();
        let seated = half_open.enter(there(), false);
        assert!(!is_evicted(&aside) && half_open.len() == 2);
        half_open.shrink_to(1);
        assert!(is_evicted(&aside) && !is_evicted(&seated));
        // What is told of one that is gone changes nothing.
        aside.set_hope(Hope::Begun);
        aside.come_from(there(), true);
        assert_eq!(half_open.len(), 1);
        seated.come_from(here(), false);
        drop((aside, seated));
        assert_eq!(half_open.len(), 0);
    }

    proptest! {
        /// `Some(n)`: the n-th seat is left, `None`: one more comes.
        #[test]
        fn seats_of_one_address_are_a_bounded_queue(
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
                        seats.push((number, half_open.enter(here(), false)));
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
            prop_assert_eq!(half_open.len(), 0);
        }
    }
}
