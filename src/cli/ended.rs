//! Secrets that let nobody in any more.

use std::fmt;

use crate::clock::unix_now;
use crate::config::{Config, DataDir, MAX_USAGE_FILE, SecretLimits, USAGE_FILE, read_file};
use crate::guard::limits::Ledger;

/// Why a secret lets nobody in any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SecretEnd {
    Expired { last_day: String },
    QuotaUsed,
}

impl SecretEnd {
    /// That it has expired, by this machine's clock.
    pub(crate) fn by_date(limits: &SecretLimits) -> Option<Self> {
        let last_day = limits.expired_on(unix_now())?;
        Some(Self::Expired { last_day })
    }
}

impl fmt::Display for SecretEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { last_day } => write!(
                f,
                "expired on {last_day}: clients with it are turned away; remove it, or extend it \
                 with expires="
            ),
            Self::QuotaUsed => f.write_str(
                "its quota is used up: clients with it are turned away; remove it, or raise quota=",
            ),
        }
    }
}

/// Those whose quota is used up, as far as this user may read what the proxy has
/// written of that.
pub(super) fn used_up(config: &Config) -> Vec<&str> {
    let data_dir = DataDir::new(&config.process.data_dir);
    let usage = read_file(&data_dir.place_of(USAGE_FILE), MAX_USAGE_FILE);
    let usage = usage.unwrap_or_default();
    let mut ledger = Ledger::new([], &String::from_utf8_lossy(&usage));
    ledger.set_limits(config.doors.limits());
    let is_used_up = |name: &str| {
        ledger
            .account(name)
            .is_some_and(|account| account.is_used_up())
    };
    let names = config.doors.limits().map(|(name, _)| name);
    names.filter(|name| is_used_up(name)).collect()
}
