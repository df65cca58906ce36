//! Its command line.

use std::io::Write;
use std::process::Stdio;

use fake_telegram::built_binary;
use fake_telegram::harness::{Said, free_address, program};
use fake_telegram::secret::{KEY, padded};

use crate::link;

fn say(line: &str) -> Said {
    Said::to(built_binary!(), &format!("ping {line}"))
}

#[test]
fn slips_are_named_and_nothing_is_sent() {
    for (line, problem) in [
        ("", "ping needs a link"),
        ("h:443", "a proxy is given as"),
        ("tg://socks?server=h", "SOCKS5"),
        ("tg://proxy?server=h&port=1&secret=00", "32 hex digits"),
        ("h:1:dd00112233445566778899aabbccddeeff --dc 0", "--dc 0"),
        (
            "h:1:dd00112233445566778899aabbccddeeff --repeat 0",
            "--repeat 0",
        ),
        (
            "h:1:dd00112233445566778899aabbccddeeff --timeout 999",
            "--timeout 999",
        ),
        ("--frob", "--frob"),
    ] {
        let said = say(line);
        assert_eq!(said.status, 64, "{line}: {}", said.stderr);
        assert!(said.stderr.contains(problem), "{line}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
        assert!(!said.stderr.contains("00112233"), "{}", said.stderr);
    }
    let said = say("--help");
    assert!(said.stdout.contains("--repeat") && said.stdout.contains("Examples:"));
    assert!(
        !said.stdout.contains("flags of the config"),
        "{}",
        said.stdout
    );
}

#[test]
fn links_may_come_by_stdin() {
    let mut command = program(built_binary!());
    command.args(["ping", "--stdin", "--json", "--dc", "2"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let links = [free_address(), free_address()].map(|address| link(address, &padded(&KEY)));
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(format!("{}\n\n  {}  \n", links[0], links[1]).as_bytes())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["links"].as_array().unwrap().len(), 2, "{told}");
}
