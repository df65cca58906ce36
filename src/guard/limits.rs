use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::roll_call::RollCall;
use crate::config::{Network, SecretLimits};

/// Bytes that may come at once although a rate is set, in time at that rate.
const BURST: Duration = Duration::from_millis(500);

/// By how much who has spent last lets the others of its secret go before.
const COURTESY: Duration = Duration::from_millis(20);

/// Why a secret lets a client in no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitRefusal {
    Expired,
    QuotaUsed,
    TooManyConnections,
    TooManyAddresses,
}

/// The accounts of all secrets by name.
#[derive(Default)]
pub struct Ledger {
    accounts: BTreeMap<String, Rc<Account>>,
}

impl Ledger {
    /// Accounts for `secrets`, starting with the bytes used so far from
    /// `usage` (the text that [`usage`](Self::usage) wrote).
    pub fn new<'a>(
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
        usage: &str,
    ) -> Self {
        let mut ledger = Self::default();
        for line in usage.lines() {
            let used = line
                .split_once(' ')
                .and_then(|(used, name)| Some((used.parse().ok()?, name)));
            if let Some((used, name)) = used {
                ledger.account_or_new(name).used.set(used);
            }
        }
        ledger.set_limits(secrets);
        ledger
    }

    /// New limits after a reload; what is counted goes on, and those of a secret
    /// that is gone stay for the sessions that it still has.
    pub fn set_limits<'a>(&mut self, secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>) {
        for (name, limits) in secrets {
            self.account_or_new(name).set_limits(limits);
        }
    }

    pub fn account(&self, name: &str) -> Option<&Rc<Account>> {
        self.accounts.get(name)
    }

    /// Does any secret expire or have a quota?
    pub fn has_ends(&self) -> bool {
        self.accounts.values().any(|account| {
            let limits = account.limits.get();
            limits.expires.is_some() || limits.quota.is_some()
        })
    }

    /// A line an account: `NAME LIVE USED`.
    pub fn lines(&self) -> Vec<String> {
        let accounts = self.accounts.iter();
        accounts
            .map(|(name, account)| format!("{name} {} {}", account.live(), account.used()))
            .collect()
    }

    /// The name under which that account is kept.
    pub fn name_of(&self, account: &Rc<Account>) -> Option<String> {
        let mut accounts = self.accounts.iter();
        let found = accounts.find(|(_, own)| Rc::ptr_eq(own, account));
        found.map(|(name, _)| name.clone())
    }

    /// One line a secret that was used: `BYTES NAME`.
    pub fn usage(&self) -> String {
        let mut text = String::new();
        for (name, account) in &self.accounts {
            let used = account.used.get();
            if used > 0 {
                text.push_str(&format!("{used} {name}\n"));
            }
        }
        text
    }

    fn account_or_new(&mut self, name: &str) -> &Rc<Account> {
        self.accounts.entry(name.to_owned()).or_default()
    }
}

/// One secret's limits and what is used of them.
#[derive(Default)]
pub struct Account {
    limits: Cell<SecretLimits>,
    /// Its bytes are counted.
    metered: Cell<bool>,
    live: Cell<u32>,
    /// Live clients by what one subscriber has, kept only while `max_ips` is set.
    addresses: RefCell<HashMap<Network, u32>>,
    roll_call: Cell<RollCall>,
    used: Cell<u64>,
    /// That is all of its quota.
    used_up: Cell<bool>,
    /// When all bytes so far are paid for at the rate; the caller's clock.
    paid_until: Cell<Duration>,
    /// The session that has spent last.
    last: Cell<usize>,
}

impl Account {
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
    pub fn admit(self: &Rc<Self>, client: IpAddr, now: u64) -> Result<Membership, LimitRefusal> {
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
            let client = Network::of_subscriber(client);
            let mut addresses = self.addresses.borrow_mut();
            if !addresses.contains_key(&client) && addresses.len() >= most as usize {
                return Err(LimitRefusal::TooManyAddresses);
            }
            *addresses.entry(client).or_default() += 1;
            counted_address = Some(Box::new(client));
        }
        self.live.set(self.live.get() + 1);
        Ok(Membership {
            account: self.clone(),
            counted_address,
        })
    }

    /// Changes when its sessions are asked whether they are there.
    pub fn roll_call<T>(&self, change: impl FnOnce(&mut RollCall) -> T) -> T {
        let mut roll = self.roll_call.get();
        let outcome = change(&mut roll);
        self.roll_call.set(roll);
        outcome
    }

    /// Whether [`spend`](Self::spend) has anything to do.
    pub fn is_metered(&self) -> bool {
        self.metered.get()
    }

    /// Books bytes that went either way. `session` is a number that no other
    /// session has, `clock` a monotonic time.
    pub fn spend(&self, session: usize, bytes: u64, clock: Duration) {
        self.used.set(self.used.get().saturating_add(bytes));
        self.look_at_quota();
        let Some(rate) = self.limits.get().rate else {
            return;
        };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        self.last.set(session);
        let start = self.paid_until.get().max(clock.saturating_sub(BURST));
        self.paid_until.set(start.saturating_add(cost));
    }

    /// Nothing is left of the quota.
    pub fn is_used_up(&self) -> bool {
        self.used_up.get()
    }

    /// Bytes left of the quota; `None` without one.
    pub fn quota_left(&self) -> Option<u64> {
        let quota = self.limits.get().quota?;
        Some(quota.saturating_sub(self.used.get()))
    }

    /// How long a session should read nothing to keep to the secret's rate. They
    /// all wait for the same moment; whose turn was the last comes after the
    /// others.
    pub fn pause(&self, session: usize, clock: Duration) -> Duration {
        let mut until = self.paid_until.get();
        if until > clock && self.last.get() == session {
            until = until.saturating_add(COURTESY);
        }
        until.saturating_sub(clock)
    }

    /// Bytes a second.
    pub fn rate(&self) -> Option<u64> {
        self.limits.get().rate
    }

    pub fn live(&self) -> u32 {
        self.live.get()
    }

    /// Bytes used of the quota.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Expiry and quota, which end sessions that are already open too. `now` is
    /// unix time.
    pub fn check(&self, now: u64) -> Result<(), LimitRefusal> {
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

/// One live session of a secret.
pub struct Membership {
    account: Rc<Account>,
    /// In a box: most secrets have no `max_ips`.
    counted_address: Option<Box<Network>>,
}

impl Membership {
    pub fn account(&self) -> &Rc<Account> {
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
#[path = "limits_tests.rs"]
mod tests;
