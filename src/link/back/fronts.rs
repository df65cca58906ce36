//! Which fronts there are, and what each takes of this back.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::link::LinkContext;
use crate::link::connection::LinkConnection;
use crate::link::fault::Fault;
use crate::link::share::Share;
use crate::log::Throttle;
use crate::metrics::{Metrics, Revocation};
use crate::net::Reactor;
use crate::wire::link::EndReason;
use crate::wire::link::whole::{Admission, Scarce, Whole};

/// Between lines about fronts that want too much.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// A link as [`Fronts`] sees it: what its streams hold, and how to end one.
pub(super) trait Holder {
    fn connection(&self) -> &Rc<LinkConnection>;

    /// How many streams there are.
    #[cfg(feature = "ctl")]
    fn load(&self) -> usize;

    /// What all streams here hold.
    fn held(&self) -> usize;

    /// The stream here that holds most.
    fn largest(&self) -> Option<u32>;

    /// Of the streams here that have a `place`, the one with the highest number, which
    /// came last more or less.
    fn newest(&self, place: Scarce) -> Option<u32>;

    /// Ends a stream at once. Not to be called from inside of that stream.
    fn end(&self, number: u32, reason: EndReason);
}

/// The fronts of a back, by name; the links of one share what it gets.
pub(super) struct Fronts {
    whole: Rc<RefCell<Whole>>,
    metrics: Rc<Metrics>,
    reactor: Rc<Reactor>,
    links: RefCell<Vec<Weak<dyn Holder>>>,
    refusals: Throttle,
    evictions: Throttle,
    revocations: Throttle,
}

impl Fronts {
    pub(crate) fn new(context: &LinkContext) -> Rc<Self> {
        Rc::new(Self {
            whole: context.whole(),
            metrics: context.metrics.clone(),
            reactor: context.reactor.clone(),
            links: RefCell::default(),
            refusals: Throttle::new(LOG_PERIOD),
            evictions: Throttle::new(LOG_PERIOD),
            revocations: Throttle::new(LOG_PERIOD),
        })
    }

    /// The share of the front `name`, together with its other links if it has any.
    pub(crate) fn share(&self, name: &str) -> Share {
        let links = self.links();
        let mut known = links.iter().map(|link| &link.connection().share);
        let known = known.find(|share| share.name() == name);
        known.map_or_else(|| Share::new(&self.whole, name), Share::clone)
    }

    /// Whether the front `name` would get one more link.
    pub(crate) fn has_room(&self, name: &str) -> bool {
        let admission = self
            .share(name)
            .with(|whole, user| whole.weigh(user, Scarce::Link));
        !matches!(admission, Admission::Full)
    }

    /// One more link is there. Whether it has a place: without one it ends, and if it has
    /// one instead of another front's newest, that ends.
    pub(crate) fn add(&self, link: Rc<dyn Holder>) -> bool {
        let share = &link.connection().share;
        let admission = share.with(|whole, user| whole.weigh(user, Scarce::Link));
        match admission {
            Admission::Welcome => {}
            Admission::InsteadOf(other) => {
                let links = self.links();
                let newest = links.iter().rfind(|link| is_of(&***link, other));
                if let Some(newest) = newest {
                    newest.connection().fail(Fault::TooMany);
                }
            }
            Admission::Full => link.connection().fail(Fault::TooMany),
        }
        share.with(|whole, user| whole.take(user, Scarce::Link));
        self.links.borrow_mut().push(Rc::downgrade(&link));
        !matches!(admission, Admission::Full)
    }

    pub(crate) fn remove(&self, link: &dyn Holder) {
        let share = &link.connection().share;
        share.with(|whole, user| whole.give_back(user, Scarce::Link));
        let mut links = self.links.borrow_mut();
        links.retain(|one| !std::ptr::addr_eq(one.as_ptr(), link));
    }

    pub(crate) fn links(&self) -> Vec<Rc<dyn Holder>> {
        let links = self.links.borrow();
        links.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether the front of `share` gets a place for one more stream. It may be one that
    /// a front with more than its share has to give up: its newest stream ends.
    pub(crate) fn may_take(&self, share: &Share, place: Scarce) -> bool {
        match share.with(|whole, user| whole.weigh(user, place)) {
            Admission::Welcome => true,
            Admission::InsteadOf(other) => {
                let newest = self.links().into_iter().rev().find_map(|link| {
                    let newest = match is_of(&*link, other) {
                        true => link.newest(place),
                        false => None,
                    };
                    newest.map(|newest| (link, newest))
                });
                let Some((link, newest)) = newest else {
                    self.refuse(share, place);
                    return false;
                };
                self.refuse(&link.connection().share, place);
                link.end(newest, EndReason::NoConnection);
                true
            }
            Admission::Full => {
                self.refuse(share, place);
                false
            }
        }
    }

    fn refuse(&self, share: &Share, place: Scarce) {
        self.metrics.link_refusals.inc();
        let Some(skipped) = self.refusals.pass(self.reactor.now()) else {
            return;
        };
        let name = share.name();
        let way_out = match place {
            Scarce::Line => "raise the limit of open files (LimitNOFILE, ulimit -n)",
            Scarce::Link | Scarce::Stream => "this machine needs more memory, or fewer fronts",
        };
        warn!(
            "the front {name} has its share of this back, and a new client of it is closed: \
             {way_out}{skipped}"
        );
    }

    /// While all fronts together hold more than they may: ends the largest stream of the
    /// front that holds most, on its link that holds most.
    pub(crate) fn evict_largest(&self) {
        loop {
            let Some(front) = self.whole.borrow().heaviest() else {
                return;
            };
            let links = self.links();
            // Two fronts without certificates may share an address, and so a share:
            // not the link of the one that holds less.
            let of_front = links.iter().filter(|link| is_of(&***link, front));
            let Some(most) = of_front.max_by_key(|link| link.held()) else {
                return;
            };
            let Some(largest) = most.largest() else {
                return;
            };
            self.metrics.link_evictions.inc();
            if let Some(skipped) = self.evictions.pass(self.reactor.now()) {
                let name = most.connection().share.name();
                warn!(
                    "clients of the front {name} send more than Telegram takes: the one with \
                     most is closed; raise --buffers if that goes on{skipped}"
                );
            }
            most.end(largest, EndReason::TooSlow);
        }
    }

    /// A packet that stalled on its way has lost its buffers to others.
    pub(crate) fn revoked(&self, share: &Share, reason: Revocation) {
        self.metrics.buffer_revocations.inc(reason);
        if let Some(skipped) = self.revocations.pass(self.reactor.now()) {
            let name = share.name();
            warn!(
                "buffers are short: a packet of the front {name} is given up, {reason}; raise \
                 --buffers, or look why that front stalls{skipped}"
            );
        }
    }
}

fn is_of(link: &dyn Holder, user: usize) -> bool {
    link.connection().share.user() == user
}
