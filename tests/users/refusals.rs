//! What is refused, and why.

use fake_telegram::crypto::hex;
use fake_telegram::secret::KEY;
use fake_telegram::wait::run;

use super::*;

#[test]
fn names_and_limits_that_are_none() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let key = hex(&KEY);
        for odd in ["a=b", "a,b", "a\"b", "#a", "own", &key] {
            let (status, why) = refused(&proxy, &format!("add {odd}"));
            assert_eq!(status, 64, "{odd}: {why}");
            assert!(!why.contains(&key), "{why}");
        }
        for line in [
            "add alice speed=1",
            "add alice quota=x",
            "limit alice",
            "rotate",
            "rename a b",
        ] {
            assert_eq!(refused(&proxy, line).0, 64, "{line}");
        }
        let keep = refused(&proxy, "rotate alice --keep 7");
        assert!(keep.0 == 64 && keep.1.contains("as 7d"), "{keep:?}");
        for line in ["limit alice max-ips=1", "rotate alice", "del alice"] {
            let (status, why) = refused(&proxy, line);
            assert!(
                status == 69 && why.contains("there is no user alice"),
                "{why}"
            );
        }
        assert_eq!(file(&proxy), None);
        // Others than this command may ask.
        for name in ["mother%40home", "%D0%90", "a%2Fb"] {
            let answer = asked(&proxy, &format!("POST /v1/users/{name}"));
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        for (call, status) in [
            ("POST /v1/users/a%20b", "400"),
            ("POST /v1/users/a%0Ab", "400"),
            ("POST /v1/users/own", "400"),
            ("POST /v1/users/x?speed=1", "400"),
            ("POST /v1/users/a%2Fb", "409"),
            ("PATCH /v1/users/x?quota=1G", "404"),
            ("PATCH /v1/users/a%2Fb", "400"),
            ("GET /v1/users/x", "404"),
            ("DELETE /v1/users", "405"),
        ] {
            let answer = asked(&proxy, call);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{call}: {answer}"
            );
        }
        let said = user(&proxy, "show nobody --json");
        let problem: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!((said.status, problem["status"].as_u64()), (69, Some(404)));
    });
}

/// The answer of its control socket to a request.
fn asked(proxy: &Proxy, call: &str) -> String {
    use std::io::{Read, Write};
    let path = proxy.directory().join("control");
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    write!(
        stream,
        "{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn secrets_of_the_config_are_changed_there() {
    run(async {
        let telegram = telegram();
        let mother = format!("mother=dd{}", hex(&[7; 16]));
        let proxy = started(options(&telegram).add("--secret", mother)).await;
        let config = proxy.directory().join("proxy.conf");
        for (name, is_named) in [("mother", true), ("secret1", false)] {
            for line in [
                "add NAME",
                "limit NAME max-ips=1",
                "rotate NAME",
                "del NAME",
            ] {
                let (status, why) = refused(&proxy, &line.replace("NAME", name));
                let place = format!("{name} is a --secret of {}:", config.display());
                assert!(status == 69 && why.contains(&place), "{why}");
            }
            let shown = json(&proxy, &format!("show {name}"));
            assert_eq!(shown["is_user"], false, "{is_named}");
        }
        assert_eq!(user(&proxy, "list").fine().lines().count(), 1);
    });
}

#[test]
fn there_are_ten_thousand_at_most() {
    run(async {
        let telegram = telegram();
        let options = options(&telegram).set("--link-name", "proxy.example.com");
        let line = |number: u32| format!("user{number}=dd{number:032x}\n");
        let lines: String = (0..10_000).map(line).collect();
        fs::write(options.directory().join("users"), lines).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(options.directory().join("users"), mode).unwrap();
        let proxy = started(options).await;
        let (status, why) = refused(&proxy, "add one-more");
        assert!(status == 69 && why.contains("there are "), "{why}");
        user(&proxy, "del user77").fine();
        let listed = json(&proxy, "list");
        assert_eq!(listed["users"].as_array().unwrap().len(), 9_999);
        let shown = json(&proxy, "show user9999");
        assert_eq!(shown["links"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_proxy_that_does_not_run_is_told_of() {
    run(async {
        let telegram = telegram();
        let stopped = started(options(&telegram)).await.stop().await;
        let directory = stopped.directory().display().to_string();
        let mut program = fake_telegram::harness::program(fake_telegram::built_binary!());
        let said = Said::by(program.args(["user", "add", "alice", "--data-dir", &directory]));
        assert_eq!(said.status, 69);
        assert!(
            said.stderr.contains("the proxy does not run"),
            "{}",
            said.stderr
        );
    });
}
