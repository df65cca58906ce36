//! Places at sites, and the line of those who wait for one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Sites;
use crate::net::Socket;

/// How long a connection may wait as if nobody had accepted it.
const LEFT_FOR: Duration = Duration::from_secs(60);

/// Bytes that such a connection may leave in the kernel: as many as are read of a
/// hello.
pub(in crate::client) const MAX_UNREAD: usize = 16 * 1024;

/// What is known of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) enum Judgement {
    /// No client.
    Stranger,
    /// One of a flood. Half of the places are not for those.
    Crowd,
    /// It may still become a client. Those take half the places at most, so that
    /// silent connections do not keep a prober from the site.
    Undecided,
}

/// The strangers at sites, and those who wait for a place there.
#[derive(Default)]
pub(super) struct Guests {
    count: Cell<usize>,
    /// By their turns. The same type as that of other queues of wakers: code for one.
    line: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

/// Who came as the `number`-th of those of `judgement`; the least is called first.
fn turn(judgement: Judgement, number: u64) -> u64 {
    (judgement as u64) << NUMBER_BITS | number
}

const NUMBER_BITS: u32 = 62;

/// Behind all who wait.
const LAST: u64 = (1 << NUMBER_BITS) - 1;

/// A place at a site until it is dropped.
pub(in crate::client) struct Guest(Rc<Sites>);

impl Guest {
    /// One that is free, if nobody waits for it.
    pub(crate) fn take(sites: &Rc<Sites>, judgement: Judgement) -> Option<Self> {
        sites
            .is_free(turn(judgement, LAST))
            .then(|| Self::new(sites))
    }

    fn new(sites: &Rc<Sites>) -> Self {
        let count = &sites.guests.count;
        count.set(count.get() + 1);
        sites.metrics.fronted_now.inc();
        Self(sites.clone())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let count = &self.0.guests.count;
        count.set(count.get() - 1);
        self.0.metrics.fronted_now.dec();
        self.0.call_next();
    }
}

impl Sites {
    /// A place at the site for `client`, one of a flood.
    pub(in crate::client) async fn place_in_crowd(
        self: &Rc<Self>,
        client: &Socket,
    ) -> Option<Guest> {
        match Guest::take(self, Judgement::Crowd) {
            Some(guest) => Some(guest),
            None => self.wait_for_place(client, Judgement::Crowd).await,
        }
    }

    pub(super) async fn wait_for_place(
        self: &Rc<Self>,
        client: &Socket,
        judgement: Judgement,
    ) -> Option<Guest> {
        let waiting = Waiting::new(self, judgement);
        self.unaccepted(client, poll_fn(|cx| waiting.poll(cx).map(Some)))
            .await
    }

    /// Leaves `client` to the kernel, as a connection that nobody has accepted, until
    /// `is_served`. Not for longer than servers wait for anything, nor once the peer
    /// has left or sends more than strangers begin with.
    pub(super) async fn unaccepted<T>(
        &self,
        client: &Socket,
        is_served: impl Future<Output = Option<T>>,
    ) -> Option<T> {
        let leaves = async {
            let _ = poll_fn(|cx| client.poll_filled(cx, MAX_UNREAD)).await;
            None
        };
        let ends = smol::future::or(is_served, leaves);
        self.reactor.timeout(LEFT_FOR, ends).await.flatten()
    }

    fn is_free(&self, turn: u64) -> bool {
        let most = self.config.with(|config| config.max_strangers);
        let most = match turn >> NUMBER_BITS == Judgement::Stranger as u64 {
            true => most,
            false => most / 2,
        };
        let line = self.guests.line.borrow();
        self.guests.count.get() < most && line.range(..turn).next().is_none()
    }

    pub(super) fn call_next(&self) {
        let first = self.guests.line.borrow().keys().next().copied();
        if let Some(first) = first.filter(|first| self.is_free(*first)) {
            let waker = self.guests.line.borrow().get(&first).cloned();
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// Whoever waits for a place. Leaving the line lets the next one try.
struct Waiting<'a> {
    sites: &'a Rc<Sites>,
    turn: u64,
}

impl<'a> Waiting<'a> {
    fn new(sites: &'a Rc<Sites>, judgement: Judgement) -> Self {
        let number = sites.guests.next.get();
        sites.guests.next.set(number + 1);
        let turn = turn(judgement, number);
        let mut line = sites.guests.line.borrow_mut();
        line.insert(turn, Waker::noop().clone());
        Self { sites, turn }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Guest> {
        if self.sites.is_free(self.turn) {
            return Poll::Ready(Guest::new(self.sites));
        }
        if let Some(waker) = self.sites.guests.line.borrow_mut().get_mut(&self.turn) {
            waker.clone_from(cx.waker());
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.sites.guests.line.borrow_mut().remove(&self.turn);
        self.sites.call_next();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use smol::future::poll_once;

    use super::*;
    use crate::config::{Config, DataDir, SiteConfig};
    use crate::metrics::Metrics;
    use crate::net::test_help::WakeCount;
    use crate::net::{Executor, Live, Reactor};

    /// One who waits, and how often it was woken.
    struct Waiter<'a>(Option<Waiting<'a>>, Arc<WakeCount>);

    impl<'a> Waiter<'a> {
        fn new(sites: &'a Rc<Sites>, judgement: Judgement) -> Self {
            let waiter = Self(Some(Waiting::new(sites, judgement)), Arc::default());
            assert!(waiter.poll().is_none());
            waiter
        }

        fn poll(&self) -> Option<Guest> {
            let waker = Waker::from(self.1.clone());
            match self.0.as_ref()?.poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(guest) => Some(guest),
                Poll::Pending => None,
            }
        }

        /// Its place, once it was called for it.
        fn called(&mut self) -> Option<Guest> {
            let was_woken = self.1.take() > 0;
            let guest = was_woken.then(|| self.poll()).flatten();
            if guest.is_some() {
                self.0 = None;
            }
            guest
        }
    }

    fn sites(max_strangers: usize) -> Rc<Sites> {
        let (executor, metrics) = (Rc::<Executor>::default(), Rc::<Metrics>::default());
        let config = Live::new(SiteConfig {
            max_strangers,
            ..Config::of(&[]).sites
        });
        let reactor = Reactor::new().unwrap();
        let data_dir = DataDir::new("/nonexistent".as_ref());
        Sites::new(&reactor, &executor, &metrics, config, data_dir, || None)
    }

    #[test]
    fn floods_and_the_undecided_leave_half() {
        let sites = sites(6);
        let take = |judgement| Guest::take(&sites, judgement);
        let mut inside: Vec<_> = (0..9).filter_map(|_| take(Judgement::Crowd)).collect();
        assert_eq!(inside.len(), 3);
        assert!(take(Judgement::Undecided).is_none());
        inside.extend((0..9).filter_map(|_| take(Judgement::Stranger)));
        assert_eq!(inside.len(), 6);
        inside.truncate(3);
        assert!(take(Judgement::Crowd).is_none());
        inside.truncate(2);
        assert!(take(Judgement::Undecided).is_some());
    }

    #[test]
    fn who_waits_is_called_in_turn_and_floods_last() {
        let sites = sites(4);
        let mut inside: Vec<_> = (0..4)
            .filter_map(|_| Guest::take(&sites, Judgement::Stranger))
            .collect();
        let mut crowd = [Judgement::Crowd; 2].map(|judgement| Waiter::new(&sites, judgement));
        let [mut first, second, mut third] =
            [Judgement::Stranger; 3].map(|judgement| Waiter::new(&sites, judgement));
        inside.pop();
        // Nobody comes before those who wait, nor out of turn.
        assert!(Guest::take(&sites, Judgement::Stranger).is_none());
        assert!(third.called().is_none() && crowd[0].called().is_none());
        inside.push(first.called().unwrap());
        // One that was called and leaves lets the next one in.
        inside.pop();
        drop(second);
        inside.push(third.called().unwrap());
        // Half of the places have to be free for a flood.
        inside.pop();
        inside.pop();
        assert!(crowd[0].called().is_none());
        inside.pop();
        assert!(crowd[1].called().is_none());
        inside.push(crowd[0].called().unwrap());
        assert!(crowd[1].called().is_none());
        inside.clear();
        assert!(crowd[1].called().is_some());
        assert!(sites.guests.line.borrow().is_empty());
        assert_eq!(sites.metrics.fronted_now.get(), 0);
    }

    #[test]
    fn who_waits_is_called_when_a_reload_makes_places() {
        let sites = sites(1);
        smol::block_on(async {
            let mut following = Box::pin(sites.follow_config());
            assert!(poll_once(&mut following).await.is_none());
            let _inside = Guest::take(&sites, Judgement::Stranger).unwrap();
            let mut waiter = Waiter::new(&sites, Judgement::Stranger);
            let mut config = (*sites.config.get()).clone();
            config.max_strangers = 2;
            sites.config.set(config);
            assert!(poll_once(&mut following).await.is_none());
            assert!(waiter.called().is_some());
        });
    }
}
