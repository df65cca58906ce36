//! Many at a time, from where a loop may and may not come.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::namespace::{Namespace, inside, shell};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, free_address, start};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, patience, run, within};
use smol_mtproxy_wire::proxy_protocol::{ProxyAddresses, encode_v2};

use super::site::{Manners, Site, mirrored};
use super::{connect, expect, fronted, join};

fn fronting_failures(proxy: &Proxy, reason: &str) -> u64 {
    proxy.counted("fronting_failures_total", &format!("reason=\"{reason}\""))
}

/// What a relay says of a client.
fn told(client: &str) -> Vec<u8> {
    encode_v2(ProxyAddresses {
        client: client.parse().unwrap(),
        local: "192.0.2.1:443".parse().unwrap(),
    })
    .to_vec()
}

/// Takes connections and says nothing until it is let go.
struct Held {
    address: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Held {
    fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let came = Arc::<AtomicUsize>::default();
        let counted = came.clone();
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                held.push(stream);
            }
        });
        Self { address, came }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}

/// Thirty of one address that begin alike and get no answer: everybody's reach the
/// site. It is asked for its TLS answer besides.
#[test]
fn equal_openings_from_elsewhere_all_see_the_site() {
    run(async {
        let site = Held::start(free_address());
        let address = site.address;
        let change = |o: ProxyOptions| {
            o.set("--fronting", address)
                .set("--proxy-protocol", "127.0.0.1")
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut crowd = Vec::new();
        for number in 0..30 {
            let mut stream = connect(&proxy);
            let client = format!("203.0.113.9:{}", 40_000 + number);
            stream.write_all(&told(&client)).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            crowd.push(stream);
        }
        let fronted = || proxy.counted("fronted_total", "reason=\"http\"");
        eventually("all at the site", || fronted() == 30 && site.came() >= 30).await;
        assert_eq!(fronting_failures(&proxy, "loop"), 0);
        assert!(!proxy.log_contains("leads back"));
        telegram.assert_clean();
    });
}

/// The same without a relay, from an address that is nobody's here, though the
/// kernel would let us have it.
#[test]
fn equal_openings_need_no_relay_to_tell_who_comes() {
    let name = "crowds::equal_openings_need_no_relay_to_tell_who_comes";
    inside(name, || {
        run(async {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let namespace = Namespace::new();
            namespace.run("ip route add 198.51.100.0/24 dev people");
            namespace.run("echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind");
            shell("ip address add 198.51.100.7/32 dev people");
            let site = Held::start("10.99.1.1:8443".parse().unwrap());
            let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
            let options = namespace.hold(options).set("--fronting", site.address);
            let proxy = options.start().await;
            let source: IpAddr = Ipv4Addr::new(198, 51, 100, 7).into();
            let mut crowd = Vec::new();
            for _ in 0..20 {
                let connecting = fake_telegram::socket::connect_from(source, proxy.address());
                let stream = connecting.await.unwrap();
                let mut writer = stream.get_ref();
                writer.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
                crowd.push(stream);
            }
            let fronted = || proxy.counted("fronted_total", "reason=\"http\"");
            eventually("all at the site", || fronted() == 20).await;
            assert_eq!(fronting_failures(&proxy, "loop"), 0);
        });
    });
}

/// From where a loop may come a ninth waits for the answers of the others, and they
/// are no loop.
#[test]
fn equal_openings_from_here_wait_for_one_another() {
    run(async {
        let site = TcpListener::bind(free_address()).unwrap();
        let address = site.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in site.incoming().flatten() {
                thread::spawn(move || {
                    let mut got = Vec::new();
                    let mut byte = [0];
                    while !got.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut byte) {
                            Ok(1..) => got.extend(byte),
                            _ => return,
                        }
                    }
                    let _ = stream.write_all(b"answer");
                });
            }
        });
        let change = |o: ProxyOptions| o.set("--fronting", address);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let line = format!("GET /{} HTTP/1.0\r\n", "x".repeat(64));
        let mut crowd: Vec<_> = (0..30).map(|_| connect(&proxy)).collect();
        for stream in &mut crowd {
            stream.write_all(line.as_bytes()).unwrap();
        }
        eventually("eight at the site", || {
            proxy.counted("fronted_total", "") == 8 && fronting_failures(&proxy, "loop") == 22
        })
        .await;
        eventually("a word about it", || proxy.log_contains("--proxy-protocol")).await;
        for stream in &mut crowd {
            stream.write_all(b"\r\n").unwrap();
        }
        for stream in &mut crowd {
            expect(stream, b"answer", "one of thirty");
        }
        telegram.assert_clean();
    });
}

/// A relay of our own that leads back to us says that it is ourselves who come.
#[test]
fn a_loop_through_a_relay_that_tells_who_comes_ends_at_once() {
    run(async {
        let relay = TcpListener::bind(free_address()).unwrap();
        let site = relay.local_addr().unwrap();
        let change = |o: ProxyOptions| {
            o.set("--fronting", site)
                .set("--proxy-protocol", "127.0.0.1")
                .set("--handshake-timeout", 2)
        };
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let target = proxy.address();
        thread::spawn(move || {
            for near in relay.incoming().flatten() {
                thread::spawn(move || {
                    let client = near.peer_addr().unwrap().to_string();
                    join(near, target, &told(&client));
                });
            }
        });
        let comes = |number| {
            let mut stream = connect(&proxy);
            let client = format!("203.0.113.9:{}", 40_000 + number);
            stream.write_all(&told(&client)).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            stream
        };
        let came: Vec<_> = (0..3).map(comes).collect();
        for mut stream in came {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        assert!(fronting_failures(&proxy, "loop") >= 3);
        let asked = proxy.counted("site_probes_total", "") + 1;
        let rounds = proxy.counted("fronted_total", "");
        assert!(rounds <= 3 + asked, "{rounds} rounds, asked {asked}");
        eventually("a word about it", || {
            proxy.log_contains("leads back to this proxy;")
        })
        .await;
        eventually("no strangers", || proxy.counted("fronted", "") == 0).await;
    });
}

/// A relay that hears from us who comes, and tells it us again, may not have all the
/// places for one stranger.
#[test]
fn a_loop_through_a_relay_that_is_told_who_comes_is_short() {
    run(async {
        let relay = TcpListener::bind(free_address()).unwrap();
        let site = relay.local_addr().unwrap();
        let change = |o: ProxyOptions| {
            o.set("--fronting", site)
                .set("--fronting-proxy-protocol", "yes")
                .set("--proxy-protocol", "127.0.0.1")
        };
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let target = proxy.address();
        thread::spawn(move || {
            for near in relay.incoming().flatten() {
                thread::spawn(move || join(near, target, b""));
            }
        });
        let rounds = || proxy.counted("fronted_total", "reason=\"http\"");
        let mut strangers = Vec::new();
        for number in 1..=2 {
            let mut stream = connect(&proxy);
            let client = format!("203.0.113.9:{}", 40_000 + number);
            stream.write_all(&told(&client)).unwrap();
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            strangers.push(stream);
            eventually("a ninth round that is none", || {
                rounds() == 8 * number && proxy.rejected("http") == 9 * number
            })
            .await;
        }
        eventually("a word about it", || proxy.log_contains("leads back")).await;
    });
}

/// Each a hello of its own, signed with a key that nobody has.
fn burst(proxy: &Proxy, count: usize, source: Ipv4Addr) -> Vec<(TcpStream, Vec<u8>)> {
    let client = proxy.client(Kind::FakeTls).key([9; 16]);
    let one = |_| {
        let connecting = fake_telegram::socket::connect_from(source.into(), proxy.address());
        let stream = smol::block_on(connecting).unwrap().into_inner().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        let hello = client.first_bytes();
        let _ = (&stream).write_all(&hello);
        (stream, hello)
    };
    (0..count).map(one).collect()
}

/// What has become of a stranger; a reset is none of these.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    Silent,
    Ended,
}

fn fate((stream, hello): &mut (TcpStream, Vec<u8>)) -> Fate {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = vec![0; hello.len()];
    match stream.read(&mut bytes) {
        Ok(0) => Fate::Ended,
        Ok(length) => {
            assert!(mirrored(hello).starts_with(&bytes[..length]));
            Fate::Answered
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Fate::Silent,
        Err(error) => panic!("{error}"),
    }
}

const FLOODER: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);

/// As the site would answer them.
#[test]
fn a_burst_is_answered_as_far_as_the_machine_goes() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--max-clients", 4096);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut crowd = burst(&proxy, 900, FLOODER);
        for (stream, hello) in &mut crowd {
            expect(stream, &mirrored(hello), "one of 900");
        }
        assert_eq!(proxy.rejected("flood"), 0);
        telegram.assert_clean();
    });
}

/// Over the limit, and more than have places at the site: the others are as if
/// nobody accepted them, or make room, and none is reset. Places that become free
/// are theirs.
#[test]
fn a_burst_that_is_too_large_is_never_reset() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| {
            fronted(&site)(o)
                .set("--max-clients", 400)
                .set("--flood-limit", "1,20")
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let began = Instant::now();
        let mut crowd = burst(&proxy, 900, FLOODER);
        eventually("all of them", || proxy.counted("accepted_total", "") >= 900).await;
        // 20 may prove themselves; of the flood others leave half of the 100 places.
        eventually("guests", || proxy.counted("fronted", "") >= 50).await;
        let mut client = within("a place", proxy.client(Kind::FakeTls).connect())
            .await
            .unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        let mut other = burst(&proxy, 1, Ipv4Addr::new(127, 67, 0, 1)).remove(0);
        expect(&mut other.0, &mirrored(&other.1), "another stranger");

        let mut fates = vec![Fate::Silent; crowd.len()];
        let mut count = |wanted| {
            for (known, stranger) in fates.iter_mut().zip(&mut crowd) {
                if *known == Fate::Silent {
                    *known = fate(stranger);
                }
            }
            fates.iter().filter(|fate| **fate == wanted).count()
        };
        eventually("the guests' answers", || count(Fate::Answered) >= 50).await;
        let (answered, silent) = (count(Fate::Answered), count(Fate::Silent));
        // One more may prove itself each second.
        let more = began.elapsed().as_secs() + 1;
        assert!(
            (50..=50 + more).contains(&(answered as u64)) && silent >= 150,
            "{answered} answered, {silent} silent"
        );
        assert!(proxy.rejected("flood") >= 850 - more);
        let flooding = proxy.counted("fronted_total", "reason=\"flood\"");
        let least = 30_u64.saturating_sub(more);
        assert!((least..=50).contains(&flooding), "{flooding} of the flood");

        // Who has been answered goes; others come to the site.
        let mut fates = fates.into_iter();
        crowd.retain(|_| fates.next() == Some(Fate::Silent));
        let is_answered = |stranger: &mut _| fate(stranger) == Fate::Answered;
        eventually("places for those who wait", || {
            crowd.iter_mut().any(is_answered)
        })
        .await;
        telegram.assert_clean();
    });
}

/// Without a site a flood sees what other strangers see, and no reset either.
#[test]
fn a_flood_without_a_site_is_left_alone() {
    run(async {
        let change = |o: ProxyOptions| o.set("--flood-limit", "1,4").set("--handshake-timeout", 2);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut crowd = burst(&proxy, 20, FLOODER);
        eventually("a flood", || proxy.rejected("flood") >= 14).await;
        let is_silent = |stranger: &mut _| fate(stranger) == Fate::Silent;
        assert!(crowd.iter_mut().all(is_silent), "ended at once");
        for (stream, _) in &mut crowd {
            stream.set_nonblocking(false).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        telegram.assert_clean();
    });
}

/// What a flood may leave unread is bounded.
#[test]
fn who_waits_for_the_site_may_not_send_on() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| {
            fronted(&site)(o)
                .set("--max-clients", 64)
                .set("--flood-limit", "1,1")
                .set("--handshake-timeout", 60)
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let get = |stream: &mut TcpStream, number: u32| {
            let line = format!("GET /{number} HTTP/1.0\r\n\r\n");
            stream.write_all(line.as_bytes()).unwrap();
        };
        let mut crowd: Vec<_> = (0..12)
            .map(|number| {
                let mut stream = connect(&proxy);
                get(&mut stream, number);
                stream
            })
            .collect();
        eventually("half the places", || proxy.counted("fronted", "") == 8).await;
        eventually("a flood", || proxy.rejected("flood") >= 10).await;
        let last = crowd.last_mut().unwrap();
        let _ = last.write_all(&[b'x'; 40_000]);
        let mut rest = Vec::new();
        let ended = last.read_to_end(&mut rest);
        assert!(ended.is_ok() && rest.is_empty(), "{ended:?}");
        // A place at the site is for one of the three that are left.
        drop(crowd.drain(..8));
        eventually("others at the site", || {
            proxy.counted("fronted_total", "") == 11
        })
        .await;
        telegram.assert_clean();
    });
}

/// As fast as it can, from one address, all of it for a site that hangs up at once:
/// what a flood over the limit makes the site and the proxy do is behind clients.
#[test]
fn a_flood_that_the_site_sees_keeps_no_client_waiting() {
    run(async {
        let site = TcpListener::bind(free_address()).unwrap();
        let address = site.local_addr().unwrap();
        thread::spawn(move || site.incoming().for_each(drop));
        let change = |o: ProxyOptions| {
            o.set("--fronting", address)
                .set("--max-clients", 400)
                .set("--flood-limit", "1,20")
                .set("--log-level", "info")
        };
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let has_ended = Arc::<AtomicBool>::default();
        let (ended, target) = (has_ended.clone(), proxy.address());
        let flood = thread::spawn(move || {
            let mut held = VecDeque::new();
            let mut number = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                let connecting = fake_telegram::socket::connect_from(FLOODER.into(), target);
                if let Ok(stream) = smol::block_on(connecting) {
                    let line = format!("GET /{number} HTTP/1.0\r\n\r\n");
                    let mut writer = stream.get_ref();
                    let _ = writer.write(line.as_bytes());
                    held.push_back(stream);
                }
                number += 1;
                if held.len() > 500 {
                    held.pop_front();
                }
            }
        });
        eventually("a flood", || {
            proxy.counted("fronted_total", "reason=\"http\"") > 500
        })
        .await;
        let mut waits = Vec::new();
        for number in 0..15 {
            let source = Ipv4Addr::new(127, 67, 1, number).into();
            let began = Instant::now();
            let client = proxy.client(Kind::FakeTls).source(source);
            let mut client = within("a client", client.connect()).await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            waits.push(began.elapsed());
        }
        has_ended.store(true, Ordering::Relaxed);
        flood.join().unwrap();
        waits.sort();
        assert!(waits[7] < Duration::from_millis(500), "{waits:?}");
        assert!(proxy.rejected("flood") > 500);
        telegram.assert_clean();
    });
}
