//! Whole sessions, lists, and what does not go through it.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::control::Close;
use fake_telegram::harness::{ProxyOptions, Route, Secured, Strace, free_address};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::via::{Bound, Manners, Protocol, Step, Target, Then, Via, granted, head, reply};
use fake_telegram::wait::{eventually, patience, run, within};

use crate::{PASSWORD, SCHEMES, Set, direct, fate, served, server, with_dc_2};

/// Echoes of every size class, bulk both ways, on several DCs.
pub async fn whole_sessions(address: SocketAddr, what: &str) {
    for kind in Kind::ALL {
        for dc in [2, -4, 203, 10_002] {
            let options = kind.options(address).dc(dc);
            let mut client = within("a handshake", options.connect()).await.unwrap();
            for size in [4, 508, 16_384, 300 << 10] {
                let outcome = within("an echo", client.echo(&echo(size as u32, size))).await;
                outcome.unwrap_or_else(|error| panic!("{what}, {kind:?}, {size} bytes: {error}"));
            }
            if dc == 2 {
                within("a download", client.download(6 << 20, 200 << 10))
                    .await
                    .unwrap();
                for _ in 0..6 {
                    client
                        .send(&Command::Swallow.payload_of(1 << 20))
                        .await
                        .unwrap();
                }
                for _ in 0..6 {
                    within("an answer", client.recv_packet()).await.unwrap();
                }
            }
        }
    }
}

#[test]
fn whole_sessions_of_every_kind_go_through_every_kind() {
    run(async {
        for (scheme, protocol) in SCHEMES {
            for has_credentials in [false, true] {
                let set = Set::start(server(protocol, has_credentials), scheme, |o| o).await;
                whole_sessions(set.proxy.address(), scheme).await;
                eventually("their ends", || set.telegram.counters().direct_live() == 0).await;
                assert_eq!(set.asked(), 16);
                let seen = set.via.seen();
                assert!(
                    seen.with_credentials
                        .iter()
                        .all(|one| *one == has_credentials)
                );
                assert!(seen.up > 4 * (6 << 20) && seen.down > 4 * (6 << 20));
                set.assert_clean();
                set.proxy.stop().await;
            }
        }
    });
}

/// Credentials that are not asked for are not shown to SOCKS5.
#[test]
fn credentials_may_prove_needless() {
    run(async {
        for (scheme, protocol) in SCHEMES {
            let via = Via::start(server(protocol, false)).unwrap();
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let url = format!("{scheme}://anna:secret@{}", via.address());
            let proxy = direct(&telegram).set("--via", url).start().await;
            served(&proxy).await;
            let shown = via.seen().with_credentials;
            assert!(
                shown.iter().all(|one| *one == (protocol == Protocol::Http)),
                "{shown:?}"
            );
            via.assert_clean();
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_back_goes_through_it_and_its_front_does_not() {
    run(async {
        for (scheme, protocol) in SCHEMES {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let via = Via::start(server(protocol, true)).unwrap();
            let secured = Secured::default();
            let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
            let back = back.set("--via", via.url(scheme)).start().await;
            let backs = [back.address()];
            let route = Route::Direct;
            let front = ProxyOptions::front(built_binary!(), &telegram, route, &secured, &backs);
            let front = front.start().await;
            front.linked(1).await;
            whole_sessions(front.address(), scheme).await;
            front.cleared().await;
            eventually("their ends", || telegram.counters().direct_live() == 0).await;
            let seen = via.seen();
            assert!(!seen.targets.contains(&Target::Address(back.address())));
            assert!(seen.opened >= 16);
            telegram.assert_clean();
            via.assert_clean();
        }
    });
}

/// Middle proxies need the address that Telegram sees, so such a back has none.
#[test]
fn a_back_behind_it_has_no_middle_proxies() {
    run(async {
        let telegram = Options {
            tag: Some([0xab; 16]),
            ..Options::default()
        };
        let telegram = FakeTelegram::start(telegram).unwrap();
        let via = Via::start(server(Protocol::Socks5, true)).unwrap();
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let back = back.set("--via", via.url("socks5")).start().await;
        let backs = [back.address()];
        let front = || {
            let route = Route::Middle;
            ProxyOptions::front(built_binary!(), &telegram, route, &secured, &backs)
        };
        let middle = front().start().await;
        middle.linked(1).await;
        assert_eq!(fate(&middle, Kind::Padded).await, Fate::Closed);
        let auto = front().set("--route", "auto").start().await;
        auto.linked(1).await;
        // The very first one is served: the back has said that it has none.
        for _ in 0..3 {
            served(&auto).await;
        }
        assert_eq!(telegram.counters().middle_accepted(), 0);
        telegram.assert_clean();
        via.assert_clean();
    });
}

/// The kernel carries what a padded client downloads, as without `--via`.
#[test]
fn splice_stays() {
    run(async {
        for (scheme, protocol) in SCHEMES {
            let set = Set::start(server(protocol, true), scheme, |o| o).await;
            let mut client = served(&set.proxy).await;
            let what = "delay_enter=1";
            let Some(strace) = Strace::inject(&set.proxy, "splice", what, None).await else {
                return;
            };
            within("a download", client.download(8 << 20, 1 << 20))
                .await
                .unwrap();
            let log = set.proxy.directory().join("strace.log");
            let spliced = || {
                let log = fs::read_to_string(&log).unwrap_or_default();
                log.lines().filter_map(moved).sum::<u64>()
            };
            // Into the pipe and out of it.
            eventually("most of it to be spliced", || spliced() > 2 * (6 << 20)).await;
            drop(strace);
            set.assert_clean();
        }
    });
}

/// How many bytes a call of splice moved, by strace's line.
fn moved(line: &str) -> Option<u64> {
    let (call, outcome) = line.rsplit_once(" = ")?;
    let is_splice = call.contains("splice(") || call.contains("splice resumed");
    let number = outcome.split_whitespace().next()?;
    is_splice.then(|| number.parse().ok()).flatten()
}

/// However it says yes, and whatever comes right behind that.
#[test]
fn every_form_of_yes_opens_the_tunnel_at_its_very_end() {
    run(async {
        let bounds = [
            Bound::V4,
            Bound::V6,
            Bound::Name(0),
            Bound::Name(1),
            Bound::Name(255),
        ];
        let socks = bounds.map(|bound| reply(0, &bound));
        let with_lengths = ["Content-Length: 100", "Transfer-Encoding: chunked"];
        let long = format!("X: {}", "y".repeat(12_000));
        let interim = [
            head("100 Continue", &[]),
            head("103 Early Hints", &["Link: <a>"]),
        ]
        .concat();
        let http = [
            head("200 Connection established", &with_lengths),
            head("200", &[]),
            head("204 No Content", &[&long]),
            b"HTTP/1.0 200 OK\r\n\r\n".to_vec(),
            [interim, head("200 OK", &[])].concat(),
        ];
        for (scheme, protocol) in [SCHEMES[0], SCHEMES[2]] {
            let set = Set::start(server(protocol, true), scheme, |o| o).await;
            let forms = match protocol {
                Protocol::Socks5 => &socks,
                Protocol::Http => &http,
            };
            for form in forms {
                let manners = Manners::grants(form.clone());
                let told = String::from_utf8_lossy(&form[..form.len().min(80)]).into_owned();
                set.via.behave(manners.clone());
                served(&set.proxy).await;
                // The DC would never speak first: so the bytes are known again.
                let first_bytes = b"the first bytes of a tunnel".to_vec();
                set.via.behave(Manners {
                    first_bytes: first_bytes.clone(),
                    ..manners
                });
                let mut client = set.proxy.client(Kind::Padded).connect().await.unwrap();
                client.send(&echo(1, 64)).await.unwrap();
                let stream = client.into_stream();
                let heard = within(&told, read_exactly(stream, first_bytes.len())).await;
                assert_eq!(heard, first_bytes, "{told}");
            }
            if protocol == Protocol::Socks5 {
                // As some say it, though RFC 1929 has a 1 there.
                set.via
                    .behave(Manners::fault(Step::Credentials, [5, 0], Then::GoesOn));
                served(&set.proxy).await;
            }
            set.via.behave(Manners {
                piecemeal: Manners::piecemeal().piecemeal,
                ..Manners::default()
            });
            served(&set.proxy).await;
            set.via.behave(Manners {
                delay: Duration::from_secs(3),
                ..Manners::default()
            });
            served(&set.proxy).await;
            set.assert_clean();
            assert!(!granted(protocol).is_empty());
        }
    });
}

async fn read_exactly(stream: smol::Async<TcpStream>, length: usize) -> Vec<u8> {
    use smol::io::AsyncReadExt;
    let mut bytes = vec![0; length];
    (&stream).read_exact(&mut bytes).await.unwrap();
    bytes
}

/// An IPv6 address is asked for as one, and an IPv4 one inside it as IPv4.
#[test]
fn addresses_are_asked_for_as_what_they_are() {
    run(async {
        for (scheme, protocol) in SCHEMES {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let via = Via::start(server(protocol, false)).unwrap();
            let real = telegram.direct_addresses(2)[0];
            let v6: SocketAddr = (Ipv6Addr::LOCALHOST, free_address().port()).into();
            via.lead(v6, real);
            let options = with_dc_2(direct(&telegram), &telegram, &[v6]);
            let proxy = options.set("--via", via.url(scheme)).start().await;
            served(&proxy).await;
            assert_eq!(via.asked_for(&Target::Address(v6)), 1);
            via.assert_clean();
            telegram.assert_clean();
        }
    });
}

/// Which is there when `--via` goes: by the lists, as no DC has a name.
#[test]
fn names_are_looked_up_where_the_scheme_says() {
    if std::env::var_os("SMOL_MTPROXY_LISTS").is_some() {
        return;
    }
    run(async {
        for (scheme, protocol) in SCHEMES {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let via = Via::start(server(protocol, true)).unwrap();
            let mut options = direct(&telegram).set("--via", via.url(scheme));
            let mut port = 0;
            for (flag, value) in telegram.proxy_flags() {
                if let Some(rest) = value.strip_prefix("http://127.0.0.1:") {
                    port = rest.split_once('/').unwrap().0.parse().unwrap();
                    options = options.set(flag, format!("http://localhost:{rest}"));
                }
            }
            let proxy = options.start().await;
            eventually("lists", || telegram.counters().http_requests() >= 2).await;
            served(&proxy).await;
            let asked_by_name = via.asked_for(&Target::Name("localhost".to_owned(), port));
            let targets = via.seen().targets;
            let of_lists = targets.iter().filter(|target| match target {
                Target::Name(_, to) => *to == port,
                Target::Address(to) => to.port() == port,
            });
            let fetched = of_lists.count() as u64;
            assert!(
                fetched >= telegram.counters().http_requests(),
                "{targets:?}"
            );
            match scheme {
                "socks5" => assert_eq!(asked_by_name, 0),
                _ => assert_eq!(asked_by_name as u64, fetched),
            }
            via.assert_clean();
            telegram.assert_clean();
        }
    });
}

/// A site that strangers are shown is asked straight.
#[test]
fn fronting_does_not_go_through_it() {
    run(async {
        let site = TcpListener::bind(free_address()).unwrap();
        let address = site.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in site.incoming().map_while(Result::ok) {
                let mut bytes = [0; 512];
                if stream.read(&mut bytes).is_ok_and(|length| length > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                }
            }
        });
        for (scheme, protocol) in SCHEMES {
            let set = Set::start(server(protocol, true), scheme, |o| {
                o.set("--fronting", address)
            })
            .await;
            let mut stranger = TcpStream::connect(set.proxy.address()).unwrap();
            stranger.set_read_timeout(Some(patience())).unwrap();
            stranger
                .write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
                .unwrap();
            let mut answer = [0; 12];
            stranger.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 400");
            served(&set.proxy).await;
            assert_eq!(set.via.asked_for(&Target::Address(address)), 0);
            let is_local =
                |target: &Target| matches!(target, Target::Address(to) if to.ip() == address.ip());
            assert!(!set.via.seen().targets.iter().any(is_local));
            set.assert_clean();
        }
    });
}

/// How a tunnel ends is how its client's connection does.
#[test]
fn a_tunnel_that_ends_ends_its_client_alone() {
    run(async {
        for (scheme, protocol) in SCHEMES {
            let set = Set::start(server(protocol, false), scheme, |o| o).await;
            for how in [Close::Fin, Close::Drop, Close::Reset] {
                let mut client = served(&set.proxy).await;
                set.via.cut(how);
                assert!(
                    within("the end", client.until_closed())
                        .await
                        .unwrap()
                        .is_empty()
                );
                served(&set.proxy).await;
            }
            // And a client that goes takes its tunnel along.
            eventually("the tunnels' ends", || set.via.seen().live == 0).await;
            let client = served(&set.proxy).await;
            assert_eq!(set.via.seen().live, 1);
            drop(client);
            eventually("the tunnels' ends", || set.via.seen().live == 0).await;
            set.assert_clean();
        }
    });
}

/// What is named there may be looked up, and is not a name for the server.
#[test]
fn the_server_itself_may_have_a_name() {
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let mut at = server(Protocol::Socks5, true);
        at.address.set_ip(IpAddr::from([127, 0, 0, 1]));
        let via = Via::start(at).unwrap();
        let url = via.url("socks5").replace("127.0.0.1", "localhost");
        let proxy = direct(&telegram).set("--via", url).start().await;
        served(&proxy).await;
        assert!(!proxy.log().iter().any(|line| line.contains(PASSWORD)));
        via.assert_clean();
    });
}
