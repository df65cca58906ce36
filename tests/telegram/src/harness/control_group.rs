//! A limit on a proxy's memory, kernel's share included, by Linux's control
//! groups (version 1 or 2).

use std::fs;
use std::path::PathBuf;

use crate::crypto::{hex, random};

/// Goes away with its owner, who must outlive the processes in it.
pub struct ControlGroup(PathBuf);

impl ControlGroup {
    /// `None` where none can be made.
    pub fn with_memory(bytes: u64) -> Option<Self> {
        let name = format!("smol-mtproxy-test-{}", hex(&random::<8>()));
        let version_1 = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes");
        let version_2 = ("/sys/fs/cgroup", "memory.max");
        [version_1, version_2].into_iter().find_map(|(root, file)| {
            let group = Self(PathBuf::from(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(file), bytes.to_string()).ok()?;
            Some(group)
        })
    }

    /// Where a process writes its number to be in the group.
    pub(super) fn processes(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
