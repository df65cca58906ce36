//! Network namespaces for tests that cut cables.
//!
//! A test runs again in a namespace of its own ([`inside`]); there it makes
//! another one ([`Namespace`]), joined by two cables: one for the clients and
//! one for the link, which may be cut. All of it goes away with its processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use super::{ProxyOptions, skipped};

/// Set for a test that runs in its own namespace.
const INSIDE: &str = "SMOL_MTPROXY_TEST_NAMESPACE";

/// Our ends of the two cables.
pub const LINK_HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The other namespace's end for clients.
const CLIENTS_THERE: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 2);

/// Runs `test` in a namespace of its own, by starting this program again for
/// the test of that name. Says so, and passes, where that is impossible.
pub fn inside(name: &str, test: impl FnOnce()) {
    if !ran_inside(name, test) {
        skipped(&format!("{name} needs root, to make network namespaces"));
    }
}

/// The same for a test that needs loopback only: it runs where it is, if it
/// cannot have a namespace.
pub fn apart(name: &str, test: impl Fn()) {
    if !ran_inside(name, &test) {
        test();
    }
}

fn ran_inside(name: &str, test: impl FnOnce()) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        shell("ip link set lo up");
        test();
        return true;
    }
    let possible = Command::new("unshare")
        .args(["-n", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !possible {
        return false;
    }
    let program = std::env::current_exe().expect("this program has a path");
    let status = Command::new("unshare")
        .arg("-n")
        .arg(program)
        .args(["--exact", name, "--include-ignored"])
        .args(["--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare runs");
    assert!(status.success(), "{name} in a namespace: {status}");
    true
}

/// A namespace joined to ours.
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let holder = Command::new("unshare")
            .args(["-n", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare runs");
        let namespace = Self { holder };
        let pid = namespace.holder.id();
        let ours = std::fs::read_link("/proc/self/ns/net").expect("there is /proc");
        let theirs = format!("/proc/{pid}/ns/net");
        while std::fs::read_link(&theirs).is_ok_and(|link| link == ours) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        for (number, name) in ["cable", "people"].iter().enumerate() {
            shell(&format!(
                "ip link add name {name} type veth peer name {name} netns {pid} &&
                 ip address add 10.99.{number}.1/24 dev {name} && ip link set {name} up"
            ));
            namespace.run(&format!(
                "ip link set lo up; ip address add 10.99.{number}.2/24 dev {name} &&
                 ip link set {name} up"
            ));
        }
        namespace
    }

    /// Runs a shell script there.
    pub fn run(&self, script: &str) {
        let pid = self.holder.id();
        let quoted = script.replace('\'', "'\\''");
        shell(&format!("nsenter -t {pid} -n sh -ec '{quoted}'"));
    }

    /// Runs the proxy there; clients and scrapes reach it from here.
    pub fn hold(&self, mut options: ProxyOptions) -> ProxyOptions {
        options.namespace = Some(self.holder.id());
        let metrics = format!("{CLIENTS_THERE}:9091");
        let listener = SocketAddr::new(CLIENTS_THERE.into(), 4431);
        options = options.listening_at(listener).set("--metrics", metrics);
        options
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The kernel takes its time to do so by itself.
        let words = ["link", "delete", "cable"];
        let _ = Command::new("ip").args(words).status();
        let words = ["link", "delete", "people"];
        let _ = Command::new("ip").args(words).status();
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Runs a shell script, which must work.
pub fn shell(script: &str) {
    let status = Command::new("sh").args(["-ec", script]).status();
    assert!(status.is_ok_and(|status| status.success()), "{script}");
}
