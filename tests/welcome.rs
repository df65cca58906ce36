//! What a person sees who starts the proxy by hand: the log, then one invite that
//! works, with a QR code that fits the terminal.

use std::env;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use fake_telegram::built_binary;
use fake_telegram::harness::namespace::{inside, shell};
use fake_telegram::harness::{Process, ProxyOptions, TemporaryDirectory, binary};
use fake_telegram::wait::{eventually, run};

const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// The proxy on a terminal of 80 × 24; what that was sent goes to a file.
struct Terminal {
    _script: Process,
    directory: TemporaryDirectory,
}

impl Terminal {
    fn new(flags: &str) -> Self {
        let directory = TemporaryDirectory::new();
        let runner = env::var("SMOL_MTPROXY_RUNNER").unwrap_or_default();
        // The command that it shows is as long as these paths: short ones of our own.
        symlink(
            binary(built_binary!()),
            directory.path().join("smol-mtproxy"),
        )
        .unwrap();
        // That its terminal is gone is for the proxy a signal to reload: it ends with
        // its parent, as that does with this thread.
        let line = format!(
            "stty rows {ROWS} cols {COLUMNS}; \
             exec setpriv --pdeathsig KILL {runner} ./smol-mtproxy {flags} --self-test no --data-dir ."
        );
        let script = Process::start(
            Command::new("setpriv")
                .args(["--pdeathsig", "KILL", "script", "-qefc", &line, "screen"])
                .current_dir(directory.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
        );
        Self {
            _script: script,
            directory,
        }
    }

    /// The lines so far, without colours; `script` adds one of its own.
    fn lines(&self) -> Vec<String> {
        let bytes = std::fs::read(self.directory.path().join("screen")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let text = text.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
        let lines = text.lines().map(|line| line.trim_end_matches('\r'));
        let own = |line: &&str| !line.starts_with("Script ");
        lines.filter(own).map(str::to_owned).collect()
    }
}

fn is_code(line: &str) -> bool {
    line.starts_with(['█', '▀'])
}

/// Not a last line of nothing but light modules.
fn ends_code(line: &str) -> bool {
    is_code(line) && !line.contains(|c: char| c != '▀')
}

fn rows(line: &str) -> usize {
    line.chars().count().div_ceil(COLUMNS).max(1)
}

/// A network with one address of ours.
fn network(address: &str) {
    shell(&format!(
        "ip link add name wan type veth peer name isp && ip link set isp up && ip link set wan up && \
         ip address add {address}/32 dev wan && ip route add default dev wan src {address}"
    ));
}

#[test]
fn link_and_code_are_the_last_that_a_terminal_shows() {
    inside("link_and_code_are_the_last_that_a_terminal_shows", || {
        network("9.9.9.9");
        for (port, flags, start) in [
            (4431, "", "secret=dd"),
            (4432, "--tls-domain proxy.my-own-domain.com", "secret=ee"),
        ] {
            let terminal = Terminal::new(&format!("--listen :{port} {flags}"));
            let is_shown = || terminal.lines().iter().any(|line| ends_code(line));
            run(eventually("the code", is_shown));
            let lines = terminal.lines();
            let is_invite = |line: &String| line.starts_with("tg://proxy?");
            let invite = lines.iter().position(is_invite).unwrap();
            assert_eq!(lines.iter().filter(|line| is_invite(line)).count(), 1);
            let expected = format!("tg://proxy?server=9.9.9.9&port={port}&{start}");
            assert!(lines[invite].starts_with(&expected), "{lines:#?}");
            assert!(
                lines[invite - 1].contains(" link --listen :443"),
                "{lines:#?}"
            );
            // The log comes first, all of it.
            let (log, shown) = lines.split_at(invite - 1);
            for said in ["listening on", "at most", "public address 9.9.9.9"] {
                assert!(log.iter().any(|line| line.contains(said)), "{log:#?}");
            }
            assert!(log.iter().all(|line| line.starts_with("20")), "{log:#?}");
            assert!(shown[2..].iter().all(|line| is_code(line)), "{shown:#?}");
            // With the cursor's row.
            let height: usize = shown[1..].iter().map(|line| rows(line)).sum();
            assert!(height < ROWS, "{height}: {shown:#?}");
        }
    });
}

#[test]
fn another_address_makes_for_another_invite() {
    inside("another_address_makes_for_another_link", || {
        network("10.0.0.5");
        let options = ProxyOptions::bare(built_binary!());
        let listener = format!(":{}", options.listener().port());
        let proxy = options.set("--listen", &listener).spawn();
        let invite = |server: &str| format!("tg://proxy?server={server}&port={}&", &listener[1..]);
        run(async {
            let first = invite("10.0.0.5");
            eventually("a first link", || proxy.log_contains(&first)).await;
            // It is not said to work for others.
            assert!(proxy.log_contains("own (dd), from the local network only; all links: "));
            assert!(proxy.log_contains("10.0.0.5 is reached from the local network only"));
            shell(
                "ip address add 9.9.9.9/32 dev wan && ip route replace default dev wan src 9.9.9.9 && \
                 ip address delete 10.0.0.5/32 dev wan",
            );
            let next = invite("9.9.9.9");
            eventually("the next link", || proxy.log_contains(&next)).await;
            assert!(proxy.log_contains("own (dd); all links: "));
            // No terminal, no code.
            assert!(!proxy.log().iter().any(|line| is_code(line)));
        });
    });
}
