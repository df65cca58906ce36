//! What a secret allows its clients, and what they have used of it.

#[cfg(feature = "ctl")]
mod shown;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::fair_queue::Origin;
use super::roll_call::RollCall;
use super::usage::{Usage, write_line};
use crate::config::SecretLimits;
#[cfg(feature = "ctl")]
pub(crate) use shown::{Names, ShownSecret};

/// Bytes that may come at once although a rate is set, in time at that rate.
const BURST: Duration = Duration::from_millis(500);

/// The session that has spent last waits so much longer, so that others of its secret
/// come before it.
const COURTESY: Duration = Duration::from_millis(20);

/// Why a secret does not let a client in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitRefusal {
    Expired,
    QuotaUsed,
    TooManyConnections,
    TooManyAddresses,
}

/// The accounts of all secrets by name.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By name. No map: one of names is 7 KiB on MIPS, and what is read of the
    /// usage's file comes in order.
    accounts: Vec<(String, Rc<SecretAccount>)>,
}

impl Ledger {
    /// Accounts for `secrets`, starting with the bytes used so far from
    /// `usage` (the text that [`usage`](Self::usage) wrote).
    pub(crate) fn new<'a>(
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
        usage: &str,
    ) -> Self {
        let mut ledger = Self::default();
        for (used, name) in Usage::read(usage).used {
            ledger.account_or_new(name).used.set(used);
        }
        ledger.set_limits(secrets);
        ledger
    }

    /// New limits after a reload; what is counted goes on, and those of a secret
    /// that is gone stay for the sessions that it still has.
    pub(crate) fn set_limits<'a>(
        &mut self,
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
    ) {
        for (_, account) in &self.accounts {
            account.is_listed.set(false);
        }
        for (name, limits) in secrets {
            let account = self.account_or_new(name);
            account.set_limits(limits);
            account.is_listed.set(true);
        }
    }

    /// The secret that was called `old` is called `new`; what is counted goes on.
    pub(crate) fn rename(&mut self, old: &str, new: &str) {
        if let Ok(place) = self.place(old) {
            let (_, account) = self.accounts.remove(place);
            self.put(new, account);
        }
    }

    pub(crate) fn account(&self, name: &str) -> Option<&Rc<SecretAccount>> {
        let place = self.place(name).ok()?;
        self.accounts.get(place).map(|(_, account)| account)
    }

    /// Does any secret expire or have a quota?
    pub(crate) fn has_ends(&self) -> bool {
        self.accounts.iter().any(|(_, account)| {
            let limits = account.limits.get();
            limits.expires.is_some() || limits.quota.is_some()
        })
    }

    /// Those that have come to their end since the last question, with the end.
    pub(crate) fn newly_ended(&self, now: u64) -> Vec<(String, LimitRefusal)> {
        let accounts = self.accounts.iter();
        accounts
            .filter_map(|(name, account)| {
                let end = account.check(now).err();
                let is_news = account.told.replace(end) != end;
                let is_news = is_news && account.is_listed.get();
                end.filter(|_| is_news).map(|end| (name.clone(), end))
            })
            .collect()
    }

    /// One line a secret that was used: `BYTES NAME`.
    pub(crate) fn usage(&self) -> String {
        let mut text = String::new();
        for (name, account) in &self.accounts {
            let used = account.used.get();
            if used > 0 {
                write_line(&mut text, used, name);
            }
        }
        text
    }

    fn account_or_new(&mut self, name: &str) -> Rc<SecretAccount> {
        if let Some(account) = self.account(name) {
            return account.clone();
        }
        let account = Rc::<SecretAccount>::default();
        self.put(name, account.clone());
        account
    }

    fn put(&mut self, name: &str, account: Rc<SecretAccount>) {
        match self.place(name) {
            Ok(place) => self.accounts[place].1 = account,
            Err(place) => self.accounts.insert(place, (name.to_owned(), account)),
        }
    }

    /// Where the account of that name is, or would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.accounts
            .binary_search_by(|(one, _)| one.as_str().cmp(name))
    }
}

/// One secret's limits and what is used of them.
#[derive(Default)]
pub(crate) struct SecretAccount {
    limits: Cell<SecretLimits>,
    /// Its bytes are more than counted.
    metered: Cell<bool>,
    live: Cell<u32>,
    /// When a client of it came or left last, in unix time.
    #[cfg(feature = "ctl")]
    seen: Cell<u64>,
    /// Live clients by what one subscriber has, kept only while `max_ips` is set.
    addresses: RefCell<HashMap<u64, u32>>,
    roll_call: Cell<RollCall>,
    used: Cell<u64>,
    /// That is all of its quota.
    used_up: Cell<bool>,
    /// It is that of a secret of the config.
    is_listed: Cell<bool>,
    /// The end that was told of.
    told: Cell<Option<LimitRefusal>>,
    /// When all bytes so far are paid for at the rate; the caller's clock.
    paid_until: Cell<Duration>,
    /// The session that has spent last.
    last: Cell<usize>,
}

impl SecretAccount {
    fn set_limits(&self, limits: SecretLimits) {
        let before = self.limits.replace(limits);
        if before.rate != limits.rate {
            self.paid_until.set(Duration::ZERO);
        }
        let metered = limits.quota.is_some() || limits.rate.is_some();
        self.metered.set(metered);
        self.look_at_quota();
    }

    fn look_at_quota(&self) {
        let quota = self.limits.get().quota;
        let used_up = quota.is_some_and(|quota| self.used.get() >= quota);
        self.used_up.set(used_up);
    }

    /// Lets a client in and counts it until the membership is dropped. `now` is
    /// unix time.
    pub(crate) fn join(
        self: &Rc<Self>,
        client: IpAddr,
        now: u64,
    ) -> Result<Membership, LimitRefusal> {
        self.check(now)?;
        let limits = self.limits.get();
        if limits
            .max_connections
            .is_some_and(|most| self.live.get() >= most)
        {
            return Err(LimitRefusal::TooManyConnections);
        }
        let mut counted_address = None;
        if let Some(most) = limits.max_ips {
            let client = Origin::of(client).number();
            let mut addresses = self.addresses.borrow_mut();
            if !addresses.contains_key(&client) && addresses.len() >= most as usize {
                return Err(LimitRefusal::TooManyAddresses);
            }
            *addresses.entry(client).or_default() += 1;
            counted_address = Some(Box::new(client));
        }
        self.live.set(self.live.get() + 1);
        self.see(now);
        Ok(Membership {
            account: self.clone(),
            counted_address,
        })
    }

    /// Changes when its sessions are asked whether they are there.
    pub(crate) fn roll_call<T>(&self, change: impl FnOnce(&mut RollCall) -> T) -> T {
        let mut roll = self.roll_call.get();
        let outcome = change(&mut roll);
        self.roll_call.set(roll);
        outcome
    }

    /// A client of it is here, or was up to now, which is unix time.
    pub(crate) fn see(&self, now: u64) {
        #[cfg(feature = "ctl")]
        self.seen.set(now);
        #[cfg(not(feature = "ctl"))]
        let _ = now;
    }

    /// Whether [`spend`](Self::spend) has more to do than [`count`](Self::count).
    pub(crate) fn is_metered(&self) -> bool {
        self.metered.get()
    }

    /// Counts bytes that went either way, of a secret that has no quota and no rate.
    pub(crate) fn count(&self, bytes: u64) {
        self.used.set(self.used.get().saturating_add(bytes));
    }

    /// For a session that begins. It waits with the others for what is not paid for
    /// yet: coming again gains nothing.
    pub(crate) fn turn(&self) -> Turn {
        Turn {
            paid_until: Cell::new(micros(self.paid_until.get())),
        }
    }

    /// Books bytes that went either way, on the secret and on the session that has
    /// this turn. `clock` is a monotonic time.
    pub(crate) fn spend(&self, turn: &Turn, bytes: u64, clock: Duration) {
        self.count(bytes);
        self.look_at_quota();
        let Some(rate) = self.limits.get().rate else {
            return;
        };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let from = clock.saturating_sub(BURST);
        let paid_until = self.paid_until.get().max(from).saturating_add(cost);
        self.paid_until.set(paid_until);
        let cost = cost.saturating_mul(self.sharers());
        let paid_until = turn.paid_until().max(from).saturating_add(cost);
        turn.paid_until.set(micros(paid_until));
        self.last.set(turn.number());
    }

    fn sharers(&self) -> u32 {
        self.live.get().max(1)
    }

    /// Nothing is left of the quota.
    pub(crate) fn is_used_up(&self) -> bool {
        self.used_up.get()
    }

    /// Bytes left of the quota; `None` without one.
    pub(crate) fn quota_left(&self) -> Option<u64> {
        let quota = self.limits.get().quota?;
        Some(quota.saturating_sub(self.used.get()))
    }

    /// How long a session should read nothing to keep to the secret's rate: until
    /// all is paid for, or as much as would be its part if all sessions of the
    /// secret took as much. So who takes little does not wait for what others have
    /// taken. Of those who wait for the same moment, whose turn was the last comes
    /// after the others.
    pub(crate) fn pause(&self, turn: &Turn, clock: Duration) -> Duration {
        let mut until = self.paid_until.get().min(turn.paid_until());
        if until > clock && self.last.get() == turn.number() {
            until = until.saturating_add(COURTESY);
        }
        until.saturating_sub(clock)
    }

    /// Bytes that a session should take in one turn: an eighth of a second's, in as
    /// many parts as may have one at once.
    pub(crate) fn portion(&self) -> Option<u64> {
        let rate = self.limits.get().rate?;
        Some(rate / 8 / u64::from(self.sharers()))
    }

    #[cfg(any(feature = "ctl", test))]
    pub(crate) fn live(&self) -> u32 {
        self.live.get()
    }

    /// Bytes that went either way so far.
    #[cfg(any(feature = "ctl", test))]
    pub(crate) fn used(&self) -> u64 {
        self.used.get()
    }

    /// Expiry and quota, which end sessions that are already open too. `now` is
    /// unix time.
    pub(crate) fn check(&self, now: u64) -> Result<(), LimitRefusal> {
        let limits = self.limits.get();
        if limits.expires.is_some_and(|end| now >= end) {
            return Err(LimitRefusal::Expired);
        }
        if self.is_used_up() {
            return Err(LimitRefusal::QuotaUsed);
        }
        Ok(())
    }
}

/// What one session has spent of its secret's rate, for as long as it stays where it
/// is in memory.
#[derive(Default)]
pub(crate) struct Turn {
    /// When its bytes so far are paid for at its part of the rate, in microseconds:
    /// every client has one.
    paid_until: Cell<u64>,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Turn {
    fn paid_until(&self) -> Duration {
        Duration::from_micros(self.paid_until.get())
    }

    /// No other one that is there at the same time has the same.
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// One live session of a secret.
pub(crate) struct Membership {
    account: Rc<SecretAccount>,
    /// In a box: most secrets have no `max_ips`.
    counted_address: Option<Box<u64>>,
}

impl Membership {
    pub(crate) fn account(&self) -> &Rc<SecretAccount> {
        &self.account
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.account.live.set(self.account.live.get() - 1);
        if let Some(client) = self.counted_address.as_deref() {
            let mut addresses = self.account.addresses.borrow_mut();
            if let Some(count) = addresses.get_mut(client) {
                *count -= 1;
                if *count == 0 {
                    addresses.remove(client);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
