//! What strangers see through the proxy's port: the site, all of it.

mod crowds;
mod manners;
mod records;
mod shape;
mod site;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Kind, is_close};
use fake_telegram::crypto::{from_hex, random};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, free_address, start};
use fake_telegram::payload::echo;
use fake_telegram::secret::{DOMAIN, KEY};
use fake_telegram::tls::{Clock, Hello};
use fake_telegram::wait::{eventually, patience, run, within};
use site::{FAREWELL, Manners, Site, mirrored};
use smol_mtproxy_wire::client_hello::{self, Parsed};
use smol_mtproxy_wire::proxy_protocol;
use smol_mtproxy_wire::secret::Secret;
use smol_mtproxy_wire::server_hello::{self, FlightProfile};
use smol_mtproxy_wire::site_flight;

fn fronted(site: &Site) -> impl FnOnce(ProxyOptions) -> ProxyOptions {
    let address = site.address;
    move |options| options.set("--fronting", address)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    stream
}

fn expect(stream: &mut TcpStream, expected: &[u8], what: &str) {
    let mut got = vec![0; expected.len()];
    stream
        .read_exact(&mut got)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(got == expected, "{what}: other bytes");
}

/// Says goodbye, and hears it from the site.
fn part(mut stream: TcpStream, what: &str) {
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, FAREWELL, "{what}");
}

/// What strangers of every sort begin with, and why they are strangers.
fn strangers(proxy: &Proxy) -> Vec<(&'static str, Vec<u8>)> {
    let hello = |kind: Kind| proxy.client(kind);
    let tls = hello(Kind::FakeTls);
    let at = |by| tls.clone().hello(|hello| hello.clock = Clock::Skewed(by));
    let mut malformed = tls.first_bytes();
    malformed[43] = 200;
    let other_name = tls.clone().hello(|hello| {
        hello.domain = Some("www.example.net".to_owned());
    });
    let no_name = tls.clone().hello(|hello| hello.domain = None);
    let two_records = tls.clone().key([7; 16]).hello(|hello| hello.records = 2);
    // All that is read of a hello, in records of one byte.
    let many_records = [1, 0, 0x30, 0].into_iter().chain([0; 2727]);
    let many_records = many_records.flat_map(|byte| [0x16, 3, 1, 0, 1, byte]);
    let many_records = many_records.collect::<Vec<u8>>();
    vec![
        ("unknown_secret", tls.clone().key([7; 16]).first_bytes()),
        ("unknown_secret", two_records.first_bytes()),
        ("clock_skew", at(-86_400).first_bytes()),
        ("unknown_server_name", other_name.first_bytes()),
        ("no_server_name", no_name.first_bytes()),
        ("bad_hello", malformed),
        ("bad_hello", many_records),
        ("http", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        (
            "http",
            [&b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[b'x'; 500]].concat(),
        ),
        ("unknown_secret", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("unknown_secret", random::<300>().map(|b| b | 0x80).to_vec()),
        (
            "classic_not_allowed",
            hello(Kind::Intermediate).first_bytes(),
        ),
        ("padded_not_allowed", hello(Kind::Padded).first_bytes()),
    ]
}

#[test]
fn strangers_see_the_site_and_it_sees_all_of_theirs() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--allow", "tls");
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let strangers = strangers(&proxy);
        for (reason, first) in &strangers {
            let before = proxy.counted("fronted_total", &format!("reason=\"{reason}\""));
            let mut stream = connect(&proxy);
            stream.write_all(first).unwrap();
            expect(&mut stream, &mirrored(first), reason);
            stream.write_all(b"and more").unwrap();
            expect(&mut stream, &mirrored(b"and more"), reason);
            part(stream, reason);
            let all = [first, &b"and more"[..]].concat();
            eventually("its end at the site", || site.got(&all)).await;
            let after = proxy.counted("fronted_total", &format!("reason=\"{reason}\""));
            assert_eq!(after, before + 1, "{reason}");
        }
        let client = proxy.client(Kind::FakeTls).connect().await;
        within("an echo", client.unwrap().echo(&echo(1, 512)))
            .await
            .unwrap();
        eventually("no strangers", || proxy.counted("fronted", "") == 0).await;
        telegram.assert_clean();
    });
}

/// Whoever recorded a client's first bytes sees the site with them, and so does
/// who recorded those of a real app.
#[test]
fn a_replay_sees_the_site() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        for recorded in [
            proxy.client(Kind::FakeTls).first_bytes(),
            tdlib_hello(),
            proxy.client(Kind::Padded).first_bytes(),
        ] {
            let mut first = connect(&proxy);
            first.write_all(&recorded).unwrap();
            if recorded[0] == 0x16 {
                expect(&mut first, &[0x16, 3, 3], "an answer");
            } else {
                eventually("a client", || proxy.counted("clients", "") == 1).await;
            }
            let mut again = connect(&proxy);
            again.write_all(&recorded).unwrap();
            expect(&mut again, &mirrored(&recorded), "a replay");
            part(again, "a replay");
        }
        assert_eq!(proxy.counted("fronted_total", "reason=\"replay\""), 3);
        telegram.assert_clean();
    });
}

/// As TDLib sent it, signed for the present.
fn tdlib_hello() -> Vec<u8> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/td-ee-0.json");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let recorded = from_hex(json["chunks"][0]["hex"].as_str().unwrap()).unwrap();
    Hello::signed_anew(&recorded, &KEY).unwrap().bytes
}

/// Half a hello, a few bytes of anything, nothing at all: the site's patience
/// and its answer count, not ours. And the port is open for padded clients, so
/// that few bytes could still become one.
#[test]
fn who_does_not_go_on_sees_the_site_too() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        let hello = proxy.client(Kind::FakeTls).first_bytes();
        for first in [&hello[..3], &hello[..700], b"EHLO mail\r\n", &[0; 63]] {
            let mut stream = connect(&proxy);
            stream.write_all(first).unwrap();
            expect(&mut stream, &mirrored(first), "an unfinished opening");
            part(stream, "an unfinished opening");
            eventually("its end at the site", || site.got(first)).await;
        }
        assert!(proxy.counted("fronted_total", "reason=\"site_answered\"") >= 4);
        // What ends before it could be a client's is the site's at once.
        let mut stream = connect(&proxy);
        stream.write_all(b"QUIT\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [&mirrored(b"QUIT\r\n"), FAREWELL].concat());
        telegram.assert_clean();
    });
}

#[test]
fn who_says_nothing_hears_a_site_that_speaks_first() {
    run(async {
        let site = Site::start(Manners::Greets(b"220 welcome\r\n".to_vec()));
        let change = |o: ProxyOptions| fronted(&site)(o).set("--handshake-timeout", 60);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut stream = connect(&proxy);
        expect(&mut stream, b"220 welcome\r\n", "silence");
        part(stream, "silence");
        telegram.assert_clean();
    });
}

/// A client on a bad line takes longer than strangers are waited for. The site
/// hears of it, says nothing to half a hello, and is left again.
#[test]
fn a_slow_client_is_still_a_client() {
    run(async {
        let site = Site::start(Manners::Silent);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--handshake-timeout", 60);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let hello = proxy.client(Kind::FakeTls).first_bytes();
        let mut stream = connect(&proxy);
        stream.write_all(&hello[..900]).unwrap();
        eventually("a visit", || {
            site.visits()
                .iter()
                .any(|visit| visit.bytes == hello[..900])
        })
        .await;
        stream.write_all(&hello[900..]).unwrap();
        expect(&mut stream, &[0x16, 3, 3], "an answer");
        eventually("the site's being left", || site.got(&hello[..900])).await;
        drop(stream);
        // Two seconds at least, at a millisecond each.
        let slow = proxy.client(Kind::FakeTls);
        let slow = slow.hello(|hello| hello.segment = Some(1));
        let mut client = within("a slow client", slow.connect()).await.unwrap();
        within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        telegram.assert_clean();
    });
}

#[test]
fn strangers_stay_past_the_handshake_timeout() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--handshake-timeout", 1);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut stream = connect(&proxy);
        let began = Instant::now();
        let mut turn = 0_u32;
        while began.elapsed() < Duration::from_secs(2) {
            let message = [b"GET ", &turn.to_be_bytes()[..]].concat();
            stream.write_all(&message).unwrap();
            expect(&mut stream, &mirrored(&message), "a long stay");
            turn += 1;
            smol::Timer::after(Duration::from_millis(200)).await;
        }
        part(stream, "a long stay");
        telegram.assert_clean();
    });
}

#[test]
fn bulk_goes_through_whole_both_ways() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--buffers", "1M");
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let data: Vec<u8> = (0..8_000_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut sender = connect(&proxy);
        let mut receiver = sender.try_clone().unwrap();
        sender.write_all(b"GET ").unwrap();
        let to_send = data.clone();
        let sending = thread::spawn(move || {
            sender.write_all(&to_send).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        receiver.read_to_end(&mut received).unwrap();
        sending.join().unwrap();
        let expected = [mirrored(b"GET "), mirrored(&data), FAREWELL.to_vec()].concat();
        assert!(received == expected, "{} bytes", received.len());
        eventually("free buffers", || {
            proxy.counted("buffer_bytes_used", "") == 0
        })
        .await;
        telegram.assert_clean();
    });
}

/// However many ask the site for more than they take, clients have the buffers.
#[test]
fn strangers_who_do_not_read_cost_no_buffers() {
    run(async {
        for route in Route::ALL {
            let site = Site::start(Manners::Floods);
            let change = |o: ProxyOptions| {
                fronted(&site)(o)
                    .set("--buffers", "1M")
                    .set("--max-clients", 1000)
            };
            let (telegram, proxy) = start(built_binary!(), route, change).await;
            let mut inside = Vec::new();
            for _ in 0..100 {
                let mut stream = connect(&proxy);
                let message = [&b"GET "[..], &random::<16>()].concat();
                stream.write_all(&message).unwrap();
                expect(&mut stream, &[0], "the answer's beginning");
                inside.push(stream);
            }
            assert_eq!(proxy.counted("fronted", ""), 100);
            for _ in 0..5 {
                for kind in [Kind::Padded, Kind::FakeTls] {
                    let mut client = proxy.client(kind).connect().await.unwrap();
                    within("a download", client.download(1 << 20, 100_000))
                        .await
                        .unwrap();
                    let used = proxy.counted("buffer_bytes_used", "");
                    assert!(used < 1 << 19, "{route:?}: {used} bytes of buffers");
                }
            }
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_reset_by_the_site_is_one_for_the_stranger() {
    run(async {
        let site = Site::start(Manners::Resets);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        let mut stream = connect(&proxy);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let error = stream.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        telegram.assert_clean();
    });
}

#[test]
fn the_site_is_down() {
    run(async {
        let nobody = free_address();
        let change = |o: ProxyOptions| o.set("--fronting", nobody).set("--handshake-timeout", 2);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut stream = connect(&proxy);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        assert!(ended.is_ok() || is_close(&ended.unwrap_err()));
        assert_eq!(answer, b"");
        assert!(proxy.counted("fronting_failures_total", "reason=\"refused\"") >= 1);
        eventually("a word about the site", || {
            proxy.log_contains("cannot learn from")
        })
        .await;
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

/// A server that has enough after the first bytes closes, and answers what comes
/// then with a reset, as nginx does to garbage.
#[test]
fn the_site_gets_in_one_piece_what_came_in_one() {
    run(async {
        let site = TcpListener::bind(free_address()).unwrap();
        let address = site.local_addr().unwrap();
        let change = |o: ProxyOptions| o.set("--fronting", address);
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let garbage: Vec<u8> = (128..=255).cycle().take(2000).collect();
        for _ in 0..30 {
            connect(&proxy).write_all(&garbage).unwrap();
            let mut first = vec![0x16];
            // The proxy's own questions are hellos.
            while first.first() == Some(&0x16) {
                let (mut guest, _) = site.accept().unwrap();
                guest.set_read_timeout(Some(patience())).unwrap();
                first.resize(4096, 0);
                let length = guest.read(&mut first).unwrap();
                first.truncate(length);
            }
            assert!(first == garbage, "{} bytes", first.len());
        }
    });
}

#[test]
fn the_proxy_is_never_its_own_site() {
    run(async {
        // By address.
        let change = |o: ProxyOptions| {
            let own = o.listener();
            o.set("--fronting", own).set("--handshake-timeout", 2)
        };
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut stream = connect(&proxy);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(proxy.counted("fronting_failures_total", "reason=\"our_address\"") >= 1);
        assert!(proxy.log_contains("leads back to this proxy"));
        assert_eq!(proxy.counted("fronted_total", ""), 0);
        let way_out = "and --fronting 127.0.0.1:8443 for its address";
        eventually("the way out", || proxy.log_contains(way_out)).await;
    });
}

/// As behind a NAT whose public address leads back: the proxy cannot know it
/// by the addresses.
#[test]
fn a_loop_through_a_relay_ends() {
    run(async {
        let relay = TcpListener::bind(free_address()).unwrap();
        let site = relay.local_addr().unwrap();
        let change = |o: ProxyOptions| o.set("--fronting", site).set("--handshake-timeout", 2);
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let target = proxy.address();
        thread::spawn(move || {
            for stream in relay.incoming().flatten() {
                thread::spawn(move || join(stream, target, b""));
            }
        });
        for number in 1..=3 {
            let mut stream = connect(&proxy);
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let failed = || proxy.counted("fronting_failures_total", "reason=\"loop\"");
            eventually("the end of the circle", || failed() >= number).await;
            drop(stream);
            // But the question how the site answers, which goes round too.
            eventually("no strangers", || proxy.counted("fronted", "") <= 8).await;
        }
        let rounds = proxy.counted("fronted_total", "");
        let asked = proxy.counted("site_probes_total", "") + 1;
        assert!(rounds <= (3 + asked) * 8, "{rounds} rounds, asked {asked}");
        proxy.served_client(2).await;
    });
}

/// Hands on what comes from `near` and back, `greeting` first.
fn join(near: TcpStream, target: SocketAddr, greeting: &[u8]) {
    let Ok(mut far) = TcpStream::connect(target) else {
        return;
    };
    let _ = far.write_all(greeting);
    let (mut from, mut to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let there = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (far, near);
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = there.join();
}

#[test]
fn only_so_many_strangers_are_at_the_site() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--max-clients", 64);
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut inside = Vec::new();
        for _ in 0..16 {
            let mut stream = connect(&proxy);
            let message = [&b"GET "[..], &random::<16>()].concat();
            stream.write_all(&message).unwrap();
            expect(&mut stream, &mirrored(&message), "one of sixteen");
            inside.push(stream);
        }
        let mut outside = connect(&proxy);
        outside.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        eventually("one too many", || {
            proxy.counted("fronting_failures_total", "reason=\"too_many\"") == 1
        })
        .await;
        proxy.served_client(2).await;
        // It waits for the next one to leave.
        part(inside.pop().unwrap(), "the sixteenth");
        expect(
            &mut outside,
            &mirrored(b"GET / HTTP/1.0\r\n\r\n"),
            "another sixteenth",
        );
        telegram.assert_clean();
    });
}

/// Silent connections do not take all the places at the site.
#[test]
fn silence_leaves_room_for_others() {
    run(async {
        let site = Site::start(Manners::Silent);
        let change = |o: ProxyOptions| {
            fronted(&site)(o)
                .set("--max-clients", 64)
                .set("--handshake-timeout", 60)
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let silent: Vec<_> = (0..20).map(|_| connect(&proxy)).collect();
        eventually("more silence than has room", || {
            proxy.counted("fronting_failures_total", "reason=\"too_many\"") >= 12
        })
        .await;
        assert_eq!(proxy.counted("fronted", ""), 8);
        let mut stream = connect(&proxy);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        part(stream, "a stranger beside them");
        drop(silent);
        telegram.assert_clean();
    });
}

#[test]
fn the_site_can_be_told_who_comes() {
    run(async {
        let site = Site::start(Manners::Mirror);
        let change = |o: ProxyOptions| fronted(&site)(o).set("--fronting-proxy-protocol", "yes");
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut stream = connect(&proxy);
        let addresses = (stream.local_addr().unwrap(), proxy.address());
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        let told = site.visits().into_iter().find_map(|visit| {
            let header = proxy_protocol::parse(&visit.bytes).ok()??;
            let addresses = header.addresses?;
            assert_eq!(visit.bytes[header.consumed..], *b"GET / HTTP/1.0\r\n\r\n");
            Some((addresses.client, addresses.local))
        });
        assert_eq!(told, Some(addresses));
        telegram.assert_clean();
    });
}

#[test]
fn the_site_can_be_a_unix_socket() {
    run(async {
        let change = |o: ProxyOptions| {
            let path = o.directory().join("site.sock");
            Site::start_unix(&path, Manners::Mirror);
            o.set("--fronting", format!("unix:{}", path.display()))
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let mut stream = connect(&proxy);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        expect(&mut stream, &mirrored(b"GET / HTTP/1.0\r\n\r\n"), "unix");
        part(stream, "unix");
        telegram.assert_clean();
    });
}

/// A flight such as `profile` describes, for a hello with any session id: the
/// proxy's question is answered as if it had asked for it.
fn flight(profile: &FlightProfile<u16>) -> Vec<u8> {
    let asked = client_hello(&fake_telegram::tls::Hello::new(
        &fake_telegram::tls::HelloOptions::for_domain(DOMAIN),
        &[1; 16],
    ));
    let secret = Secret([1; 16]);
    server_hello::answer(
        &asked,
        &secret,
        &profile.with_lengths(profile.lengths.into()),
        &mut fake_telegram::crypto::fill_random,
    )
}

fn client_hello(hello: &fake_telegram::tls::Hello) -> client_hello::ClientHello {
    match client_hello::parse(&hello.bytes) {
        Ok(Parsed::Complete { value, .. }) => value,
        _ => panic!("a hello of ours cannot be read"),
    }
}

/// The answer of the proxy to a client.
fn answer(proxy: &Proxy) -> FlightProfile<u16> {
    answer_to(proxy, &proxy.client(Kind::FakeTls).first_bytes())
}

fn answer_to(proxy: &Proxy, hello: &[u8]) -> FlightProfile<u16> {
    let mut stream = connect(proxy);
    stream.write_all(hello).unwrap();
    let mut answer = Vec::new();
    while fake_telegram::tls::flight_len(&answer).is_none() {
        let mut buffer = [0; 4096];
        let length = stream.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "no answer");
        answer.extend_from_slice(&buffer[..length]);
    }
    site_flight::read(&answer).unwrap()
}

#[test]
fn answers_are_like_those_of_the_site() {
    run(async {
        let model = |lengths| FlightProfile {
            cipher_suite: 0x1303,
            post_quantum: false,
            versions_first: false,
            records: 1,
            lengths,
        };
        // By these an ECDSA signature is known.
        let answers = [4322, 4321, 4323, 4322].map(|length| flight(&model(length)));
        let site = Site::start(Manners::AnswersInTurn(answers.to_vec()));
        let is_like_it = |answer: &FlightProfile<u16>| {
            (4319..=4323).contains(&answer.lengths) && *answer == model(answer.lengths)
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        eventually("a measured site", || proxy.log_contains("answers TLS with")).await;
        let got = answer(&proxy);
        assert!(is_like_it(&got), "{got:?}");
        assert!(proxy.counted("site_probes_total", "outcome=\"measured\"") >= 1);
        let mut client = proxy.client(Kind::FakeTls).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        let asked = site.visits()[0].bytes.clone();
        match client_hello::parse(&asked) {
            Ok(Parsed::Complete { value, consumed }) => {
                assert_eq!(value.sni.unwrap().as_str(), DOMAIN);
                assert!(value.tls13 && value.x25519_mlkem768.is_some());
                assert_eq!(consumed, asked.len());
            }
            _ => panic!("the question is no hello"),
        }
        eventually("a file", || proxy.directory().join("sites").exists()).await;
        drop(client);

        // The next run knows it before it has asked.
        let nobody = free_address();
        let options = proxy.stop().await.set("--fronting", nobody);
        let proxy = options.start().await;
        let got = answer(&proxy);
        assert!(is_like_it(&got), "{got:?}");
        telegram.assert_clean();
    });
}

/// As ECDSA signatures may, now and then.
#[test]
fn a_site_whose_answers_are_alike_for_a_while_is_asked_on() {
    run(async {
        let model = |lengths| FlightProfile {
            cipher_suite: 0x1303,
            post_quantum: false,
            versions_first: false,
            records: 1,
            lengths,
        };
        let later = [4323, 4322, 4322, 4321, 4323, 4322, 4321, 4323, 4322];
        let lengths = [4321; 6].into_iter().chain(later);
        let answers = lengths.map(|length| flight(&model(length))).collect();
        let site = Site::start(Manners::AnswersInTurn(answers));
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        eventually("a measured site", || proxy.log_contains("answers TLS with")).await;
        let shape = "share-first, 1 record, up to 4323 bytes with an ECDSA signature";
        assert!(proxy.log_contains(shape), "{:#?}", proxy.log());
        telegram.assert_clean();
    });
}

#[test]
fn a_check_tells_how_the_site_answers() {
    run(async {
        let model = FlightProfile {
            cipher_suite: 0x1302,
            post_quantum: true,
            versions_first: true,
            records: 1,
            lengths: 2345,
        };
        let site = Site::start(Manners::Answers(flight(&model)));
        let no_site = Site::start(Manners::Answers(b"220 mail.example.com\r\n".to_vec()));
        for (site, verdict) in [
            (
                &site,
                "answers TLS with 1302 x25519mlkem768 versions-first, 1 record, 2345 bytes",
            ),
            (&no_site, "it does not speak TLS: a censor can tell"),
        ] {
            let change = |options| fronted(site)(options).in_config_file();
            let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
            let config = proxy.directory().join("proxy.conf").display().to_string();
            let output = smol::unblock(move || proxy.command(&["check", "--config", &config]));
            let said = String::from_utf8(within("a check", output).await.stdout).unwrap();
            let subject = format!("front site {} for {DOMAIN}: ", site.address);
            let line = said.lines().find(|line| line.contains(&subject));
            assert!(line.is_some_and(|line| line.contains(verdict)), "{said}");
        }
    });
}

#[test]
fn a_site_without_tls_is_no_model() {
    run(async {
        let site = Site::start(Manners::Answers(
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        ));
        let (telegram, proxy) = start(built_binary!(), Route::Direct, fronted(&site)).await;
        eventually("a warning", || proxy.log_contains("it does not speak TLS")).await;
        assert!((2490..4000).contains(&answer(&proxy).lengths));
        telegram.assert_clean();
    });
}

#[test]
fn the_time_that_is_allowed_can_be_changed() {
    run(async {
        for (skew, served) in [
            ("60,60", [false, false, true]),
            ("7200,0", [true, false, true]),
            ("off", [true, true, true]),
        ] {
            let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| {
                o.set("--handshake-timeout", 1).set("--time-skew", skew)
            })
            .await;
            for (by, served) in [-3600, 3600, -5].into_iter().zip(served) {
                let options = proxy.client(Kind::FakeTls);
                let options = options.hello(|hello| hello.clock = Clock::Skewed(by));
                let outcome = within("an end", options.connect()).await;
                assert_eq!(outcome.is_ok(), served, "{skew} {by}");
            }
            telegram.assert_clean();
        }
    });
}
