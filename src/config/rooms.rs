use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::camouflage::{AnswerTime, Fronting, RecordSizes, TimeSkew};
use super::descriptors::Descriptors;
use super::doors::DoorConfig;
use super::guard::{GuardConfig, Reset, ServerErrors};
use super::host::LinkName;
use super::link::LinkConfig;
use super::listen_address::ListenAddress;
use super::memory::Memory;
use super::settings::Given;
use super::values::{Role, Source};
use crate::log::LogLevel;
use crate::wire::dc::DcId;
use crate::wire::secret::Domain;

/// What one process goes by. Plain data, complete: defaults are filled in. Each room
/// has what it needs in one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub process: ProcessConfig,
    pub doors: DoorConfig,
    pub clients: ClientConfig,
    pub sites: SiteConfig,
    pub guard: GuardConfig,
    pub telegram: TelegramConfig,
    pub link: LinkConfig,
    pub address: AddressConfig,
    pub descriptors: Descriptors,
    pub said: Said,
    /// What flags were given.
    pub given: Given,
}

impl Config {
    /// Where clients or, on a back, links are taken.
    pub fn listen_addresses(&self) -> Vec<ListenAddress> {
        let listeners = self.doors.listeners.iter().map(|listener| ListenAddress {
            address: listener.addr,
            optional: listener.optional,
            late: listener.late,
        });
        listeners.chain(self.link.listen.iter().copied()).collect()
    }

    /// The flag that names them.
    pub fn listen_flag(&self) -> &'static str {
        match self.process.role {
            Role::Back => "--link-listen",
            Role::Both | Role::Front => "--listen",
        }
    }
}

/// What the process is, whoever comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    pub role: Role,
    pub data_dir: PathBuf,
    /// Unix socket for `ctl`.
    pub control: PathBuf,
    pub metrics: Option<SocketAddr>,
    /// Whom to be once ports are bound.
    pub user: Option<String>,
    pub log_level: LogLevel,
    /// What defaults follow.
    pub memory: Memory,
    /// Bytes, at least 1 MiB.
    pub buffers: usize,
}

/// What a client may do, and for how long it may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Sessions at a time.
    pub max_clients: usize,
    /// The limit of open files, if that is why there are no more.
    pub open_files: Option<u64>,
    /// Connections that may prove themselves, should all other places be taken.
    pub beside: usize,
    /// From accepting to the end of the handshake.
    pub handshake_timeout: Duration,
    /// By how much a fake-TLS client's clock may be off ours.
    pub time_skew: TimeSkew,
    pub tls_records: RecordSizes,
    pub answer_time: AnswerTime,
    /// Without a byte either way.
    pub idle_timeout: Duration,
    /// Without the client taking a byte of what waits for it, or going on with
    /// a packet that it began.
    pub send_timeout: Duration,
    /// Without a byte, until expanded keys are dropped.
    pub hibernate: Duration,
    pub filter_server_errors: ServerErrors,
    pub reset: Reset,
}

/// What sites there are, and who may see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    pub fronting: Fronting,
    /// Of `--tls-domain` first, then those that secrets name.
    pub domains: Vec<Domain>,
    /// At a time.
    pub most_strangers: usize,
    /// Clients come through relays, whose addresses names lead to.
    pub has_relays: bool,
}

/// Where Telegram is, and how many connections there are to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelegramConfig {
    /// Of the list of middle proxies' secret; `None`: Telegram's own.
    pub secret: Option<Source>,
    /// Of the list of middle proxies.
    pub config: Option<Source>,
    /// Of that of those with IPv6.
    pub config_v6: Option<Source>,
    pub refresh: Duration,
    /// Somebody may go through middle proxies.
    pub uses_middle: bool,
    /// In the order given; several a DC are tried in turn.
    pub dc_overrides: Vec<(DcId, SocketAddr)>,
    pub pools: PoolConfig,
}

/// What the pools of connections to middle proxies go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Connections per DC that stay open without clients.
    pub dc_connections: usize,
    /// Sessions on one connection before another one is opened.
    pub clients_per_connection: usize,
}

/// How the internet knows this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressConfig {
    pub external_ip: Option<IpAddr>,
    /// What links carry instead of an address that is found out.
    pub link_name: Option<LinkName>,
}

/// What the person should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// A line each; for the log at the start.
    pub notes: Vec<String>,
    /// Of these, what is probably a mistake.
    pub warnings: Vec<String>,
    /// Which limits are lower than was asked for, why, and what to raise.
    pub lowered: Option<String>,
}
