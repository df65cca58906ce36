//! strace, which makes system calls of a running process slow or lets them fail.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Proxy, skipped};
use crate::wait::eventually;

/// As long as it lives, the process is traced.
pub struct Strace(Child);

impl Strace {
    /// Does `what` (`delay_enter=1000`, `error=ENOPROTOOPT`) to the proxy's `calls`;
    /// to those with `path` alone, if it is given. `None`, and a word why, where
    /// processes may not be traced.
    pub async fn inject(
        proxy: &Proxy,
        calls: &str,
        what: &str,
        path: Option<&Path>,
    ) -> Option<Self> {
        let skip = |why: &str| {
            skipped(&format!("nothing can be done to system calls: {why}"));
            None
        };
        if std::env::var_os("SMOL_MTPROXY_RUNNER").is_some() {
            return skip("the binary runs in an emulator");
        }
        let mut command = Command::new("strace");
        let inject = format!("inject={calls}:{what}");
        command.args(["-f", "-e", &format!("trace={calls}"), "-e", &inject]);
        if let Some(path) = path {
            command.arg("-P").arg(path);
        }
        let log = proxy.directory().join("strace.log");
        let told = fs::File::create(&log).expect("the temporary directory can be written");
        command.args(["-p", &proxy.pid().to_string()]);
        let Ok(mut child) = command.stdin(Stdio::null()).stderr(told).spawn() else {
            return skip("there is no strace; cross/setup.sh test installs it");
        };
        let said = || fs::read_to_string(&log).unwrap_or_default();
        let mut ended = false;
        eventually("strace", || {
            ended = child.try_wait().is_ok_and(|status| status.is_some());
            ended || said().contains("attached")
        })
        .await;
        match ended {
            true => skip(said().trim()),
            false => Some(Self(child)),
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // The kernel lets its process go on.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
