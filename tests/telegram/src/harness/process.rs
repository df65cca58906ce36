//! Processes that end with the test that started them.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Command};

/// A process that is killed when dropped, whatever came of the test.
pub struct Process(Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
    }
}

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use crate::harness::TemporaryDirectory;

    /// What is said of a command that does this with a proxy that sleeps.
    fn said_of(script: &str) -> (bool, String) {
        let directory = TemporaryDirectory::new();
        fs::copy("/bin/sleep", directory.path().join("smol-mtproxy")).unwrap();
        let output = Command::new("sh")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../none_left.sh"))
            .args(["sh", "-c", script])
            .current_dir(directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), said)
    }

    #[test]
    fn a_proxy_that_is_left_is_told_of_and_ended() {
        let (went_well, said) =
            said_of("setsid ./smol-mtproxy 1234 >/dev/null 2>&1 & echo $! >pid");
        assert!(!went_well && said.contains("smol-mtproxy 1234"), "{said}");
        let (went_well, said) = said_of("./smol-mtproxy 0; ./smol-mtproxy 0.2 >/dev/null 2>&1 &");
        assert!(went_well && said.is_empty(), "{said}");
        let (went_well, said) = said_of("exit 3");
        assert!(!went_well && said.is_empty(), "{said}");
    }
}
