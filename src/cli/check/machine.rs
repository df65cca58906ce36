//! What this machine says without a word from outside: the config, its files, limits
//! and memory.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::verdict::Verdict;
use crate::cli::ended::{self, SecretEnd};
use crate::cli::invite_host;
use crate::clock::Clock;
use crate::config::{Config, DataDir, Reach, Role, RouteChoice, RouteList};
use crate::guard::gate::Gate;

/// What an idle client costs kernel and process, roughly.
const BYTES_PER_CLIENT: usize = 8192;
/// The same of a stream on a back.
const BYTES_PER_STREAM: usize = 4096;
/// What the process has without clients.
const OWN_BYTES: u64 = 2 << 20;

/// What the config comes to: listeners, the route to Telegram, backs.
pub(super) fn config(config: &Config) -> Verdict {
    if config.process.role == Role::Back {
        let count = config.link.listen.len();
        let plural = if count == 1 { "" } else { "s" };
        return Verdict::ok(
            "config",
            format!(
                "back, {count} listener{plural} for links{}",
                by(config.telegram.routes)
            ),
        );
    }
    let count = config.doors.listeners.len();
    let route = match config.doors.route {
        RouteChoice::Auto if config.doors.has_tag() => "middle proxies where there is a tag",
        RouteChoice::Auto | RouteChoice::Own(_) => "direct connections",
        RouteChoice::Middle => "middle proxies",
    };
    let plural = if count == 1 { "" } else { "s" };
    let through = match (config.process.role, config.link.backs.len()) {
        (Role::Front, 1) => ", through a back".to_owned(),
        (Role::Front, backs) => format!(", through {backs} backs"),
        _ => String::new(),
    };
    Verdict::ok(
        "config",
        format!(
            "{count} listener{plural}, {route}{}{through}",
            by(config.telegram.routes)
        ),
    )
}

/// By which routes direct connections are made, where that is not the only one.
fn by(routes: RouteList) -> String {
    match routes == RouteList::default() {
        true => String::new(),
        false => format!(", by {}", routes.in_words()),
    }
}

/// Tables and policies, where there are any.
pub(super) fn gates(config: &Config) -> Vec<Verdict> {
    let (policies, tables) = (config.guard.policies.len(), config.guard.tables.len());
    match Gate::new(
        &config.guard,
        config.doors.limits(),
        "",
        Clock::machine().now(),
    ) {
        Err(error) => vec![Verdict::fail("policies", error.to_string())],
        Ok(_) if policies + tables == 0 => Vec::new(),
        Ok(gate) => {
            let found = format!("{policies}, with {tables} tables");
            let barriers = gate.barriers(&config.guard.policies).into_iter();
            let barriers = barriers.map(|line| Verdict::warn("policies", line));
            let found = Verdict::ok("policies", found);
            std::iter::once(found).chain(barriers).collect()
        }
    }
}

pub(super) fn secrets(config: &Config) -> Verdict {
    let mut names: Vec<_> = config
        .doors
        .listeners
        .iter()
        .flat_map(|listener| &listener.secrets)
        .map(|named| named.name.as_str())
        .collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => Verdict::ok("secrets", "none yet; `run` makes one"),
        count => Verdict::ok("secrets", format!("{count}: {}", names.join(", "))),
    }
}

/// What the start warns of, too.
pub(super) fn warnings(config: &Config) -> Vec<Verdict> {
    let warnings = config.said.warnings.iter().cloned();
    let judged = warnings.map(|warning| Verdict::warn("config", warning));
    judged.collect()
}

/// Secrets that let nobody in any more.
pub(super) fn ended_secrets(config: &Config) -> Vec<Verdict> {
    let used_up = ended::used_up(config);
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (name, limits) in config.doors.limits() {
        let is_used_up = || used_up.contains(&name).then_some(SecretEnd::QuotaUsed);
        let subject = format!("secret {name}");
        let is_known = verdicts.iter().any(|verdict| verdict.subject == subject);
        if let Some(ended) = SecretEnd::by_date(&limits).or_else(is_used_up)
            && !is_known
        {
            verdicts.push(Verdict::warn(subject, ended.to_string()));
        }
    }
    verdicts
}

pub(super) fn descriptors(config: &Config) -> Verdict {
    judge_descriptors(config, free_descriptors())
}

fn judge_descriptors(config: &Config, free: Option<u64>) -> Verdict {
    if let Some(lowered) = &config.said.lowered {
        return Verdict::warn("descriptors", lowered.clone());
    }
    let shares = config.descriptors;
    let enough_for = match config.process.role {
        Role::Back => format!("{} direct sessions", shares.lines),
        Role::Both | Role::Front => format!("{} clients", shares.clients),
    };
    let limit = match config.clients.open_files {
        Some(limit) => format!(": as many as the limit of {limit} open files has room for"),
        None => String::new(),
    };
    let needed = match config.process.role {
        Role::Back => shares.lines + shares.links,
        // A client may have a connection of its own to its DC.
        Role::Both | Role::Front => 2 * shares.clients,
    };
    let finding = format!("enough for {enough_for}{limit}");
    match free {
        Some(free) if free < needed as u64 => Verdict::warn(
            "descriptors",
            format!(
                "{finding}, but all programs of this machine together have {free} left: raise \
                 fs.file-max (sysctl), or lower --max-clients"
            ),
        ),
        _ => Verdict::ok("descriptors", finding),
    }
}

/// What the system has left for all its programs.
fn free_descriptors() -> Option<u64> {
    free_of(&fs::read_to_string("/proc/sys/fs/file-nr").ok()?)
}

/// In use, free of those that were made, and the limit.
fn free_of(text: &str) -> Option<u64> {
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    let (used, free, limit) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let used = used.ok()?.saturating_sub(free.ok()?);
    Some(limit.ok()?.saturating_sub(used))
}

pub(super) fn memory(config: &Config) -> Verdict {
    judge_memory(config, available_kib())
}

fn judge_memory(config: &Config, free: Option<u64>) -> Verdict {
    let buffers = config.process.buffers >> 10;
    let (count, bytes) = match config.process.role {
        Role::Back => (config.link.places.streams, BYTES_PER_STREAM),
        Role::Both | Role::Front => (config.clients.max_clients, BYTES_PER_CLIENT),
    };
    let clients = count.saturating_mul(bytes) >> 10;
    let mut finding = format!("{buffers} KiB of buffers, about {clients} KiB for {count} clients");
    let group = config.process.memory.group.as_ref();
    let allowed = group.map(|(limit, _)| limit.saturating_sub(OWN_BYTES) >> 10);
    if group.is_some() {
        finding.push_str(&format!("; {}", config.process.memory));
    }
    let needed = (buffers + clients) as u64;
    match (free, allowed) {
        (_, Some(allowed)) if allowed < needed => Verdict::warn(
            "memory",
            format!("{finding}; lower --buffers or --max-clients, or raise that limit"),
        ),
        (Some(free), _) if free < needed => Verdict::warn(
            "memory",
            format!("{finding}, but {free} KiB are available; lower --buffers or --max-clients"),
        ),
        (Some(free), _) => Verdict::ok("memory", format!("{finding}; {free} KiB available")),
        (None, _) => Verdict::ok("memory", finding),
    }
}

fn available_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

pub(super) fn data_dir(config: &Config) -> Verdict {
    let directory = config.process.data_dir.as_path();
    let shown = directory.display();
    // What does not exist yet is made where its nearest ancestor is.
    let beside = Path::new(".");
    let mut ancestors = directory.ancestors().map(|path| match path.as_os_str() {
        name if name.is_empty() => beside,
        _ => path,
    });
    let existing = ancestors.find(|path| path.exists());
    let writable = existing.is_some_and(|path: &Path| {
        path.is_dir() && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    });
    let is_full = existing.is_some_and(|path| {
        statvfs(path).is_ok_and(|disk| disk.f_blocks > 0 && disk.f_bavail == 0)
    });
    let (problem, way_out) = match (writable, is_full) {
        (true, false) => {
            let in_memory = existing.is_some_and(|path| DataDir::new(path).is_in_memory());
            let lost = if in_memory {
                ", in memory: what is kept there is gone after a boot"
            } else {
                ""
            };
            return Verdict::ok("data directory", format!("{shown}{lost}"));
        }
        (true, true) => ("is on a full disk", "make room, or give another --data-dir"),
        (false, _) => ("cannot be written", "give a writable --data-dir"),
    };
    Verdict::warn(
        "data directory",
        format!(
            "{shown} {problem}: a made secret, what secrets have used of quotas, handshakes and \
             Telegram's lists are forgotten at the end; {way_out}"
        ),
    )
}

/// Whether clients can find this machine, and middle proxies believe it.
pub(super) fn address(config: &Config) -> Option<Verdict> {
    if let Some(ip) = config.address.external_ip {
        return Some(Verdict::ok("address", format!("{ip} (--external-ip)")));
    }
    let sending = [true, false].map(invite_host::sending_address);
    let found = sending
        .into_iter()
        .flatten()
        .find(|ip| Reach::of(*ip) == Reach::Internet);
    Some(match (found, sending[0]) {
        (Some(ip), _) => Verdict::ok("address", format!("{ip}, public")),
        (None, Some(ip)) => Verdict::warn(
            "address",
            format!(
                "{ip} is private: open the port in the firewall of a cloud (1:1 NAT), or forward \
                 it on the router at home, and give --external-ip; direct mode works, middle \
                 proxies only if the NAT keeps ports"
            ),
        ),
        (None, None) => Verdict::fail(
            "address",
            "no route to the internet; check the network configuration",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn a_data_directory_in_memory_is_said_to_be() {
        let memory = Path::new("/dev/shm");
        if !DataDir::new(memory).is_in_memory() {
            return fake_telegram::harness::skipped("/dev/shm is not in memory here");
        }
        let config = Config::of(&[("--data-dir", "/dev/shm/not/yet")]);
        let verdict = data_dir(&config);
        assert_eq!(verdict.grade, Grade::Ok);
        assert!(
            verdict.finding.starts_with("/dev/shm/not/yet, in memory: "),
            "{}",
            verdict.finding
        );
    }

    #[test]
    fn descriptors_that_the_machine_has_not_left_are_missed() {
        assert_eq!(free_of("1200\t200\t5000\n"), Some(4000));
        assert_eq!(free_of("1200"), None);
        let config = Config::of(&[("--max-clients", "100")]);
        for (free, grade) in [
            (None, Grade::Ok),
            (Some(200), Grade::Ok),
            (Some(199), Grade::Warn),
        ] {
            let verdict = judge_descriptors(&config, free);
            assert_eq!(verdict.grade, grade, "{verdict}");
        }
        let verdict = judge_descriptors(&config, Some(199));
        assert!(
            verdict.finding.contains("199 left: raise fs.file-max"),
            "{verdict}"
        );
    }

    #[test]
    fn what_does_not_fit_the_memory_is_said_and_whose_limit_it_is() {
        let flags = [("--max-clients", "1000"), ("--buffers", "4M")];
        let mut config = Config::of(&flags);
        let finding = "4096 KiB of buffers, about 8000 KiB for 1000 clients";
        for (free, grade, rest) in [
            (None, Grade::Ok, ""),
            (Some(12_096), Grade::Ok, "; 12096 KiB available"),
            (
                Some(12_095),
                Grade::Warn,
                ", but 12095 KiB are available; lower --buffers or --max-clients",
            ),
        ] {
            let verdict = judge_memory(&config, free);
            assert_eq!(verdict.grade, grade);
            assert_eq!(verdict.finding, format!("{finding}{rest}"));
        }
        let allowed = |mib| {
            format!(
                "{finding}; {mib} MiB of the machine's 64 MiB of memory are allowed by \
                 /sys/fs/cgroup/a/memory.max"
            )
        };
        for (mib, grade, rest) in [
            (24, Grade::Ok, "; 50000 KiB available"),
            (
                12,
                Grade::Warn,
                "; lower --buffers or --max-clients, or raise that limit",
            ),
        ] {
            let path = "/sys/fs/cgroup/a/memory.max".to_owned();
            config.process.memory.group = Some((mib << 20, path));
            let verdict = judge_memory(&config, Some(50_000));
            assert_eq!(verdict.grade, grade);
            assert_eq!(verdict.finding, format!("{}{rest}", allowed(mib)));
        }
    }
}
