//! Other proxies, whose binaries the environment names: `PEER_telemt=PATH`,
//! `PEER_mtproto_proxy=PATH` (Telegram's own), and under any other name an
//! smol-mtproxy, an earlier one for instance.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fake_telegram::client::{Kind, Options};
use fake_telegram::harness::{Route, TemporaryDirectory, free_address};
use fake_telegram::payload;
use fake_telegram::secret::{DOMAIN, KEY, classic};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait;

const PREFIX: &str = "PEER_";

/// From its start to the first client that is served.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Peer {
    pub name: String,
    binary: PathBuf,
    form: Form,
}

/// How it takes what it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Ours,
    Telemt,
    MtprotoProxy,
}

/// Those that the environment names, by name.
pub fn named() -> Vec<Peer> {
    let peers = std::env::vars().filter_map(|(variable, path)| {
        let name = variable.strip_prefix(PREFIX)?;
        let form = match name {
            "telemt" => Form::Telemt,
            "mtproto_proxy" => Form::MtprotoProxy,
            _ => Form::Ours,
        };
        Some(Peer {
            name: name.to_owned(),
            binary: path.into(),
            form,
        })
    });
    let mut peers: Vec<_> = peers.collect();
    peers.sort_by(|one, other| one.name.cmp(&other.name));
    peers
}

impl Peer {
    /// The binary of one that is measured in each of our own cases.
    pub fn as_ours(&self) -> Option<&Path> {
        (self.form == Form::Ours).then_some(&self.binary)
    }

    /// Whether it can be measured so: Telegram's own has no direct route, and makes
    /// no fake TLS without having seen the site.
    pub fn can(&self, route: Route, kind: Kind) -> bool {
        match self.form {
            Form::Ours | Form::Telemt => true,
            Form::MtprotoProxy => route == Route::Middle && kind != Kind::FakeTls,
        }
    }

    /// Starts it; an error says why that cannot be measured.
    pub async fn start(
        &self,
        route: Route,
        kind: Kind,
        telegram: &FakeTelegram,
    ) -> io::Result<Running> {
        let directory = TemporaryDirectory::new();
        let path = directory.path();
        // Some of them give up root, and then read their files.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        let address = free_address();
        let mut command = match self.form {
            Form::Telemt => self.telemt(path, address, route, telegram)?,
            _ => self.mtproto_proxy(path, address, telegram)?,
        };
        let log = File::create(path.join("log"))?;
        let child = command
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut running = Running {
            child,
            address,
            directory,
        };
        let client = kind.options(address);
        running.until_serving(&client).await?;
        Ok(running)
    }

    /// As its config.toml has it; nothing of it asks anybody but our Telegram.
    fn telemt(
        &self,
        path: &Path,
        address: SocketAddr,
        route: Route,
        telegram: &FakeTelegram,
    ) -> io::Result<Command> {
        let flags = telegram.proxy_flags();
        let flag = |name: &str| {
            let flag = flags.iter().find(|flag| flag.0 == name);
            flag.map_or("", |flag| flag.1.as_str())
        };
        let dcs = telegram.options().direct_dcs.iter();
        let dcs = dcs.filter_map(|id| {
            let address = telegram.direct_addresses(*id).first().copied()?;
            Some(format!("\"{id}\" = \"{address}\"\n"))
        });
        let config = format!(
            "[general]\n\
             use_middle_proxy = {middle}\n\
             proxy_secret_url = \"{secret}\"\n\
             proxy_config_v4_url = \"{config}\"\n\
             proxy_config_v6_url = \"{config_v6}\"\n\
             middle_proxy_nat_ip = \"127.0.0.1\"\n\
             middle_proxy_nat_probe = false\n\
             ntp_check = false\n\
             log_level = \"normal\"\n\
             [general.modes]\n\
             classic = true\n\
             secure = true\n\
             tls = true\n\
             [network]\n\
             ipv4 = true\n\
             ipv6 = false\n\
             stun_use = false\n\
             http_ip_detect_urls = []\n\
             [server]\n\
             port = {port}\n\
             [server.api]\n\
             enabled = false\n\
             [[server.listeners]]\n\
             ip = \"{ip}\"\n\
             [censorship]\n\
             tls_domain = \"{DOMAIN}\"\n\
             mask = false\n\
             tls_emulation = false\n\
             [access.users]\n\
             bench = \"{key}\"\n\
             [dc_overrides]\n\
             {dcs}",
            middle = route == Route::Middle,
            secret = flag("--telegram-secret"),
            config = flag("--telegram-config"),
            config_v6 = flag("--telegram-config-v6"),
            port = address.port(),
            ip = address.ip(),
            key = classic(&KEY),
            dcs = dcs.collect::<String>(),
        );
        let file = path.join("config.toml");
        fs::write(&file, config)?;
        let mut command = Command::new(&self.binary);
        command.arg(file);
        Ok(command)
    }

    fn mtproto_proxy(
        &self,
        path: &Path,
        address: SocketAddr,
        telegram: &FakeTelegram,
    ) -> io::Result<Command> {
        let flags = telegram.proxy_flags_with_files(path)?;
        let file = |name: &str| {
            let flag = flags.iter().find(|flag| flag.0 == name);
            flag.map_or("", |flag| flag.1.as_str())
        };
        let mut command = Command::new(&self.binary);
        command
            .args(["-u", "nobody", "-M", "0", "-c", "4000"])
            .args(["--address", &address.ip().to_string()])
            .args(["-H", &address.port().to_string()])
            .args(["-p", &free_address().port().to_string()])
            .args(["-S", &classic(&KEY)])
            .args(["--aes-pwd", file("--telegram-secret")])
            .arg(file("--telegram-config"));
        Ok(command)
    }
}

/// A peer's process; it ends with its owner.
pub struct Running {
    child: Child,
    address: SocketAddr,
    directory: TemporaryDirectory,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    async fn until_serving(&mut self, client: &Options) -> io::Result<()> {
        let started = Instant::now();
        loop {
            let served = wait::before(Duration::from_secs(5), async {
                let mut client = client.connect().await?;
                client.echo(&payload::echo(0, 64)).await
            });
            let outcome = served.await;
            if let Some(Ok(())) = outcome {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || started.elapsed() > PATIENCE {
                let why = match ended {
                    Some(status) => format!("it ended with {status}"),
                    None => "no client is served".to_owned(),
                };
                let log = fs::read_to_string(self.directory.path().join("log"));
                let log = log.unwrap_or_default();
                let last = log.lines().rfind(|line| !line.trim().is_empty());
                let last = last.unwrap_or("nothing");
                return Err(io::Error::other(format!("{why}; its last word: {last}")));
            }
            smol::Timer::after(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
