use std::rc::Rc;

use super::{Ledger, LimitRefusal, SecretAccount};
use crate::config::SecretLimits;

/// A secret as the operator sees it.
pub(crate) struct ShownSecret {
    pub(crate) name: String,
    pub(crate) limits: SecretLimits,
    pub(crate) clients: u32,
    /// Bytes both ways together, for ever.
    pub(crate) bytes: u64,
    /// Seconds since a client of it was here; `None`: none was in this run.
    pub(crate) seen: Option<u64>,
    /// Why it lets nobody in any more.
    pub(crate) end: Option<LimitRefusal>,
    /// The config has it; one that it has not any more may have sessions.
    pub(crate) is_listed: bool,
}

/// Whose accounts there are, to look many up.
pub(crate) struct Names(Vec<(*const SecretAccount, String)>);

impl Ledger {
    /// All accounts, in the order of their names. `now` is unix time.
    pub(crate) fn shown(&self, now: u64) -> Vec<ShownSecret> {
        let accounts = self.accounts.iter();
        accounts
            .map(|(name, account)| ShownSecret {
                name: name.clone(),
                limits: account.limits.get(),
                clients: account.live(),
                bytes: account.used(),
                seen: match (account.live(), account.seen.get()) {
                    (0, 0) => None,
                    (0, seen) => Some(now.saturating_sub(seen)),
                    _ => Some(0),
                },
                end: account.check(now).err(),
                is_listed: account.is_listed.get(),
            })
            .collect()
    }

    pub(crate) fn names(&self) -> Names {
        let accounts = self.accounts.iter();
        let mut names: Vec<_> = accounts
            .map(|(name, account)| (Rc::as_ptr(account), name.clone()))
            .collect();
        names.sort_unstable_by_key(|(account, _)| *account);
        Names(names)
    }
}

impl Names {
    pub(crate) fn of(&self, account: &Rc<SecretAccount>) -> Option<&str> {
        let wanted = Rc::as_ptr(account);
        let place = self.0.binary_search_by_key(&wanted, |(one, _)| *one).ok()?;
        self.0.get(place).map(|(_, name)| name.as_str())
    }
}
