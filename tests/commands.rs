//! The short-lived commands, and how wrong words are answered.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

use fake_telegram::built_binary;
use fake_telegram::harness::{Process, Said, TemporaryDirectory, free_address, program};
use serde_json::Value;

const KEY: &str = "00112233445566778899aabbccddeeff";
/// `www.example.com` in hex.
const DOMAIN: &str = "7777772e6578616d706c652e636f6d";

/// The binary with the words of `line`.
fn command(line: &str) -> Command {
    let mut command = program(built_binary!());
    command.args(line.split_whitespace());
    command
}

fn say(line: &str) -> Said {
    Said::to(built_binary!(), line)
}

#[test]
fn secrets_of_every_form() {
    for (line, length, start, end) in [
        ("secret", 34, "dd", ""),
        ("secret dd", 34, "dd", ""),
        ("secret plain", 32, "", ""),
        ("secret ee www.example.com", 64, "ee", DOMAIN),
    ] {
        let said = say(line);
        assert_eq!(said.status, 0, "{}", said.stderr);
        let secret = said.stdout.strip_suffix('\n').unwrap();
        assert_eq!(secret.len(), length, "{line}");
        assert!(secret.starts_with(start) && secret.ends_with(end));
        let hint = format!("--secret NAME={secret}");
        assert!(said.stderr.contains(&hint), "{}", said.stderr);
        assert_ne!(say(line).stdout, said.stdout, "the same secret twice");
    }
    let said = say("secret ee www.example.com --json --server proxy.example");
    let json: Value = serde_json::from_str(&said.stdout).unwrap();
    let invite = json["links"][0]["tg"].as_str().unwrap();
    assert!(invite.contains("server=proxy.example"), "{invite}");
    assert!(
        invite.ends_with(json["secret"].as_str().unwrap()),
        "{invite}"
    );
}

#[test]
fn links_of_every_secret_and_listener() {
    let flags = format!(
        "link --server proxy.example --listen :1443 --listen :2443 \
         --secret anna=ee{KEY}{DOMAIN} --secret boris=dd{}",
        KEY.replace("00", "99")
    );
    let said = say(&flags);
    assert_eq!(said.status, 0, "{}", said.stderr);
    for port in [1443, 2443] {
        let query = format!("server=proxy.example&port={port}&secret=ee{KEY}{DOMAIN}");
        for start in ["tg://proxy?", "https://t.me/proxy?"] {
            let invite = format!("  {start}{query}\n");
            assert_eq!(said.stdout.matches(&invite).count(), 1, "{invite}");
        }
    }
    assert_eq!(said.stdout.matches("tg://").count(), 4);
    // A code is at least this many lines, each of which begins light.
    assert!(said.stdout.matches("\n████").count() > 4 * 15);
    let without = say(&format!("{flags} --no-qr"));
    assert!(!without.stdout.contains('█'));
    let json: Value = serde_json::from_str(&say(&format!("{flags} --json")).stdout).unwrap();
    let invites = json["links"].as_array().unwrap();
    assert_eq!(invites.len(), 4);
    assert_eq!(invites[0]["secret_name"], "anna");
}

/// The invites in it.
fn invites(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| line.starts_with("tg://")).collect()
}

#[test]
fn the_links_of_what_runs_with_the_same_flags() {
    let directory = TemporaryDirectory::new();
    let flags = format!(
        "--listen {} --link-name proxy.example:443 --data-dir {}",
        free_address(),
        directory.path().display()
    );
    let none = say(&format!("link {flags}"));
    assert_eq!((none.status, none.stdout.as_str()), (66, ""));
    assert!(none.stderr.contains("give no --secret"), "{}", none.stderr);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    let mut running = command(&format!("run {flags}"));
    let mut running = Process::start(running.stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut shown = BufReader::new(running.stdout.take().unwrap()).lines();
    let is_invite = |line: &String| !invites(line).is_empty();
    let first = shown.find_map(|line| line.ok().filter(is_invite)).unwrap();
    drop(running);
    let again = say(&format!("link --no-qr {flags}"));
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert_eq!(invites(&again.stdout), [first.trim()]);
    assert!(first.contains("server=proxy.example&port=443&secret=dd"));
}

#[test]
fn what_links_carry() {
    let flags = format!("link --no-qr --listen 192.0.2.1:1443 --secret {KEY}");
    for (more, carried) in [
        ("", "server=192.0.2.1&port=1443&"),
        ("--external-ip 192.0.2.9", "server=192.0.2.9&port=1443&"),
        ("--link-name Home.Example", "server=home.example&port=1443&"),
        (
            "--link-name [2001:db8::1]:443",
            "server=2001%3Adb8%3A%3A1&port=443&",
        ),
        ("--link-name a --server b:443", "server=b&port=443&"),
        (
            "--server [2001:db8::1]",
            "server=2001%3Adb8%3A%3A1&port=1443&",
        ),
    ] {
        let said = say(&format!("{flags} {more}"));
        assert_eq!(said.status, 0, "{}", said.stderr);
        assert_eq!(invites(&said.stdout).len(), 1, "{more}");
        assert!(said.stdout.contains(carried), "{more}: {}", said.stdout);
        // A name that the person gives is theirs to know.
        let warned = said.stderr.contains("local network");
        assert_eq!(warned, more.is_empty(), "{}", said.stderr);
    }
}

#[test]
fn a_secret_that_lets_nobody_in_is_marked() {
    let directory = TemporaryDirectory::new();
    std::fs::write(directory.path().join("usage"), "2048 carol\n7 bob\n").unwrap();
    let secret = |name: &str, start: &str, limit: &str| {
        format!("--secret {name}={}{limit}", KEY.replacen("00", start, 1))
    };
    let flags = format!(
        "--listen :1443 --external-ip 192.0.2.1 --data-dir {} {} {} {} {}",
        directory.path().display(),
        secret("alice", "dd01", ",expires=2026-01-31"),
        secret("bob", "dd02", ",expires=2999-01-31,quota=1K"),
        secret("carol", "dd03", ",quota=1K"),
        // Its clients count as Alice.
        secret("dora", "ee01", DOMAIN),
    );
    let said = say(&format!("link {flags}"));
    assert_eq!(said.status, 0, "{}", said.stderr);
    let expired = "  expired on 2026-01-31: clients with it are turned away; remove it, or extend \
                   it with expires=\n";
    assert_eq!(said.stdout.matches(expired).count(), 2, "{}", said.stdout);
    assert_eq!(said.stdout.matches("its quota is used up").count(), 1);
    assert_eq!(invites(&said.stdout).len(), 4);
    let doubled = "smol-mtproxy: the secrets alice and dora are one key: ";
    assert!(said.stderr.contains(doubled), "{}", said.stderr);
    // One code, Bob's.
    let one = say(&format!(
        "link --server 192.0.2.1 --listen :1443 {}",
        secret("bob", "dd02", "")
    ));
    let codes = |text: &str| text.matches('█').count();
    assert_eq!(codes(&said.stdout), codes(&one.stdout));
    let json: Value = serde_json::from_str(&say(&format!("link --json {flags}")).stdout).unwrap();
    let ended: Vec<_> = json["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["ended"].is_string())
        .collect();
    assert_eq!(ended, [true, false, true, true]);
    let said = say(&format!("check --offline {flags}")).stdout;
    for line in [
        "warn  secret alice: expired on 2026-01-31: ",
        "warn  secret carol: its quota is used up: ",
        "warn  config: the secrets alice and dora are one key: ",
    ] {
        assert_eq!(said.matches(line).count(), 1, "{line}: {said}");
    }
    assert!(!said.contains("secret bob"), "{said}");
}

/// A back has no secrets of clients, and a key of the link.
#[test]
fn check_says_of_a_back_too_what_others_may_read() {
    let directory = TemporaryDirectory::new();
    let psk = directory.path().join("psk");
    std::fs::write(&psk, KEY).unwrap();
    for (mode, warnings) in [(0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&psk, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = say(&format!(
            "check --offline --role back --link-listen {} --link-psk {} --data-dir {}",
            free_address(),
            psk.display(),
            directory.path().display()
        ));
        let warning = format!("warn  config: {} holds what is secret", psk.display());
        assert_eq!(
            said.stdout.matches(&warning).count(),
            warnings,
            "{}",
            said.stdout
        );
    }
}

#[test]
fn a_check_of_this_machine_alone() {
    let directory = TemporaryDirectory::new();
    let listener = free_address().to_string();
    let flags = format!(
        "check --offline --listen {listener} --external-ip 192.0.2.1 --secret anna={KEY} \
         --data-dir {}",
        directory.path().display()
    );
    let said = say(&flags);
    assert_eq!(said.status, 0, "{}", said.stdout);
    for line in [
        "ok    config: 1 listener, direct connections",
        "ok    secrets: 1: anna",
        "ok    address: 192.0.2.1 (--external-ip)",
    ] {
        assert!(said.stdout.lines().any(|l| l == line), "{}", said.stdout);
    }
    let closed = say(&format!(
        "{flags} --policy in-table:client-subnet/32/128:friends --table friends={}/friends",
        directory.path().display()
    ));
    let nobody = "warn  policies: --policy in-table lets nobody in, as the table friends is empty";
    assert!(closed.stdout.contains(nobody), "{}", closed.stdout);
    let foreign = say(&flags.replace(&listener, "198.51.100.1:8443"));
    assert_eq!(foreign.status, 69, "{}", foreign.stdout);
    assert!(foreign.stdout.contains("fail  listener 198.51.100.1:8443"));
    let json: Value = serde_json::from_str(&say(&format!("{flags} --json")).stdout).unwrap();
    assert_eq!(json["ok"], true);
}

#[test]
fn wrong_words_get_one_line_and_a_status() {
    for (line, status, way_out) in [
        ("--lisen :1", 64, "did you mean --listen?"),
        ("rum", 64, "smol-mtproxy --help"),
        ("--listen", 64, "--listen needs a value"),
        ("--listen nowhere", 64, "as in 192.0.2.1:443"),
        ("--listen ::1", 64, "a port behind them: [::1]:443"),
        ("--listen host:443", 64, "`host` is no IP address; give one"),
        ("--secret zz", 64, "smol-mtproxy secret"),
        (
            "--secret 0011223344556677889900112233445g",
            64,
            "not all hex digits",
        ),
        (
            "--external-ip home.example",
            64,
            "give --link-name home.example",
        ),
        ("link --server https://h", 64, "as in proxy.example.com"),
        ("--link-name a/b", 64, "as in proxy.example.com"),
        (
            "--secret a=0011223344556677889900112233445",
            64,
            "this one has 31: copy all of it",
        ),
        ("--tls-domain 192.0.2.1", 64, "give a domain"),
        (
            "--listen :1 --metrics 127.0.0.1:1",
            78,
            "give metrics another",
        ),
        ("--idle-timeout 5m", 64, "(seconds)"),
        (
            "--secret dd00112233445566778899aabbccddeeff --table a=/none/a",
            66,
            "mend the path, or make it",
        ),
        ("secret ee", 64, "secret ee DOMAIN"),
        ("secret ee 192.0.2.1", 64, "TLS asks for names"),
        ("run listen :1", 64, "did you mean --listen?"),
        ("certs init", 64, "see smol-mtproxy certs --help"),
        (
            "--allow tls --secret dd00112233445566778899aabbccddeeff",
            78,
            "",
        ),
        ("--listen :1 --listen :1", 78, "remove one of them"),
        ("--config /nonexistent/conf", 66, "--config"),
    ] {
        let said = say(line);
        assert_eq!(said.status, status, "{line}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{line}");
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
        assert!(said.stderr.starts_with("smol-mtproxy: "), "{}", said.stderr);
        assert!(said.stderr.contains(way_out), "{}", said.stderr);
    }
}

#[test]
fn help_and_version() {
    let help = say("--help");
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    for command in ["run", "link", "secret", "check"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")));
        let own = say(&format!("{command} --help"));
        assert_eq!(own.status, 0);
        assert!(own.stdout.starts_with("Usage: smol-mtproxy"), "{command}");
    }
    let version = say("--version").stdout;
    assert_eq!(
        version,
        concat!("smol-mtproxy ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn the_journal_knows_that_why_it_ended_is_an_error() {
    use std::os::unix::fs::MetadataExt;

    let directory = TemporaryDirectory::new();
    let path = directory.path().join("journal");
    let journal = std::fs::File::create(&path).unwrap();
    let about = journal.metadata().unwrap();
    let status = command("run --bogus")
        .env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()))
        .stderr(journal)
        .status();
    assert_eq!(status.unwrap().code(), Some(64));
    let said = std::fs::read_to_string(&path).unwrap();
    assert!(said.starts_with("<3>smol-mtproxy: --bogus"), "{said}");
}

/// Whoever chose a name or answers at a socket moves no cursor and adds no line.
#[test]
fn what_others_have_written_stays_in_its_line() {
    const NASTY: &str = "\x1b[2J\x1b]0;x\x07\nok";
    let folder = TemporaryDirectory::new();
    let socket = folder.path().join("control");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(&stream);
            while reader
                .read_line(&mut request)
                .is_ok_and(|length| length > 2)
            {}
            let status = ["200 OK", "404 Not Found"][number % 2];
            let body = "\x1b[2J\x1b]0;x\x07\n";
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    let given: [&[&str]; 5] = [
        &["link", "--config", NASTY],
        &["link", "--listen", NASTY],
        &["link", "--no-qr", "--data-dir", NASTY],
        &["ctl", "secrets", "--control", socket.to_str().unwrap()],
        &["ctl", "secrets", "--control", socket.to_str().unwrap()],
    ];
    for words in given {
        let output = command("").args(words).current_dir(folder.path()).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| *line == "ok").count();
        let is_plain = |c: char| !c.is_control() || c == '\n';
        assert!(lines == 0 && text.chars().all(is_plain), "{text:?}");
        assert!(text.contains("[2J"), "{text:?}");
    }
}
