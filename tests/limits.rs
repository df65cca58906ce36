//! What the owner allows one secret.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind, Options};
use fake_telegram::crypto::hex;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, Split, start};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::{FakeTelegram, Flag};
use fake_telegram::wait::{eventually, run, within};
use smol::LocalExecutor;

const ALICE: [u8; 16] = [0xa1; 16];

/// A proxy with a second secret, `alice`, under these limits.
async fn start_with(route: Route, limits: &str) -> (FakeTelegram, Proxy) {
    let secret = alice(limits);
    start(built_binary!(), route, |o: ProxyOptions| {
        o.add("--secret", secret)
            .set("--reset", "on-handshake-error")
            .in_config_file()
    })
    .await
}

fn alice(limits: &str) -> String {
    format!("alice={},{limits}", hex(&ALICE))
}

fn client(proxy: &Proxy, kind: Kind) -> Options {
    proxy.client(kind).key(ALICE)
}

fn closed(proxy: &Proxy, reason: &str) -> u64 {
    proxy.counted("closed_total", &format!("reason=\"{reason}\""))
}

fn change_alice(flags: &mut Vec<Flag>, limits: &str) {
    flags.retain(|flag| !flag.1.starts_with("alice="));
    flags.push(("--secret", alice(limits)));
}

/// Bob's limits are none of his clients'.
#[test]
fn one_key_in_two_forms_is_the_first_secret() {
    run(async {
        let (telegram, mut proxy) = start_with(Route::Direct, "max-connections=1").await;
        let bob = format!("bob=dd{},max-connections=0", hex(&ALICE));
        proxy.reload(|flags| flags.push(("--secret", bob)));
        let warning = "the secrets alice and bob are one key";
        eventually("a warning", || proxy.log_contains(warning)).await;
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        let inside = client(&proxy, Kind::Padded).served().await.unwrap();
        assert!(client(&proxy, Kind::FakeTls).served().await.is_none());
        assert_eq!(proxy.rejected("secret_connections"), 1);
        drop(inside);
        telegram.assert_clean();
        let options = proxy.stop().await;
        let proxy = options.start().await;
        eventually("a warning", || proxy.log_contains(warning)).await;
    });
}

#[test]
fn connections_and_addresses() {
    run(async {
        let limits = "max-connections=3,max-ips=2";
        let (telegram, proxy) = start_with(Route::Middle, limits).await;
        let from = |kind, last| {
            let source: IpAddr = Ipv4Addr::new(127, 78, 0, last).into();
            client(&proxy, kind).source(source)
        };
        let mut inside = vec![
            from(Kind::Padded, 1).served().await.unwrap(),
            from(Kind::FakeTls, 2).served().await.unwrap(),
        ];
        assert!(
            from(Kind::Padded, 3).served().await.is_none(),
            "a third address"
        );
        inside.push(from(Kind::Padded, 2).served().await.unwrap());
        assert!(
            from(Kind::Padded, 1).served().await.is_none(),
            "a fourth one"
        );
        assert_eq!(proxy.rejected("secret_addresses"), 1);
        assert_eq!(proxy.rejected("secret_connections"), 1);
        assert_eq!(closed(&proxy, "no_answer"), 0, "they are there");
        // Others are not concerned.
        proxy.served_client(2).await;
        inside.remove(0);
        eventually("her end", || closed(&proxy, "client_closed") >= 2).await;
        assert!(from(Kind::FakeTls, 3).served().await.is_some());
        telegram.assert_clean();
    });
}

#[test]
fn an_expired_secret_ends_its_sessions() {
    run(async {
        for route in Route::ALL {
            let (telegram, mut proxy) = start_with(route, "expires=2999-12-31").await;
            let mut inside = Vec::new();
            for kind in Kind::ALL {
                inside.push(client(&proxy, kind).served().await.unwrap());
            }
            let mut other = proxy.served_client(2).await;
            proxy.reload(|flags| change_alice(flags, "expires=2020-12-31"));
            for client in &mut inside {
                within("its end", client.until_closed()).await.unwrap();
            }
            eventually("four ends", || closed(&proxy, "secret_expired") == 4).await;
            assert!(client(&proxy, Kind::FakeTls).served().await.is_none());
            assert_eq!(proxy.rejected("secret_expired"), 1);
            within("an echo", other.echo(&echo(2, 64))).await.unwrap();
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_quota_ends_sessions_and_outlives_a_restart() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start_with(route, "quota=300K").await;
            let mut idle = client(&proxy, Kind::FakeTls).served().await.unwrap();
            let mut busy = client(&proxy, Kind::Padded).served().await.unwrap();
            within("a download", busy.download(100_000, 10_000))
                .await
                .unwrap();
            let used = used_by_alice(&proxy);
            assert!((100_000..150_000).contains(&used), "{used}");

            // The use is kept when the proxy stops, and goes on from there.
            let options = proxy.stop().await;
            let kept = fs::read_to_string(options.directory().join("usage")).unwrap();
            let kept: u64 = kept.strip_suffix(" alice\n").unwrap().parse().unwrap();
            assert!(kept >= used, "{kept} < {used}");
            within("its end", idle.until_closed()).await.unwrap();
            let proxy = options.start().await;
            // A moment after its listener.
            let control = proxy.directory().join("control");
            eventually("its socket for ctl", || control.exists()).await;
            assert_eq!(used_by_alice(&proxy), kept);
            let mut idle = client(&proxy, Kind::FakeTls).served().await.unwrap();
            let mut busy = client(&proxy, Kind::Padded).served().await.unwrap();
            let mut rounds = 0;
            while within("an echo or an end", busy.echo(&echo(rounds, 50_000)))
                .await
                .is_ok()
            {
                rounds += 1;
                assert!(rounds < 20, "the quota is no limit");
            }
            within("its end", idle.until_closed()).await.unwrap();
            eventually("two ends", || closed(&proxy, "quota_used") == 2).await;
            assert!(client(&proxy, Kind::Padded).served().await.is_none());
            assert_eq!(proxy.rejected("quota_used"), 1);
            proxy.served_client(2).await;
            telegram.assert_clean();
        }
    });
}

/// Whoever stops the proxy may kill it before its clients have finished.
#[test]
fn what_was_used_is_on_the_disk_before_clients_have_finished() {
    run(async {
        let (telegram, mut proxy) = start_with(Route::Middle, "quota=1G").await;
        let mut client = client(&proxy, Kind::Padded).served().await.unwrap();
        proxy.signal("TERM");
        let usage = proxy.directory().join("usage");
        eventually("the file", || usage.exists()).await;
        assert!(proxy.is_running(), "it waits for the client");
        within("an echo", client.echo(&echo(2, 64))).await.unwrap();
        let early = fs::read_to_string(&usage).unwrap();
        assert_eq!(proxy.exit_status().await.code(), Some(0));
        // What the client has used since is not lost either.
        assert_ne!(fs::read_to_string(&usage).unwrap(), early);
        telegram.assert_clean();
    });
}

/// Forty sessions ask for far more than is left, all at once, and take it as fast
/// as it comes. A read is 64 KiB.
#[test]
fn a_quota_ends_all_sessions_at_once() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start_with(route, "quota=1M").await;
            overdraw(&proxy, &proxy, route).await;
            telegram.assert_clean();
            let change = |o: ProxyOptions| match o.has("--listen") {
                true => o.add("--secret", alice("quota=1M")),
                false => o,
            };
            let split = Split::start(built_binary!(), route, &Secured::default(), change).await;
            overdraw(&split.front, &split.back, route).await;
            split.telegram.assert_clean();
        }
    });
}

async fn overdraw(proxy: &Proxy, back: &Proxy, route: Route) {
    const SESSIONS: usize = 40;
    const QUOTA: u64 = 1 << 20;
    let mut sessions = Vec::new();
    for number in 0..SESSIONS {
        let kind = Kind::ALL[number % Kind::ALL.len()];
        sessions.push(client(proxy, kind).served().await.unwrap());
    }
    let mut idle = client(proxy, Kind::FakeTls).served().await.unwrap();
    let command = Command::SendMe {
        total: 4 << 20,
        size: 100_000,
    };
    for session in &mut sessions {
        // The quota may be used up before the last has asked.
        let _ = session.send(&command.payload()).await;
    }
    let executor = LocalExecutor::new();
    let taking = sessions.into_iter().map(|mut session| {
        executor.spawn(async move { while session.recv_packet().await.is_ok() {} })
    });
    let taking: Vec<_> = taking.collect();
    within(
        "their ends",
        executor.run(async {
            for one in taking {
                one.await;
            }
        }),
    )
    .await;
    within("the idle one's end", idle.until_closed())
        .await
        .unwrap();
    let used = proxy.counted("client_bytes_total", "direction=\"out\"");
    assert!(used <= QUOTA + 64 * 1024, "{route:?}: {used} bytes sent");
    eventually("all ends", || closed(proxy, "quota_used") > SESSIONS as u64).await;
    eventually("no session", || back.counted("dc_sessions", "") == 0).await;
}

/// As `ctl` tells it.
fn used_by_alice(proxy: &Proxy) -> u64 {
    let output = proxy.command(&["ctl", "secrets", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let secrets = json["secrets"].as_array().unwrap();
    let alice = secrets.iter().find(|secret| secret["name"] == "alice");
    alice.unwrap()["bytes"].as_u64().unwrap()
}

/// Half a second's worth may come at once; the rest takes its time. How long is
/// measured from below only: a busy machine is slower.
fn shortest(bytes: u32, rate: u32) -> Duration {
    let paced = bytes.saturating_sub(rate / 2 + rate / 4);
    Duration::from_secs_f64(f64::from(paced) / f64::from(rate))
}

#[test]
fn a_rate_paces_direct_downloads() {
    run(async {
        let (telegram, proxy) = start_with(Route::Direct, "rate=300K").await;
        let (bytes, rate) = (450 << 10, 300 << 10);
        for kind in [Kind::Padded, Kind::FakeTls] {
            let mut slow = client(&proxy, kind).served().await.unwrap();
            let began = Instant::now();
            within("a download", slow.download(bytes, 60 << 10))
                .await
                .unwrap();
            let took = began.elapsed();
            assert!(took >= shortest(bytes, rate), "{kind:?}: {took:?}");
            assert!(took < Duration::from_secs(20), "{kind:?}: {took:?}");
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_rate_paces_both_ways_and_all_sessions_together() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start_with(route, "rate=400K").await;
            let mut first = client(&proxy, Kind::Padded).served().await.unwrap();
            let mut second = client(&proxy, Kind::FakeTls).served().await.unwrap();
            let (rounds, size) = (3u32, 40_000);
            let echoes = async |client: &mut Client| {
                for round in 0..rounds {
                    let payload = echo(round, size as usize);
                    within("an echo", client.echo(&payload)).await.unwrap();
                }
            };
            let began = Instant::now();
            smol::future::zip(echoes(&mut first), echoes(&mut second)).await;
            let took = began.elapsed();
            // Two clients, two directions.
            let bytes = 4 * rounds * size;
            assert!(took >= shortest(bytes, 400 << 10), "{route:?}: {took:?}");

            // Others go at full speed meanwhile.
            let mut other = proxy.served_client(2).await;
            within("a download", other.download(4 << 20, 100_000))
                .await
                .unwrap();
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_paced_client_is_not_idle() {
    run(async {
        for route in Route::ALL {
            let secret = alice("rate=20K");
            let change = |o: ProxyOptions| o.add("--secret", secret).set("--idle-timeout", 1);
            let (telegram, proxy) = start(built_binary!(), route, change).await;
            let mut slow = client(&proxy, Kind::Padded).served().await.unwrap();
            // Far more than a second's worth, then the next request.
            let swallowed = Command::Swallow.payload_of(50_000);
            slow.send(&swallowed).await.unwrap();
            within("its answer", slow.recv_packet()).await.unwrap();
            within("an echo", slow.echo(&echo(3, 64))).await.unwrap();
            assert_eq!(closed(&proxy, "idle_timeout"), 0);
            telegram.assert_clean();
        }
    });
}

/// Downloads of other sessions do not keep one of the same secret from its turn.
#[test]
fn sessions_of_a_secret_take_turns_at_its_rate() {
    run(async {
        let (telegram, proxy) = start_with(Route::Direct, "rate=200K").await;
        let executor = LocalExecutor::new();
        for kind in [Kind::Padded, Kind::FakeTls] {
            let mut greedy = client(&proxy, kind).served().await.unwrap();
            let command = Command::SendMe {
                total: 20 << 20,
                size: 60 << 10,
            };
            greedy.send(&command.payload()).await.unwrap();
            let taking = async move { while greedy.recv_packet().await.is_ok() {} };
            executor.spawn(taking).detach();
        }
        let mut modest = client(&proxy, Kind::Padded).served().await.unwrap();
        let began = Instant::now();
        let echoes = async {
            for number in 0..5 {
                let answered = within("an echo", modest.echo(&echo(number, 64))).await;
                answered.unwrap();
            }
        };
        executor.run(echoes).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        telegram.assert_clean();
    });
}
