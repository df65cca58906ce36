//! A limit on a proxy's memory, kernel's share included, by Linux's control
//! groups (version 1 or 2).

use std::fs;
use std::path::{Path, PathBuf};

use crate::crypto::{hex, random};

/// The kernel's names.
struct Version {
    root: &'static str,
    limit: &'static str,
    most: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        most: "memory.max_usage_in_bytes",
    },
    Version {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        most: "memory.peak",
    },
];

/// Goes away with its owner, who must outlive the processes in it.
pub struct ControlGroup {
    path: PathBuf,
    version: &'static Version,
    /// The one that it lies in, if that is a test's too.
    above: Option<Box<ControlGroup>>,
}

impl ControlGroup {
    /// `None` where none can be made.
    pub fn with_memory(bytes: u64) -> Option<Self> {
        let name = format!("smol-mtproxy-test-{}", hex(&random::<8>()));
        let mut versions = VERSIONS.iter();
        versions.find_map(|version| Self::make(version, Path::new(version.root).join(&name), bytes))
    }

    /// As a service of systemd in its slice: a group with `own` bytes in one with
    /// `above` bytes.
    pub fn nested(above: u64, own: u64) -> Option<Self> {
        let above = Self::with_memory(above)?;
        // Version 1 has neither of these in all kernels, nor does it need them.
        let _ = fs::write(above.path.join("memory.use_hierarchy"), "1");
        let _ = fs::write(above.path.join("cgroup.subtree_control"), "+memory");
        let path = above.path.join("proxy.service");
        let mut group = Self::make(above.version, path, own)?;
        group.above = Some(Box::new(above));
        Some(group)
    }

    fn make(version: &'static Version, path: PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir(&path).ok()?;
        let group = Self {
            path,
            version,
            above: None,
        };
        fs::write(group.limit_file(), bytes.to_string()).ok()?;
        Some(group)
    }

    /// Where its limit stands.
    pub fn limit_file(&self) -> PathBuf {
        self.path.join(self.version.limit)
    }

    /// The group that it lies in.
    pub fn above(&self) -> Option<&Self> {
        self.above.as_deref()
    }

    /// The most that its processes ever had, in bytes, where the kernel knows.
    pub fn most_used(&self) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(self.version.most)).ok()?;
        text.trim().parse().ok()
    }

    /// Where a process writes its number to be in the group.
    pub(super) fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}
