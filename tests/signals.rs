//! Ends and reloads.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::crypto::hex;
use fake_telegram::harness::{self, ProxyOptions, Route};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::{self, FakeTelegram};
use fake_telegram::wait::{eventually, run, within};

#[test]
fn it_drains_and_ends_well() {
    run(async {
        for (signal, route) in [("TERM", Route::Middle), ("INT", Route::Direct)] {
            let (telegram, mut proxy) = harness::start(built_binary!(), route, |o| o).await;
            let mut idle = proxy.client(Kind::Padded).connect().await.unwrap();
            within("an echo", idle.echo(&echo(1, 64))).await.unwrap();
            // Its answer is on the way while the signal comes.
            let mut waiting = proxy.client(Kind::Padded).connect().await.unwrap();
            within("an echo", waiting.echo(&echo(1, 64))).await.unwrap();
            let request = Command::EchoLater { millis: 300 }.payload();
            let taken = || telegram.counters().requests() + telegram.counters().direct_packets();
            let before = taken();
            waiting.send(&request).await.unwrap();
            eventually("its request", || taken() > before).await;
            proxy.signal(signal);
            let units = within("a close", waiting.until_closed()).await.unwrap();
            assert!(units.len() <= 1, "{units:?}");
            within("a close", idle.until_closed()).await.unwrap();
            let status = proxy.exit_status().await;
            assert_eq!(status.code(), Some(0), "{signal}: {:#?}", proxy.log());
            assert!(TcpStream::connect(proxy.address()).is_err());
            telegram.assert_clean();
        }
    });
}

#[test]
fn it_ends_at_once_without_clients() {
    run(async {
        let (_telegram, mut proxy) = harness::start(built_binary!(), Route::Middle, |o| o).await;
        proxy.signal("TERM");
        let began = std::time::Instant::now();
        assert_eq!(proxy.exit_status().await.code(), Some(0));
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn a_reload_changes_what_changed_and_drops_nobody() {
    run(async {
        let change = ProxyOptions::in_config_file;
        let (telegram, mut proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let mut clients = Vec::new();
        for kind in Kind::ALL {
            let mut client = proxy.client(kind).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            clients.push(client);
        }
        let (second, key) = (harness::free_address(), [0x5a; 16]);
        proxy.reload(|flags| {
            flags.push(("--listen", second.to_string()));
            flags.push(("--secret", format!("guest={}", hex(&key))));
        });
        eventually("the second listener", || TcpStream::connect(second).is_ok()).await;
        for address in [proxy.address(), second] {
            let mut guest = Kind::Padded.options(address).key(key);
            guest.dc = 4;
            let mut guest = guest.connect().await.unwrap();
            within("an echo", guest.echo(&echo(2, 64))).await.unwrap();
        }
        for client in &mut clients {
            within("an echo", client.echo(&echo(3, 64))).await.unwrap();
        }
        proxy.reload(|flags| flags.retain(|flag| flag.1 != second.to_string()));
        eventually("the second listener's end", || {
            TcpStream::connect(second).is_err()
        })
        .await;
        for client in &mut clients {
            within("an echo", client.echo(&echo(4, 64))).await.unwrap();
        }
        telegram.assert_clean();
        proxy.stop().await;
    });
}

/// From when on it catches SIGHUP, which ends a process else.
fn catches_hangups(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let signals = caught.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    signals.is_some_and(|signals| signals & 1 == 1)
}

#[test]
fn hangups_do_not_end_what_only_starts() {
    run(async {
        let telegram = FakeTelegram::start(telegram::Options::default()).unwrap();
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Middle);
        // It takes a while to read.
        let table = options.directory().join("table");
        let lines = (0..100_000_u32).map(|number| format!("{}\n", Ipv4Addr::from(number)));
        fs::write(&table, lines.collect::<String>()).unwrap();
        let options = options.add("--table", format!("many={}", table.display()));
        let options = options.in_config_file();
        // A test that has to wait for the processor sees it when all is over.
        for _ in 0..3 {
            let mut proxy = options.clone().spawn();
            eventually("a handler of SIGHUP", || catches_hangups(proxy.pid())).await;
            let mut hangups = 0;
            let began = Instant::now();
            while TcpStream::connect(proxy.address()).is_err() {
                assert!(began.elapsed() < Duration::from_secs(30), "no listener");
                proxy.signal("HUP");
                hangups += 1;
                assert!(proxy.is_running(), "{:#?}", proxy.log());
            }
            if hangups > 2 {
                let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
                within("an echo", client.echo(&echo(1, 64))).await.unwrap();
                let reloads = || proxy.counted("config_reloads_total", "");
                eventually("a reload", || reloads() > 0).await;
                telegram.assert_clean();
                drop(client);
                proxy.stop().await;
                return;
            }
        }
        panic!("SIGHUP is caught no sooner than clients are served");
    });
}

#[test]
fn a_removed_secret_is_not_served_after_a_reload() {
    run(async {
        let change = |o: ProxyOptions| {
            o.add("--secret", format!("guest={}", hex(&[0x5a; 16])))
                .set("--handshake-timeout", 1)
                .in_config_file()
        };
        let (telegram, mut proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let guest = proxy.client(Kind::Padded).key([0x5a; 16]);
        let mut before = guest.connect().await.unwrap();
        within("an echo", before.echo(&echo(1, 64))).await.unwrap();
        let lines = proxy.log().len();
        proxy.reload(|flags| flags.retain(|flag| !flag.1.starts_with("guest=")));
        eventually("a word about the reload", || {
            proxy.log()[lines..]
                .iter()
                .any(|line| line.contains("reload"))
        })
        .await;
        let mut after = guest.connect().await.unwrap();
        assert_eq!(after.fate_of(&echo(1, 64)).await, Fate::Closed);
        let mut own = proxy.client(Kind::Padded).connect().await.unwrap();
        within("an echo", own.echo(&echo(1, 64))).await.unwrap();
        telegram.assert_clean();
    });
}

#[test]
fn a_bad_reload_keeps_the_good_configuration() {
    run(async {
        let change = ProxyOptions::in_config_file;
        let (telegram, mut proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        proxy.reload(|flags| flags.push(("--no-such-flag", "1".to_owned())));
        eventually("a complaint that names the file", || {
            let log = proxy.log();
            let complaint = log.iter().find(|line| line.contains("no-such-flag"));
            complaint.is_some_and(|line| line.contains("proxy.conf:"))
        })
        .await;
        within("an echo", client.echo(&echo(2, 64))).await.unwrap();
        let mut fresh = proxy.client(Kind::Padded).connect().await.unwrap();
        within("an echo", fresh.echo(&echo(3, 64))).await.unwrap();
        telegram.assert_clean();
        proxy.stop().await;
    });
}

#[test]
fn mistakes_are_named_in_one_line() {
    run(async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().unwrap().to_string();
        for (flag, value, named) in [
            ("--no-such-flag", "1", "no-such-flag"),
            ("--listen", "nonsense", "nonsense"),
            ("--listen", taken.as_str(), taken.as_str()),
            ("--secret", "0123", "secret"),
            ("--tag", "xyz", "tag"),
            ("--route", "sideways", "sideways"),
            ("--allow", "everything", "everything"),
            ("--config", "/nowhere/proxy.conf", "/nowhere/proxy.conf"),
        ] {
            let options = ProxyOptions::bare(built_binary!());
            let listener = options.listener();
            let mut options = options.add("--secret", hex(&[1; 16]));
            if flag != "--listen" {
                options = options.add("--listen", listener);
            }
            let mut proxy = options.add(flag, value).spawn();
            let status = proxy.exit_status().await;
            assert!(
                status.code().is_some_and(|code| code != 0),
                "{flag} {value}: {status}"
            );
            eventually("the end of its log", || !proxy.log().is_empty()).await;
            let log = proxy.log();
            let naming = log.iter().filter(|line| line.contains(named));
            assert_eq!(naming.count(), 1, "{flag} {value}: {log:#?}");
        }
    });
}
