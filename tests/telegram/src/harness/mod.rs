//! The proxy's built binary as a child process: started with flags, watched
//! through its log and its metrics, ended by signals, killed when dropped.
//!
//! `SMOL_MTPROXY_BIN` names another binary than the one that Cargo built, and
//! `SMOL_MTPROXY_RUNNER` a program that runs it (`qemu-mips`). With
//! `SMOL_MTPROXY_LISTS=file` the proxy reads Telegram's lists from files, as
//! builds without HTTPS must.

mod black_hole;
mod certificates;
mod control_group;
pub mod namespace;
mod place;
mod process;
mod said;
mod split;
mod strace;
mod watch;

pub use black_hole::BlackHole;
pub use certificates::{certify, certs};
pub use control_group::ControlGroup;
pub use place::{TemporaryDirectory, free_address};
pub use process::Process;
pub use said::{Said, binary, program};
pub use split::{Secured, Split};
pub use strace::Strace;
pub use watch::Metrics;

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Client, Kind};
use crate::crypto::hex;
use crate::payload::echo;
use crate::secret::{self, DOMAIN, KEY};
use crate::telegram::{FakeTelegram, Flag};
use crate::wait::{eventually, patience, within};
use crate::web_front::{Authority, WebFront};
use place::Ports;
use watch::Log;

/// Says why a test has not tried what it is for. Not by eprintln, which the test
/// runner keeps to itself.
pub fn skipped(why: &str) {
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
}

/// The binary that Cargo built for the calling test.
#[macro_export]
macro_rules! built_binary {
    () => {
        env!("CARGO_BIN_EXE_smol-mtproxy")
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Middle,
    Direct,
}

impl Route {
    pub const ALL: [Route; 2] = [Self::Middle, Self::Direct];

    fn value(self) -> &'static str {
        match self {
            Self::Middle => "middle",
            Self::Direct => "direct",
        }
    }
}

/// What a proxy is to be started with.
#[derive(Clone)]
pub struct ProxyOptions {
    binary: PathBuf,
    flags: Vec<Flag>,
    config_file: Option<PathBuf>,
    directory: Arc<TemporaryDirectory>,
    max_files: Option<u64>,
    control_group: Option<PathBuf>,
    hosts_file: Option<PathBuf>,
    listener: SocketAddr,
    /// A process whose network namespace is its own too.
    namespace: Option<u32>,
    /// Nobody reads what it says.
    unread_log: bool,
}

impl ProxyOptions {
    /// The flags that most tests want: one listener for every kind of client
    /// with the tests' key, metrics, and `telegram` as all of Telegram.
    pub fn new(binary: &str, telegram: &FakeTelegram, route: Route) -> Self {
        let mut options = Self::bare(binary);
        options.add_clients(telegram, route);
        options.add_telegram(telegram);
        options
    }

    fn add_clients(&mut self, telegram: &FakeTelegram, route: Route) {
        self.flags.extend([
            ("--listen", self.listener.to_string()),
            ("--secret", secret::classic(&KEY)),
            ("--allow", "classic,dd,tls".to_owned()),
            ("--tls-domain", DOMAIN.to_owned()),
            // Tests reach nobody outside.
            ("--fronting", "off".to_owned()),
            ("--route", route.value().to_owned()),
        ]);
        if route == Route::Middle
            && let Some(tag) = &telegram.options().tag
        {
            self.flags.push(("--tag", hex(tag)));
        }
    }

    fn add_telegram(&mut self, telegram: &FakeTelegram) {
        let lists = std::env::var_os("SMOL_MTPROXY_LISTS");
        let lists_from_files = lists.is_some_and(|kind| kind == "file");
        self.flags.extend(if lists_from_files {
            let flags = telegram.proxy_flags_with_files(self.directory.path());
            flags.expect("the temporary directory can be written")
        } else {
            telegram.proxy_flags()
        });
    }

    /// Has all DCs behind `front`, whose authority it trusts. Without this a proxy
    /// that may use web fronts would go to Telegram's.
    pub fn web_front(self, front: &WebFront) -> Self {
        let mut options = self.without("--ws").trusting(front);
        for dc in [1, 2, 3, 4, 5, 10_001, 10_002, 10_003] {
            options = options.add("--ws", format!("{dc}={}", front.address()));
        }
        options
    }

    /// Has only the authority of `front` for web fronts, zones and Workers.
    pub fn trusting(self, front: &WebFront) -> Self {
        let path = self.directory().join("web-ca.pem");
        let written = fs::write(&path, front.options().authority.pem());
        written.expect("the temporary directory can be written");
        self.set("--ws-ca", path.display())
    }

    /// Is a WEB proxy of `host` too, at a door without TLS; `site` is what everybody else
    /// sees there, a URL or a directory.
    pub fn web(self, host: &str, site: impl std::fmt::Display) -> Self {
        let options = self.add("--web", host).add("--web-site", site);
        match options.has("--web-listen") {
            true => options,
            false => options.add("--web-listen", free_address()),
        }
    }

    /// The same by TLS on its port of clients, with a certificate of `authority`; everybody
    /// else sees a page of its own.
    pub fn web_by_tls(self, host: &str, authority: &Authority) -> Self {
        let place = |name: &str| self.directory().join(name);
        let (site, cert, key) = (place("site"), place("host.pem"), place("host.key"));
        let (chain, secret) = authority.files(host);
        let written = fs::create_dir_all(&site)
            .and_then(|()| fs::write(site.join("index.html"), "<p>Hello.</p>\n"))
            .and_then(|()| fs::write(&cert, chain))
            .and_then(|()| fs::write(&key, secret));
        written.expect("the temporary directory can be written");
        let flag = format!("{host},cert={},key={}", cert.display(), key.display());
        let site = site.display().to_string();
        self.add("--web", flag).add("--web-site", site)
    }

    /// Only a data directory, metrics and the log level.
    pub fn bare(binary: &str) -> Self {
        let directory = Arc::new(TemporaryDirectory::new());
        let ports = Ports::new();
        let flags = vec![
            ("--metrics", ports.one().to_string()),
            ("--data-dir", directory.path().display().to_string()),
            ("--log-level", "debug".to_owned()),
            // Its question would be counted by fakes; its own tests ask for it.
            ("--self-test", "no".to_owned()),
        ];
        Self {
            binary: said::binary(binary),
            flags,
            config_file: None,
            directory,
            max_files: None,
            control_group: None,
            hosts_file: None,
            listener: ports.one(),
            namespace: None,
            unread_log: false,
        }
    }

    /// Gives the flag `name` this value instead of those that it had.
    pub fn set(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.flags.retain(|flag| flag.0 != name);
        self.add(name, value)
    }

    /// Gives the flag `name` another value.
    pub fn add(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.flags.push((name, value.to_string()));
        self
    }

    /// Leaves the flag `name` out.
    pub fn without(mut self, name: &str) -> Self {
        self.flags.retain(|flag| flag.0 != name);
        self
    }

    /// Whether the flag `name` is given.
    pub fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag.0 == name)
    }

    /// The limit of open files under which the proxy runs.
    pub fn max_files(mut self, limit: u64) -> Self {
        self.max_files = Some(limit);
        self
    }

    /// Takes clients, or links, at `address` instead.
    pub fn listening_at(mut self, address: SocketAddr) -> Self {
        let (from, to) = (self.listener.to_string(), address.to_string());
        for (flag, value) in &mut self.flags {
            if matches!(*flag, "--listen" | "--link-listen") {
                *value = value.replace(&from, &to);
            }
        }
        self.listener = address;
        self
    }

    /// Runs the proxy inside `group`.
    pub fn inside(mut self, group: &ControlGroup) -> Self {
        self.control_group = Some(group.processes());
        self
    }

    /// Takes the names of machines from this file, which may change in place,
    /// instead of the system's. Needs root.
    pub fn hosts_file(mut self, path: PathBuf) -> Self {
        self.hosts_file = Some(path);
        self
    }

    /// Nobody reads what it says until [`Proxy::read_log`].
    pub fn unread_log(mut self) -> Self {
        self.unread_log = true;
        self
    }

    /// The address of its first listener.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Its own directory: the data directory, and where a test may put files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Gives all flags in a config file, so that a reload can change them.
    pub fn in_config_file(mut self) -> Self {
        self.config_file = Some(self.directory.path().join("proxy.conf"));
        self
    }

    fn write_config_file(&self) {
        let Some(path) = &self.config_file else {
            return;
        };
        let lines = self.flags.iter();
        let lines = lines.map(|(name, value)| format!("{name} {value}\n"));
        // By renaming: an earlier reload may be reading it.
        let new = path.with_extension("new");
        let written = fs::write(&new, lines.collect::<String>());
        let written = written.and_then(|()| fs::rename(&new, path));
        written.expect("the temporary directory can be written");
    }

    /// Starts the binary and returns once its listener accepts.
    pub async fn start(self) -> Proxy {
        let mut proxy = self.spawn();
        let (listener, started) = (proxy.options.listener, Instant::now());
        while TcpStream::connect(listener).is_err() {
            if let Some(status) = proxy.child.try_wait().expect("the child can be waited for") {
                panic!("the proxy ended with {status}: {:#?}", proxy.log());
            }
            assert!(
                started.elapsed() < patience(),
                "nobody listens at {listener}: {:#?}",
                proxy.log()
            );
            smol::Timer::after(Duration::from_millis(10)).await;
        }
        proxy
    }

    /// Starts the binary without waiting for anything.
    pub fn spawn(self) -> Proxy {
        self.write_config_file();
        let mut command = self.command();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let mut log = Log::default();
        if !self.unread_log {
            follow(&mut log, &mut child);
        }
        Proxy {
            child,
            log,
            options: self,
        }
    }

    fn command(&self) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(pid) = self.namespace {
            words.extend(["nsenter", "-n", "-t", &pid.to_string()].map(OsString::from));
        }
        let mut script = String::new();
        if let Some(limit) = self.max_files {
            script.push_str(&format!("ulimit -n {limit} && "));
        }
        if let Some(processes) = &self.control_group {
            script.push_str(&format!("echo $$ >{} && ", processes.display()));
        }
        if let Some(path) = &self.hosts_file {
            words.extend(["unshare", "-m"].map(OsString::from));
            script.push_str(&format!("mount --bind {} /etc/hosts && ", path.display()));
        }
        if !script.is_empty() {
            script.push_str("exec \"$@\"");
            words.extend(["sh", "-c", &script, "sh"].map(OsString::from));
        }
        words.extend(std::env::var_os("SMOL_MTPROXY_RUNNER"));
        words.push(self.binary.clone().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        match &self.config_file {
            Some(path) => command.arg("--config").arg(path),
            None => command.args(self.flags.iter().flat_map(|flag| [flag.0, &flag.1])),
        };
        command
    }
}

fn follow(log: &mut Log, child: &mut Child) {
    if let Some(stdout) = child.stdout.take() {
        log.follow(stdout);
    }
    if let Some(stderr) = child.stderr.take() {
        log.follow(stderr);
    }
}

/// A running proxy.
pub struct Proxy {
    child: Child,
    log: Log,
    options: ProxyOptions,
}

impl Proxy {
    /// The address of its first listener.
    pub fn address(&self) -> SocketAddr {
        self.options.listener
    }

    /// The address of its first door for web servers.
    pub fn web_address(&self) -> SocketAddr {
        let mut flags = self.options.flags.iter();
        let flag = flags.find(|flag| flag.0 == "--web-listen");
        let value = &flag.expect("it has a door for web servers").1;
        let address = value.split(',').next().unwrap_or_default();
        address.parse().expect("an address")
    }

    /// Desktop at that door, with the tests' key.
    pub fn web_app(&self, host: &str) -> crate::web_app::Options {
        crate::web_app::Options::new(self.web_address(), host)
    }

    /// Desktop at its port of clients, by TLS, with the tests' key.
    pub fn web_app_by_tls(&self, host: &str, authority: &Authority) -> crate::web_app::Options {
        crate::web_app::Options::new(self.address(), host).trusting(authority.pem())
    }

    /// A client of this proxy with the tests' key, for DC 2.
    pub fn client(&self, kind: Kind) -> crate::client::Options {
        kind.options(self.address())
    }

    /// A padded client of DC `dc` that has been served.
    pub async fn served_client(&self, dc: i16) -> Client {
        let options = self.client(Kind::Padded).dc(dc);
        let mut client = options.connect().await.expect("the proxy accepts");
        let outcome = within("an echo", client.echo(&echo(1, 512))).await;
        outcome.unwrap_or_else(|error| panic!("DC {dc} is not served: {error}"));
        client
    }

    /// Clients of every kind that have been served once and are idle.
    pub async fn idle_clients(&self, count: usize) -> Vec<Client> {
        let mut clients = Vec::new();
        for kind in Kind::ALL.into_iter().cycle().take(count) {
            let client = self.client(kind).served().await;
            clients.push(client.expect("it is served"));
        }
        clients
    }

    pub fn directory(&self) -> &Path {
        self.options.directory()
    }

    /// Runs another command of the binary, with this proxy's data directory.
    pub fn command(&self, words: &[&str]) -> Output {
        let mut command = self.prepared(words);
        let output = command.output();
        output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
    }

    /// The same, to be run.
    pub fn prepared(&self, words: &[&str]) -> Command {
        let mut command = said::program_of(&self.options.binary);
        command.args(words).arg("--data-dir").arg(self.directory());
        command
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Begins to read the log that was not read so far.
    pub fn read_log(&mut self) {
        follow(&mut self.log, &mut self.child);
    }

    /// The lines of its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    pub fn log_contains(&self, text: &str) -> bool {
        self.log.lines().iter().any(|line| line.contains(text))
    }

    /// Where its metrics are.
    pub fn metrics_address(&self) -> &str {
        let mut flags = self.options.flags.iter();
        let flag = flags.find(|flag| flag.0 == "--metrics");
        &flag.expect("metrics are on").1
    }

    /// Its metrics as Prometheus text.
    pub fn metrics(&self) -> Metrics {
        let address = self.metrics_address();
        let metrics = Metrics::scrape(address);
        metrics.unwrap_or_else(|error| panic!("no metrics at {address}: {error}"))
    }

    /// The metric `smol_mtproxy_NAME`, summed over the samples whose labels
    /// contain `label` (`reason="replay"`; empty: all of them).
    pub fn counted(&self, name: &str, label: &str) -> u64 {
        let name = format!("smol_mtproxy_{name}");
        self.metrics().sum(&name, &[label]) as u64
    }

    /// How many it has turned away for this reason.
    pub fn rejected(&self, reason: &str) -> u64 {
        self.counted("rejected_total", &format!("reason=\"{reason}\""))
    }

    /// Resident memory in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The same without what is mapped from files, above all its own code.
    pub fn own_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the proxy lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|text| text.parse().ok())
            .expect("a number");
        kibibytes << 10
    }

    /// Seconds of processor time used so far, in user and kernel mode.
    pub fn processor_seconds(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).expect("the proxy lives");
        let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Changes the flags in the config file and asks for a reload.
    pub fn reload(&mut self, change: impl FnOnce(&mut Vec<Flag>)) {
        change(&mut self.options.flags);
        self.options.write_config_file();
        self.signal("HUP");
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let script = format!("kill -{name} {pid}");
        let status = Command::new("sh").args(["-c", &script]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill -{name} {pid}"
        );
    }

    /// Waits for its end.
    pub async fn exit_status(&mut self) -> ExitStatus {
        let mut status = None;
        let child = &mut self.child;
        eventually("the proxy's end", || {
            status = child.try_wait().expect("the child can be waited for");
            status.is_some()
        })
        .await;
        status.expect("just seen")
    }

    /// Asks it to end, checks that it does so well, and returns what is needed
    /// to start it again in its directory.
    pub async fn stop(mut self) -> ProxyOptions {
        self.signal("TERM");
        let status = self.exit_status().await;
        assert!(
            status.success(),
            "it ended with {status}: {:#?}",
            self.log()
        );
        self.options.clone()
    }

    /// What is needed to start it again in its directory.
    pub fn again(&self) -> ProxyOptions {
        self.options.clone()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut lines = std::mem::take(&mut self.log).into_lines();
            lines.retain(|line| !line.contains(['█', '▀']));
            let last = lines.len().saturating_sub(60);
            eprintln!("the proxy's last lines:\n{}", lines[last..].join("\n"));
        }
    }
}

/// Starts a fake Telegram with default options and a proxy in front of it.
pub async fn start(
    binary: &str,
    route: Route,
    change: impl FnOnce(ProxyOptions) -> ProxyOptions,
) -> (FakeTelegram, Proxy) {
    start_with(binary, route, crate::telegram::Options::default(), change).await
}

/// Starts a fake Telegram and a proxy in front of it.
pub async fn start_with(
    binary: &str,
    route: Route,
    telegram: crate::telegram::Options,
    change: impl FnOnce(ProxyOptions) -> ProxyOptions,
) -> (FakeTelegram, Proxy) {
    let telegram = FakeTelegram::start(telegram).expect("loopback can be listened on");
    let options = ProxyOptions::new(binary, &telegram, route);
    let proxy = change(options).start().await;
    (telegram, proxy)
}
