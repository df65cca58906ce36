use std::env;
use std::fs;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Descriptors, ReplayCache};

const MIB: u64 = 1 << 20;

/// Capability number of "may bind ports below 1024", see capabilities(7).
const CAP_NET_BIND_SERVICE: u32 = 10;

/// What the defaults depend on. Looked at once: a reload must not move the
/// proxy to another port because it has given up root since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Bytes of memory that this process may come to use.
    pub memory: u64,
    /// Descriptors that this process may have.
    pub descriptors: Option<u64>,
    pub is_root: bool,
    pub may_bind_443: bool,
    /// `XDG_STATE_HOME`, else `~/.local/state`.
    pub state_home: Option<PathBuf>,
}

impl Machine {
    pub fn look() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self {
            memory: memory(),
            descriptors: raise_descriptor_limit(),
            is_root,
            may_bind_443: may_bind(443),
            state_home: state_home(),
        }
    }

    /// What does not depend on who asks: a service has the system's data
    /// directory, and the right to low ports.
    pub fn as_for_root(&mut self) {
        self.is_root = true;
        self.may_bind_443 = true;
    }

    /// A 32nd of the memory: 2 MiB on a 64 MB router.
    pub fn buffers(&self) -> usize {
        (self.memory / 32).clamp(MIB, 64 * MIB) as usize
    }

    /// As many clients as fit an eighth of the memory at 8 KiB each, the kernel's
    /// share included: 1024 on a 64 MB router.
    pub fn max_clients(&self) -> usize {
        (self.memory / 8 / 8192).clamp(128, 100_000) as usize
    }

    /// A 256th of the memory at 8 bytes each, touched as it fills: 32,768
    /// handshakes on a 64 MB router, at most 4,000,000.
    pub fn replay_cache(&self) -> ReplayCache {
        ReplayCache {
            entries: (self.memory / 256 / 8).clamp(8192, 4_000_000) as usize,
            keep: false,
        }
    }

    pub fn data_dir(&self) -> PathBuf {
        match &self.state_home {
            Some(home) if !self.is_root => home.join("smol-mtproxy"),
            _ => PathBuf::from("/var/lib/smol-mtproxy"),
        }
    }
}

/// Raises the limit of descriptors to the hard one; what it is then.
fn raise_descriptor_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // It fails in strange sandboxes: then the soft limit is what there is.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// What a back takes of all its fronts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPlaces {
    /// Half-open links.
    pub seats: usize,
    pub links: usize,
    pub streams: usize,
    /// Streams with a descriptor of their own: of clients that go direct.
    pub lines: usize,
}

impl LinkPlaces {
    /// What memory and the shares of descriptors allow.
    pub fn of_this_machine(descriptors: &Descriptors) -> Self {
        Self::of(memory(), descriptors)
    }

    /// An eighth of the memory at 4 KiB a stream, the kernel's share included.
    fn of(memory: u64, descriptors: &Descriptors) -> Self {
        let streams = (memory / 8 / 4096).clamp(256, 400_000) as usize;
        Self {
            seats: descriptors.link_seats,
            links: descriptors.links,
            streams,
            lines: streams.min(descriptors.lines),
        }
    }
}

/// The machine's memory, or the control group's limit if that is lower.
fn memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = parse_meminfo(&meminfo).unwrap_or(64 * MIB);
    ["memory.max", "memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|name| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok())
        .filter_map(|limit| limit.trim().parse().ok())
        .fold(total, u64::min)
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Whether this process may listen on `port`.
pub fn may_bind(port: u16) -> bool {
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024_u32);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    u32::from(port) >= first_free
        || has_capability(&status, CAP_NET_BIND_SERVICE)
            .unwrap_or_else(|| rustix::process::geteuid().is_root())
}

fn has_capability(status: &str, number: u32) -> Option<bool> {
    let effective = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    let bits = u64::from_str_radix(effective.trim(), 16).ok()?;
    Some(bits >> number & 1 == 1)
}

fn state_home() -> Option<PathBuf> {
    let given = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    given.filter(|path| path.is_absolute()).or_else(|| {
        let home = env::var_os("HOME").map(PathBuf::from)?;
        home.is_absolute().then(|| home.join(".local/state"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_memory(mib: u64) -> Machine {
        Machine {
            memory: mib * MIB,
            descriptors: None,
            is_root: true,
            may_bind_443: true,
            state_home: None,
        }
    }

    #[test]
    fn defaults_follow_the_memory() {
        for (mib, buffers, clients) in [
            (16, 1, 256),
            (32, 1, 512),
            (64, 2, 1024),
            (1024, 32, 16_384),
            (65_536, 64, 100_000),
        ] {
            let machine = with_memory(mib);
            assert_eq!(machine.buffers() as u64, buffers * MIB);
            assert_eq!(machine.max_clients(), clients);
        }
        for (mib, handshakes) in [(1, 8192), (64, 32_768), (1 << 20, 4_000_000)] {
            assert_eq!(with_memory(mib).replay_cache().entries, handshakes);
        }
    }

    #[test]
    fn a_back_takes_as_many_streams_as_fit() {
        let mut descriptors = Descriptors {
            clients: 0,
            beside: 0,
            strangers: 0,
            pipes: 0,
            link_seats: 64,
            links: 256,
            lines: 0,
        };
        for (mib, allowed, streams, lines) in [
            (16, 1 << 20, 512, 512),
            (64, 512, 2048, 512),
            (1024, 3584, 32_768, 3584),
            (1024, 1 << 20, 32_768, 32_768),
            (65_536, usize::MAX, 400_000, 400_000),
        ] {
            descriptors.lines = allowed;
            let places = LinkPlaces::of(mib * MIB, &descriptors);
            let (seats, links) = (64, 256);
            assert_eq!(
                places,
                LinkPlaces {
                    seats,
                    links,
                    streams,
                    lines
                },
                "{mib} MiB"
            );
        }
    }

    #[test]
    fn kernel_texts() {
        let text = "MemTotal:       61004 kB\nMemFree:  1 kB\n";
        assert_eq!(parse_meminfo(text), Some(61_004 * 1024));
        assert_eq!(parse_meminfo("MemFree: 1 kB\n"), None);
        let status = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000400\n";
        assert_eq!(has_capability(status, 10), Some(true));
        assert_eq!(has_capability(status, 9), Some(false));
        assert_eq!(has_capability("", 9), None);
        assert!(memory() >= 16 * MIB);
    }

    #[test]
    fn data_dirs() {
        let mut machine = with_memory(64);
        machine.state_home = Some("/home/a/.local/state".into());
        assert_eq!(machine.data_dir(), PathBuf::from("/var/lib/smol-mtproxy"));
        machine.is_root = false;
        let own = PathBuf::from("/home/a/.local/state/smol-mtproxy");
        assert_eq!(machine.data_dir(), own);
        machine.state_home = None;
        assert_eq!(machine.data_dir(), PathBuf::from("/var/lib/smol-mtproxy"));
    }
}
