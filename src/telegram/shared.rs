use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use super::directory::{Directory, PublicAddress};
use super::middle::{ConnectError, Patience};
#[cfg(feature = "check")]
use super::told::Told;
use crate::config::{PoolConfig, TelegramConfig};
use crate::connection::{DialError, Dialer};
use crate::log::Throttle;
use crate::metrics::{ConnectFailure, Metrics, MigrationOutcome, RouteResult};
use crate::net::{BufferPool, Executor, Live, Reactor, Scratch, fill_random};
use crate::wire::dc::DcId;

/// What everything on the Telegram side uses.
pub(crate) struct Shared {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) directory: Rc<Directory>,
    pub(crate) address: Rc<PublicAddress>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) config: Live<TelegramConfig>,
    pub(crate) dialer: Rc<Dialer>,
    /// With middle proxies that say nothing.
    pub(crate) patience: Patience,
    /// Failures to connect come in swarms.
    pub(crate) complaints: Throttle,
    /// Hears of tries instead of the log.
    #[cfg(feature = "check")]
    pub(crate) told: Option<Told>,
}

impl Shared {
    pub(super) fn pools(&self) -> PoolConfig {
        self.config.with(|config| config.pools)
    }

    pub(super) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        fill_random(&mut bytes);
        bytes
    }

    pub(super) fn random_u32(&self) -> u32 {
        u32::from_ne_bytes(self.random_bytes())
    }

    pub(super) fn random_u64(&self) -> u64 {
        u64::from_ne_bytes(self.random_bytes())
    }

    /// Seconds since 1970.
    pub(super) fn unix_time(&self) -> u32 {
        self.reactor.clock().unix() as u32
    }

    /// The address under which Telegram sees a connection of ours.
    pub(super) fn announced_address(&self, local: SocketAddr) -> SocketAddr {
        self.address.translate(local)
    }
}

impl Shared {
    /// A connection to Telegram is there.
    pub(super) fn reached(&self, address: SocketAddr) {
        self.directory.report_success(address);
        self.address.reached();
    }

    pub(super) fn migrated(&self, outcome: MigrationOutcome) {
        self.metrics.migrations.inc(outcome);
    }

    pub(super) fn unknown_rpc(&self, address: SocketAddr, tag: u32) {
        self.metrics.unknown_rpc.inc();
        debug!("{address}: ignored a message of unknown kind {tag:08x}");
    }

    pub(super) fn talks_nonsense(&self, address: SocketAddr, error: &dyn fmt::Display) {
        say!(
            self.complaints.pass(self.reactor.now()),
            Warn,
            "middle proxy {address}: {error}; its clients move or come again; if that goes on, \
             something on the way changes what it sends: try --route direct"
        );
    }

    pub(super) fn middle_failed(&self, dc: DcId, address: SocketAddr, error: &ConnectError) {
        self.metrics.dc_failed(dc, error.failure());
        if matches!(error, ConnectError::Closed | ConnectError::Refused(_)) {
            self.address.doubt();
        }
        self.complain(dc, format_args!("middle proxy {address}: {error}"));
    }

    pub(super) fn direct_failed(&self, dc: DcId, address: SocketAddr, error: &DialError) {
        let failure = match error {
            DialError::TimedOut => ConnectFailure::ConnectTimeout,
            _ => ConnectFailure::Refused,
        };
        self.metrics.dc_failed(dc, failure);
        match error {
            // Its dialer tells of it.
            DialError::ViaIll(_) => debug!("DC {dc}: cannot connect to {address}: {error}"),
            DialError::ViaRefuses(_) => {
                self.complain(dc, format_args!("cannot connect to {address}: {error}"));
            }
            _ => {
                let via = self.config.with(|config| config.via.clone());
                let seen = via.map(|via| format!(" as seen from {via}"));
                let seen = seen.unwrap_or_default();
                self.complain(
                    dc,
                    format_args!("cannot connect to {address}: {error}: blocked or down{seen}"),
                );
            }
        }
    }

    /// A client's own connection to the DC is there, by this way.
    #[cfg_attr(
        not(feature = "check"),
        expect(unused_variables, reason = "nobody asks")
    )]
    pub(super) fn led(&self, dc: DcId, place: impl FnOnce() -> String) {
        #[cfg(feature = "check")]
        if let Some(told) = &self.told {
            told.led(dc, place());
        }
    }

    /// Whether somebody hears, instead of the log, that a try has failed.
    #[cfg_attr(
        not(feature = "check"),
        expect(unused_variables, reason = "nobody asks")
    )]
    pub(super) fn hears(&self, dc: DcId, why: RouteResult, what: impl FnOnce() -> String) -> bool {
        #[cfg(feature = "check")]
        if let Some(told) = &self.told {
            told.missed(dc, Some(why), what());
            return true;
        }
        false
    }

    pub(super) fn complain(&self, dc: DcId, what: fmt::Arguments<'_>) {
        #[cfg(feature = "check")]
        if let Some(told) = &self.told {
            return told.missed(dc, None, what.to_string());
        }
        let passed = self.complaints.pass(self.reactor.now());
        say!(passed, Warn, "DC {dc}: {what}");
    }
}
