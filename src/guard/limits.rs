use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

const DAY_SECONDS: u64 = 86_400;

/// Bytes that may come at once although a rate is set, in time at that rate.
const BURST: Duration = Duration::from_millis(500);

/// What the owner allows one secret; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretLimits {
    pub max_connections: Option<u32>,
    /// Different client addresses at a time.
    pub max_ips: Option<u32>,
    /// Unix time of the first second after the last valid day (UTC).
    pub expires: Option<u64>,
    /// Bytes in both directions together, for ever.
    pub quota: Option<u64>,
    /// Bytes a second in both directions together, over all of its clients.
    pub rate: Option<u64>,
}

impl SecretLimits {
    /// Takes `max-connections`, `max-ips`, `expires`, `quota` or `rate`.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), LimitError> {
        let wrong = || LimitError::Value(option.to_owned(), value.to_owned());
        match option {
            "max-connections" => self.max_connections = Some(value.parse().map_err(|_| wrong())?),
            "max-ips" => self.max_ips = Some(value.parse().map_err(|_| wrong())?),
            "expires" => self.expires = Some(end_of_day(value).ok_or_else(wrong)?),
            "quota" => self.quota = Some(bytes(value).ok_or_else(wrong)?),
            "rate" => {
                let rate = bytes(value).filter(|rate| *rate > 0);
                self.rate = Some(rate.ok_or_else(wrong)?);
            }
            _ => return Err(LimitError::Option(option.to_owned())),
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitError {
    Option(String),
    Value(String, String),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(option) => write!(
                f,
                "unknown limit {option:?}: use max-connections, max-ips, expires, quota or rate"
            ),
            Self::Value(option, value) => {
                let form = match option.as_str() {
                    "expires" => "a date, YYYY-MM-DD",
                    "quota" | "rate" => "a size like 500K, 2M or 50G",
                    _ => "a number",
                };
                write!(f, "{option} is {form}, not {value:?}")
            }
        }
    }
}

impl std::error::Error for LimitError {}

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

    /// New limits after a reload; what is counted goes on.
    pub fn set_limits<'a>(&mut self, secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>) {
        for account in self.accounts.values() {
            account.limits.set(SecretLimits::default());
        }
        for (name, limits) in secrets {
            self.account_or_new(name).limits.set(limits);
        }
    }

    pub fn account(&self, name: &str) -> Option<&Rc<Account>> {
        self.accounts.get(name)
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
    live: Cell<u32>,
    /// Live clients by address, kept only while `max_ips` is set.
    addresses: RefCell<HashMap<IpAddr, u32>>,
    used: Cell<u64>,
    /// When all bytes so far are paid for at the rate; the caller's clock.
    paid_until: Cell<Duration>,
}

impl Account {
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
            let client = client.to_canonical();
            let mut addresses = self.addresses.borrow_mut();
            if !addresses.contains_key(&client) && addresses.len() >= most as usize {
                return Err(LimitRefusal::TooManyAddresses);
            }
            *addresses.entry(client).or_default() += 1;
            counted_address = Some(client);
        }
        self.live.set(self.live.get() + 1);
        Ok(Membership {
            account: self.clone(),
            counted_address,
        })
    }

    pub fn live(&self) -> u32 {
        self.live.get()
    }

    /// Bytes used of the quota.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Expiry and quota, which end sessions that are already open too.
    fn check(&self, now: u64) -> Result<(), LimitRefusal> {
        let limits = self.limits.get();
        if limits.expires.is_some_and(|end| now >= end) {
            return Err(LimitRefusal::Expired);
        }
        if limits.quota.is_some_and(|quota| self.used.get() >= quota) {
            return Err(LimitRefusal::QuotaUsed);
        }
        Ok(())
    }
}

/// One live session of a secret.
pub struct Membership {
    account: Rc<Account>,
    counted_address: Option<IpAddr>,
}

impl Membership {
    /// Books bytes that went either way and returns how long this session
    /// should read nothing to keep to the rate. `clock` is a monotonic time.
    pub fn spend(&self, bytes: u64, clock: Duration) -> Duration {
        let account = &self.account;
        account.used.set(account.used.get().saturating_add(bytes));
        let Some(rate) = account.limits.get().rate else {
            return Duration::ZERO;
        };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        let start = account.paid_until.get().max(clock.saturating_sub(BURST));
        let paid_until = start.saturating_add(cost);
        account.paid_until.set(paid_until);
        paid_until.saturating_sub(clock)
    }

    /// May the session go on? `now` is unix time.
    pub fn check(&self, now: u64) -> Result<(), LimitRefusal> {
        self.account.check(now)
    }

    /// Does anything here need a look at the session's bytes?
    pub fn is_metered(&self) -> bool {
        let limits = self.account.limits.get();
        limits.quota.is_some() || limits.rate.is_some()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.account.live.set(self.account.live.get() - 1);
        if let Some(client) = self.counted_address {
            let mut addresses = self.account.addresses.borrow_mut();
            if let Some(count) = addresses.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    addresses.remove(&client);
                }
            }
        }
    }
}

/// Bytes: a number, with K, M, G or T for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (text.get(..text.len() - 1)?, 10),
        b'M' | b'm' => (text.get(..text.len() - 1)?, 20),
        b'G' | b'g' => (text.get(..text.len() - 1)?, 30),
        b'T' | b't' => (text.get(..text.len() - 1)?, 40),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Unix time of the end of a day `YYYY-MM-DD` in UTC.
fn end_of_day(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let year: u64 = parts.next().filter(|part| part.len() == 4)?.parse().ok()?;
    let month: u64 = parts.next().filter(|part| part.len() == 2)?.parse().ok()?;
    let day: u64 = parts.next().filter(|part| part.len() == 2)?.parse().ok()?;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days_of = |month| match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_of(month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| 365 + u64::from(leap(year))).sum();
    let months: u64 = (1..month).map(days_of).sum();
    Some((years + months + day) * DAY_SECONDS)
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
