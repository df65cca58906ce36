use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use slab::Slab;

use super::ClientContext;
use super::handshake::unix_now;
use super::out::ClientOut;
use crate::guard::limits::Account;
use crate::metrics::CloseReason;

/// How soon a session ends whose secret has expired.
const PERIOD: Duration = Duration::from_secs(2);

/// All open sessions.
#[derive(Default)]
pub(super) struct Sessions(RefCell<Slab<Weak<ClientOut>>>);

impl Sessions {
    /// The number with which it leaves again.
    pub fn enter(&self, out: &Rc<ClientOut>) -> usize {
        self.0.borrow_mut().insert(Rc::downgrade(out))
    }

    pub fn leave(&self, number: usize) {
        self.0.borrow_mut().try_remove(number);
    }

    /// Ends those of a secret whose quota is used up.
    pub fn end_all_of(&self, account: &Rc<Account>) {
        for (_, session) in self.0.borrow().iter() {
            if let Some(out) = session.upgrade()
                && let Some(own) = &out.account
                && Rc::ptr_eq(own, account)
            {
                out.revoke(CloseReason::QuotaUsed);
            }
        }
    }

    /// At most so many of a secret's, from the number `first` on, and the number
    /// after the last of them.
    pub fn some_of(
        &self,
        account: &Rc<Account>,
        first: usize,
        most: usize,
    ) -> (Vec<Rc<ClientOut>>, usize) {
        let sessions = self.0.borrow();
        let behind = sessions.iter().filter(|(number, _)| *number >= first);
        let before = sessions.iter().filter(|(number, _)| *number < first);
        let (mut some, mut next) = (Vec::new(), first);
        for (number, session) in behind.chain(before) {
            if some.len() == most {
                break;
            }
            if let Some(out) = session.upgrade()
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
        for (_, session) in self.0.borrow().iter() {
            if let Some(out) = session.upgrade()
                && let Some(account) = &out.account
                && let Err(refusal) = account.check(now)
            {
                out.revoke(refusal.into());
            }
        }
    }
}

impl ClientContext {
    /// Ends sessions whose secrets come to their limits, for ever.
    pub async fn enforce_limits(&self) {
        loop {
            self.reactor.sleep(PERIOD).await;
            if self.gate.has_ends() {
                self.sessions.revoke_ended(unix_now().into());
            }
        }
    }
}
