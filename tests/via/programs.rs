//! Debian's danted, tinyproxy and microsocks as what `--via` goes through. Nothing is
//! installed here: a program that is missing is named, and left out.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fake_telegram::client::{Fate, Kind};
use fake_telegram::harness::{TemporaryDirectory, free_address, skipped};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, run};

use crate::sessions::whole_sessions;
use crate::{direct, fate, served, told, with_dc_2};

const USER: &str = "viatest";
const PASSWORD: &str = "xq7ZkW";

#[derive(Clone, Copy, Debug)]
enum Program {
    Danted,
    Tinyproxy,
    Microsocks,
}

impl Program {
    const ALL: [Self; 3] = [Self::Danted, Self::Tinyproxy, Self::Microsocks];

    /// Where it is, or the package to install.
    fn find(self) -> Result<PathBuf, &'static str> {
        let (name, package) = match self {
            Self::Danted => ("danted", "dante-server"),
            Self::Tinyproxy => ("tinyproxy", "tinyproxy-bin"),
            Self::Microsocks => ("microsocks", "microsocks"),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        // Not in everybody's PATH.
        let mut folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
        let found = folders.find_map(|folder| {
            let path = Path::new(folder).join(name);
            path.is_file().then_some(path)
        });
        found.ok_or(package)
    }

    fn schemes(self) -> &'static [&'static str] {
        match self {
            Self::Tinyproxy => &["http"],
            Self::Danted | Self::Microsocks => &["socks5", "socks5h"],
        }
    }

    fn command(
        self,
        path: &Path,
        at: SocketAddr,
        has_credentials: bool,
        folder: &Path,
    ) -> Option<Command> {
        let (ip, port) = (at.ip(), at.port());
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let mut command = Command::new(path);
        match self {
            Self::Microsocks => {
                command.args(["-i", &ip.to_string(), "-p", &port.to_string()]);
                if has_credentials {
                    command.args(["-u", USER, "-P", PASSWORD]);
                }
            }
            Self::Tinyproxy => {
                let credentials = match has_credentials {
                    true => format!("BasicAuth {USER} {PASSWORD}\n"),
                    false => String::new(),
                };
                let text = format!(
                    "Listen {ip}\nPort {port}\nTimeout 60\nMaxClients 50\nAllow 127.0.0.0/8\n\
                     DisableViaHeader Yes\n{credentials}"
                );
                command
                    .args(["-d", "-c"])
                    .arg(write("tinyproxy.conf", &text));
            }
            Self::Danted => {
                let method = if has_credentials { "username" } else { "none" };
                let text = format!(
                    "logoutput: stderr\ninternal: {ip} port = {port}\nexternal: 127.0.0.1\n\
                     clientmethod: none\nsocksmethod: {method}\nuser.privileged: root\n\
                     user.unprivileged: nobody\n\
                     client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
                     socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }}\n"
                );
                let config = write("danted.conf", &text);
                if has_credentials {
                    command = with_user(path, folder)?;
                }
                command.arg("-f").arg(config);
            }
        }
        Some(command)
    }
}

/// The program where the system has one user more: dante takes no others. Only root
/// can do that.
fn with_user(path: &Path, folder: &Path) -> Option<Command> {
    let hash = Command::new("openssl")
        .args(["passwd", "-6", PASSWORD])
        .output()
        .ok()?;
    let hash = String::from_utf8(hash.stdout).ok()?;
    let extended = |of: &str, line: String| {
        let old = fs::read_to_string(of).ok()?;
        let new = folder.join(of.rsplit('/').next()?);
        fs::write(&new, format!("{old}{line}\n")).ok()?;
        Some(new)
    };
    let users = extended("/etc/passwd", format!("{USER}:x:64999:64999::/:/bin/false"))?;
    let hashes = extended(
        "/etc/shadow",
        format!("{USER}:{}:19000:0:99999:7:::", hash.trim()),
    )?;
    let script = format!(
        "mount --bind {} /etc/passwd && mount --bind {} /etc/shadow && exec \"$@\"",
        users.display(),
        hashes.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(path);
    Some(command)
}

/// A running one, with all its processes.
struct Running {
    child: Child,
    _folder: TemporaryDirectory,
}

impl Running {
    fn start(program: Program, at: SocketAddr, has_credentials: bool) -> Result<Self, String> {
        let path = program.find();
        let path = path.map_err(|package| format!("{program:?}: apt-get install {package}"))?;
        let folder = TemporaryDirectory::new();
        let Some(mut command) = program.command(&path, at, has_credentials, folder.path()) else {
            return Err(format!("{program:?} with a user: only root can add one"));
        };
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command.process_group(0).spawn();
        Ok(Self {
            child: child.map_err(|error| format!("{program:?}: {error}"))?,
            _folder: folder,
        })
    }

    async fn listens(&mut self, at: SocketAddr) {
        let log = self._folder.path().join("log");
        let child = &mut self.child;
        eventually("its port", || {
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{ended:?}: {}",
                fs::read_to_string(&log).unwrap()
            );
            TcpStream::connect(at).is_ok()
        })
        .await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self._folder.path().join("log")).unwrap_or_default();
            let _ = std::io::stderr().write_all(log.as_bytes());
        }
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

async fn through(program: Program, has_credentials: bool) {
    for scheme in program.schemes() {
        // Dante listens at addresses that the machine has.
        let at = SocketAddr::from(([127, 0, 0, 1], free_address().port()));
        let mut running = match Running::start(program, at, has_credentials) {
            Ok(running) => running,
            Err(why) => return skipped(&why),
        };
        running.listens(at).await;
        let what = format!("{program:?}, {scheme}, credentials: {has_credentials}");
        let url = |password: &str| match has_credentials {
            true => format!("{scheme}://{USER}:{password}@{at}"),
            false => format!("{scheme}://{at}"),
        };
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        // What it refuses does not keep the next address from being tried.
        let addresses = [free_address(), telegram.direct_addresses(2)[0]];
        let mut options = with_dc_2(direct(&telegram), &telegram, &addresses);
        for (flag, value) in telegram.proxy_flags() {
            if let Some(rest) = value.strip_prefix("http://127.0.0.1:") {
                options = options.set(flag, format!("http://localhost:{rest}"));
            }
        }
        let proxy = options.clone().set("--via", url(PASSWORD)).start().await;
        whole_sessions(proxy.address(), &what).await;
        let fetches = std::env::var_os("SMOL_MTPROXY_LISTS").is_none();
        let asked = || telegram.counters().http_requests();
        eventually("lists", || !fetches || asked() >= 2).await;
        eventually("their ends", || telegram.counters().direct_live() == 0).await;
        proxy.stop().await;
        if has_credentials {
            let proxy = direct(&telegram).set("--via", url("another")).start().await;
            assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed, "{what}");
            let told_of = |line: &String| line.contains("wrong user or password");
            eventually(&what, || told(&proxy).iter().any(told_of)).await;
            let none = format!("{scheme}://{at}");
            let proxy = direct(&telegram).set("--via", none).start().await;
            assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed, "{what}");
            eventually(&what, || {
                told(&proxy).iter().any(|line| line.contains("user"))
            })
            .await;
        }
        // Gone, and there again.
        let proxy = direct(&telegram).set("--via", url(PASSWORD)).start().await;
        served(&proxy).await;
        drop(running);
        assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed, "{what}");
        let mut running = Running::start(program, at, has_credentials).unwrap();
        running.listens(at).await;
        eventually("its coming back", || {
            smol::block_on(fate(&proxy, Kind::FakeTls)) == Fate::Answered
        })
        .await;
        telegram.assert_clean();
    }
}

#[test]
#[ignore = "needs danted, tinyproxy and microsocks"]
fn sessions_go_through_real_programs() {
    for program in Program::ALL {
        for has_credentials in [false, true] {
            run(through(program, has_credentials));
        }
    }
}
