//! Telegram's lists: their server is down, slow or lying, or has news.

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::Fate;
use fake_telegram::control::{Close, Http};
use fake_telegram::harness::{self, ProxyOptions, Route, start};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, patience, run};

#[test]
fn middle_proxies_that_are_down_fall_over() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let dead = harness::free_address();
        let alive = telegram.middle_addresses(2)[0];
        let list = format!("default 2;\nproxy_for 2 {dead};\nproxy_for 2 {alive};\n");
        telegram.behave_http(Http::Config(list));
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Middle);
        let proxy = options.start().await;
        for _ in 0..4 {
            proxy.served_client(2).await;
        }
        telegram.assert_clean();
    });
}

#[test]
fn the_configuration_server_misbehaves() {
    for manners in [
        Http::Down,
        Http::Silent,
        Http::Slow(Duration::from_millis(200)),
        Http::Status(500),
        Http::Portal,
        Http::Garbage,
        Http::Truncated,
        Http::Empty,
        Http::Config("default 2;\nproxy_for 2 1.2.3.4".to_owned()),
    ] {
        run(starts_without_lists(manners));
    }
}

/// With no list at all the proxy starts and serves direct clients.
async fn starts_without_lists(manners: Http) {
    let telegram = FakeTelegram::start(Options::default()).unwrap();
    telegram.behave_http(manners.clone());
    let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
    let began = Instant::now();
    let proxy = options.start().await;
    proxy.served_client(2).await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{manners:?} delays the start"
    );
    telegram.assert_clean();
    proxy.stop().await;
}

#[test]
fn only_who_uses_the_lists_is_warned_about_them() {
    run(async {
        for (route, manners) in [
            (Route::Direct, Http::Down),
            (Route::Direct, Http::Portal),
            (Route::Middle, Http::Down),
            (Route::Middle, Http::Portal),
        ] {
            let telegram = FakeTelegram::start(Options::default()).unwrap();
            telegram.behave_http(manners);
            let options = ProxyOptions::new(built_binary!(), &telegram, route);
            let proxy = options.start().await;
            eventually("the first refresh", || {
                proxy.counted("directory_refreshes_total", "") >= 2
            })
            .await;
            let fails = std::env::var_os("SMOL_MTPROXY_LISTS").is_none();
            // The log comes through a pipe, a moment after the counter.
            if fails {
                let told = || proxy.log_contains("going on with the last good copy");
                eventually("a word about it", told).await;
            }
            let is_warned = || {
                let is_warning =
                    |line: &String| line.contains(" warn ") && line.contains("getProxy");
                proxy.log().iter().any(is_warning)
            };
            if fails && route == Route::Middle {
                eventually("a warning", is_warned).await;
            } else {
                assert!(!is_warned(), "{route:?}");
            }
        }
    });
}

#[test]
fn a_lying_refresh_changes_nothing() {
    run(async {
        let (telegram, proxy) =
            start(built_binary!(), Route::Middle, |o| o.set("--refresh", 1)).await;
        let mut client = proxy.served_client(2).await;
        for manners in [
            Http::Portal,
            Http::Garbage,
            Http::Truncated,
            Http::Empty,
            Http::Down,
            Http::Status(503),
            Http::Config("default 2;\nproxy_for 2 127.0.0.1:1;\nproxy_for 3 nonsense;\n".into()),
        ] {
            telegram.behave_http(manners.clone());
            let asked = telegram.counters().http_requests();
            eventually("a refresh", || {
                telegram.counters().http_requests() > asked + 1
            })
            .await;
            telegram.rotate_all(Close::Drop);
            // A packet that meets the end of its connection may be lost.
            if client.fate_of(&echo(1, 64)).await == Fate::Closed {
                client = proxy.served_client(2).await;
            }
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_refresh_brings_new_addresses() {
    run(async {
        let options = Options {
            addresses_per_dc: 2,
            ..Options::default()
        };
        let telegram = FakeTelegram::start(options).unwrap();
        let [first, second] = telegram.middle_addresses(2)[..] else {
            panic!("two addresses");
        };
        let list = |address| Http::Config(format!("default 2;\nproxy_for 2 {address};\n"));
        telegram.behave_http(list(first));
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Middle);
        let proxy = options.set("--refresh", 1).start().await;
        let mut client = proxy.served_client(2).await;
        telegram.behave_http(list(second));
        let deadline = Instant::now() + patience();
        while telegram.connections().iter().all(|one| one.local != second) {
            assert!(Instant::now() < deadline, "the new address is never used");
            telegram.rotate(Close::Drop, |one| one.local == first);
            client.fate_of(&echo(1, 64)).await;
            client = proxy.served_client(2).await;
        }
        telegram.assert_clean();
    });
}

#[test]
fn the_last_good_lists_are_kept_on_disk() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Middle);
        let proxy = options.start().await;
        proxy.served_client(2).await;
        let asked = telegram.counters().http_requests();
        assert!(asked >= 2, "only {asked} requests for lists");
        let options = proxy.stop().await;
        for manners in [Http::Down, Http::Garbage] {
            telegram.behave_http(manners);
        }
        let proxy = options.start().await;
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

/// Builds that fetch the lists learn the time with them; those that read them
/// from files have nobody to ask.
#[test]
fn a_wrong_clock_is_named_once() {
    run(async {
        for (offset, is_wrong) in [(-3600, true), (3600, true), (5, false)] {
            let telegram = FakeTelegram::start(Options::default()).unwrap();
            telegram.behave_http(Http::Dated(offset));
            let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
            let proxy = options.set("--refresh", 1).start().await;
            let fetches = std::env::var_os("SMOL_MTPROXY_LISTS").is_none();
            eventually("two refreshes", || {
                !fetches || telegram.counters().http_requests() >= 4
            })
            .await;
            let told = || {
                let log = proxy.log().into_iter();
                log.filter(|line| line.contains("this machine's clock is"))
                    .count()
            };
            let expected = usize::from(is_wrong && fetches);
            eventually("a word about the clock", || told() >= expected).await;
            assert_eq!(told(), expected, "{offset}");
            let shown = proxy.counted("clock_offset_seconds", "");
            let expected = if fetches { offset.unsigned_abs() } else { 0 };
            assert!(shown.abs_diff(expected) <= 3, "{shown} instead of {offset}");
            telegram.assert_clean();
        }
    });
}
