//! How answers to clients follow those of the site, from the first one on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, free_address, start};
use fake_telegram::payload::echo;
use fake_telegram::secret::DOMAIN;
use fake_telegram::wait::{eventually, run, within};
use smol_mtproxy_wire::client_hello::{self, Parsed};
use smol_mtproxy_wire::server_hello::FlightProfile;

use crate::site::{Manners, Site};
use crate::{answer_to, flight, fronted};

const MODEL: FlightProfile<u16> = FlightProfile {
    cipher_suite: 0x1302,
    post_quantum: true,
    versions_first: true,
    records: 1,
    lengths: 0,
};

/// As a server that names its groups to clients which lack the first of them: its
/// flights have 12 bytes more then. They take `delay`.
fn site(length: &Arc<AtomicU16>, delay: Duration) -> Site {
    let length = length.clone();
    let answers = move |asked: &[u8]| {
        thread::sleep(delay);
        let Ok(Parsed::Complete { value, .. }) = client_hello::parse(asked) else {
            return Vec::new();
        };
        let post_quantum = value.x25519_mlkem768.is_some();
        let more = if post_quantum { 0 } else { 12 };
        flight(&FlightProfile {
            post_quantum,
            lengths: length.load(Ordering::Relaxed) + more,
            ..MODEL
        })
    };
    Site::start(Manners::Makes(Arc::new(answers)))
}

fn answer(proxy: &Proxy, post_quantum: bool) -> FlightProfile<u16> {
    let client = proxy.client(Kind::FakeTls);
    let client = client.hello(|hello| hello.post_quantum = post_quantum);
    answer_to(proxy, &client.first_bytes())
}

/// A line of the file for a site whose flights have these lengths.
fn known(usual: &str, without: &str) -> String {
    format!("{DOMAIN} 1302 x25519mlkem768 versions-first lengths 1 {usual} {without}\n")
}

#[test]
fn the_first_clients_wait_for_the_first_answers_of_the_site() {
    run(async {
        let length = Arc::new(AtomicU16::new(3456));
        let site = site(&length, Duration::from_millis(300));
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        thread::scope(|scope| {
            for (post_quantum, length) in [(true, 3456), (false, 3468), (true, 3456)] {
                let proxy = &proxy;
                scope.spawn(move || {
                    let answer = answer(proxy, post_quantum);
                    let is_like_the_sites = answer.cipher_suite == 0x1302
                        && answer.versions_first
                        && answer.post_quantum == post_quantum
                        && answer.lengths == length;
                    assert!(is_like_the_sites, "{answer:?}");
                });
            }
        });
        let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        telegram.assert_clean();
    });
}

/// While the questions for the other domain are still going on.
#[test]
fn a_domain_that_a_reload_brings_is_asked_at_once() {
    run(async {
        let length = Arc::new(AtomicU16::new(3456));
        let site = site(&length, Duration::from_millis(100));
        let change = |options: ProxyOptions| fronted(&site)(options).in_config_file();
        let (telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        assert_eq!(answer(&proxy, true).lengths, 3456);
        proxy.reload(|flags| flags.push(("--tls-domain", "www.example.org".to_owned())));
        eventually("a reload", || proxy.log_contains("info reloaded: ")).await;
        for (post_quantum, length) in [(false, 3468), (true, 3456)] {
            let client = proxy.client(Kind::FakeTls).hello(|hello| {
                hello.domain = Some("www.example.org".to_owned());
                hello.post_quantum = post_quantum;
            });
            let answer = answer_to(&proxy, &client.first_bytes());
            assert_eq!((answer.cipher_suite, answer.lengths), (0x1302, length));
        }
        telegram.assert_clean();
    });
}

/// Not as long as the site is, nor a second time.
#[test]
fn nobody_waits_long_for_a_site_that_says_nothing() {
    run(async {
        let site = Site::start(Manners::Silent);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        let started = Instant::now();
        let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        assert!(started.elapsed() > Duration::from_secs(1));
        let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        // The site is asked for 8 seconds.
        assert!(!proxy.log_contains("it says nothing"));
        telegram.assert_clean();
    });
}

#[test]
fn a_renewed_certificate_shows_with_the_first_question() {
    run(async {
        let length = Arc::new(AtomicU16::new(3007));
        let site = site(&length, Duration::ZERO);
        let change = |options: ProxyOptions| {
            let earlier = ["3000,2999,2998", "3012,3011,3010"].map(|some| [some; 5].join(","));
            let earlier = known(&earlier[0], &earlier[1]);
            fs::write(options.directory().join("sites"), earlier).unwrap();
            fronted(&site)(options)
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        eventually("the new length", || answer(&proxy, true).lengths == 3007).await;
        assert_eq!(answer(&proxy, false).lengths / 10, 301);
        telegram.assert_clean();
    });
}

/// By the odds of the two numbers of a signature, which were too few to be seen.
#[test]
fn lengths_vary_as_signatures_do() {
    run(async {
        let nobody = free_address();
        let change = |options: ProxyOptions| {
            let earlier = known("3000,2999,2999,2998,2999,3000,2998,2998", "3100");
            fs::write(options.directory().join("sites"), earlier).unwrap();
            options.set("--fronting", nobody)
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut counts = BTreeMap::<u16, u32>::new();
        for _ in 0..160 {
            *counts.entry(answer(&proxy, true).lengths).or_default() += 1;
        }
        let count = |length| counts.get(&length).copied().unwrap_or(0);
        // Expected are 40, 80, 40; less than one in a million is as far off.
        let good = (12..=72).contains(&count(3000))
            && (48..=112).contains(&count(2999))
            && (12..=72).contains(&count(2998));
        let others = counts
            .keys()
            .filter(|length| !(2998..=3000).contains(*length));
        assert!(good && others.count() <= 2, "{counts:?}");
        assert_eq!(answer(&proxy, false).lengths, 3100);
        telegram.assert_clean();
    });
}
