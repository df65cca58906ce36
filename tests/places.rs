//! Who is not there any more gives its place to a newcomer of its secret.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::crypto::hex;
use fake_telegram::harness::namespace::{inside, shell};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, Split, start};
use fake_telegram::payload::{Command, echo};
use fake_telegram::wait::{eventually, run, within};
use smol::LocalExecutor;

const ALICE: [u8; 16] = [0xa1; 16];
const BOB: [u8; 16] = [0xb0; 16];

const OLD: &str = "127.78.0.1";
const NEW: &str = "127.78.0.2";

/// The time in a lift.
const AWAY: Duration = Duration::from_secs(4);

fn limited(options: ProxyOptions) -> ProxyOptions {
    if !options.has("--secret") {
        return options;
    }
    let alice = format!("alice={},max-ips=1", hex(&ALICE));
    let bob = format!("bob={},max-connections=2", hex(&BOB));
    let options = options.add("--secret", alice).add("--secret", bob);
    options.set("--reset", "on-handshake-error")
}

async fn served(proxy: &Proxy, kind: Kind, key: [u8; 16], source: &str) -> Option<Client> {
    let source: IpAddr = source.parse().unwrap();
    proxy.client(kind).key(key).source(source).served().await
}

fn no_answer(proxy: &Proxy) -> u64 {
    proxy.counted("closed_total", "reason=\"no_answer\"")
}

/// Four sessions of a phone whose network is gone; for one an answer is under way.
async fn leave_behind(proxy: &Proxy) -> Vec<Client> {
    let mut left = Vec::new();
    for (kind, key) in [
        (Kind::Padded, ALICE),
        (Kind::FakeTls, ALICE),
        (Kind::FakeTls, BOB),
        (Kind::Padded, BOB),
    ] {
        left.push(served(proxy, kind, key, OLD).await.expect("the first"));
    }
    let request = Command::EchoLater { millis: 500 };
    left[0].send(&request.payload()).await.unwrap();
    left
}

#[test]
fn sessions_that_answer_no_probe_give_their_places_to_newcomers() {
    inside(
        "sessions_that_answer_no_probe_give_their_places_to_newcomers",
        || {
            run(async {
                // What is routed by its source comes before what is for this machine.
                shell("ip rule add pref 10 lookup local && ip rule delete pref 0");
                // A site that answers whatever comes, and less time for a handshake
                // than the wait takes.
                let site = eager_site();
                let hidden = |o: ProxyOptions| {
                    let o = limited(o).set("--fronting", site);
                    o.set("--handshake-timeout", 3)
                };
                let (_telegram, direct) = start(built_binary!(), Route::Direct, hidden).await;
                let (_telegram, middle) = start(built_binary!(), Route::Middle, limited).await;
                let secured = Secured::default();
                let split = Split::start(built_binary!(), Route::Middle, &secured, limited).await;
                let proxies = [&direct, &middle, &split.front];
                let mut left = Vec::new();
                for proxy in proxies {
                    left.push(leave_behind(proxy).await);
                }
                shell(&format!("ip rule add pref 5 from {OLD} blackhole"));

                let executor = LocalExecutor::new();
                let began = Instant::now();
                let newcomers = proxies.into_iter().flat_map(|proxy| {
                    [(Kind::FakeTls, ALICE), (Kind::Padded, BOB)]
                        .map(|(kind, key)| executor.spawn(served(proxy, kind, key, NEW)))
                });
                let newcomers: Vec<_> = newcomers.collect();
                executor
                    .run(async {
                        for newcomer in newcomers {
                            assert!(newcomer.await.is_some(), "a newcomer is turned away");
                        }
                    })
                    .await;
                println!("served after {:.1} s", began.elapsed().as_secs_f32());
                for proxy in proxies {
                    eventually("four ends", || no_answer(proxy) == 4).await;
                    let line = " was full: 2 of its sessions were not there any more";
                    eventually("a word about it", || proxy.log_contains(line)).await;
                }
            });
        },
    );
}

fn eager_site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let guests: Vec<_> = listener.incoming().flatten().inspect(greet).collect();
        drop(guests);
    });
    address
}

fn greet(mut guest: &TcpStream) {
    let _ = guest.write_all(b"\x15\x03\x03\x00\x02\x02\x28");
}

/// A lift is no reason to lose a place.
#[test]
fn one_that_is_out_of_reach_for_seconds_keeps_its_place() {
    inside(
        "one_that_is_out_of_reach_for_seconds_keeps_its_place",
        || {
            run(async {
                shell("ip rule add pref 10 lookup local && ip rule delete pref 0");
                let (_telegram, proxy) = start(built_binary!(), Route::Direct, limited).await;
                let mut away = leave_behind(&proxy).await;
                shell(&format!("ip rule add pref 5 from {OLD} blackhole"));
                let back = async {
                    smol::Timer::after(AWAY).await;
                    shell(&format!("ip rule delete pref 5 from {OLD} blackhole"));
                };
                let began = Instant::now();
                let newcomer = served(&proxy, Kind::FakeTls, ALICE, NEW);
                let (newcomer, ()) = smol::future::zip(newcomer, back).await;
                assert!(newcomer.is_none() && began.elapsed() >= AWAY);
                for client in &mut away[1..] {
                    within("an echo", client.echo(&echo(2, 64))).await.unwrap();
                }
                assert_eq!(no_answer(&proxy), 0);
            });
        },
    );
}

/// A network that fails is no reason either: the newcomer answers no more than the
/// others.
#[test]
fn nobody_is_cut_off_while_nobody_can_answer() {
    inside("nobody_is_cut_off_while_nobody_can_answer", || {
        run(async {
            shell("ip rule add pref 10 lookup local && ip rule delete pref 0");
            let (_telegram, proxy) = start(built_binary!(), Route::Direct, limited).await;
            let mut held = Vec::new();
            for (kind, key) in [(Kind::Padded, ALICE), (Kind::FakeTls, ALICE)] {
                held.push(served(&proxy, kind, key, OLD).await.unwrap());
            }
            // What they acknowledge late is no answer.
            smol::Timer::after(Duration::from_millis(500)).await;
            let fails = async {
                let is_known = || proxy.counted("handshaking", "") == 1;
                eventually("a newcomer", is_known).await;
                smol::Timer::after(Duration::from_millis(300)).await;
                shell("ip rule add pref 5 from 127.78.0.0/24 blackhole");
                let is_gone = || proxy.counted("handshaking", "") == 0;
                eventually("the newcomer's end", is_gone).await;
                shell("ip rule delete pref 5 from 127.78.0.0/24 blackhole");
            };
            let newcomer = served(&proxy, Kind::FakeTls, ALICE, NEW);
            let (newcomer, ()) = smol::future::zip(newcomer, fails).await;
            assert!(newcomer.is_none());
            for client in &mut held {
                within("an echo", client.echo(&echo(2, 64))).await.unwrap();
            }
            assert_eq!(no_answer(&proxy), 0);
        });
    });
}

/// Who is there is asked too, answers, and keeps its place.
#[test]
fn one_that_only_is_silent_keeps_its_place() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start(built_binary!(), route, limited).await;
            let mut silent = served(&proxy, Kind::FakeTls, ALICE, OLD).await.unwrap();
            for _ in 0..3 {
                let began = Instant::now();
                assert!(served(&proxy, Kind::Padded, ALICE, NEW).await.is_none());
                println!("refused after {:.1} s", began.elapsed().as_secs_f32());
                within("an echo", silent.echo(&echo(2, 64))).await.unwrap();
            }
            assert!(served(&proxy, Kind::Padded, ALICE, OLD).await.is_some());
            assert_eq!(no_answer(&proxy), 0);
            let line = "a client of alice is turned away: more addresses than its secret's max-ips";
            eventually("a word about it", || proxy.log_contains(line)).await;
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_phone_may_change_its_address_within_its_network() {
    inside("a_phone_may_change_its_address_within_its_network", || {
        run(async {
            for address in ["fd77::1", "fd77::2:0:0:1", "fd77:0:0:1::1"] {
                shell(&format!("ip address add {address}/128 dev lo nodad"));
            }
            let change = |o: ProxyOptions| {
                let there = SocketAddr::new("::1".parse().unwrap(), o.listener().port());
                limited(o).listening_at(there)
            };
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let first = served(&proxy, Kind::Padded, ALICE, "fd77::1").await;
            let again = served(&proxy, Kind::FakeTls, ALICE, "fd77::2:0:0:1").await;
            assert!(first.is_some() && again.is_some());
            let other = served(&proxy, Kind::Padded, ALICE, "fd77:0:0:1::1").await;
            assert!(other.is_none(), "another network");
            telegram.assert_clean();
        });
    });
}
