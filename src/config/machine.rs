use std::env;
use std::fs;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::descriptors::{Descriptors, Maxima};
use super::memory::Memory;

const MIB: u64 = 1 << 20;

/// Capability number of "may bind ports below 1024", see capabilities(7).
const CAP_NET_BIND_SERVICE: u32 = 10;

/// What the defaults depend on. Looked at once: a reload must not move the
/// proxy to another port because it has given up root since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    pub(crate) memory: Memory,
    /// Descriptors that this process may have.
    pub(crate) descriptors: Option<u64>,
    /// Descriptors that any process may be given.
    pub(crate) max_descriptors: Option<u64>,
    pub(crate) is_root: bool,
    pub(crate) may_bind_443: bool,
    /// `XDG_STATE_HOME`, else `~/.local/state`.
    pub(crate) state_home: Option<PathBuf>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self {
            memory: Memory::look(),
            descriptors: raise_descriptor_limit(),
            max_descriptors: number_in("/proc/sys/fs/nr_open"),
            is_root,
            may_bind_443: may_bind(443),
            state_home: state_home(),
        }
    }

    /// What does not depend on who asks: a service has the system's data
    /// directory, and the right to low ports.
    pub(crate) fn as_for_root(&mut self) {
        self.is_root = true;
        self.may_bind_443 = true;
    }

    /// A 32nd of the memory: 2 MiB on a 64 MB router.
    pub(crate) fn buffers(&self) -> usize {
        self.part(32).clamp(MIB, 64 * MIB) as usize
    }

    /// As many clients as fit an eighth of the memory at 8 KiB each, the kernel's
    /// share included: 1024 on a 64 MB router.
    pub(crate) fn max_clients(&self) -> usize {
        (self.part(8) / 8192).clamp(128, 100_000) as usize
    }

    /// A 16th of the memory at 12 bytes each, taken as they come: 350,000
    /// handshakes on a 64 MB router, at most 4,000,000.
    pub(crate) fn replay_cache(&self) -> usize {
        (self.part(16) / 12).clamp(8192, 4_000_000) as usize
    }

    /// Pipes, a 16th of the memory at 256 KiB of the kernel's each, and links of a
    /// back, another 16th at 64 KiB each.
    pub(crate) fn maxima(&self) -> Maxima {
        Maxima {
            pipes: (self.part(16) / (256 << 10)).clamp(2, 32) as usize,
            links: (self.part(16) / (64 << 10)).clamp(16, 256) as usize,
        }
    }

    fn part(&self, divisor: u64) -> u64 {
        self.memory.bytes() / divisor
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkPlaces {
    /// Half-open links.
    pub(crate) seats: usize,
    pub(crate) links: usize,
    pub(crate) streams: usize,
    /// Streams with a descriptor of their own: of clients that go direct.
    pub(crate) lines: usize,
}

impl LinkPlaces {
    /// What memory and the shares of descriptors allow. Streams are an eighth of
    /// the memory at 4 KiB each, the kernel's share included.
    pub(super) fn of(memory: u64, descriptors: &Descriptors) -> Self {
        let streams = (memory / 8 / 4096).clamp(256, 400_000) as usize;
        Self {
            seats: descriptors.link_seats,
            links: descriptors.links,
            streams,
            lines: streams.min(descriptors.lines),
        }
    }
}

fn number_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether this process may listen on `port`.
pub(crate) fn may_bind(port: u16) -> bool {
    let first_free = number_in("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or(1024);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    u64::from(port) >= first_free
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
    use crate::config::Config;

    fn with_memory(mib: u64) -> Machine {
        Machine {
            memory: Memory {
                machine: 1 << 40,
                group: Some((mib * MIB, String::new())),
            },
            descriptors: None,
            max_descriptors: None,
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
        for (mib, handshakes) in [
            (1, 8192),
            (24, 131_072),
            (64, 349_525),
            (1 << 20, 4_000_000),
        ] {
            assert_eq!(with_memory(mib).replay_cache(), handshakes);
        }
        for (mib, pipes, links) in [(8, 2, 16), (24, 6, 24), (64, 16, 64), (1024, 32, 256)] {
            assert_eq!(with_memory(mib).maxima(), Maxima { pipes, links });
        }
    }

    /// All of it at once, with what the kernel holds for it: three quarters of the
    /// memory, as other things want some too.
    #[test]
    fn all_defaults_together_fit_the_memory() {
        const KIB: u64 = 1 << 10;
        // The process, tables of addresses, scratch, the log, Telegram's lists.
        const OWN: u64 = 2 * MIB + 640 * KIB;
        for mib in [12, 16, 24, 32, 48, 64, 128, 512, 1024, 4096, 65_536] {
            let machine = with_memory(mib);
            let maxima = machine.maxima();
            let buffers = machine.buffers() as u64;
            let clients = machine.max_clients() as u64;
            let unproven = (clients / 2).max(64);
            let handshakes = machine.replay_cache() as u64;
            let front = [
                8 * KIB * clients,
                18 * KIB * unproven,
                12 * handshakes,
                12 * (handshakes / 16).max(8192),
                256 * KIB * maxima.pipes as u64,
            ];
            let streams = (mib * MIB / 8 / 4096).clamp(256, 400_000);
            let half_open = (buffers / 8192).clamp(64, 1024);
            let back = [
                4 * KIB * streams,
                20 * KIB * half_open,
                64 * KIB * maxima.links as u64,
            ];
            for parts in [front.iter(), back.iter()] {
                let all = OWN + buffers + parts.sum::<u64>();
                assert!(all <= mib * MIB / 4 * 3, "{} KiB of {mib} MiB", all / KIB);
            }
        }
    }

    #[test]
    fn a_back_takes_as_many_streams_as_fit() {
        let mut descriptors = Config::of(&[]).descriptors;
        (descriptors.link_seats, descriptors.links) = (64, 256);
        for (mib, allowed, streams, lines) in [
            (16, 1 << 20, 512, 512),
            (64, 512, 2048, 512),
            (1024, 3584, 32_768, 3584),
            (1024, 1 << 20, 32_768, 32_768),
            (65_536, usize::MAX, 400_000, 400_000),
        ] {
            descriptors.lines = allowed;
            let places = LinkPlaces::of(mib * MIB, &descriptors);
            assert_eq!((places.seats, places.links), (64, 256));
            assert_eq!(
                (places.streams, places.lines),
                (streams, lines),
                "{mib} MiB"
            );
        }
    }

    #[test]
    fn kernel_texts() {
        let status = "CapPrm:\t0000000000000000\nCapEff:\t0000000000000400\n";
        assert_eq!(has_capability(status, 10), Some(true));
        assert_eq!(has_capability(status, 9), Some(false));
        assert_eq!(has_capability("", 9), None);
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
