use std::path::Path;

use super::super::descriptors::Descriptors;
use super::super::error::{ConfigError, Problem};
use super::super::flags::Flags;
use super::super::guard::{FloodLimits, GuardConfig, ReplayCache};
use super::super::machine::Machine;
use super::super::policy::Rule;
use super::super::settings::{Setting, at_nth};

pub(super) fn build(
    flags: &Flags,
    settings: &[Setting],
    machine: &Machine,
    data_dir: &Path,
) -> Result<GuardConfig, ConfigError> {
    for (index, table) in flags.table.iter().enumerate() {
        let earlier = flags.table.iter().take(index);
        if earlier.into_iter().any(|other| other.name == table.name) {
            let name = table.name.clone();
            return Err(at_nth(
                "--table",
                index,
                settings,
                Problem::DuplicateTable { name },
            ));
        }
    }
    for (index, rule) in flags.policy.iter().enumerate() {
        if let Rule::InTable { table: name, .. } | Rule::NotInTable { table: name, .. } = rule
            && !flags.table.iter().any(|table| table.name == *name)
        {
            let name = name.clone();
            return Err(at_nth(
                "--policy",
                index,
                settings,
                Problem::NoSuchTable { name },
            ));
        }
    }
    Ok(GuardConfig {
        policies: flags.policy.clone(),
        tables: flags
            .table
            .iter()
            .map(|table| table.within(data_dir))
            .collect(),
        relays: flags
            .proxy_protocol
            .clone()
            .map_or_else(Vec::new, |relays| relays.0),
        replay_cache: ReplayCache {
            entries: flags
                .replay_cache
                .and_then(|flag| flag.entries)
                .unwrap_or_else(|| machine.replay_cache()),
            keep: flags.replay_cache.and_then(|flag| flag.keep),
        },
        // Known once descriptors are shared out.
        flood: None,
        max_handshakes: 1,
    })
}

impl GuardConfig {
    /// Fills in what depends on the shares of descriptors.
    pub(super) fn share(&mut self, flags: &Flags, there: Descriptors) {
        self.max_handshakes = max_handshakes(flags, there);
        let by_machine = || Some(FloodLimits::for_strangers(there.strangers));
        self.flood = flags.flood_limit.map_or_else(by_machine, |flag| flag.0);
    }
}

/// By default half of the clients, and those who may prove themselves beside a
/// full house in any case.
fn max_handshakes(flags: &Flags, there: Descriptors) -> usize {
    let given = flags.max_handshakes.map(|n| n.0 as usize);
    let wanted = given.unwrap_or_else(|| (there.clients / 2).max(there.beside));
    wanted.min(there.places()).max(1)
}
