use std::fmt;
use std::fs;

const MIB: u64 = 1 << 20;

/// Bytes of memory that this process may come to use, and whose word that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What the machine has.
    pub(crate) machine: u64,
    /// What a control group that this process is in allows, if that is less, and
    /// the file that says so.
    pub(crate) group: Option<(u64, String)>,
}

impl Memory {
    pub(crate) fn look() -> Self {
        Self::read(&|path| fs::read_to_string(path).ok())
    }

    fn read(file: &dyn Fn(&str) -> Option<String>) -> Self {
        let text = |path| file(path).unwrap_or_default();
        let machine = parse_meminfo(&text("/proc/meminfo")).unwrap_or(64 * MIB);
        let files = limits(&text("/proc/self/cgroup"), &text("/proc/self/mountinfo"));
        let limits = files.into_iter().filter_map(|path| {
            // Where there is none, it says "max" or a number beyond all memory.
            let limit = file(&path)?.trim().parse().ok()?;
            Some((limit, path))
        });
        let lowest = limits.min_by_key(|(limit, _)| *limit);
        Self {
            machine,
            group: lowest.filter(|(limit, _)| *limit < machine),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.group
            .as_ref()
            .map_or(self.machine, |(limit, _)| *limit)
    }
}

/// For who wonders about the defaults; empty where the machine's memory counts.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((limit, path)) = &self.group else {
            return Ok(());
        };
        let (limit, machine) = (limit / MIB, self.machine / MIB);
        write!(
            f,
            "{limit} MiB of the machine's {machine} MiB of memory are allowed by {path}"
        )
    }
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The files with limits of the groups in `groups` (/proc/self/cgroup) and of all
/// above them, as far as they are mounted (/proc/self/mountinfo): its own first.
/// Of both versions, as one machine may use both.
fn limits(groups: &str, mounts: &str) -> Vec<String> {
    let mut files = Vec::new();
    for group in groups.lines() {
        let mut fields = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        // Beyond memory.high the kernel holds the process up rather than end it.
        let (kind, names) = match controllers {
            "" => ("cgroup2", &["memory.max", "memory.high"][..]),
            _ if has_memory(controllers) => ("cgroup", &["memory.limit_in_bytes"][..]),
            _ => continue,
        };
        let mounts = mounts.lines().filter_map(|line| Mount::of(line, kind));
        let mut places: Vec<_> = mounts
            .map(|mount| (mount.below(group), mount.point))
            .collect();
        // A container may see another name of its group than what is mounted: then
        // what is mounted is its group, or one above.
        match places.iter().any(|(below, _)| below.is_some()) {
            true => places.retain(|(below, _)| below.is_some()),
            false => places.truncate(1),
        }
        for (below, point) in &places {
            let mut below = below.as_deref().unwrap_or_default().trim_end_matches('/');
            loop {
                files.extend(names.iter().map(|name| format!("{point}{below}/{name}")));
                match below.rsplit_once('/') {
                    Some((above, _)) => below = above,
                    None => break,
                }
            }
        }
    }
    files
}

fn has_memory(list: &str) -> bool {
    list.split(',').any(|word| word == "memory")
}

/// Where groups are mounted.
struct Mount {
    /// The group that is seen there.
    root: String,
    point: String,
}

impl Mount {
    /// Of a line of mountinfo, see proc(5).
    fn of(line: &str, kind: &str) -> Option<Self> {
        let (place, what) = line.split_once(" - ")?;
        let mut what = what.split(' ');
        let is_kind = what.next()? == kind;
        // Version 1 has a mount for each controller.
        let has_limits = kind == "cgroup2" || has_memory(what.nth(1)?);
        let mut place = place.split(' ').skip(3).map(unescape);
        let (root, point) = (place.next()?, place.next()?);
        (is_kind && has_limits).then_some(Self { root, point })
    }

    /// The path of `group` below the mount point.
    fn below(&self, group: &str) -> Option<String> {
        let below = group.strip_prefix(self.root.trim_end_matches('/'))?;
        let is_below = below.is_empty() || below.starts_with('/');
        is_below.then(|| below.to_owned())
    }
}

/// What the kernel writes for spaces and backslashes, which names of systemd's
/// groups have.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                plain.push(code.into());
                plain.push_str(rest);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MACHINE: &str = "MemTotal:       2048000 kB\nMemFree:  1 kB\n";
    const UNIFIED: &str =
        "25 30 0:23 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &str = "\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const NO_LIMIT: &str = "9223372036854771712\n";

    /// The memory of a process with these files.
    fn memory(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Memory {
        Memory::read(&|path| {
            let proc = [
                ("/proc/meminfo", MACHINE),
                ("/proc/self/cgroup", groups),
                ("/proc/self/mountinfo", mounts),
            ];
            let file = proc.iter().chain(files).find(|(name, _)| *name == path)?;
            Some(file.1.to_owned())
        })
    }

    fn limit(memory: &Memory) -> Option<(u64, &str)> {
        let group = memory.group.as_ref();
        group.map(|(limit, path)| (*limit / MIB, path.as_str()))
    }

    #[test]
    fn the_lowest_limit_above_a_group_counts() {
        let service = "0::/system.slice/smol-mtproxy.service\n";
        let own = "/sys/fs/cgroup/system.slice/smol-mtproxy.service/memory.max";
        let own_high = "/sys/fs/cgroup/system.slice/smol-mtproxy.service/memory.high";
        let slice = "/sys/fs/cgroup/system.slice/memory.max";
        let root = "/sys/fs/cgroup/memory.max";
        for (files, lowest) in [
            (&[][..], None),
            (&[(own, "max\n"), (slice, "max\n")], None),
            (&[(own, "25165824\n"), (slice, "max\n")], Some((24, own))),
            (
                &[(own, "25165824\n"), (slice, "33554432\n")],
                Some((24, own)),
            ),
            (
                &[(own, "33554432\n"), (slice, "25165824\n")],
                Some((24, slice)),
            ),
            (
                &[(own, "33554432\n"), (own_high, "16777216\n")],
                Some((16, own_high)),
            ),
            // In a container the root is a group as well.
            (&[(own, "max\n"), (root, "16777216\n")], Some((16, root))),
            (&[(own, "9999999999999\n")], None),
            (&[(own, "many\n")], None),
        ] {
            let memory = memory(service, UNIFIED, files);
            assert_eq!(limit(&memory), lowest, "{files:?}");
            assert_eq!(memory.machine, 2_048_000 * 1024);
            let bytes = lowest.map_or(memory.machine, |(mib, _)| mib * MIB);
            assert_eq!(memory.bytes(), bytes);
        }
    }

    #[test]
    fn version_1_has_its_own_mount_and_names() {
        let groups = "9:name=systemd:/a\n4:memory:/shop/proxy\n3:cpu,cpuacct:/c\n0::/u\n";
        let own = "/sys/fs/cgroup/memory/shop/proxy/memory.limit_in_bytes";
        let above = "/sys/fs/cgroup/memory/shop/memory.limit_in_bytes";
        let root = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        let other = "/sys/fs/cgroup/unified/u/memory.max";
        let found = |files: &[(&str, &str)]| memory(groups, HYBRID, files);
        assert_eq!(found(&[(own, NO_LIMIT), (root, NO_LIMIT)]).group, None);
        let both = found(&[(own, "50331648\n"), (above, "25165824\n"), (root, NO_LIMIT)]);
        assert_eq!(limit(&both), Some((24, above)));
        let version_2 = found(&[(own, NO_LIMIT), (other, "25165824\n")]);
        assert_eq!(limit(&version_2), Some((24, other)));
    }

    #[test]
    fn containers_see_their_group_at_the_mount() {
        let file = "/sys/fs/cgroup/memory.max";
        let at = |root: &str| UNIFIED.replace(" / ", &format!(" {root} "));
        for (group, root) in [
            // Without and with a namespace for groups.
            ("/docker/abc", "/docker/abc"),
            ("/", "/"),
            // Mounted by who is outside of the namespace, who may be in another.
            ("/", "/.."),
            ("/../other", "/"),
            ("/docker/abc", "/docker/ab"),
        ] {
            let memory = memory(&format!("0::{group}\n"), &at(root), &[(file, "25165824\n")]);
            assert_eq!(limit(&memory), Some((24, file)), "{group} at {root}");
        }
    }

    #[test]
    fn names_may_have_spaces_and_backslashes() {
        let mounts = r"25 30 0:23 /system-a\134x2db.slice /mnt/my\040groups rw - cgroup2 none rw";
        let group = r"0::/system-a\x2db.slice/proxy.service";
        let file = "/mnt/my groups/proxy.service/memory.max";
        let memory = memory(group, mounts, &[(file, "25165824")]);
        assert_eq!(limit(&memory), Some((24, file)));
        assert_eq!(unescape(r"a\b\08x\"), r"a\b\08x\");
    }

    #[test]
    fn it_says_whose_limit_counts() {
        let own = "/sys/fs/cgroup/a/memory.max";
        let small = memory("0::/a", UNIFIED, &[(own, "25165824")]);
        assert_eq!(
            small.to_string(),
            "24 MiB of the machine's 2000 MiB of memory are allowed by \
             /sys/fs/cgroup/a/memory.max"
        );
        assert_eq!(memory("0::/a", UNIFIED, &[]).to_string(), "");
    }

    #[test]
    fn a_machine_has_its_memory() {
        assert_eq!(parse_meminfo("MemTotal:  61004 kB\n"), Some(61_004 * 1024));
        assert_eq!(parse_meminfo("MemFree: 1 kB\n"), None);
        assert_eq!(Memory::read(&|_| None).bytes(), 64 * MIB);
        assert!(Memory::look().bytes() >= 16 * MIB);
    }

    proptest! {
        #[test]
        fn any_text_will_do(
            groups in "([0-9]*:(memory|cpu)?,?(memory)?:[/a.\\\\ ]{0,9}\n){0,3}",
            mounts in "([0-9/a.\\\\ -]{0,30} (- )?(cgroup2?)? [a,memory ]{0,12}\n){0,4}",
            limit in any::<u64>(),
        ) {
            let memory = Memory::read(&|path| Some(match path {
                "/proc/meminfo" => MACHINE.to_owned(),
                "/proc/self/cgroup" => groups.clone(),
                "/proc/self/mountinfo" => mounts.clone(),
                _ => limit.to_string(),
            }));
            prop_assert!(memory.bytes() <= memory.machine);
        }
    }
}
