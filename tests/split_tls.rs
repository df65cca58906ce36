//! The link through TLS with certificates of `certs`, and that command itself.
#![cfg(feature = "tls")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::harness::{
    Proxy, ProxyOptions, Route, Secured, Split, TemporaryDirectory, certify, certs,
};
use fake_telegram::payload::{self, echo};
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, is_emulated, run, within};

fn fine(words: &[&str], directory: &Path) -> String {
    certs(built_binary!(), words, directory).fine()
}

fn refused(words: &[&str], directory: &Path, code: i32) -> String {
    let said = certs(built_binary!(), words, directory);
    assert_eq!(said.status, code, "{}", said.stderr);
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    said.stderr
}

/// A CA with the front `home`.
fn made() -> TemporaryDirectory {
    certify(built_binary!(), ["home"])
}

#[test]
fn certs_makes_what_both_ends_need_and_overwrites_nothing() {
    let parent = TemporaryDirectory::new();
    let directory = parent.path().join("link");
    let printed = fine(&["init"], &directory);
    assert_eq!(printed.lines().count(), 6, "{printed}");
    let printed = fine(&["add-node", "home"], &directory);
    assert_eq!(printed.lines().count(), 3, "{printed}");
    for (file, mode) in [
        ("ca.key", 0o600),
        ("back.key", 0o600),
        ("home.key", 0o600),
        ("link.back.conf", 0o600),
        ("ca.pem", 0o644),
        ("refused.txt", 0o644),
        ("home.pem", 0o644),
    ] {
        let metadata = fs::metadata(directory.join(file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
    let before = fs::read(directory.join("ca.key")).unwrap();
    let text = refused(&["init"], &directory, 73);
    assert!(text.contains("is there already"), "{text}");
    let text = refused(&["add-node", "home"], &directory, 73);
    assert!(text.contains("home.pem is there already"), "{text}");
    assert_eq!(fs::read(directory.join("ca.key")).unwrap(), before);
    for name in ["", "ca", "back", "../home", "Home", "a b", &"a".repeat(41)] {
        let text = refused(&["add-node", name], &directory, 64);
        assert!(text.contains("cannot be a front's name"), "{text}");
    }
    let shown = fine(&["show"], &directory);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3, "{shown}");
    assert!(lines[0].starts_with("back.pem: back, until 20"), "{shown}");
    assert!(lines[2].starts_with("home.pem: home, until 20"), "{shown}");
    let text = refused(&["add-node", "home"], parent.path(), 66);
    assert!(text.contains("certs init"), "{text}");
    refused(&["show"], parent.path(), 66);
    fs::write(parent.path().join("x.pem"), "no certificate").unwrap();
    refused(&["show"], parent.path(), 65);
    // A place that nobody can write to, not even root.
    let text = refused(&["init"], Path::new("/proc/link"), 73);
    assert!(text.contains("cannot write /proc/link"), "{text}");
}

#[test]
fn a_key_of_another_ca_makes_no_front() {
    let (ours, other) = (made(), made());
    fs::copy(other.path().join("ca.key"), ours.path().join("ca.key")).unwrap();
    let text = refused(&["add-node", "office"], ours.path(), 65);
    assert!(text.contains("not what `certs init` made"), "{text}");
    assert!(!ours.path().join("office.pem").exists());
}

#[test]
fn the_made_configs_are_complete_but_for_the_address() {
    let directory = made();
    let moved = TemporaryDirectory::new();
    for file in ["link.home.conf", "ca.pem", "home.pem", "home.key"] {
        fs::copy(directory.path().join(file), moved.path().join(file)).unwrap();
    }
    let check = |path: &Path| {
        let mut command = Command::new(built_binary!());
        command.args(["check", "--offline", "--config"]).arg(path);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8(text).unwrap()
    };
    let front = moved.path().join("link.home.conf");
    let text = check(&front);
    assert!(
        text.contains("`<BACK-ADDRESS>:443`: expected the address or the name"),
        "{text}"
    );
    let conf = fs::read_to_string(&front).unwrap();
    fs::write(&front, conf.replace("<BACK-ADDRESS>", "192.0.2.1")).unwrap();
    for path in [front, directory.path().join("link.back.conf")] {
        let text = check(&path);
        assert!(text.contains("link files"), "{text}");
        assert!(!text.contains("cannot read"), "{text}");
    }
}

#[test]
fn clients_are_served_through_tls() {
    run(async {
        let directory = made();
        for route in Route::ALL {
            let secured = Secured::by_certificates(&directory, "home");
            let change = |o: ProxyOptions| match o.has("--listen") {
                true => o.set("--link-sni", "www.example.com"),
                false => o,
            };
            let split = Split::start(built_binary!(), route, &secured, change).await;
            eventually("a word of the back", || split.back.log_contains("(TLS)")).await;
            for kind in Kind::ALL {
                let mut client = split.front.client(kind).connect().await.unwrap();
                for size in [64, 1000, 100 << 10, 1 << 20] {
                    let outcome = within("an echo", client.echo(&echo(1, size))).await;
                    outcome.unwrap_or_else(|error| panic!("{kind:?}, {size}: {error}"));
                }
                let downloading = client.download(8 << 20, 1 << 20);
                within("a download", downloading).await.unwrap();
            }
            split.front.cleared().await;
            split.back.cleared().await;
            split.telegram.assert_clean();
        }
    });
}

/// More than the kernel takes at once, both ways, with clients that do not read
/// for a while.
#[test]
fn many_large_answers_and_packets_share_a_link_through_tls() {
    run(async {
        let directory = made();
        for route in Route::ALL {
            let secured = Secured::by_certificates(&directory, "home");
            let split = Split::start(built_binary!(), route, &secured, |o| o).await;
            // An emulator encrypts some MB a second.
            let size = 1 << 20;
            let (total, count) = if is_emulated() {
                (size, 3)
            } else {
                (8 * size, 9)
            };
            let mut clients = Vec::new();
            for kind in Kind::ALL.into_iter().cycle().take(count) {
                let mut client = split.front.client(kind).connect().await.unwrap();
                let request = payload::Command::SendMe { total, size };
                client.send(&request.payload()).await.unwrap();
                clients.push(client);
            }
            let mut quick = split.front.client(Kind::Padded).dc(4).connect().await;
            let quick = quick.as_mut().unwrap();
            for round in 0..4 {
                let outcome = within("an echo", quick.echo(&echo(round, 1 << 20))).await;
                outcome.unwrap_or_else(|error| panic!("{route:?}, {round}: {error}"));
            }
            let executor = smol::LocalExecutor::new();
            let tasks: Vec<_> = clients
                .into_iter()
                .map(|mut client| {
                    executor.spawn(async move {
                        client.take_download(total, size).await?;
                        client.echo(&echo(7, 1 << 20)).await
                    })
                })
                .collect();
            executor
                .run(async {
                    for task in tasks {
                        let outcome = within("a client's work", task).await;
                        outcome.unwrap_or_else(|error| panic!("{route:?}: {error}"));
                    }
                })
                .await;
        }
    });
}

/// Starts a back and a front that cannot agree; both must say why.
async fn disagree(back: ProxyOptions, front: ProxyOptions, words: [&str; 2]) -> (Proxy, Proxy) {
    let back = back.start().await;
    let front = front.start().await;
    for (side, words) in [(&back, words[0]), (&front, words[1])] {
        eventually(&format!("`{words}` in the log"), || {
            side.log_contains(words)
        })
        .await;
        let ends = side.counted("link_ends_total", "reason=\"tls\"");
        assert!(ends > 0, "{:#?}", side.log());
        assert_eq!(side.counted("links", ""), 0);
    }
    (back, front)
}

#[test]
fn wrong_certificates_are_refused_with_the_reason_on_both_ends() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let (ours, other) = (made(), made());
        fine(&["add-node", "old", "--days", "0"], ours.path());
        let days = ["add-node", "x", "--days", "4000000000"];
        assert!(refused(&days, ours.path(), 64).contains("up to 7300"));
        eventually("its expiry", || {
            fine(&["show"], ours.path()).contains("EXPIRED")
        })
        .await;
        let route = Route::Middle;
        let back = || {
            let back = ProxyOptions::back(
                built_binary!(),
                &telegram,
                &Secured::by_certificates(&ours, "home"),
            );
            let address = [back.listener()];
            (back, address)
        };
        let front = |secured: &Secured, address: &[std::net::SocketAddr]| {
            ProxyOptions::front(built_binary!(), &telegram, route, secured, address)
        };
        // A front of another CA: it refuses the back first.
        let (back_options, address) = back();
        let foreign = front(&Secured::by_certificates(&other, "home"), &address);
        let words = [
            "this side's certificate is of another CA",
            "is of another CA",
        ];
        disagree(back_options, foreign, words).await;
        // A foreign certificate with the right CA.
        let (back_options, address) = back();
        let file = |name: &str| other.path().join(name).display().to_string();
        let foreign = front(&Secured::by_certificates(&ours, "home"), &address)
            .set("--link-cert", file("home.pem"))
            .set("--link-key", file("home.key"));
        let words = [
            "is of another CA",
            "this side's certificate is of another CA",
        ];
        disagree(back_options, foreign, words).await;
        // An expired one.
        let (back_options, address) = back();
        let words = [
            "the other side's certificate has expired",
            "this side's certificate has expired",
        ];
        let old = front(&Secured::by_certificates(&ours, "old"), &address);
        let (_back, mut front_proxy) = disagree(back_options, old.in_config_file(), words).await;
        // A reload takes the right one.
        let file = |name: &str| ours.path().join(name).display().to_string();
        front_proxy.reload(|flags| {
            for (flag, value) in flags.iter_mut() {
                match *flag {
                    "--link-cert" => *value = file("home.pem"),
                    "--link-key" => *value = file("home.key"),
                    _ => {}
                }
            }
        });
        front_proxy.linked(1).await;
        let mut client = front_proxy.client(Kind::Padded).connect().await.unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Answered);
        // A front's certificate is none for a back.
        let (back_options, address) = back();
        let back_options = back_options
            .set("--link-cert", file("home.pem"))
            .set("--link-key", file("home.key"));
        let right = front(&Secured::by_certificates(&ours, "home"), &address);
        let words = [
            "the front does not take this certificate for a back's",
            "that is no back's certificate",
        ];
        disagree(back_options, right, words).await;
        // One side without TLS.
        let (back_options, address) = back();
        let plain = ProxyOptions::front(
            built_binary!(),
            &telegram,
            route,
            &Secured::default(),
            &address,
        );
        let back = back_options.start().await;
        let plain = plain.start().await;
        eventually("a word about it", || {
            back.log_contains("is the other side a link with TLS?")
        })
        .await;
        assert_eq!(plain.counted("links", ""), 0);
    });
}
