use std::mem::take;

use super::build;
use super::build::notes::Said;
use super::doors::NamedSecret;
use super::error::{ConfigError, Origin, Problem};
use super::flags::{FLAGS, Flag, Order, Reload, find};
use super::machine::Machine;
use super::rooms::Config;
use super::settings::{self, Given, Setting};

/// Of so many flags at most a reload finds out whether their new values matter. Who
/// changes more has written another file.
const MAX_TRIED: usize = 16;

/// A config that takes the place of the running one.
pub(super) struct Successor {
    pub(crate) config: Config,
    /// What it goes by.
    pub(crate) settings: Vec<Setting>,
    /// Flags with other values than before that make it another config.
    pub(crate) changed: Vec<&'static str>,
    /// The same of flags that only a restart takes over; `config` has their old values.
    pub(crate) need_restart: Vec<&'static str>,
}

/// Nothing of `settings` may be wrong, neither for this process nor for one that
/// starts with them.
pub(super) fn build(
    running: &Config,
    settings: Vec<Setting>,
    machine: &Machine,
) -> Result<Successor, ConfigError> {
    let wanted = build::build(settings::parse(&settings)?, &settings, machine)?;
    let (live, fixed): (Vec<&Flag>, Vec<&Flag>) = different(&settings, &running.given)
        .into_iter()
        .partition(|flag| flag.reload == Reload::Live);
    let need_restart = those_that_matter(&fixed, &settings, &running.given, machine);
    let refused = |flag: &&&Flag| flag.reload == Reload::Refused;
    if let Some(Flag { name: flag, .. }) = need_restart.iter().find(refused) {
        return Err(ConfigError::new(Problem::NotAtReload { flag }));
    }
    let (settings, config) = match fixed.is_empty() {
        true => (settings, wanted),
        false => {
            let kept = exchanged(&settings, &fixed, &running.given);
            let mut config = without_files(&kept, machine).map_err(|error| {
                ConfigError::new(Problem::BeforeRestart {
                    flags: names(&need_restart).join(", "),
                    problem: Box::new(error.problem),
                })
            })?;
            // No flag of a file whose content counts needs a restart.
            config.link.key = wanted.link.key;
            (kept, config)
        }
    };
    let changed = those_that_matter(&live, &settings, &running.given, machine);
    Ok(Successor {
        config,
        settings,
        changed: names(&changed),
        need_restart: names(&need_restart),
    })
}

fn names(flags: &[&'static Flag]) -> Vec<&'static str> {
    flags.iter().map(|flag| flag.name).collect()
}

fn without_files(settings: &[Setting], machine: &Machine) -> Result<Config, ConfigError> {
    build::without_files(settings::parse(settings)?, settings, machine)
}

/// Flags that have not the same values, as text.
fn different(settings: &[Setting], running: &Given) -> Vec<&'static Flag> {
    let is_other = |flag: &&Flag| {
        let new = settings.iter().filter(|s| s.flag == flag.name);
        let old = running.of_flag(flag.name);
        !new.map(|s| &s.value).eq(old.map(|s| &s.value))
    };
    FLAGS.iter().filter(is_other).collect()
}

/// Those without which, given as they were, the config would be another one.
/// Values that are written otherwise, or stand in another order where that says
/// nothing, or are those of a default, are the same. To find that out of a flag a
/// whole config is made; behind [`MAX_TRIED`] other text is enough.
fn those_that_matter(
    flags: &[&'static Flag],
    settings: &[Setting],
    running: &Given,
    machine: &Machine,
) -> Vec<&'static Flag> {
    if flags.is_empty() {
        return Vec::new();
    }
    let new = in_effect(settings.to_vec(), machine);
    let matters = |flag: &&&'static Flag| {
        let with_old = exchanged(settings, std::slice::from_ref(*flag), running);
        in_effect(with_old, machine) != new
    };
    let (tried, others) = flags.split_at(flags.len().min(MAX_TRIED));
    let mut found: Vec<_> = tried.iter().filter(matters).copied().collect();
    found.extend_from_slice(others);
    found
}

/// `settings` with these flags as they were given to the running process.
fn exchanged(settings: &[Setting], flags: &[&Flag], running: &Given) -> Vec<Setting> {
    let is_one = |setting: &&Setting| flags.iter().any(|flag| flag.name == setting.flag);
    let others = settings.iter().filter(|setting| !is_one(setting));
    let old = flags.iter().flat_map(|flag| running.of_flag(flag.name));
    // The line that it came from may have been changed since.
    let old = old.map(|setting| Setting {
        origin: Origin::CommandLine,
        ..setting.clone()
    });
    others.cloned().chain(old).collect()
}

/// The config without what is only said of it, and without an order that nobody
/// goes by; `None`: there is no such config.
fn in_effect(mut settings: Vec<Setting>, machine: &Machine) -> Option<Config> {
    put_in_order(&mut settings, |setting| {
        format!("{}\n{}", setting.flag, place(setting)).into()
    });
    let mut config = without_files(&settings, machine).ok()?;
    put_in_order(&mut config.doors.secrets, key);
    // Not their flags: the first site that their secrets name is what strangers see.
    put_in_order(&mut config.doors.listeners, |one| {
        one.addr.to_string().into()
    });
    for listener in &mut config.doors.listeners {
        put_in_order(&mut listener.secrets, key);
    }
    put_in_order(&mut config.guard.relays, |relay| relay.to_string().into());
    config.said = Said::default();
    config.given = Given::default();
    Some(config)
}

/// What a value is ordered by among those of its flag.
fn place(setting: &Setting) -> &str {
    match find(&setting.flag).map(|flag| flag.order) {
        Some(Order::Free) => &setting.value,
        Some(Order::FreeByName) => setting.value.split('=').next().unwrap_or_default(),
        Some(Order::Kept) | None => "",
    }
}

/// Of secrets with one key the order stays: the first is who their clients are.
fn key(named: &NamedSecret) -> Vec<u8> {
    named.secret.key.0.to_vec()
}

/// By their keys. To sort each kind of list by itself would be more code.
fn put_in_order<T>(list: &mut Vec<T>, key: impl Fn(&T) -> Vec<u8>) {
    let keys = list.iter().enumerate();
    let mut keys: Vec<(Vec<u8>, usize)> = keys.map(|(at, one)| (key(one), at)).collect();
    keys.sort_unstable();
    let mut left: Vec<Option<T>> = take(list).into_iter().map(Some).collect();
    let in_order = keys.iter().filter_map(|(_, at)| left.get_mut(*at)?.take());
    list.extend(in_order);
}
