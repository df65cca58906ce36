//! What the other rooms ask: may this one come in?

mod memory;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::acquaintances::Acquaintances;
use super::flood::Flood;
use super::half_open::{HalfOpen, Origin, Seat};
use super::limits::{Ledger, LimitRefusal, Membership, SecretAccount};
#[cfg(feature = "ctl")]
use super::limits::{Names, ShownSecret};
use super::policy::{Permit, Policies, Refusal, Visitor};
use super::table::{ReadTable, Snapshot, Table, TableError};
use crate::config::{GuardConfig, Network, PolicyError, Rule, SecretLimits};
use crate::metrics::{CloseReason, RejectReason};
use memory::Handshakes;
pub(crate) use memory::Memory;

/// All that decides who may come in, for every listener.
pub(crate) struct Gate {
    started: Instant,
    relays: RefCell<Vec<Network>>,
    handshakes: Handshakes,
    flood: RefCell<Option<Flood>>,
    half_open: Rc<HalfOpen>,
    acquaintances: RefCell<Acquaintances>,
    tables: RefCell<Vec<Rc<Table>>>,
    policies: RefCell<Policies>,
    ledger: RefCell<Ledger>,
}

/// Policies and the tables that they name, of a config that is to be taken over.
pub(crate) struct Rulebook {
    policies: Policies,
    tables: Vec<Rc<Table>>,
}

impl Gate {
    /// `usage` is the text that an earlier run's [`usage`](Self::usage) gave.
    /// Reads the tables; blocks.
    pub(crate) fn new<'a>(
        guard: &GuardConfig,
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
        usage: &str,
        now: Instant,
    ) -> Result<Rc<Self>, GateError> {
        let gate = Self {
            started: now,
            relays: RefCell::default(),
            handshakes: Handshakes::default(),
            flood: RefCell::default(),
            half_open: HalfOpen::new(guard.max_handshakes),
            acquaintances: RefCell::default(),
            tables: RefCell::default(),
            policies: RefCell::default(),
            ledger: RefCell::new(Ledger::new([], usage)),
        };
        let tables = ReadTable::read_all(&guard.tables, &[])?;
        let rules = gate.prepare(guard, tables)?;
        gate.reconfigure(guard, rules, &[], secrets);
        Ok(Rc::new(gate))
    }

    /// Ties the rules of another config to its tables: all of a reload that can
    /// fail here. Nothing is different until it is taken over.
    pub(crate) fn prepare(
        &self,
        guard: &GuardConfig,
        tables: Vec<ReadTable>,
    ) -> Result<Rulebook, PolicyError> {
        let tables: Vec<_> = tables.into_iter().map(Table::from).map(Rc::new).collect();
        let policies = Policies::new(&guard.policies, &tables, Some(&self.policies.borrow()))?;
        Ok(Rulebook { policies, tables })
    }

    /// Takes over another config and what was prepared for it, where secrets may be
    /// `renamed`, from and to. What is counted and remembered goes on. Gives what the
    /// tables held: to free much of it takes time, which another thread has.
    pub(crate) fn reconfigure<'a>(
        &self,
        guard: &GuardConfig,
        Rulebook { policies, tables }: Rulebook,
        renamed: &[(String, String)],
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
    ) -> Vec<Snapshot> {
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
        self.take_secrets(renamed, secrets);
        old
    }

    /// Takes over secrets with their limits, where some may be `renamed`, from and to.
    pub(crate) fn take_secrets<'a>(
        &self,
        renamed: &[(String, String)],
        secrets: impl IntoIterator<Item = (&'a str, SecretLimits)>,
    ) {
        let ledger = &mut *self.ledger.borrow_mut();
        for (from, to) in renamed {
            ledger.rename(from, to);
        }
        ledger.set_limits(secrets);
    }

    /// What of these policies keeps everybody out, a line each.
    pub(crate) fn barriers(&self, policies: &[Rule]) -> Vec<String> {
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

    /// Has this peer to begin with a PROXY header?
    pub(crate) fn is_relay(&self, peer: IpAddr) -> bool {
        let relays = self.relays.borrow();
        relays.iter().any(|network| network.contains(peer))
    }

    /// One more unproven connection comes from there.
    pub(crate) fn arrive(&self, client: IpAddr, now: Instant) -> FloodState {
        let now = self.millis(now);
        let mut flood = self.flood.borrow_mut();
        match flood.as_mut().is_none_or(|flood| flood.arrive(client, now)) {
            true => FloodState::Within,
            false => FloodState::Over,
        }
    }

    /// A place among the unproven.
    pub(crate) fn take_seat(&self, client: IpAddr, now: Instant) -> Seat {
        let origin = Origin::of(client);
        self.half_open.enter(origin, self.knows(origin, now))
    }

    /// Who has this seat comes from there, says a relay.
    pub(crate) fn move_seat(&self, seat: &Seat, client: IpAddr, now: Instant) {
        let origin = Origin::of(client);
        seat.come_from(origin, self.knows(origin, now));
    }

    fn knows(&self, origin: Origin, now: Instant) -> bool {
        let acquaintances = self.acquaintances.borrow();
        acquaintances.knows(origin, self.seconds(now))
    }

    /// The unproven that are here, those at the site too.
    pub(crate) fn unproven(&self) -> usize {
        self.half_open.len()
    }

    /// Pushes out all but so many of the unproven.
    pub(crate) fn shrink_unproven_to(&self, most: usize) {
        self.half_open.shrink_to(most);
    }

    /// A visitor from there has proven a secret with a handshake that `id` stands
    /// for (`doc/protocol.md` §7), and that tells an uptime where others tell the
    /// time. Not if it has done so before.
    pub(crate) fn prove(
        &self,
        client: IpAddr,
        id: &[u8],
        has_uptime: bool,
        now: Instant,
    ) -> Result<(), RejectReason> {
        self.comes_first(client, id, has_uptime, now)?;
        self.acquaint(client, now);
        Ok(())
    }

    /// A visitor from there has proven a secret, and not by a handshake.
    pub(crate) fn acquaint(&self, client: IpAddr, now: Instant) {
        self.meet(client, now);
        if let Some(flood) = &mut *self.flood.borrow_mut() {
            flood.proven(client, self.millis(now));
        }
    }

    /// [`prove`](Self::prove) for one that comes inside of what came in before: its
    /// arrival was not counted.
    pub(crate) fn prove_within(
        &self,
        client: IpAddr,
        id: &[u8],
        now: Instant,
    ) -> Result<(), RejectReason> {
        self.comes_first(client, id, false, now)?;
        self.meet(client, now);
        Ok(())
    }

    fn meet(&self, client: IpAddr, now: Instant) {
        let (origin, seconds) = (Origin::of(client), self.seconds(now));
        self.acquaintances.borrow_mut().meet(origin, seconds);
    }

    /// Lets in a visitor who has proven a secret, until the pass is dropped.
    pub(crate) fn admit(&self, visitor: &Visitor<'_>, unix_now: u64) -> Result<Pass, RejectReason> {
        let permit = self.policies.borrow().permit(visitor)?;
        let account = self.account(visitor.secret);
        let membership = account.map(|account| account.join(visitor.client, unix_now));
        Ok(Pass {
            _permit: permit,
            membership: membership.transpose()?,
        })
    }

    /// The account of the secret of that name.
    pub(crate) fn account(&self, secret: &str) -> Option<Rc<SecretAccount>> {
        self.ledger.borrow().account(secret).cloned()
    }

    /// The clock of a [`SecretAccount`].
    pub(crate) fn clock(&self, now: Instant) -> Duration {
        now.duration_since(self.started)
    }

    /// Can sessions that are open come to their end?
    pub(crate) fn has_ends(&self) -> bool {
        self.ledger.borrow().has_ends()
    }

    /// What the tables hold now.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let tables = self.tables.borrow();
        tables.iter().map(|table| table.snapshot()).collect()
    }

    #[cfg(feature = "ctl")]
    pub(crate) fn table(&self, name: &str) -> Option<Rc<Table>> {
        let tables = self.tables.borrow();
        tables.iter().find(|table| table.name == name).cloned()
    }

    /// Every secret that was given or used.
    #[cfg(feature = "ctl")]
    pub(crate) fn secrets(&self, unix_now: u64) -> Vec<ShownSecret> {
        self.ledger.borrow().shown(unix_now)
    }

    /// Whose accounts there are.
    #[cfg(feature = "ctl")]
    pub(crate) fn names(&self) -> Names {
        self.ledger.borrow().names()
    }

    /// The names of secrets that have come to their end since the last question.
    pub(crate) fn newly_ended(&self, unix_now: u64) -> Vec<(String, LimitRefusal)> {
        self.ledger.borrow().newly_ended(unix_now)
    }

    /// What secrets have used, to be kept.
    pub(crate) fn usage(&self) -> String {
        self.ledger.borrow().usage()
    }

    fn seconds(&self, now: Instant) -> u64 {
        now.duration_since(self.started).as_secs()
    }

    fn millis(&self, now: Instant) -> u64 {
        now.duration_since(self.started).as_millis() as u64
    }
}

/// Whether the subnet of a connection makes too many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloodState {
    Within,
    Over,
}

/// A client's right to be here, and its place wherever it is counted.
pub(crate) struct Pass {
    _permit: Permit,
    membership: Option<Membership>,
}

impl Pass {
    /// Its secret's account; it may outlive the pass.
    pub(crate) fn account(&self) -> Option<Rc<SecretAccount>> {
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
pub(crate) enum GateError {
    Table(TableError),
    Policy(PolicyError),
}

impl GateError {
    /// What kept a table's file from being read.
    pub(crate) fn unread(&self) -> Option<&io::Error> {
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
