//! Whether a line shows that its route works. The rule is in `starvation.rs`; here is
//! what lines and who judges of them hold.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::starvation::{Finding, Starvation};
use crate::clock::Clock;
use crate::config::RouteName;
use crate::net::{Notify, Reactor};
use crate::wire::dc::DcId;

/// How often those who wait for an answer are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where there is no other route, what shows after the first byte is for the operator
/// alone: so many lines tell it, and idle ones need no more.
const MAX_WATCHED_ALONE: u32 = 32;

/// Places of a trial that is not in the list, and of a line that is to be closed.
const NOWHERE: u32 = u32::MAX;
const OVER: u32 = u32::MAX - 1;

/// What a line is on trial for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) route: RouteName,
    pub(crate) dc: DcId,
}

/// Who is told what a line shows, and when it was asked first if it got no answer;
/// whether it is to be closed. It must not drop a line, nor put one on trial.
type Judge = dyn Fn(Subject, Finding, Instant) -> bool;

/// All lines on trial.
pub(crate) struct Trials {
    clock: Clock,
    begun: Instant,
    /// Those that wait for an answer, each once.
    waiting: RefCell<Slab<(Weak<Trial>, Waker)>>,
    live: Cell<u32>,
    is_alone: Cell<bool>,
    stirring: Notify,
    judge: Box<Judge>,
}

impl Trials {
    pub(crate) fn new(
        clock: &Clock,
        judge: impl Fn(Subject, Finding, Instant) -> bool + 'static,
    ) -> Rc<Self> {
        Rc::new(Self {
            clock: clock.clone(),
            begun: clock.now(),
            waiting: RefCell::default(),
            live: Cell::default(),
            is_alone: Cell::default(),
            stirring: Notify::default(),
            judge: Box::new(judge),
        })
    }

    /// Whether all lines go by one route.
    pub(crate) fn set_alone(&self, is_alone: bool) {
        self.is_alone.set(is_alone);
    }

    fn has_enough(&self) -> bool {
        self.is_alone.get() && self.live.get() > MAX_WATCHED_ALONE
    }

    /// Looks at those who wait, once a second while anybody does.
    pub(crate) async fn run(self: Rc<Self>, reactor: Rc<Reactor>) {
        loop {
            self.stirring
                .until(|| !self.waiting.borrow().is_empty())
                .await;
            reactor.sleep(LOOK).await;
            self.look();
        }
    }

    fn look(&self) {
        let listed = self.waiting.borrow();
        let trials: Vec<_> = listed
            .iter()
            .filter_map(|(_, (t, _))| t.upgrade())
            .collect();
        drop(listed);
        for trial in trials {
            trial.look();
        }
        self.waiting.borrow_mut().shrink_to_fit();
    }

    fn now(&self) -> u32 {
        let age = self.clock.now().saturating_duration_since(self.begun);
        // A trial takes seconds: that it begins anew after 49 days does no harm.
        age.as_millis() as u32
    }

    /// What it was when [`now`](Self::now) was `millis`, lately.
    fn instant(&self, millis: u32) -> Instant {
        let age = Duration::from_millis(self.now().wrapping_sub(millis).into());
        let now = self.clock.now();
        now.checked_sub(age).unwrap_or(now)
    }
}

/// One line's. Idle ones have it too, so it is small.
pub(crate) struct Trial {
    trials: Rc<Trials>,
    subject: Subject,
    state: Cell<Starvation>,
    /// In the list, or [`NOWHERE`] or [`OVER`].
    place: Cell<u32>,
}

impl Trial {
    pub(crate) fn new(trials: &Rc<Trials>, subject: Subject) -> Rc<Self> {
        trials.live.set(trials.live.get() + 1);
        Rc::new(Self {
            trials: trials.clone(),
            subject,
            state: Cell::default(),
            place: Cell::new(NOWHERE),
        })
    }

    /// Bytes of the client have gone out.
    pub(crate) fn sent(&self) {
        let now = self.trials.now();
        self.change(|state| state.sent(now));
    }

    /// So many bytes came down; none: the other side has closed.
    pub(crate) fn came(&self, length: usize) {
        let now = self.trials.now();
        if let Some(finding) = self.change(|state| state.came(length, now)) {
            self.find(finding);
            if finding == Finding::Answers && self.trials.has_enough() {
                self.change(Starvation::settle);
            }
        }
        if !self.state.get().is_waiting() {
            self.leave_list();
        }
    }

    /// Nothing more is to be learnt of this line, which may do without its trial.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.get().is_settled()
    }

    /// Ready when the line is to be closed, as another route may serve its client
    /// better. To be asked at the end of each poll of the line's task: of one that has
    /// something to wait for the waker is kept.
    pub(crate) fn poll_over(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.place.get() == OVER {
            return Poll::Ready(());
        }
        if self.is_unlisted() {
            let entry = (Rc::downgrade(self), cx.waker().clone());
            let place = self.trials.waiting.borrow_mut().insert(entry);
            self.place.set(place as u32);
            self.trials.stirring.notify();
        }
        Poll::Pending
    }

    /// It has something to wait for, and no waker yet.
    pub(crate) fn is_unlisted(&self) -> bool {
        self.place.get() == NOWHERE && self.state.get().is_waiting()
    }

    fn look(&self) {
        let now = self.trials.now();
        let Some(finding) = self.change(|state| state.look(now)) else {
            return;
        };
        let waker = self.leave_list();
        if self.find(finding) {
            self.place.set(OVER);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    fn leave_list(&self) -> Option<Waker> {
        let place = self.place.get();
        if place >= OVER {
            return None;
        }
        self.place.set(NOWHERE);
        let entry = self.trials.waiting.borrow_mut().try_remove(place as usize);
        entry.map(|(_, waker)| waker)
    }

    fn find(&self, finding: Finding) -> bool {
        let asked = self.trials.instant(self.state.get().asked());
        (self.trials.judge)(self.subject, finding, asked)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Starvation) -> R) -> R {
        let mut state = self.state.get();
        let result = change(&mut state);
        self.state.set(state);
        result
    }
}

impl Drop for Trial {
    /// The line has ended, whoever ended it.
    fn drop(&mut self) {
        self.leave_list();
        self.trials.live.set(self.trials.live.get() - 1);
        let now = self.trials.now();
        if let Some(finding) = self.change(|state| state.end(now)) {
            self.find(finding);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::net::Executor;

    const SECOND: Duration = Duration::from_secs(1);
    const SUBJECT: Subject = Subject {
        route: RouteName::Direct,
        dc: DcId(2),
    };

    type Heard = Rc<RefCell<Vec<(Finding, Duration)>>>;

    /// Runs `test` with trials whose judge closes every line that starves, and what it
    /// hears, with the time since it was asked.
    fn run<F: Future<Output = ()>>(test: impl FnOnce(Rc<Reactor>, Rc<Trials>, Heard) -> F) {
        let reactor = Reactor::virtual_time().unwrap();
        let executor = Rc::new(Executor::default());
        let heard = Heard::default();
        let (hearing, clock) = (heard.clone(), reactor.clock().clone());
        let trials = Trials::new(reactor.clock(), move |subject, finding, asked| {
            assert_eq!(subject, SUBJECT);
            hearing.borrow_mut().push((finding, clock.now() - asked));
            finding == Finding::Starves
        });
        let watching = trials.clone().run(reactor.clone());
        executor.spawn(watching).detach();
        reactor.block_on(&executor, test(reactor.clone(), trials, heard));
    }

    async fn over(trial: &Rc<Trial>) {
        poll_fn(|cx| trial.poll_over(cx)).await;
    }

    #[test]
    fn a_line_that_starves_is_woken_in_time() {
        run(|reactor, trials, heard| async move {
            for _ in 0..2 {
                let trial = Trial::new(&trials, SUBJECT);
                let idle = reactor.timeout(100 * SECOND, over(&trial)).await;
                assert!(idle.is_none(), "nothing was asked");
                trial.sent();
                let start = reactor.now();
                over(&trial).await;
                let took = reactor.now() - start;
                assert!((5 * SECOND..=6 * SECOND).contains(&took), "{took:?}");
                let (finding, since) = heard.borrow_mut().pop().unwrap();
                assert_eq!(finding, Finding::Starves);
                assert!((5 * SECOND..=6 * SECOND).contains(&since), "{since:?}");
                drop(trial);
                assert!(heard.borrow().is_empty());
            }
        });
    }

    #[test]
    fn nobody_is_watched_who_waits_for_nothing() {
        run(|_, trials, heard| async move {
            let trial = Trial::new(&trials, SUBJECT);
            trial.sent();
            assert!(smol::future::poll_once(over(&trial)).await.is_none());
            assert_eq!(trials.waiting.borrow().len(), 1);
            assert!(smol::future::poll_once(over(&trial)).await.is_none());
            assert_eq!(trials.waiting.borrow().len(), 1, "once is enough");
            trial.came(100);
            assert!(trials.waiting.borrow().is_empty());
            assert_eq!(heard.take(), [(Finding::Answers, Duration::ZERO)]);
            trial.came(40_000);
            assert!(trial.is_settled());
            drop(trial);
            let told: Vec<_> = heard.take().iter().map(|(finding, _)| *finding).collect();
            assert_eq!(told, [Finding::Passes]);
            assert_eq!(Rc::strong_count(&trials), 2);
        });
    }

    #[test]
    fn one_that_goes_leaves_the_list() {
        run(|reactor, trials, heard| async move {
            for _ in 0..100 {
                let trial = Trial::new(&trials, SUBJECT);
                trial.sent();
                assert!(smol::future::poll_once(over(&trial)).await.is_none());
                assert_eq!(trials.waiting.borrow().len(), 1);
            }
            assert!(trials.waiting.borrow().is_empty());
            reactor.sleep(2 * SECOND).await;
            assert!(heard.borrow().is_empty(), "it went by itself");
            assert_eq!(trials.live.get(), 0);
        });
    }

    #[test]
    fn of_one_route_alone_some_lines_are_enough() {
        run(|_, trials, heard| async move {
            for is_alone in [true, false] {
                trials.set_alone(is_alone);
                let all: Vec<_> = (0..2 * MAX_WATCHED_ALONE)
                    .map(|_| {
                        let trial = Trial::new(&trials, SUBJECT);
                        trial.sent();
                        trial.came(1);
                        // As a line gives it up.
                        (!trial.is_settled()).then_some(trial)
                    })
                    .collect();
                let watched = all.iter().flatten().count() as u32;
                let wanted = if is_alone { 1 } else { 2 } * MAX_WATCHED_ALONE;
                assert_eq!(watched, wanted);
                let told = heard.take();
                assert_eq!(told.len() as u32, 2 * MAX_WATCHED_ALONE);
                drop(all);
                heard.take();
            }
        });
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Trial>() <= 3 * size_of::<u64>());
    }
}
