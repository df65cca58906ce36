use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::acquaintances::Acquaintances;
use super::flood::Flood;
use super::half_open::{HalfOpen, Origin, Seat};
use super::limits::{Account, Ledger, LimitRefusal, Membership};
use super::policy::{Permit, Policies, Refusal, Visitor};
use super::replay::{Batch, Left, ReplayMemory, Shares, Uptime, Uptimes};
use super::table::{ReadTable, Snapshot, Table, TableError};
use crate::config::{GuardConfig, Network, PolicyError, Rule, SecretLimits};
use crate::log::Throttle;
use crate::metrics::{CloseReason, RejectReason};

/// Seconds for which a handshake is remembered. Longer than the time window of
/// fake-TLS; the padded form carries no time.
const REPLAY_AGE: u32 = 24 * 3600;

/// Between lines about clients for whom there is no place for ever.
const COMPLAINTS: Duration = Duration::from_secs(24 * 3600);

/// What is remembered of handshakes, each in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Replays,
    Uptimes,
}

/// All that decides who may come in, for every listener.
pub struct Gate {
    started: Instant,
    relays: RefCell<Vec<Network>>,
    replays: RefCell<Option<Replays>>,
    /// Who keeps them, while there is nothing to be written.
    keeper: Cell<Option<Waker>>,
    full: Throttle,
    flood: RefCell<Option<Flood>>,
    half_open: Rc<HalfOpen>,
    acquaintances: RefCell<Acquaintances>,
    tables: RefCell<Vec<Rc<Table>>>,
    policies: RefCell<Policies>,
    ledger: RefCell<Ledger>,
}

/// Handshakes that have come.
struct Replays {
    memory: ReplayMemory,
    uptimes: Uptimes,
    shares: Shares,
}

impl Replays {
    fn new(entries: usize) -> Self {
        Self {
            memory: ReplayMemory::new(entries, REPLAY_AGE),
            uptimes: Uptimes::new(entries),
            shares: Shares::default(),
        }
    }
}

impl Gate {
    /// `usage` is the text that an earlier run's [`usage`](Self::usage) gave.
    /// Reads the tables; blocks.
    pub fn new<'a>(
        guard: &GuardConfig,
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
        usage: &str,
        now: Instant,
    ) -> Result<Rc<Self>, GateError> {
        let gate = Self {
            started: now,
            relays: RefCell::default(),
            replays: RefCell::default(),
            keeper: Cell::default(),
            full: Throttle::new(COMPLAINTS),
            flood: RefCell::default(),
            half_open: HalfOpen::new(guard.max_handshakes),
            acquaintances: RefCell::default(),
            tables: RefCell::default(),
            policies: RefCell::default(),
            ledger: RefCell::new(Ledger::new([], usage)),
        };
        let tables = ReadTable::read_all(&guard.tables, &[])?;
        gate.reconfigure(guard, tables, &[], secrets)?;
        Ok(Rc::new(gate))
    }

    /// Takes over another config and its tables, where secrets may be `renamed`,
    /// from and to. What is counted and remembered goes on; after an error
    /// everything is as before. Gives what the tables held: to free much of it
    /// takes time, which another thread has.
    pub fn reconfigure<'a>(
        &self,
        guard: &GuardConfig,
        tables: Vec<ReadTable>,
        renamed: &[(String, String)],
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
    ) -> Result<Vec<Snapshot>, PolicyError> {
        let tables: Vec<_> = tables.into_iter().map(Table::from).map(Rc::new).collect();
        let policies = Policies::new(&guard.policies, &tables, Some(&self.policies.borrow()))?;
        self.policies.replace(policies);
        let old = self.snapshots();
        self.tables.replace(tables);
        self.relays.replace(guard.relays.clone());
        self.half_open.set_capacity(guard.max_handshakes);
        self.remember(guard.replay_cache.entries);
        let flood = &mut *self.flood.borrow_mut();
        match (flood.as_mut(), guard.flood) {
            (Some(flood), Some(limits)) => flood.set_limits(limits),
            (_, limits) => *flood = limits.map(Flood::new),
        }
        let ledger = &mut *self.ledger.borrow_mut();
        for (from, to) in renamed {
            ledger.rename(from, to);
        }
        ledger.set_limits(secrets);
        Ok(old)
    }

    /// What of these policies keeps everybody out, a line each.
    pub fn barriers(&self, policies: &[Rule]) -> Vec<String> {
        let tables = self.tables.borrow();
        let empty = tables.iter().filter(|table| table.is_empty());
        let lets_nobody_in = empty.filter(|table| {
            policies.iter().any(|rule| match rule {
                Rule::InTable { table: name, .. } => *name == table.name,
                _ => false,
            })
        });
        let line = |table: &Rc<Table>| {
            let name = &table.name;
            format!("--policy in-table lets nobody in, as the table {name} is empty: add entries")
        };
        lets_nobody_in.map(line).collect()
    }

    fn remember(&self, entries: usize) {
        let replays = &mut *self.replays.borrow_mut();
        match replays {
            _ if entries == 0 => *replays = None,
            Some(there) => {
                there.memory.resize(entries);
                there.uptimes.resize(entries);
            }
            None => *replays = Some(Replays::new(entries)),
        }
    }

    /// Are the handshakes remembered to be kept for another run?
    pub fn keep_replays(&self, wanted: bool) {
        self.with_replays(|replays| {
            replays.memory.keep(wanted);
            replays.uptimes.keep(wanted);
        });
        self.wake_keeper();
    }

    /// Completes when there is something that [`take_news`](Self::take_news) gives.
    pub async fn has_news(&self) {
        poll_fn(|cx| {
            let is_new =
                |replays: &mut Replays| replays.memory.has_news() || replays.uptimes.has_news();
            if self.with_replays(is_new) == Some(true) {
                return Poll::Ready(());
            }
            self.keeper.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// What is to be written next, if anything.
    pub fn take_news(&self, of: Memory, now: Instant, unix_now: u64) -> Option<Batch> {
        let seconds = self.seconds(now);
        self.with_replays(|replays| match of {
            Memory::Replays => replays.memory.take_news(seconds, unix_now),
            Memory::Uptimes => replays.uptimes.take_news(),
        })?
    }

    /// What was written of it is gone, or could not be: all has to be, once more.
    pub fn begin_anew(&self, of: Memory) {
        self.with_replays(|replays| match of {
            Memory::Replays => replays.memory.begin_anew(),
            Memory::Uptimes => replays.uptimes.begin_anew(),
        });
    }

    /// The longest that a file of it can be, in bytes.
    pub fn longest(&self, of: Memory) -> u64 {
        let longest = self.with_replays(|replays| match of {
            Memory::Replays => replays.memory.longest(),
            Memory::Uptimes => replays.uptimes.longest(),
        });
        longest.unwrap_or(0)
    }

    /// Takes over what an earlier run has left, before the first visitor: the file
    /// before the latest, and that.
    pub fn restore_replays(
        &self,
        [before, latest]: [Option<&[u8]>; 2],
        now: Instant,
        unix_now: u64,
    ) -> Left {
        let seconds = self.seconds(now);
        let left =
            self.with_replays(|replays| replays.memory.restore(before, latest, seconds, unix_now));
        left.unwrap_or_default()
    }

    /// The same for those that tell no time.
    pub fn restore_uptimes(&self, file: Option<&[u8]>) -> Left {
        let left = self.with_replays(|replays| replays.uptimes.restore(file));
        left.unwrap_or_default()
    }

    fn with_replays<T>(&self, action: impl FnOnce(&mut Replays) -> T) -> Option<T> {
        self.replays.borrow_mut().as_mut().map(action)
    }

    fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.wake();
        }
    }

    /// Has this peer to begin with a PROXY header?
    pub fn is_relay(&self, peer: IpAddr) -> bool {
        let relays = self.relays.borrow();
        relays.iter().any(|network| network.contains(peer))
    }

    /// One more unproven connection comes from there.
    pub fn arrive(&self, client: IpAddr, now: Instant) -> Arrival {
        let now = self.millis(now);
        let mut flood = self.flood.borrow_mut();
        match flood.as_mut().is_none_or(|flood| flood.arrive(client, now)) {
            true => Arrival::Within,
            false => Arrival::Over,
        }
    }

    /// A place among the unproven.
    pub fn take_seat(&self, client: IpAddr, now: Instant) -> Seat {
        let origin = Origin::of(client);
        self.half_open.enter(origin, self.knows(origin, now))
    }

    /// Who has this seat comes from there, says a relay.
    pub fn move_seat(&self, seat: &Seat, client: IpAddr, now: Instant) {
        let origin = Origin::of(client);
        seat.come_from(origin, self.knows(origin, now));
    }

    fn knows(&self, origin: Origin, now: Instant) -> bool {
        let acquaintances = self.acquaintances.borrow();
        acquaintances.knows(origin, self.seconds(now))
    }

    /// The unproven that are here, those at the site too.
    pub fn unproven(&self) -> usize {
        self.half_open.len()
    }

    /// Leaves so many of the unproven.
    pub fn shrink_unproven_to(&self, most: usize) {
        self.half_open.shrink_to(most);
    }

    /// A visitor from there has proven a secret with a handshake that `id` stands
    /// for (`doc/protocol.md` §7), and that tells an uptime where others tell the
    /// time. Not if it has done so before.
    pub fn prove(
        &self,
        client: IpAddr,
        id: &[u8],
        has_uptime: bool,
        now: Instant,
    ) -> Result<(), RejectReason> {
        let seconds = self.seconds(now);
        if let Some(replays) = &mut *self.replays.borrow_mut() {
            if !replays.memory.remember(id, seconds) {
                return Err(RejectReason::Replay);
            }
            if has_uptime {
                let shares = &mut replays.shares;
                let may_add = || shares.take(Origin::of(client), seconds);
                match replays.uptimes.remember(id, may_add) {
                    Uptime::New => {}
                    Uptime::Known => return Err(RejectReason::Replay),
                    Uptime::Full => {
                        self.complain(&replays.uptimes);
                        return Err(RejectReason::UptimesFull);
                    }
                }
            }
        }
        self.wake_keeper();
        let origin = Origin::of(client);
        self.acquaintances.borrow_mut().meet(origin, seconds);
        if let Some(flood) = &mut *self.flood.borrow_mut() {
            flood.proven(client, self.millis(now));
        }
        Ok(())
    }

    fn complain(&self, uptimes: &Uptimes) {
        let Some(skipped) = self.full.pass() else {
            return;
        };
        match uptimes.is_full() {
            true => warn!(
                "clients that tell their uptime instead of the time see the site: the {} places \
                 for them are taken for ever{skipped}; for more give a larger --replay-cache, or \
                 stop, delete the file uptimes in --data-dir and give out a new secret",
                uptimes.capacity()
            ),
            false => warn!(
                "clients that tell their uptime instead of the time see the site: their address \
                 has taken the {} places for ever that one gets a day{skipped}; they come in \
                 tomorrow, or with a newer app",
                Shares::A_DAY
            ),
        }
    }

    /// Lets in a visitor who has proven a secret, until the pass is dropped.
    pub fn admit(&self, visitor: &Visitor<'_>, unix_now: u64) -> Result<Pass, RejectReason> {
        let permit = self.policies.borrow().admit(visitor)?;
        let account = self.account(visitor.secret);
        let membership = account.map(|account| account.admit(visitor.client, unix_now));
        Ok(Pass {
            _permit: permit,
            membership: membership.transpose()?,
        })
    }

    /// The account of the secret of that name.
    pub fn account(&self, secret: &str) -> Option<Rc<Account>> {
        self.ledger.borrow().account(secret).cloned()
    }

    /// The clock of an [`Account`].
    pub fn clock(&self, now: Instant) -> Duration {
        now.duration_since(self.started)
    }

    /// Can sessions that are open come to their end?
    pub fn has_ends(&self) -> bool {
        self.ledger.borrow().has_ends()
    }

    /// What the tables hold now.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let tables = self.tables.borrow();
        tables.iter().map(|table| table.snapshot()).collect()
    }

    pub fn table(&self, name: &str) -> Option<Rc<Table>> {
        let tables = self.tables.borrow();
        tables.iter().find(|table| table.name == name).cloned()
    }

    /// A line for every secret that was given or used: its name, its live
    /// sessions, and the bytes counted for its quota or rate.
    pub fn secrets(&self) -> Vec<String> {
        self.ledger.borrow().lines()
    }

    /// The names of secrets that have come to their end since the last question.
    pub fn newly_ended(&self, unix_now: u64) -> Vec<(String, LimitRefusal)> {
        self.ledger.borrow().newly_ended(unix_now)
    }

    /// What secrets with a quota or a rate have used, to be kept.
    pub fn usage(&self) -> String {
        self.ledger.borrow().usage()
    }

    fn seconds(&self, now: Instant) -> u64 {
        now.duration_since(self.started).as_secs()
    }

    fn millis(&self, now: Instant) -> u64 {
        now.duration_since(self.started).as_millis() as u64
    }
}

/// How a connection stands to the flood limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Within,
    Over,
}

/// A client's right to be here, and its place wherever it is counted.
pub struct Pass {
    _permit: Permit,
    membership: Option<Membership>,
}

impl Pass {
    /// Its secret's account; it may outlive the pass.
    pub fn account(&self) -> Option<Rc<Account>> {
        Some(self.membership.as_ref()?.account().clone())
    }
}

impl From<Refusal> for RejectReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooManyConnections => Self::PolicyConnections,
            Refusal::NotInTable => Self::NotInTable,
            Refusal::InTable => Self::InTable,
        }
    }
}

impl From<LimitRefusal> for RejectReason {
    fn from(refusal: LimitRefusal) -> Self {
        match refusal {
            LimitRefusal::Expired => Self::SecretExpired,
            LimitRefusal::QuotaUsed => Self::QuotaUsed,
            LimitRefusal::TooManyConnections => Self::SecretConnections,
            LimitRefusal::TooManyAddresses => Self::SecretAddresses,
        }
    }
}

impl From<LimitRefusal> for CloseReason {
    fn from(refusal: LimitRefusal) -> Self {
        match refusal {
            LimitRefusal::QuotaUsed => Self::QuotaUsed,
            // The other limits end no session.
            _ => Self::SecretExpired,
        }
    }
}

/// Why a config cannot be taken over.
#[derive(Debug)]
pub enum GateError {
    Table(TableError),
    Policy(PolicyError),
}

impl GateError {
    /// What kept a table's file from being read.
    pub fn unread(&self) -> Option<&io::Error> {
        match self {
            Self::Table(error) => error.unread(),
            Self::Policy(_) => None,
        }
    }
}

impl From<TableError> for GateError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<PolicyError> for GateError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReplayCache;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn gate(now: Instant) -> Rc<Gate> {
        let guard = GuardConfig {
            policies: Vec::new(),
            tables: Vec::new(),
            relays: Vec::new(),
            replay_cache: ReplayCache {
                entries: 100,
                keep: None,
            },
            flood: None,
            max_handshakes: 1,
        };
        let gate = Gate::new(&guard, [], "", now).ok().unwrap();
        gate.keep_replays(true);
        gate
    }

    fn kept(gate: &Gate, of: Memory, now: Instant) -> Vec<u8> {
        let batches = std::iter::from_fn(|| gate.take_news(of, now, 1_780_000_000));
        batches.flat_map(|batch| batch.bytes).collect()
    }

    #[test]
    fn a_hello_without_a_time_comes_in_once_in_this_run_and_all_later_ones() {
        let now = Instant::now();
        let first = gate(now);
        let client = IpAddr::from([192, 0, 2, 1]);
        let prove =
            |gate: &Gate, id, has_uptime, now| gate.prove(client, &[id; 32], has_uptime, now);
        assert_eq!(prove(&first, 1, false, now), Ok(()));
        assert_eq!(prove(&first, 2, true, now), Ok(()));
        let files = [Memory::Replays, Memory::Uptimes].map(|of| kept(&first, of, now));
        let next = gate(now);
        next.restore_replays([None, Some(&files[0])], now, 1_780_000_000);
        next.restore_uptimes(Some(&files[1]));
        for gate in [first, next] {
            for id in [1, 2] {
                assert_eq!(prove(&gate, id, id == 2, now), Err(RejectReason::Replay));
            }
            let later = now + 2 * DAY;
            assert_eq!(prove(&gate, 1, false, later), Ok(()));
            assert_eq!(prove(&gate, 2, true, later), Err(RejectReason::Replay));
            // Its address has a share of the places, another one has its own.
            let mine = (3..).take_while(|id| prove(&gate, *id, true, now + DAY).is_ok());
            assert_eq!(mine.count(), usize::from(Shares::A_DAY));
            let other = IpAddr::from([192, 0, 2, 2]);
            assert_eq!(gate.prove(other, &[200; 32], true, now + DAY), Ok(()));
        }
    }
}
