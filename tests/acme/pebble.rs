//! Debian's Pebble, an authority for tests, and the DNS that it asks.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use fake_telegram::harness::{Process, TemporaryDirectory, free_address};
use fake_telegram::wait::within;
use fake_telegram::web_app::{Options, Request};
use fake_telegram::web_front::Authority;

/// Whom its HTTPS is of.
const NAME: &str = "localhost";

/// What it gives no certificate for.
pub const BLOCKED: &str = "blocked.example.org";

pub struct Pebble {
    directory: TemporaryDirectory,
    authority: Authority,
    at: SocketAddr,
    management: SocketAddr,
    dns_control: SocketAddr,
    dns: Process,
    _pebble: Process,
}

impl Pebble {
    pub fn is_installed() -> bool {
        let asked = Command::new("pebble").arg("-h").output();
        asked.is_ok()
    }

    /// Looks at names at `port`; its certificates live for so many seconds.
    pub async fn start(port: u16, life: u32) -> Self {
        let directory = TemporaryDirectory::new();
        let [management, dns, dns_control] = [(); 3].map(|()| free_address());
        // Where its name leads.
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_address().port()));
        let authority = Authority::new();
        let (chain, key) = authority.files(NAME);
        let place = |name: &str| directory.path().join(name);
        fs::write(place("https.pem"), chain).unwrap();
        fs::write(place("https.key"), key).unwrap();
        fs::write(place("ca.pem"), authority.pem()).unwrap();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": at.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": place("https.pem"),
            "privateKey": place("https.key"),
            "httpPort": 1,
            "tlsPort": port,
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": life,
            "domainBlocklist": [BLOCKED],
        }});
        fs::write(place("pebble.json"), config.to_string()).unwrap();
        let quiet = |command: &mut Command, log: &str| {
            let log = fs::File::create(place(log)).unwrap();
            let both = log.try_clone().unwrap();
            command.stdin(Stdio::null()).stdout(log).stderr(both);
            Process::start(command)
        };
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-defaultIPv4", "", "-defaultIPv6", ""]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        command.args(["-dns01", &dns.to_string()]);
        command.args(["-management", &dns_control.to_string()]);
        let names = quiet(&mut command, "dns.log");
        let mut command = Command::new("pebble");
        command
            .arg("-strict")
            .arg("-config")
            .arg(place("pebble.json"));
        command.args(["-dnsserver", &dns.to_string()]);
        command.env("PEBBLE_VA_NOSLEEP", "1");
        command.env("PEBBLE_AUTHZREUSE", "0");
        let pebble = quiet(&mut command, "pebble.log");
        let started = Self {
            directory,
            authority,
            at,
            management,
            dns_control,
            dns: names,
            _pebble: pebble,
        };
        within("Pebble", async {
            while started.root().await.is_none() || TcpStream::connect(dns_control).is_err() {
                smol::Timer::after(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        started
    }

    /// The value of `--web-acme`.
    pub fn flag(&self) -> String {
        format!(
            "me@example.com,directory=https://{NAME}:{}/dir,ca={}",
            self.at.port(),
            self.directory.path().join("ca.pem").display()
        )
    }

    /// Whom its certificates are by, in PEM.
    pub async fn root(&self) -> Option<String> {
        let app = Options::new(self.management, NAME).trusting(self.authority.pem());
        let mut connection = app.connect().await.ok()?;
        let answer = connection.ask(&Request::new(&app, "GET", "/roots/0")).await;
        String::from_utf8(answer.ok()?.body).ok()
    }

    /// From here on `name` leads to `address`.
    pub fn leads(&self, name: &str, address: IpAddr) {
        let name = format!("{name}.");
        self.control("/clear-a", &serde_json::json!({ "host": name }));
        let addresses = [address.to_string()];
        let entry = serde_json::json!({ "host": name, "addresses": addresses });
        self.control("/add-a", &entry);
    }

    fn control(&self, path: &str, body: &serde_json::Value) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.dns_control).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{path}: {answer}");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("pebble.log")).unwrap_or_default()
    }

    /// To the server that says where names lead.
    pub fn signal_dns(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.dns.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }
}
