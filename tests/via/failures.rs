//! The server fails at every step, in every way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fake_telegram::client::{Fate, Kind};
use fake_telegram::harness::{BlackHole, Proxy, free_address};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::via::{
    Bound, Manners, Options, Protocol, Step, Target, Then, Via, granted, head, reply,
};
use fake_telegram::wait::{eventually, is_emulated, run, within};

use crate::{PASSWORD, Set, direct, fate, served, server, told, with_dc_2};

/// For a client whose server can be known at once to be of no use.
const AT_ONCE: Duration = Duration::from_secs(3);
/// The talk's 5 s, and the connection's 4.
const TALK: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(4);
/// For the machine.
const SLACK: Duration = Duration::from_secs(3);

struct Case {
    what: String,
    manners: Manners,
    /// When the client is closed.
    within: Duration,
    /// In what the operator is told, one of these.
    words: &'static [&'static str],
}

fn case(what: impl Into<String>, manners: Manners, words: &'static [&'static str]) -> Case {
    Case {
        what: what.into(),
        manners,
        within: AT_ONCE,
        words,
    }
}

/// A reset may come before the connection is known to be one.
const ENDS: &[&str] = &["closes", "Connection reset"];
const SILENT: &[&str] = &["no answer", "time"];
const NONSENSE: &[&str] = &["protocol", "scheme"];

fn in_every_protocol(protocol: Protocol) -> Vec<Case> {
    let mut cases = Vec::new();
    let good = granted(protocol);
    for step in Step::of(protocol) {
        for then in [Then::Fin, Then::Reset] {
            let what = format!("{step:?} {then:?}");
            cases.push(case(what, Manners::fault(*step, "", then), ENDS));
        }
        cases.push(Case {
            within: TALK,
            ..case(
                format!("{step:?} silence"),
                Manners::fault(*step, "", Then::Silent),
                SILENT,
            )
        });
    }
    let half = &good[..good.len() - 1];
    cases.push(Case {
        within: TALK,
        ..case(
            "half a reply",
            Manners::fault(Step::Request, half, Then::Silent),
            SILENT,
        )
    });
    cases.push(case(
        "half a reply, its end",
        Manners::fault(Step::Request, half, Then::Fin),
        ENDS,
    ));
    cases.push(Case {
        within: TALK,
        ..case(
            "a reply that takes too long",
            Manners {
                piecemeal: Some(Duration::from_secs(8) / good.len() as u32),
                ..Manners::default()
            },
            SILENT,
        )
    });
    cases
}

fn of_socks5() -> Vec<Case> {
    let mut cases = in_every_protocol(Protocol::Socks5);
    let says = |step, bytes: &[u8]| Manners::fault(step, bytes, Then::Fin);
    for (what, step, bytes, words) in [
        (
            "no method",
            Step::Methods,
            &[5, 0xff][..],
            &["user", "password"][..],
        ),
        (
            "a method that was not offered",
            Step::Methods,
            &[5, 1],
            NONSENSE,
        ),
        ("another version", Step::Methods, &[4, 0], NONSENSE),
        (
            "a web server",
            Step::Methods,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            NONSENSE,
        ),
        (
            "wrong credentials",
            Step::Credentials,
            &[1, 1],
            &["wrong user or password"],
        ),
        (
            "wrong credentials",
            Step::Credentials,
            &[1, 0xff],
            &["wrong user or password"],
        ),
        // Servers are about that say 5 there: what ends is the connection.
        ("another version", Step::Credentials, &[5, 0], ENDS),
        (
            "another version",
            Step::Request,
            &[4, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            NONSENSE,
        ),
    ] {
        let what = format!("{what}: {bytes:02x?}");
        cases.push(case(what, says(step, bytes), words));
    }
    let words: [&'static [&'static str]; 8] = [
        &["general failure"],
        &["rules"],
        &["network unreachable"],
        &["host unreachable"],
        &["refused"],
        &["TTL expired"],
        &["CONNECT", "command"],
        &["kind of address", "address type"],
    ];
    let of_code = |code: u8| {
        *words
            .get(usize::from(code).wrapping_sub(1))
            .unwrap_or(&NONSENSE)
    };
    for code in [1, 2, 3, 4, 5, 6, 7, 8, 9, 0x5b, 0xff] {
        for bound in [Bound::V4, Bound::Name(7)] {
            let manners = Manners::refuses(reply(code, &bound));
            cases.push(case(
                format!("reply {code} {bound:?}"),
                manners,
                of_code(code),
            ));
        }
    }
    for kind in [0, 2, 5, 0xff] {
        let manners = Manners::fault(Step::Request, reply(0, &Bound::Unknown(kind)), Then::Fin);
        cases.push(case(
            format!("a reply with the address {kind}"),
            manners,
            NONSENSE,
        ));
    }
    cases
}

fn of_http() -> Vec<Case> {
    let mut cases = in_every_protocol(Protocol::Http);
    let wants = ["Proxy-Authenticate: Basic realm=\"x\"", "Content-Length: 5"];
    let wrong: &[&str] = &["wrong user or password"];
    for (what, says, words) in [
        ("407", head("407 Proxy Authentication Required", &[]), wrong),
        (
            "407",
            [head("407 Who", &wants), b"no no".to_vec()].concat(),
            wrong,
        ),
        (
            "401",
            head("401 Unauthorized", &["Content-Length: 0"]),
            wrong,
        ),
        (
            "403",
            head("403 Filtered", &["Content-Length: 0"]),
            &["403"],
        ),
        (
            "404",
            head("404 Not Found", &["Content-Length: 0"]),
            &["404"],
        ),
        (
            "405",
            head("405 Method Not Allowed", &["Content-Length: 0"]),
            &["405"],
        ),
        ("500", head("500 Oh", &[]), &["500"]),
        (
            "502",
            head("502 Bad Gateway", &["Content-Length: 0"]),
            &["502"],
        ),
        ("503", head("503 Not Now", &[]), &["503"]),
        ("504", head("504 Gateway Timeout", &[]), &["504"]),
        (
            "302",
            head("302 Found", &["Location: http://portal.example/"]),
            &["302"],
        ),
        (
            "101",
            head("101 Switching Protocols", &[]),
            &["101", "protocol", "closes"],
        ),
        ("SOCKS", vec![5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0], NONSENSE),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), NONSENSE),
        ("no status", b"HTTP/1.1 2x0 OK\r\n\r\n".to_vec(), NONSENSE),
        (
            "a long head",
            head("200 OK", &[&"x".repeat(17_000)]),
            NONSENSE,
        ),
    ] {
        let what = format!(
            "{what}: {}",
            String::from_utf8_lossy(&says[..says.len().min(40)])
        );
        cases.push(case(what, Manners::refuses(says), words));
    }
    for (what, says) in [
        ("an endless head", &b"HTTP/1.1 200 OK\r\nX: y\r\n"[..]),
        ("an endless line", b"y"),
        ("endless heads", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let manners = Manners::fault(Step::Request, says, Then::Endless);
        cases.push(case(what, manners, NONSENSE));
    }
    cases
}

/// A client of such a server is closed in time; whoever comes meanwhile, too; the
/// operator is told once what to do, and the server is found again.
async fn tries(protocol: Protocol, scheme: &str, case: &Case) {
    let what = &format!("{scheme}, {}", case.what);
    let set = Set::start(server(protocol, true), scheme, |o| o).await;
    set.lists().await;
    set.via.behave(case.manners.clone());
    let began = Instant::now();
    let fated = fate(&set.proxy, Kind::Padded).await;
    let took = began.elapsed();
    assert_eq!(fated, Fate::Closed, "{what}");
    assert!(
        is_emulated() || took < case.within + SLACK,
        "{what} took {took:?}"
    );
    assert!(took + SLACK > case.within, "{what} took only {took:?}");
    let is_told = |line: &String| case.words.iter().any(|word| line.contains(word));
    let lines = || told(&set.proxy).into_iter().filter(&is_told).count();
    eventually(
        &format!("a word about {what}: {:#?}", told(&set.proxy)),
        || lines() >= 1,
    )
    .await;
    for kind in [Kind::FakeTls, Kind::Abridged] {
        assert_eq!(fate(&set.proxy, kind).await, Fate::Closed, "{what}");
    }
    // Lines about a DC are ten seconds apart, those about the server a minute.
    let most = 1 + began.elapsed().as_secs() as usize / 10;
    assert!(lines() <= most, "{what}: {:#?}", told(&set.proxy));
    let server = set.via.address().to_string();
    let named = told(&set.proxy)
        .iter()
        .any(|line| is_told(line) && line.contains(&server));
    assert!(named, "{what}: {:#?}", told(&set.proxy));
    is_kept_secret(&set.proxy);
    set.via.behave(Manners::default());
    is_found_again(&set.proxy, Duration::from_secs(20), what).await;
    set.via.assert_clean();
    set.telegram.assert_clean();
}

/// A rest of 5 s has passed, or one of 10, when others failed meanwhile.
async fn is_found_again(proxy: &Proxy, limit: Duration, what: &str) {
    let began = Instant::now();
    while fate(proxy, Kind::Padded).await == Fate::Closed {
        assert!(
            is_emulated() || began.elapsed() < limit,
            "{what}: never found again"
        );
        smol::Timer::after(Duration::from_millis(100)).await;
    }
}

/// The password is in no page and no file, in no form.
fn is_kept_secret(proxy: &Proxy) {
    let mut pages = vec![proxy.log().join("\n"), proxy.metrics().0];
    for words in [&["ctl", "secrets"][..], &["ctl", "routes"], &["link"]] {
        let output = proxy.command(words);
        pages.push(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
    }
    let files = std::fs::read_dir(proxy.directory()).unwrap();
    let files = files.filter_map(|file| std::fs::read(file.unwrap().path()).ok());
    pages.extend(files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    let percent = "xq%2F7%40Zk%3A%2525%C3%A9";
    let base64 = "YW5uYTp4cS83QFprOiUyNc";
    for page in &pages {
        for form in [PASSWORD, percent, base64, "xq/7", "xq%2F7"] {
            assert!(!page.contains(form), "{form} in {page}");
        }
    }
}

/// Each on a thread of its own: most of them wait.
fn all_at_once(protocol: Protocol, scheme: &str, cases: &[Case]) {
    for some in cases.chunks(12) {
        std::thread::scope(|scope| {
            for case in some {
                scope.spawn(move || run(tries(protocol, scheme, case)));
            }
        });
    }
}

#[test]
fn every_failure_of_socks5_ends_in_time_and_is_told_of() {
    all_at_once(Protocol::Socks5, "socks5", &of_socks5());
}

#[test]
fn every_failure_of_connect_ends_in_time_and_is_told_of() {
    all_at_once(Protocol::Http, "http", &of_http());
}

/// A client that its server, and so the whole way, is not there for.
#[test]
fn a_server_that_is_away_is_told_of_and_found_when_it_comes_back() {
    run(async {
        for protocol in Protocol::ALL {
            let scheme = if protocol == Protocol::Http {
                "http"
            } else {
                "socks5h"
            };
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let options = server(protocol, true);
            // Refused, until it is there.
            let via = Via::start(options.clone()).unwrap();
            let url = via.url(scheme);
            drop(via);
            let proxy = direct(&telegram).set("--via", url).start().await;
            for _ in 0..5 {
                let began = Instant::now();
                assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed);
                assert!(is_emulated() || began.elapsed() < AT_ONCE);
            }
            let address = options.address.to_string();
            let tells = |line: &String| line.contains(&address);
            let lines = || told(&proxy).into_iter().filter(tells).count();
            eventually("a word about it", || lines() >= 1).await;
            assert!(lines() <= 2, "{:#?}", told(&proxy));
            is_kept_secret(&proxy);
            let via = Via::start(options).unwrap();
            is_found_again(&proxy, Duration::from_secs(12), "a server that was away").await;
            via.assert_clean();
        }
    });
}

#[test]
fn a_server_that_does_not_answer_the_connection_costs_4_seconds() {
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let deaf = BlackHole::new().unwrap();
        let url = format!("socks5://{}", deaf.address());
        let proxy = direct(&telegram).set("--via", url).start().await;
        let began = Instant::now();
        assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed);
        let took = began.elapsed();
        assert!(is_emulated() || took < CONNECT + SLACK, "{took:?}");
        // It rests: who comes now need not wait.
        let began = Instant::now();
        assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed);
        assert!(is_emulated() || began.elapsed() < AT_ONCE);
    });
}

/// A server that fails is let rest: clients, however many, do not become attempts.
#[test]
fn a_server_that_rests_is_not_asked() {
    run(async {
        let set = Set::start(server(Protocol::Socks5, false), "socks5", |o| o).await;
        served(&set.proxy).await;
        set.lists().await;
        set.via
            .behave(Manners::fault(Step::Methods, [5, 0xff], Then::Fin));
        let accepted = set.via.seen().accepted;
        for _ in 0..20 {
            assert_eq!(fate(&set.proxy, Kind::Padded).await, Fate::Closed);
        }
        let asked = set.via.seen().accepted - accepted;
        assert!((1..=3).contains(&asked), "asked {asked} times");
        set.assert_clean();
    });
}

/// What the server says of one address is not held against the server, nor against
/// the next address.
#[test]
fn an_address_that_is_refused_lets_the_next_be_tried() {
    run(async {
        for (scheme, protocol) in crate::SCHEMES {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let via = Via::start(server(protocol, false)).unwrap();
            let dead = free_address();
            let at: [SocketAddr; 2] = [dead, telegram.direct_addresses(2)[0]];
            let options = with_dc_2(direct(&telegram), &telegram, &at);
            let proxy = options.set("--via", via.url(scheme)).start().await;
            for _ in 0..3 {
                served(&proxy).await;
            }
            assert!(via.asked_for(&Target::Address(dead)) >= 1);
            // Another DC is none the worse for it.
            proxy.served_client(4).await;
            via.assert_clean();
            telegram.assert_clean();
        }
    });
}

/// A tunnel that swallows everything looks like a DC that does not answer: the client
/// itself gives up, and takes the tunnel along.
#[test]
fn a_tunnel_that_swallows_ends_with_its_client() {
    run(async {
        let set = Set::start(server(Protocol::Http, false), "http", |o| o).await;
        set.lists().await;
        set.via.behave(Manners::fault(
            Step::Request,
            granted(Protocol::Http),
            Then::Swallows,
        ));
        let mut client = set.proxy.client(Kind::Padded).connect().await.unwrap();
        within("the sending", client.send(&echo(1, 64)))
            .await
            .unwrap();
        eventually("the tunnel", || set.asked() == 1).await;
        drop(client);
        eventually("its end", || set.via.seen().live == 0).await;
        set.via.assert_clean();
    });
}

/// Wrong credentials are shown once a rest, not once a client.
#[test]
fn wrong_credentials_do_not_get_an_account_locked() {
    run(async {
        for (scheme, protocol) in [crate::SCHEMES[0], crate::SCHEMES[2]] {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let options = Options::new(protocol).credentials("anna", "another");
            let via = Via::start(options).unwrap();
            let url = format!("{scheme}://anna:xq%2F7@{}", via.address());
            let proxy = direct(&telegram).set("--via", url).start().await;
            for _ in 0..10 {
                assert_eq!(fate(&proxy, Kind::Padded).await, Fate::Closed);
            }
            let tries = via.seen().with_credentials.len();
            assert!((1..=4).contains(&tries), "{tries} times");
            let tells = |line: &String| line.contains("wrong user or password");
            eventually("a word", || told(&proxy).iter().any(tells)).await;
            is_kept_secret(&proxy);
            via.assert_clean();
        }
    });
}
