use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::executor::Executor;
use super::notify::Notify;
use super::reactor::Reactor;
use super::unblock::unblock;

/// Asks the system for the addresses of `name`, at least one and at most `most`,
/// on another thread; its resolver may take half a minute.
pub(crate) async fn resolve(name: String, port: u16, most: usize) -> io::Result<Vec<SocketAddr>> {
    unblock(move || {
        let found: Vec<_> = (&*name, port).to_socket_addrs()?.take(most).collect();
        match found.is_empty() {
            true => Err(no_address()),
            false => Ok(found),
        }
    })
    .await
}

fn no_address() -> io::Error {
    io::Error::other("it has no address")
}

/// How a name is looked up.
#[derive(Clone, Copy)]
pub(crate) struct LookupRules {
    /// Addresses of it that are taken, at most.
    pub(crate) max_addresses: usize,
    /// Lookups under way at a time, at most; one at least.
    pub(crate) max_under_way: u32,
    /// A lookup that takes longer may have begun while there was no network: it keeps
    /// nobody from beginning another one beside it.
    pub(crate) late_after: Duration,
    /// Whether an address may be used; others are as if the name had not led there.
    pub(crate) is_usable: fn(IpAddr) -> bool,
}

/// Where a name leads, as far as is known. Whoever wants to know it while it is looked
/// up waits for the same answer.
pub(crate) struct Lookup {
    rules: LookupRules,
    /// `None`: it is an address.
    ask: Option<Box<dyn Fn() -> Asking>>,
    under_way: Cell<UnderWay>,
    /// Of the last good answer.
    known: RefCell<Rc<[SocketAddr]>>,
    /// When that was asked for.
    asked: Cell<Option<Instant>>,
    /// Why the last answer was none.
    failure: RefCell<Option<String>>,
    ended: Notify,
}

type Asking = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

#[derive(Clone, Copy, Default)]
struct UnderWay {
    count: u32,
    /// When the last one began.
    begun: Option<Instant>,
}

impl UnderWay {
    /// Counts one more, if it may begin.
    fn begin(&mut self, now: Instant, rules: &LookupRules) -> bool {
        let late = self.begun.map(|begun| begun + rules.late_after);
        let is_late = late.is_some_and(|late| now >= late);
        let may = self.count == 0 || (is_late && self.count < rules.max_under_way);
        if may {
            self.begun = Some(now);
            self.count += 1;
        }
        may
    }
}

impl Lookup {
    /// Of a name, or of an address in its text form.
    pub(crate) fn new(name: &str, port: u16, rules: LookupRules) -> Rc<Self> {
        if let Ok(ip) = name.parse() {
            return Self::of_address(SocketAddr::new(ip, port), rules);
        }
        let name = name.to_owned();
        let ask = move || Box::pin(resolve(name.clone(), port, rules.max_addresses)) as Asking;
        Self::by(rules, Some(Box::new(ask)))
    }

    /// Of what is known already.
    pub(crate) fn of_address(address: SocketAddr, rules: LookupRules) -> Rc<Self> {
        let lookup = Self::by(rules, None);
        lookup.take(None, Ok(vec![address]));
        lookup
    }

    fn by(rules: LookupRules, ask: Option<Box<dyn Fn() -> Asking>>) -> Rc<Self> {
        Rc::new(Self {
            rules,
            ask,
            under_way: Cell::default(),
            known: RefCell::new(Rc::new([])),
            asked: Cell::new(None),
            failure: RefCell::default(),
            ended: Notify::default(),
        })
    }

    /// Looks it up, unless as many lookups are under way as may be.
    pub(crate) fn begin(self: &Rc<Self>, reactor: &Reactor, executor: &Executor) {
        let Some(ask) = &self.ask else { return };
        let (now, mut under_way) = (reactor.now(), self.under_way.get());
        if under_way.begin(now, &self.rules) {
            self.under_way.set(under_way);
            let (lookup, asking) = (self.clone(), ask());
            let looking = async move { lookup.take(Some(now), asking.await) };
            executor.spawn(looking).detach();
        }
    }

    fn take(&self, asked: Option<Instant>, answer: io::Result<Vec<SocketAddr>>) {
        let is_usable = |address: &SocketAddr| (self.rules.is_usable)(address.ip());
        let usable = answer.and_then(|found| {
            let usable: Rc<[_]> = found.into_iter().filter(is_usable).collect();
            match usable.is_empty() {
                true => Err(no_address()),
                false => Ok(usable),
            }
        });
        let failure = match usable {
            Ok(usable) => {
                self.known.replace(usable);
                self.asked.set(asked);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        self.failure.replace(failure);
        let mut under_way = self.under_way.get();
        under_way.count = under_way.count.saturating_sub(1);
        self.under_way.set(under_way);
        self.ended.notify();
    }

    /// The addresses of the last good answer; none before it.
    pub(crate) fn known(&self) -> Rc<[SocketAddr]> {
        self.known.borrow().clone()
    }

    /// They were asked for so long ago that they may have changed, or never.
    pub(crate) fn is_older(&self, than: Duration, now: Instant) -> bool {
        let is_fresh = |asked| now.duration_since(asked) < than;
        self.ask.is_some() && !self.asked.get().is_some_and(is_fresh)
    }

    /// What the lookup finds that ends next, one address at least; at once where nothing
    /// needs to be looked up.
    pub(crate) async fn answer(&self) -> Result<Rc<[SocketAddr]>, String> {
        if self.ask.is_some() {
            self.ended.changed().await;
        }
        match &*self.failure.borrow() {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.known()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    const RULES: LookupRules = LookupRules {
        max_addresses: 3,
        max_under_way: 2,
        late_after: Duration::from_secs(3),
        is_usable: |ip| ip.is_ipv4(),
    };

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 443))
    }

    /// A resolver that answers as told, each time after so many seconds.
    struct World {
        reactor: Rc<Reactor>,
        executor: Executor,
        asked: Rc<Cell<usize>>,
        lookup: Rc<Lookup>,
    }

    impl World {
        fn new(answers: Vec<(u32, io::Result<Vec<SocketAddr>>)>) -> Self {
            let reactor = Reactor::virtual_time().unwrap();
            let asked = Rc::<Cell<usize>>::default();
            let answers = RefCell::new(VecDeque::from(answers));
            let (clock, count) = (reactor.clone(), asked.clone());
            let ask = move || {
                count.set(count.get() + 1);
                let (seconds, answer) = answers.borrow_mut().pop_front().expect("an answer");
                let clock = clock.clone();
                Box::pin(async move {
                    clock.sleep(seconds * SECOND).await;
                    answer
                }) as Asking
            };
            Self {
                lookup: Lookup::by(RULES, Some(Box::new(ask))),
                executor: Executor::default(),
                reactor,
                asked,
            }
        }

        fn begin(&self) {
            self.lookup.begin(&self.reactor, &self.executor);
        }

        fn run<T>(&self, future: impl Future<Output = T>) -> T {
            self.reactor.block_on(&self.executor, future)
        }
    }

    #[test]
    fn all_wait_for_the_same_answer_and_a_late_one_is_overtaken_once() {
        let world = World::new(vec![
            (30, Err(io::Error::other("no network"))),
            (1, Ok(vec![address(1)])),
            (1, Ok(vec![address(2)])),
        ]);
        world.run(async {
            let began = world.reactor.now();
            let waited = || world.reactor.now() - began;
            world.begin();
            world.begin();
            world.reactor.sleep(2 * SECOND).await;
            world.begin();
            assert_eq!(world.asked.get(), 1, "it is not late yet");
            world.reactor.sleep(SECOND).await;
            world.begin();
            world.begin();
            assert_eq!(world.asked.get(), 2);
            assert_eq!(&*world.lookup.answer().await.unwrap(), [address(1)]);
            assert_eq!(waited(), 4 * SECOND);
            world.begin();
            assert_eq!(
                world.asked.get(),
                2,
                "the overtaken one is under way, and none late"
            );
            world.reactor.sleep(5 * SECOND).await;
            world.begin();
            assert_eq!(&*world.lookup.answer().await.unwrap(), [address(2)]);
            // The first one does not find anything; what is known stays.
            let end = world.lookup.answer().await;
            assert_eq!((waited(), end), (30 * SECOND, Err("no network".to_owned())));
            assert_eq!(&*world.lookup.known(), [address(2)]);
        });
    }

    #[test]
    fn what_is_known_holds_for_a_time_and_serves_until_there_is_better() {
        let v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 443));
        let world = World::new(vec![
            (1, Ok(vec![v6])),
            (1, Ok(vec![v6, address(1)])),
            (1, Ok(vec![v6])),
        ]);
        world.run(async {
            let lookup = &world.lookup;
            let is_older = |seconds: u32| lookup.is_older(seconds * SECOND, world.reactor.now());
            assert!(is_older(3600));
            world.begin();
            let found = lookup.answer().await;
            assert_eq!(
                found,
                Err("it has no address".to_owned()),
                "that may be used"
            );
            assert!(is_older(3600) && lookup.known().is_empty());
            world.begin();
            assert_eq!(&*lookup.answer().await.unwrap(), [address(1)]);
            assert!(!is_older(2) && is_older(1), "it counts from the question");
            world.begin();
            assert_eq!(&*lookup.known(), [address(1)]);
            lookup.answer().await.unwrap_err();
            assert_eq!(&*lookup.known(), [address(1)]);
        });
    }

    #[test]
    fn an_address_is_there_at_once() {
        let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
        reactor.block_on(&executor, async {
            let lookup = Lookup::new("192.0.2.1", 443, RULES);
            lookup.begin(&reactor, &executor);
            assert!(!lookup.is_older(Duration::ZERO, reactor.now()));
            assert_eq!(&*lookup.known(), [address(1)]);
            assert_eq!(&*lookup.answer().await.unwrap(), [address(1)]);
            let unusable = Lookup::new("2001:db8::1", 443, RULES);
            assert!(unusable.known().is_empty() && unusable.answer().await.is_err());
        });
    }

    proptest! {
        /// However lookups are asked for and end: there are never more under way than may
        /// be, and none begins beside one that is not late.
        #[test]
        fn lookups_under_way_are_bounded(
            most in 1u32..4,
            deeds in proptest::collection::vec((0u64..5_000, any::<bool>()), 1..200),
        ) {
            let rules = LookupRules { max_under_way: most, ..RULES };
            let mut under_way = UnderWay::default();
            let (mut now, mut last) = (Instant::now(), None);
            for (pause, ends) in deeds {
                now += Duration::from_millis(pause);
                if ends {
                    under_way.count = under_way.count.saturating_sub(1);
                }
                let before = under_way.count;
                let is_late = last.is_none_or(|last| now >= last + rules.late_after);
                let begins = under_way.begin(now, &rules);
                prop_assert_eq!(begins, before == 0 || (is_late && before < most));
                prop_assert!(under_way.count <= most);
                if begins {
                    last = Some(now);
                }
            }
        }
    }
}
