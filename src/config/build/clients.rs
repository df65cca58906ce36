use super::super::descriptors::{Descriptors, Wants};
use super::super::flags::Flags;
use super::super::machine::Machine;
use super::super::rooms::ClientConfig;
use super::super::values::{Role, seconds};

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
