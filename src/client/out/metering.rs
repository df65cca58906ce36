//! What a client's secret lets through: its quota, its rate, and that it may be taken
//! back.

use std::time::Instant;

use super::ClientOut;
use crate::guard::limits::SecretAccount;
use crate::metrics::CloseReason;
use crate::net::CHUNK_LEN;

impl ClientOut {
    /// Makes the client's task end it.
    pub(crate) fn revoke(&self, reason: CloseReason) {
        self.revoked.set(Some(reason));
        // Whoever is writing to it at the moment sees for himself.
        if let Ok(mut state) = self.state.try_borrow_mut() {
            self.fail(&mut state);
        }
    }

    /// Why nothing more may go either way.
    pub(crate) fn revoked(&self) -> Option<CloseReason> {
        let used_up = || self.is_used_up().then_some(CloseReason::QuotaUsed);
        self.revoked.get().or_else(used_up)
    }

    fn is_used_up(&self) -> bool {
        self.metered().is_some_and(|account| account.is_used_up())
    }

    /// Books bytes that went either way on the secret's account. With the last of
    /// its quota all of the secret's sessions end.
    pub(crate) fn spend(&self, length: usize) {
        let bytes = length as u64;
        #[cfg(feature = "ctl")]
        self.bytes.set(self.bytes.get().wrapping_add(bytes));
        let Some(account) = &self.account else {
            return;
        };
        if !account.is_metered() {
            return account.count(bytes);
        }
        let was_used_up = account.is_used_up();
        let now = self.context.reactor.now();
        account.spend(&self.turn, bytes, self.context.gate.clock(now));
        if account.is_used_up() && !was_used_up {
            self.context.sessions.end_all_of(account);
        }
    }

    /// Until when nothing is to be read from either side, to keep to the
    /// secret's rate.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        let account = self.metered()?;
        let now = self.context.reactor.now();
        let pause = account.pause(&self.turn, self.context.gate.clock(now));
        now.checked_add(pause).filter(|_| !pause.is_zero())
    }

    /// Bytes to read at once, so that a low rate does not come in lumps, and no
    /// more comes than is left of a quota.
    pub(crate) fn read_limit(&self) -> usize {
        let Some(account) = self.metered() else {
            return usize::MAX;
        };
        let part = account.portion();
        let part = part.map(|part| part.max(CHUNK_LEN as u64));
        let left = account.quota_left().map(|left| left.max(1));
        let limit = part.into_iter().chain(left).min();
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        limit.unwrap_or(usize::MAX)
    }

    fn metered(&self) -> Option<&SecretAccount> {
        let account = self.account.as_deref()?;
        account.is_metered().then_some(account)
    }
}
