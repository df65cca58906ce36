use std::time::Duration;

use super::super::camouflage::{AnswerTime, RecordSizes, TimeSkew};
use super::super::descriptors::{Descriptors, Wants};
use super::super::flags::Flags;
use super::super::guard::{Reset, ServerErrors};
use super::super::machine::Machine;
use super::super::values::{Role, seconds};

/// What a client may do, and for how long it may do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientConfig {
    /// Sessions at a time.
    pub(crate) max_clients: usize,
    /// The limit of open files, if that is why there are no more.
    pub(crate) open_files: Option<u64>,
    /// Connections that may prove themselves, should all other places be taken.
    pub(crate) beside: usize,
    /// From accepting to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
    /// By how much a fake-TLS client's clock may be off ours.
    pub(crate) time_skew: TimeSkew,
    pub(crate) tls_records: RecordSizes,
    pub(crate) answer_time: AnswerTime,
    /// Without a byte either way.
    pub(crate) idle_timeout: Duration,
    /// Without the client taking a byte of what waits for it, or going on with
    /// a packet that it began.
    pub(crate) send_timeout: Duration,
    /// Without a byte, until expanded keys are dropped.
    pub(crate) hibernate: Duration,
    pub(crate) filter_server_errors: ServerErrors,
    pub(crate) reset: Reset,
}

/// `there` is what of `wants` there is.
pub(super) fn build(
    flags: &Flags,
    machine: &Machine,
    wants: &Wants,
    there: Descriptors,
) -> ClientConfig {
    let is_back = wants.role == Role::Back;
    let is_short = !is_back && there.clients < wants.max_clients;
    ClientConfig {
        max_clients: match is_back {
            true => wants.max_clients,
            false => there.clients,
        },
        open_files: machine.descriptors.filter(|_| is_short),
        beside: there.beside,
        handshake_timeout: seconds(flags.handshake_timeout, 10),
        time_skew: flags.time_skew.unwrap_or_default(),
        tls_records: flags.tls_records.unwrap_or_default(),
        answer_time: flags.answer_time.unwrap_or_default(),
        idle_timeout: seconds(flags.idle_timeout, 1800),
        send_timeout: seconds(flags.send_timeout, 60),
        hibernate: seconds(flags.hibernate, 60),
        filter_server_errors: flags.filter_server_errors.unwrap_or_default(),
        reset: flags.reset.unwrap_or_default(),
    }
}
