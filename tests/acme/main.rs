//! Certificates by ACME, from Debian's Pebble. `make test-acme` installs that; where it
//! cannot be had these tests are left out.

mod pebble;

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, skipped};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{self, FakeTelegram};
use fake_telegram::wait::{self, within};
use fake_telegram::web_app::{Carrier, Gateway, Options, Origin, Request, Session};
use pebble::{BLOCKED, Pebble};

const HOST: &str = "proxy.example.com";
const OTHER: &str = "other.example.org";

/// Longer than a test.
const LONG: u32 = 90 * 24 * 3600;

struct Set {
    telegram: FakeTelegram,
    origin: Origin,
    pebble: Pebble,
    options: ProxyOptions,
}

impl Set {
    /// All but the proxy. Names lead nowhere yet.
    async fn new(life: u32) -> Self {
        let telegram = FakeTelegram::start(telegram::Options::default()).unwrap();
        let origin = Origin::start().unwrap();
        // Without --fronting strangers see the TLS of its own.
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct)
            .without("--fronting")
            .add("--web", HOST)
            .add("--web-site", origin.url());
        let pebble = Pebble::start(options.listener().port(), life).await;
        let options = options.add("--web-acme", pebble.flag()).in_config_file();
        Self {
            telegram,
            origin,
            pebble,
            options,
        }
    }

    fn leads_here(&self, name: &str) {
        self.pebble.leads(name, self.options.listener().ip());
    }

    async fn app(&self, host: &str) -> Options {
        let root = self.pebble.root().await.unwrap();
        Options::new(self.options.listener(), host).trusting(&root)
    }

    async fn session(&self, host: &str) -> Session {
        let app = self.app(host).await.carrier(Carrier::WebSocket);
        within("a session", app.session()).await.unwrap()
    }
}

fn run(test: impl Future<Output = ()>) {
    match Pebble::is_installed() {
        true => wait::run(test),
        false => skipped("Pebble is not installed"),
    }
}

/// Waits for a line; for all that were said if it does not come.
async fn says(proxy: &Proxy, pebble: &Pebble, text: &str) {
    let heard = wait::before(wait::patience() * 2, async {
        while !proxy.log_contains(text) {
            smol::Timer::after(std::time::Duration::from_millis(20)).await;
        }
    });
    if heard.await.is_none() {
        panic!("not said: {text}\n{:#?}\n{}", proxy.log(), pebble.log());
    }
}

fn given(host: &str) -> String {
    format!("has given a certificate for {host}")
}

/// Its files are read behind that.
fn shown(host: &str) -> String {
    format!("{host} is shown over TLS")
}

/// What OpenSSL sees there.
fn seen(address: SocketAddr, name: &str, protocol: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]);
    command.args(["-servername", name, "-alpn", protocol]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn kept(directory: &Path, end: &str) -> Option<PathBuf> {
    let files = fs::read_dir(directory).unwrap().flatten();
    files.map(|file| file.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("acme-") && name.ends_with(end)
    })
}

/// While a client of another kind is served; strangers see what there is of a web server.
#[test]
#[ignore = "needs Pebble: make test-acme"]
fn a_certificate_is_got_and_shown_on_the_port_of_all() {
    run(async {
        let set = Set::new(LONG).await;
        let proxy = set.options.clone().start().await;
        says(&proxy, &set.pebble, "does not get a certificate").await;
        let bare = seen(proxy.address(), HOST, "http/1.1");
        assert!(bare.contains("unrecognized name"), "{bare}");
        assert!(seen(proxy.address(), HOST, "acme-tls/1").contains("unrecognized name"));
        let mut ee = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", ee.echo(&echo(1, 640))).await.unwrap();
        set.leads_here(HOST);
        proxy.signal("HUP");
        says(&proxy, &set.pebble, &given(HOST)).await;
        within("an echo", ee.echo(&echo(2, 64_000))).await.unwrap();
        says(&proxy, &set.pebble, &shown(HOST)).await;
        for kind in Kind::ALL {
            assert!(proxy.client(kind).is_served().await, "{kind:?}");
        }
        let gateway = Gateway::start(&set.app(HOST).await).await.unwrap();
        let mut inside = gateway.client(Kind::Padded).dc(2).connect().await.unwrap();
        within("an echo", inside.echo(&echo(3, 64_000)))
            .await
            .unwrap();
        assert!(gateway.take_violations().is_empty());
        let app = set.app(HOST).await;
        let mut connection = app.connect().await.unwrap();
        let asked = connection.ask(&Request::new(&app, "GET", "/x")).await;
        assert_eq!(asked.unwrap().field("Server"), Some("origin"));
        // Who offers what the authority did is a stranger.
        let late = seen(proxy.address(), HOST, "acme-tls/1");
        assert!(late.contains("no application protocol"), "{late}");
        for end in ["account", ".pem"] {
            let file = kept(proxy.directory(), end).unwrap();
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        }
        assert_eq!(kept(proxy.directory(), ".order"), None);
        set.telegram.assert_clean();
        assert!(set.origin.has_seen("/x"));
    });
}

/// The session that is there goes on, and the next handshake sees the next certificate.
#[test]
#[ignore = "needs Pebble: make test-acme"]
fn it_is_renewed_under_load() {
    run(async {
        let set = Set::new(30).await;
        set.leads_here(HOST);
        let proxy = set.options.clone().start().await;
        says(&proxy, &set.pebble, &shown(HOST)).await;
        let gateway = Gateway::start(&set.app(HOST).await).await.unwrap();
        let mut inside = gateway.client(Kind::Padded).dc(2).connect().await.unwrap();
        let mut ee = proxy.client(Kind::FakeTls).connect().await.unwrap();
        let first = seen(proxy.address(), HOST, "http/1.1");
        let busy = async {
            for round in 0_u32.. {
                within("an echo", ee.echo(&echo(round, 30_000)))
                    .await
                    .unwrap();
                within("an echo", inside.echo(&echo(round, 30_000)))
                    .await
                    .unwrap();
                smol::Timer::after(std::time::Duration::from_millis(100)).await;
            }
        };
        let renewed = says(&proxy, &set.pebble, "has another certificate");
        smol::future::or(busy, renewed).await;
        let second = seen(proxy.address(), HOST, "http/1.1");
        let certificate = |seen: &str| {
            let start = seen.find("-----BEGIN CERTIFICATE").expect("a certificate");
            seen[start..].split("-----END").next().unwrap().to_owned()
        };
        assert_ne!(certificate(&first), certificate(&second));
        assert!(gateway.take_violations().is_empty());
        // With the same account.
        let log = proxy.log();
        let accounts = log.iter().filter(|line| line.contains("an account of"));
        assert_eq!(accounts.count(), 1);
    });
}

#[test]
#[ignore = "needs Pebble: make test-acme"]
fn a_name_that_leads_elsewhere_gets_one_once_it_leads_here() {
    run(async {
        let set = Set::new(LONG).await;
        let elsewhere = fake_telegram::harness::free_address().ip();
        set.pebble.leads(HOST, elsewhere);
        let proxy = set.options.clone().start().await;
        says(&proxy, &set.pebble, "does not get a certificate").await;
        assert!(proxy.log_contains("port 443 of the name leads to a --listen port"));
        assert!(proxy.log_contains("and at a reload"));
        set.leads_here(HOST);
        proxy.signal("HUP");
        says(&proxy, &set.pebble, &given(HOST)).await;
    });
}

/// Killed while the authority looks, and then as if it had been killed before the
/// certificate came.
#[test]
#[ignore = "needs Pebble: make test-acme"]
fn a_restart_in_between_goes_on() {
    run(async {
        let set = Set::new(LONG).await;
        set.leads_here(HOST);
        // Who looks waits for that.
        set.pebble.signal_dns("STOP");
        let mut proxy = set.options.clone().start().await;
        says(&proxy, &set.pebble, "looks whether").await;
        let again = proxy.again();
        proxy.signal("KILL");
        proxy.exit_status().await;
        let proxy = again.start().await;
        says(&proxy, &set.pebble, "looks whether").await;
        let order = kept(proxy.directory(), ".order").expect("an order under way");
        let begun = fs::read(&order).unwrap();
        set.pebble.signal_dns("CONT");
        let ended = async {
            while !proxy.log_contains(&given(HOST)) {
                if proxy.log_contains("does not get a certificate") {
                    return false;
                }
                smol::Timer::after(std::time::Duration::from_millis(20)).await;
            }
            true
        };
        let is_of_first_order = within("an end", ended).await;
        proxy.signal("HUP");
        says(&proxy, &set.pebble, &shown(HOST)).await;
        assert!(!proxy.log_contains("an account of"), "{:#?}", proxy.log());
        assert!(!order.exists());
        if !is_of_first_order {
            return eprintln!("the authority did not wait for the restart: too slow a machine");
        }
        let again = proxy.stop().await;
        let certificate = kept(again.directory(), ".pem").unwrap();
        fs::remove_file(certificate).unwrap();
        fs::write(&order, begun).unwrap();
        let proxy = again.start().await;
        says(&proxy, &set.pebble, "that was begun before goes on").await;
        says(&proxy, &set.pebble, &given(HOST)).await;
        says(&proxy, &set.pebble, &shown(HOST)).await;
        set.session(HOST).await.assert_clean();
    });
}

#[test]
#[ignore = "needs Pebble: make test-acme"]
fn hosts_do_not_wait_for_one_that_fails() {
    run(async {
        let mut set = Set::new(LONG).await;
        set.options = set
            .options
            .clone()
            .add("--web", BLOCKED)
            .add("--web", OTHER);
        set.leads_here(HOST);
        set.leads_here(BLOCKED);
        set.leads_here(OTHER);
        let mut proxy = set.options.clone().start().await;
        says(&proxy, &set.pebble, &given(HOST)).await;
        says(&proxy, &set.pebble, &given(OTHER)).await;
        says(&proxy, &set.pebble, "take another name").await;
        assert!(proxy.log_contains(&format!("{BLOCKED} does not get a certificate")));
        for host in [HOST, OTHER] {
            says(&proxy, &set.pebble, &shown(host)).await;
            set.session(host).await.assert_clean();
        }
        // One that a reload brings, on the way of one that is there.
        let third = "third.example.net";
        set.leads_here(third);
        proxy.reload(|flags| {
            flags.retain(|(name, value)| *name != "--web" || value != BLOCKED);
            flags.push(("--web", third.to_owned()));
        });
        says(&proxy, &set.pebble, &given(third)).await;
        says(&proxy, &set.pebble, &shown(third)).await;
        set.session(third).await.assert_clean();
    });
}
