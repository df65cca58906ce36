//! By which way a client of direct mode gets to its DC, what is left alone when it
//! fails, and what is said of it.

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::harness::{BlackHole, Proxy, ProxyOptions, Route, Secured, Split, start};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, run};

async fn is_served_within(proxy: &Proxy, limit: Duration) -> Duration {
    let start = Instant::now();
    let mut client = proxy.client(Kind::Padded).dc(2).connect().await.unwrap();
    let fate = client.fate_of(&echo(1, 64)).await;
    assert_eq!(fate, Fate::Answered);
    let took = start.elapsed();
    assert!(took < limit, "{took:?}");
    took
}

fn tried(proxy: &Proxy, result: &str) -> u64 {
    let labels = format!("route=\"direct\",dc=\"2\",result=\"{result}\"");
    proxy.counted("route_connects_total", &labels)
}

/// What `ctl routes` says of DC 2 by `direct`.
fn shown(proxy: &Proxy) -> serde_json::Value {
    let output = proxy.command(&["ctl", "routes", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let routes = all["routes"].as_array().unwrap().clone();
    let of_dc = |row: &&serde_json::Value| row["dc"] == 2 && row["route"] == "direct";
    routes.iter().find(of_dc).cloned().unwrap_or_default()
}

#[test]
fn a_dead_address_holds_up_one_client() {
    run(async {
        let hole = BlackHole::new().unwrap();
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let good = telegram.direct_addresses(2)[0];
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct)
            .without("--dc")
            .add("--dc", format!("2={}", hole.address()))
            .add("--dc", format!("2={good}"));
        let proxy = options.start().await;
        let output = proxy.command(&["ctl", "routes"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("no client has been connected"), "{text}");
        let took = is_served_within(&proxy, Duration::from_secs(9)).await;
        assert!(took > Duration::from_secs(3), "{took:?}");
        for _ in 0..4 {
            is_served_within(&proxy, Duration::from_secs(3)).await;
        }
        assert_eq!(tried(&proxy, "opened"), 5);
        assert_eq!(shown(&proxy)["state"], "free");
        telegram.assert_clean();
    });
}

#[test]
fn a_dc_that_refuses_rests_and_is_tried_all_the_same() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        telegram.behave_dc(2, |b| b.direct_refuse = true);
        for _ in 0..2 {
            let mut client = proxy.client(Kind::Padded).dc(2).connect().await.unwrap();
            assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        }
        assert_eq!(tried(&proxy, "useless"), 2);
        let row = shown(&proxy);
        assert_eq!(
            (&row["state"], &row["why"]),
            (&"rests".into(), &"useless".into())
        );
        telegram.behave_dc(2, |b| b.direct_refuse = false);
        is_served_within(&proxy, Duration::from_secs(3)).await;
        let row = shown(&proxy);
        assert_eq!(row["state"], "free");
        assert!(row["worked_seconds_ago"].as_i64().unwrap() < 30, "{row}");
        telegram.assert_clean();
    });
}

/// Through a link too, where the back says it.
#[test]
fn a_dc_that_says_nothing_is_told_of_and_its_client_is_left_alone() {
    async fn starves(telegram: &FakeTelegram, front: &Proxy, back: &Proxy) {
        telegram.behave_dc(2, |b| b.direct_silent = true);
        let mut client = front.client(Kind::Padded).dc(2).connect().await.unwrap();
        client.send(&echo(1, 64)).await.unwrap();
        eventually("a line that starves", || tried(back, "starves") == 1).await;
        assert_eq!(shown(back)["why"], "starves");
        let told = || back.log_contains("DC 2 by direct: it connects, and then no byte comes");
        eventually("the line of the log", told).await;
        assert_eq!(front.counted("closed_total", "reason=\"route_failed\""), 0);
        assert_eq!(front.counted("clients", ""), 1);
        telegram.behave_dc(2, |b| b.direct_silent = false);
        is_served_within(front, Duration::from_secs(3)).await;
        assert_eq!(shown(back)["state"], "free");
    }
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        starves(&telegram, &proxy, &proxy).await;
        let split = Split::start(built_binary!(), Route::Direct, &Secured::default(), |o| o).await;
        starves(&split.telegram, &split.front, &split.back).await;
        let output = split.front.command(&["ctl", "routes"]);
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("ask its back"), "{text}");
    });
}

#[test]
fn a_list_is_taken_over_by_a_reload() {
    run(async {
        let change = |o: ProxyOptions| o.in_config_file();
        let (telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        is_served_within(&proxy, Duration::from_secs(3)).await;
        let with = |route: &'static str| {
            move |flags: &mut Vec<(&'static str, String)>| {
                let flag = flags.iter_mut().find(|(name, _)| *name == "--route");
                flag.unwrap().1 = route.to_owned();
            }
        };
        proxy.reload(with("auto"));
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        proxy.reload(with("direct,direct"));
        let refused = || proxy.counted("config_reload_failures_total", "") == 1;
        eventually("a reload that is refused", refused).await;
        is_served_within(&proxy, Duration::from_secs(3)).await;
        telegram.assert_clean();
    });
}
