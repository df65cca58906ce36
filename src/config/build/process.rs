use std::net::SocketAddr;
use std::path::PathBuf;

use super::super::flags::Flags;
use super::super::machine::Machine;
use super::super::memory::Memory;
use super::super::values::Role;
use crate::log::LogConfig;

/// What the process is, whoever comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessConfig {
    pub(crate) role: Role,
    pub(crate) data_dir: PathBuf,
    /// Unix socket for `ctl`.
    pub(crate) control: PathBuf,
    pub(crate) metrics: Option<SocketAddr>,
    /// The token of the status page is taken over plain HTTP through the internet.
    pub(crate) status_public: bool,
    /// Whom to be once ports are bound.
    pub(crate) user: Option<String>,
    pub(crate) log: LogConfig,
    /// Some seconds after the start a line says how things stand.
    pub(crate) self_test: bool,
    /// What defaults follow.
    pub(crate) memory: Memory,
    /// Bytes, at least 1 MiB.
    pub(crate) buffers: usize,
}

pub(super) fn build(flags: &Flags, machine: &Machine) -> ProcessConfig {
    let data_dir = flags.data_dir.clone().unwrap_or_else(|| machine.data_dir());
    let control = flags.control.clone();
    ProcessConfig {
        role: flags.role.unwrap_or_default(),
        control: control.unwrap_or_else(|| data_dir.join("control")),
        data_dir,
        metrics: flags.metrics.as_ref().map(|address| address.0),
        status_public: flags.status_public.is_some_and(|wanted| wanted.0),
        user: flags.user.clone(),
        log: LogConfig {
            level: flags.log_level.unwrap_or_default(),
            format: flags.log_format.unwrap_or_default(),
            addresses: flags.log_addresses.unwrap_or_default(),
        },
        self_test: flags.self_test.is_none_or(|wanted| wanted.0),
        memory: machine.memory.clone(),
        buffers: flags.buffers.map_or(machine.buffers(), |size| size.0),
    }
}
