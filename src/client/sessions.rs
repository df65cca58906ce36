//! All open sessions, and those whose secrets come to their end.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use slab::Slab;

use super::ClientContext;
use super::out::ClientOut;
use crate::guard::limits::{LimitRefusal, SecretAccount};
use crate::metrics::CloseReason;
#[cfg(feature = "ctl")]
use crate::metrics::{ClientKind, RouteKind};
#[cfg(feature = "ctl")]
use crate::wire::dc::DcId;
use crate::wire::secret::Secret;

/// How soon a session ends whose secret has expired.
const PERIOD: Duration = Duration::from_secs(2);

/// Secrets that are named if many come to their end at once.
const MAX_TOLD: usize = 10;

/// All open sessions.
#[derive(Default)]
pub(super) struct Sessions(RefCell<Slab<Listed>>);

/// A session in that list.
pub(super) struct Listed {
    pub(crate) secret: Secret,
    pub(crate) out: Weak<ClientOut>,
    /// Its address, if a relay told it, or its carrier.
    pub(crate) told: Option<Box<SocketAddr>>,
    pub(crate) started: Instant,
    #[cfg(feature = "ctl")]
    pub(crate) dc: DcId,
    #[cfg(feature = "ctl")]
    pub(crate) kind: ClientKind,
    /// Once it is open.
    #[cfg(feature = "ctl")]
    pub(crate) route: Option<RouteKind>,
}

impl Sessions {
    /// The number with which it leaves again.
    pub(crate) fn enter(&self, listed: Listed) -> usize {
        self.0.borrow_mut().insert(listed)
    }

    #[cfg(feature = "ctl")]
    pub(crate) fn opened(&self, number: usize, route: RouteKind) {
        if let Some(listed) = self.0.borrow_mut().get_mut(number) {
            listed.route = Some(route);
        }
    }

    pub(crate) fn leave(&self, number: usize) -> Option<Listed> {
        self.0.borrow_mut().try_remove(number)
    }

    /// Looks at the sessions with the numbers from `first` on, until `look` has had
    /// enough; the number that is the next, if there is more.
    #[cfg(feature = "ctl")]
    pub(crate) fn look_from(
        &self,
        first: usize,
        mut look: impl FnMut(&Listed) -> bool,
    ) -> Option<usize> {
        let sessions = self.0.borrow();
        // No number is larger than the places that the list has.
        let number = (first..sessions.capacity()).find(|number| {
            let listed = sessions.get(*number);
            !listed.is_none_or(&mut look)
        })?;
        Some(number + 1)
    }

    /// Ends those of a secret whose quota is used up.
    pub(crate) fn end_all_of(&self, account: &Rc<SecretAccount>) {
        for (_, listed) in self.0.borrow().iter() {
            if let Some(out) = listed.out.upgrade()
                && let Some(own) = &out.account
                && Rc::ptr_eq(own, account)
            {
                out.revoke(CloseReason::QuotaUsed);
            }
        }
    }

    fn end_others(&self, is_kept: impl Fn(&Secret) -> bool) -> usize {
        let sessions = self.0.borrow();
        let others = sessions.iter().map(|(_, listed)| listed);
        let others = others.filter(|listed| !is_kept(&listed.secret));
        let others = others.filter_map(|listed| listed.out.upgrade());
        let mut ended = 0;
        for out in others {
            out.revoke(CloseReason::SecretRemoved);
            ended += 1;
        }
        ended
    }

    /// At most so many of a secret's, from the number `first` on, and the number
    /// after the last of them.
    pub(crate) fn some_of(
        &self,
        account: &Rc<SecretAccount>,
        first: usize,
        most: usize,
    ) -> (Vec<Rc<ClientOut>>, usize) {
        let sessions = self.0.borrow();
        let behind = sessions.iter().filter(|(number, _)| *number >= first);
        let before = sessions.iter().filter(|(number, _)| *number < first);
        let (mut some, mut next) = (Vec::new(), first);
        for (number, listed) in behind.chain(before) {
            if some.len() == most {
                break;
            }
            if let Some(out) = listed.out.upgrade()
                && let Some(own) = &out.account
                && Rc::ptr_eq(own, account)
            {
                next = number + 1;
                some.push(out);
            }
        }
        (some, next)
    }

    fn revoke_ended(&self, now: u64) {
        for (_, listed) in self.0.borrow().iter() {
            if let Some(out) = listed.out.upgrade()
                && let Some(account) = &out.account
                && let Err(refusal) = account.check(now)
            {
                out.revoke(refusal.into());
            }
        }
    }
}

impl ClientContext {
    /// Ends the sessions of all other secrets; how many there are.
    pub(crate) fn end_other_secrets(&self, is_kept: impl Fn(&Secret) -> bool) -> usize {
        self.sessions.end_others(is_kept)
    }

    /// Ends sessions whose secrets come to their limits, for ever.
    pub(crate) async fn enforce_limits(&self) {
        loop {
            if self.gate.has_ends() {
                let now = self.reactor.clock().unix();
                self.sessions.revoke_ended(now);
                tell_ends(&self.gate.newly_ended(now));
            }
            self.reactor.sleep(PERIOD).await;
        }
    }
}

fn tell_ends(ended: &[(String, LimitRefusal)]) {
    for (name, end) in ended.iter().take(MAX_TOLD) {
        let (what, larger) = match end {
            LimitRefusal::QuotaUsed => ("has used up its quota", "larger quota="),
            _ => ("has expired", "later expires="),
        };
        info!(
            "the secret {name} {what}: its clients are closed and none comes in with it; to let \
             them in again give it a {larger} and reload"
        );
    }
    let more = ended.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        info!("{more} more secrets have expired or used up their quotas");
    }
}
