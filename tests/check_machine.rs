//! `check` on machines that are broken on purpose: a firewall that is shut, a kernel that
//! lacks things; and its last line.
#![cfg(feature = "check")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fake_telegram::built_binary;
use fake_telegram::harness::{Said, TemporaryDirectory, free_address, program, skipped};
use serde_json::Value;

const SECRET: &str = "dd00112233445566778899aabbccddeeff";

/// The words of a check that needs nobody, for a port that the internet is to reach.
fn words(directory: &Path, port: u16) -> Vec<String> {
    let line = format!(
        "check --offline --listen 0.0.0.0:{port} --external-ip 192.0.2.1 --secret {SECRET} \
         --data-dir {}",
        directory.display()
    );
    line.split_whitespace().map(str::to_owned).collect()
}

fn line_with<'a>(said: &'a Said, text: &str) -> &'a str {
    let found = said.stdout.lines().find(|line| line.contains(text));
    found.unwrap_or_else(|| panic!("no {text} in {}", said.stdout))
}

/// A program that prints `text`, before all others of its name.
fn pretend(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_firewall_that_is_shut_is_suspected() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root reads the rules of a firewall");
    }
    let directory = TemporaryDirectory::new();
    let port = free_address().port();
    let rules = |accepted: u16| {
        format!(
            "table inet filter {{\n chain input {{\n  type filter hook input priority 0; policy \
             drop;\n  ct state established accept\n  tcp dport {{ 22, {accepted} }} accept\n }}\n}}"
        )
    };
    let check = || {
        let mut command = program(built_binary!());
        command.args(words(directory.path(), port));
        Said::by(command.env(
            "PATH",
            format!("{}:/usr/bin:/bin", directory.path().display()),
        ))
    };
    for name in ["iptables-save", "ip6tables-save"] {
        pretend(directory.path(), name, "");
    }
    pretend(directory.path(), "nft", &rules(80));
    let said = check();
    let line = line_with(&said, &format!("firewall, port {port}: "));
    assert!(
        line.starts_with("warn  ") && line.contains("probably do not get in"),
        "{line}"
    );
    assert!(line.contains(&format!("`ufw allow {port}/tcp`")), "{line}");
    // It is a suspicion, and no failure.
    assert_eq!(said.status, 0, "{}", said.stdout);
    pretend(directory.path(), "nft", &rules(port));
    let said = check();
    let line = line_with(&said, &format!("firewall, port {port}: "));
    assert!(
        line.starts_with("ok    ") && line.contains("seems to let clients in"),
        "{line}"
    );
    pretend(directory.path(), "nft", "");
    assert!(!check().stdout.contains("firewall"));
}

#[test]
fn what_a_kernel_lacks_is_said() {
    let directory = TemporaryDirectory::new();
    let port = free_address().port();
    let whole = Said::by(program(built_binary!()).args(words(directory.path(), port)));
    let line = line_with(&whole, " kernel: ");
    assert!(
        line.starts_with("ok    ") || line.contains("no IPv6 here"),
        "{line}"
    );
    if !Command::new("strace")
        .arg("-V")
        .output()
        .is_ok_and(|out| out.status.success())
    {
        return skipped("strace is not installed");
    }
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=setsockopt,splice",
    ]);
    command.args(["-e", "inject=setsockopt:error=ENOPROTOOPT"]);
    command.args(["-e", "inject=splice:error=ENOSYS"]);
    let program = fake_telegram::harness::binary(built_binary!());
    let said = Said::by(command.arg(program).args(words(directory.path(), port)));
    for name in [
        "TCP_NODELAY",
        "TCP_USER_TIMEOUT",
        "SO_REUSEPORT",
        "splice(2)",
    ] {
        let line = line_with(&said, &format!("kernel: no {name} here ("));
        assert!(line.starts_with("warn  "), "{line}");
    }
}

#[test]
fn the_last_line_counts_and_tells_the_exit_code() {
    let directory = TemporaryDirectory::new();
    let port = free_address().port();
    let fine = words(directory.path(), port);
    let mut broken = fine.clone();
    let foreign = broken.iter_mut().find(|word| word.starts_with("0.0.0.0"));
    *foreign.unwrap() = "198.51.100.1:8443".to_owned();
    for (words, status) in [(fine, 0), (broken, 69)] {
        let said = Said::by(program(built_binary!()).args(&words));
        assert_eq!(said.status, status, "{}", said.stdout);
        let (others, last) = said.stdout.trim_end().rsplit_once('\n').unwrap();
        let count = |grade: &str| {
            let of_grade = |line: &&str| line.starts_with(grade);
            others.lines().filter(of_grade).count()
        };
        let counts = ["ok", "warn", "fail"].map(|grade| (count(grade), grade));
        let there = counts.iter().filter(|(count, _)| *count > 0);
        let there: Vec<_> = there
            .map(|(count, grade)| format!("{count} {grade}"))
            .collect();
        let wanted = format!(" in all: {}; exit code {status}", there.join(", "));
        assert!(last.ends_with(&wanted), "{last}, not {wanted}");
        let json = Said::by(program(built_binary!()).args(&words).arg("--json"));
        let json: Value = serde_json::from_str(&json.stdout).unwrap();
        assert_eq!(json["ok"], status == 0);
        assert_eq!(json["summary"]["exit_code"], status);
        for (count, grade) in counts {
            assert_eq!(json["summary"][grade], count, "{json}");
        }
    }
}
