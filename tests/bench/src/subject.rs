//! What is measured: the proxy's binary or the plain relay, as a process.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use fake_telegram::client::{Kind, Options};
use fake_telegram::harness::{Proxy, ProxyOptions, Route};
use fake_telegram::telegram::FakeTelegram;

/// The kernel counts a process's time in these.
const TICKS_PER_SECOND: f64 = 100.0;

pub struct Subject {
    pub name: String,
    pub client: Options,
    process: Process,
}

enum Process {
    Proxy(Proxy),
    Relay(Child),
}

impl Subject {
    /// The plain relay in front of the fake DC 2.
    pub fn relay(telegram: &FakeTelegram) -> io::Result<Self> {
        let target = telegram.direct_addresses(2)[0];
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--relay-to", &target.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line)?;
        let address: SocketAddr = line.trim().parse().expect("the relay prints its address");
        Ok(Self {
            name: "plain relay".to_owned(),
            client: Options {
                key: None,
                ..Kind::Padded.options(address)
            },
            process: Process::Relay(child),
        })
    }

    pub async fn proxy(
        binary: &str,
        telegram: &FakeTelegram,
        route: Route,
        kind: Kind,
        name: &str,
    ) -> Self {
        let proxy = ProxyOptions::new(binary, telegram, route)
            .set("--log-level", "warn")
            .set("--max-clients", 20_000)
            .set("--hibernate", 1)
            .start()
            .await;
        Self {
            name: name.to_owned(),
            client: proxy.client(kind),
            process: Process::Proxy(proxy),
        }
    }

    fn pid(&self) -> u32 {
        match &self.process {
            Process::Proxy(proxy) => proxy.pid(),
            Process::Relay(child) => child.id(),
        }
    }

    /// User and system time so far, in seconds.
    pub fn processor_seconds(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Resident memory now, in bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(kilobytes.unwrap_or(0) * 1024)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Process::Relay(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
