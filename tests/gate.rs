//! Policies, tables and what `ctl` changes of them, secrets for a server name.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::crypto::{hex, sha256};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, start};
use fake_telegram::payload::echo;
use fake_telegram::secret::{DOMAIN, KEY};
use fake_telegram::wait::{eventually, run};

/// Strangers are told at once, so that a test need not wait for a deadline.
fn brisk(options: ProxyOptions) -> ProxyOptions {
    options.set("--reset", "on-handshake-error")
}

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 77, 0, last).into()
}

#[test]
fn connections_are_counted_by_their_keys() {
    run(async {
        let change = |o: ProxyOptions| {
            brisk(o)
                .add("--policy", "max-connections:client-ipv4:2")
                .add("--policy", "max-connections:secret+client-subnet/24:3")
        };
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let from = |kind, last| proxy.client(kind).source(host(last));
        let mut first = vec![
            from(Kind::Padded, 1).served().await.unwrap(),
            from(Kind::FakeTls, 1).served().await.unwrap(),
        ];
        assert!(!from(Kind::Abridged, 1).is_served().await, "two an address");
        let second = from(Kind::Abridged, 2).served().await.unwrap();
        assert!(!from(Kind::FakeTls, 3).is_served().await, "three a subnet");
        assert_eq!(proxy.rejected("policy_connections"), 2);
        // Whoever leaves makes room.
        first.pop();
        eventually("a free place", || telegram.sessions().len() == 2).await;
        let third = from(Kind::FakeTls, 3).served().await;
        assert!(third.is_some(), "the place was not given back");
        drop((first, second, third));
        telegram.assert_clean();
    });
}

#[test]
fn places_never_leak() {
    run(async {
        let change = |o: ProxyOptions| {
            brisk(o)
                .set("--handshake-timeout", 1)
                .add("--policy", "max-connections:listener:3")
        };
        for route in Route::ALL {
            let (telegram, proxy) = start(built_binary!(), route, change).await;
            for round in 0..12 {
                for kind in Kind::ALL {
                    // Half a handshake, a wrong one, an unknown DC, an abrupt
                    // end: each gives back what it took.
                    let unfinished = proxy.client(kind).first_bytes();
                    let mut stream = std::net::TcpStream::connect(proxy.address()).unwrap();
                    std::io::Write::write_all(&mut stream, &unfinished).unwrap();
                    drop(stream);
                    let _ = proxy.client(kind).key([7; 16]).connect().await;
                    if round % 4 == 0 {
                        let lost = proxy.client(kind).dc(77);
                        if let Ok(mut lost) = lost.connect().await {
                            let _ = lost.send(&echo(1, 64)).await;
                        }
                    }
                }
            }
            let mut crowd: Vec<Client> = Vec::new();
            eventually_served(&proxy, &mut crowd, 3).await;
            assert!(!proxy.client(Kind::Padded).is_served().await);
            telegram.assert_clean();
        }
    });
}

async fn eventually_served(proxy: &Proxy, crowd: &mut Vec<Client>, wanted: usize) {
    let deadline = std::time::Instant::now() + fake_telegram::wait::patience();
    while crowd.len() < wanted {
        assert!(std::time::Instant::now() < deadline, "places leaked");
        match proxy.client(Kind::Padded).served().await {
            Some(client) => crowd.push(client),
            None => drop(smol::Timer::after(std::time::Duration::from_millis(20)).await),
        }
    }
}

#[test]
fn tables_decide_and_follow_their_files() {
    run(async {
        let change = |o: ProxyOptions| {
            let banned = o.directory().join("banned.txt");
            fs::write(&banned, "# bad ones\n127.77.0.0/30\n").unwrap();
            let sites = o.directory().join("sites.txt");
            fs::write(&sites, "EXAMPLE.com\n").unwrap();
            brisk(o)
                .add("--table", format!("banned={}", banned.display()))
                .add("--table", format!("sites={}", sites.display()))
                .add("--policy", "not-in-table:client-subnet/32:banned")
                .add("--policy", "in-table:tls-domain:sites")
                .in_config_file()
        };
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
        let client = |last| proxy.client(Kind::FakeTls).source(host(last));
        assert!(!client(2).is_served().await);
        assert!(client(4).is_served().await);
        assert!(!proxy.client(Kind::Padded).is_served().await, "no domain");
        assert_eq!(proxy.rejected("in_table"), 1);
        assert_eq!(proxy.rejected("not_in_table"), 1);
        let (second, fourth) = (client(2), client(4));

        let banned = proxy.directory().join("banned.txt");
        fs::write(&banned, "127.77.0.4\n").unwrap();
        proxy.reload(|_| {});
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        assert!(second.is_served().await);
        assert!(!fourth.is_served().await);

        // A bad line changes nothing and is named.
        fs::write(&banned, "127.77.0.2\ntwo words\n").unwrap();
        proxy.reload(|_| {});
        eventually("a complaint", || proxy.log_contains("banned.txt:2:")).await;
        assert_eq!(proxy.counted("config_reload_failures_total", ""), 1);
        assert!(second.is_served().await);
        telegram.assert_clean();
    });
}

#[test]
fn ctl_changes_tables_at_run_time() {
    run(async {
        let change = |o: ProxyOptions| {
            let file = o.directory().join("banned.txt");
            fs::write(&file, "# bad ones\n127.77.0.9  # old\n").unwrap();
            brisk(o)
                .add("--table", format!("banned={}", file.display()))
                .add("--policy", "not-in-table:client-ipv4:banned")
                .in_config_file()
        };
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
        let file = proxy.directory().join("banned.txt");
        let ctl = |proxy: &Proxy, words: &str| {
            let mut all = vec!["ctl"];
            all.extend(words.split(' '));
            let output = proxy.command(&all);
            let text = if output.status.success() {
                output.stdout
            } else {
                output.stderr
            };
            (output.status.code(), String::from_utf8(text).unwrap())
        };
        let ok = |text: &str| (Some(0), text.to_owned());
        let client = proxy.client(Kind::Padded).source(host(5));
        assert!(client.is_served().await);
        assert_eq!(ctl(&proxy, "table add banned 127.77.0.5"), ok("changed\n"));
        assert!(!client.is_served().await);
        assert_eq!(
            ctl(&proxy, "table add banned 127.77.0.5 --json"),
            ok("{\"changed\":false}\n")
        );
        assert_eq!(
            ctl(&proxy, "table list banned"),
            ok("127.77.0.5\n127.77.0.9\n")
        );
        // Not saved: a reload forgets it.
        proxy.reload(|_| {});
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        assert!(client.is_served().await);
        assert_eq!(
            ctl(&proxy, "table add banned 127.77.0.0/29 --save"),
            ok("changed\n")
        );
        assert_eq!(
            ctl(&proxy, "table del banned 127.77.0.9 --save"),
            ok("changed\n")
        );
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "# bad ones\n127.77.0.0/29\n"
        );
        proxy.reload(|_| {});
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 2
        })
        .await;
        assert!(!client.is_served().await);
        assert_eq!(
            ctl(&proxy, "table list banned --json"),
            ok("{\"entries\":[\"127.77.0.0/29\"]}\n")
        );
        assert_eq!(
            ctl(&proxy, "table del banned 127.77.0.0/29"),
            ok("changed\n")
        );
        assert!(client.is_served().await);

        let (code, problem) = ctl(&proxy, "table add friends 127.0.0.1");
        assert_eq!(code, Some(69));
        assert!(problem.contains("there is no table friends"), "{problem}");
        let (code, problem) = ctl(&proxy, "table add banned 10.0.0.0/40");
        assert_eq!(code, Some(69));
        assert!(problem.contains("10.0.0.0/40"), "{problem}");
        assert_eq!(ctl(&proxy, "table drop banned").0, Some(64));
        let socket = fs::metadata(proxy.directory().join("control")).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&socket);
        assert_eq!(mode & 0o777, 0o600);
        telegram.assert_clean();
        let options = proxy.stop().await;
        assert!(!options.directory().join("control").exists());
    });
}

#[test]
fn ctl_says_when_nobody_is_there() {
    let options = ProxyOptions::bare(built_binary!());
    let proxy = options.add("--no-such-flag", "1").spawn();
    let output = proxy.command(&["ctl", "secrets"]);
    assert_eq!(output.status.code(), Some(69));
    let problem = String::from_utf8(output.stderr).unwrap();
    assert!(problem.contains("the proxy does not run, or"), "{problem}");
    assert_eq!(problem.lines().count(), 1);
}

#[test]
fn another_process_leaves_the_socket_of_the_first_alone() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, brisk).await;
        let options = ProxyOptions::bare(built_binary!());
        let listener = options.listener();
        let control = proxy.directory().join("control");
        // A moment after its listener.
        eventually("its socket for ctl", || control.exists()).await;
        let second = options
            .add("--listen", listener)
            .add("--secret", hex(&KEY))
            .add("--control", control.display());
        let mut second = second.spawn();
        eventually("a word about the socket", || {
            second.log_contains("no socket for ctl")
        })
        .await;
        second.signal("TERM");
        assert_eq!(second.exit_status().await.code(), Some(0));
        assert!(proxy.command(&["ctl", "secrets"]).status.success());
        telegram.assert_clean();
    });
}

#[test]
fn mistakes_in_policies_are_named() {
    run(async {
        for (flags, named) in [
            (vec![("--policy", "most:secret:3")], "most:secret:3"),
            (
                vec![("--policy", "in-table:secret:friends")],
                "--table friends=FILE",
            ),
            (
                vec![("--table", "friends=/nowhere/friends")],
                "/nowhere/friends",
            ),
            (
                vec![("--table", "a=/dev/null"), ("--table", "a=/dev/null")],
                "two tables",
            ),
            (
                vec![("--secret", "alice=00112233445566778899aabbccddee00,max=3")],
                "unknown limit",
            ),
            (
                vec![(
                    "--secret",
                    "alice=00112233445566778899aabbccddee00,expires=soon",
                )],
                "YYYY-MM-DD",
            ),
            (vec![("--flood-limit", "fast")], "--flood-limit"),
            (vec![("--proxy-protocol", "here")], "--proxy-protocol"),
        ] {
            let options = ProxyOptions::bare(built_binary!());
            let listener = options.listener();
            let mut options = options.add("--listen", listener).add("--secret", hex(&KEY));
            for (flag, value) in flags {
                options = options.add(flag, value);
            }
            let mut proxy = options.spawn();
            let status = proxy.exit_status().await;
            assert!(status.code().is_some_and(|code| code != 0), "{named}");
            eventually("a word", || proxy.log_contains(named)).await;
        }
    });
}

/// What protocol.md says of derived secrets, once more.
fn derived(salt: &str, domain: &str) -> [u8; 16] {
    let text = [salt.as_bytes(), hex(&KEY).as_bytes(), domain.as_bytes()].concat();
    sha256(&[&text])[..16].try_into().unwrap()
}

#[test]
fn secrets_for_a_server_name() {
    run(async {
        let change = |o: ProxyOptions| brisk(o).set("--sni-salt", "pepper");
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let tls = |key| proxy.client(Kind::FakeTls).key(key);
        assert!(tls(derived("pepper", DOMAIN)).is_served().await);
        assert!(!tls(KEY).is_served().await, "the base secret");
        assert!(!tls(derived("salt", DOMAIN)).is_served().await);
        assert!(!tls(derived("pepper", "example.org")).is_served().await);
        assert_eq!(proxy.rejected("unknown_secret"), 3);
        assert!(
            proxy.client(Kind::Padded).is_served().await,
            "the padded form"
        );

        let key = hex(&KEY);
        let listener = proxy.address().to_string();
        let link = |more: &[&str]| {
            let words = ["link", "--json", "--secret", &key, "--listen", &listener];
            let output = proxy.command(&[&words[..], &["--sni-salt", "pepper"], more].concat());
            String::from_utf8(output.stdout).unwrap()
        };
        let names = ["--sni", "alice.example.com"];
        let secret = format!(
            "\"ee{}{}\"",
            hex(&derived("pepper", "alice.example.com")),
            hex(b"alice.example.com")
        );
        assert!(link(&names).contains(&secret), "{}", link(&names));
        let own = format!(
            "\"ee{}{}\"",
            hex(&derived("pepper", DOMAIN)),
            hex(DOMAIN.as_bytes())
        );
        assert!(link(&["--tls-domain", DOMAIN]).contains(&own));
        telegram.assert_clean();
    });
}

#[test]
fn any_name_may_have_its_secret() {
    run(async {
        let change = |o: ProxyOptions| {
            brisk(o)
                .set("--sni-salt", "pepper")
                .set("--tls-domain", "alice.example.com")
                .add("--tls-domain", "bob.example.com")
                .add("--policy", "max-connections:tls-domain:1")
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let client = |name: &str| {
            let key = derived("pepper", name);
            let client = proxy.client(Kind::FakeTls).key(key);
            client.hello(|hello| hello.domain = Some(name.to_owned()))
        };
        let alice = client("alice.example.com").served().await;
        assert!(alice.is_some());
        assert!(!client("alice.example.com").is_served().await, "she is in");
        assert!(client("bob.example.com").is_served().await);
        assert!(!client("carol.example.com").is_served().await);
        assert_eq!(proxy.rejected("unknown_server_name"), 1);
        telegram.assert_clean();
    });
}
