//! What a request gets. A cover is not there: what is for it is answered by 404 without
//! `no-store` of the site's own, so the pure part is asked.

use proptest::prelude::*;

use super::app::{OCTETS, bearer, bootstrap, request, session, upgrade};
use super::world::{CAPABILITY, Clients, HOST, PADDED_CAPABILITY, World, run, run_with};
use crate::web::decide::{Call, Decision, decide};
use crate::wire::http::RequestHead;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    Page,
    Call,
    NotFound,
    Cover,
}

fn decided(world: &World, bytes: &[u8]) -> Gets {
    let head_len = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let head = RequestHead::parse(&bytes[..head_len]).unwrap();
    match decide(&world.context.hosts(), &world.context.mint, &head) {
        Decision::Page(..) => Gets::Page,
        Decision::Call(..) => Gets::Call,
        Decision::Refuse => Gets::NotFound,
        Decision::Cover => Gets::Cover,
    }
}

fn get(target: &str) -> Vec<u8> {
    request("GET", target, &[], &[])
}

#[test]
fn a_page_is_asked_for_in_one_way_alone() {
    run(&[Clients::Idle], |world| async move {
        let other: String = CAPABILITY.replace('M', "N");
        let page = format!("/?bridge={CAPABILITY}");
        let with_host = |host: &str, target: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
        };
        for (bytes, gets) in [
            (get(&page), Gets::Page),
            (get(&format!("/?bridge={PADDED_CAPABILITY}")), Gets::Page),
            (with_host(&format!("{HOST}:443"), &page), Gets::Page),
            (with_host(&format!("{HOST}:444"), &page), Gets::NotFound),
            (with_host("other.example.com", &page), Gets::NotFound),
            (with_host(CAPABILITY, "/"), Gets::NotFound),
            (request("HEAD", &page, &[], &[]), Gets::NotFound),
            (request("POST", &page, &[], &[]), Gets::NotFound),
            (request("GET", &page, &[], b"x"), Gets::NotFound),
            (get(&format!("{page}&x")), Gets::NotFound),
            (get(&format!("{page}=")), Gets::NotFound),
            (get(&format!("{page}&bridge={CAPABILITY}")), Gets::NotFound),
            (get(&format!("{page}{CAPABILITY}")), Gets::NotFound),
            (get(&format!("/a?bridge={CAPABILITY}")), Gets::NotFound),
            (get(&format!("/%3Fbridge={CAPABILITY}")), Gets::NotFound),
            (
                get(&format!("/?bridge=%4d{}", &CAPABILITY[1..])),
                Gets::NotFound,
            ),
            // The last letter's spare bits.
            (
                get(&format!("/?bridge={}l", &CAPABILITY[..42])),
                Gets::NotFound,
            ),
            (
                request(
                    "GET",
                    "/",
                    &[("Referer", &format!("https://{HOST}{page}"))],
                    &[],
                ),
                Gets::NotFound,
            ),
            (
                request("GET", "/", &[(CAPABILITY, "x")], &[]),
                Gets::NotFound,
            ),
            (
                request("GET", "/", &[("Cookie", &format!("a={CAPABILITY}"))], &[]),
                Gets::NotFound,
            ),
            (get(&format!("/?bridge={other}")), Gets::Cover),
            (get(&format!("/?bridge={}", &CAPABILITY[1..])), Gets::Cover),
            (get("/?bridge="), Gets::Cover),
            (get("/"), Gets::Cover),
            (get("/api/v1/session"), Gets::Cover),
        ] {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(decided(&world, &bytes), gets, "{text}");
        }
    });
}

/// The largest head that there is, of runs that each could hide two secrets.
#[test]
fn a_secret_is_found_behind_any_number_of_false_ones() {
    run(&[Clients::Idle], |world| async move {
        let session = session(&world).await;
        let bootstrap = bootstrap(&world, "192.0.2.1").await;
        let noise = format!("{},", CAPABILITY.replace('M', "N") + "x").repeat(1400);
        for secret in ["", CAPABILITY, &session, &bootstrap] {
            let value = format!("{noise}{secret}");
            let bytes = request("GET", "/", &[("Cookie", &value)], &[]);
            assert!(bytes.len() > 60_000);
            let gets = match secret {
                "" => Gets::Cover,
                _ => Gets::NotFound,
            };
            let began = std::time::Instant::now();
            assert_eq!(decided(&world, &bytes), gets);
            println!("{} bytes: {:?}", bytes.len(), began.elapsed());
        }
    });
}

#[test]
fn a_page_below_a_path_is_there_alone() {
    let flags = [("--web", "other.example.com/dobry-cola-super-app")];
    run_with(&[Clients::Idle], &flags, |world| async move {
        // Vectors for proxy.example.com: this name has capabilities of its own.
        let hosts = world.context.hosts();
        let host = hosts.named(b"other.example.com").next().unwrap().clone();
        assert_eq!(host.root, "/dobry-cola-super-app/");
        let target = format!("/dobry-cola-super-app/?bridge={CAPABILITY}");
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: other.example.com\r\n\r\n");
        assert_eq!(decided(&world, bytes.as_bytes()), Gets::NotFound);
    });
}

#[test]
fn calls_are_made_in_one_way_alone() {
    run(&[Clients::Idle], |world| async move {
        let page_token = bootstrap(&world, "192.0.2.1").await;
        let token = session(&world).await;
        let (page_bearer, bearer) = (bearer(&page_token), bearer(&token));
        let page_auth = ("Authorization", page_bearer.as_str());
        let auth = ("Authorization", bearer.as_str());
        let seq = ("X-Up-Seq", "1");
        let cursor = ("X-Down-Cursor", "0");
        let chunked = ("Transfer-Encoding", "chunked");
        let body = b"x".as_slice();
        let length = ("Content-Length", "2097153");
        for (bytes, gets) in [
            (
                request("POST", "/api/v1/session", &[page_auth, OCTETS], body),
                Gets::Call,
            ),
            (
                request(
                    "POST",
                    "/api/v1/session",
                    &[page_auth, OCTETS, chunked],
                    &[],
                ),
                Gets::Call,
            ),
            (
                request("POST", "/api/v1/session", &[page_auth, OCTETS], &[]),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/session", &[page_auth, OCTETS], &[0; 65]),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/session", &[page_auth], body),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/session",
                    &[page_auth, page_auth, OCTETS],
                    body,
                ),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/session",
                    &[page_auth, OCTETS, ("Cookie", "a=b")],
                    body,
                ),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/session", &[auth, OCTETS], body),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/session?", &[page_auth, OCTETS], body),
                Gets::NotFound,
            ),
            (
                request("PUT", "/api/v1/session", &[page_auth, OCTETS], body),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/session", &[OCTETS], body),
                Gets::Cover,
            ),
            (
                request("DELETE", "/api/v1/session", &[auth], &[]),
                Gets::Call,
            ),
            (
                request(
                    "DELETE",
                    "/api/v1/session",
                    &[auth, ("Content-Type", "")],
                    &[],
                ),
                Gets::NotFound,
            ),
            (
                request("DELETE", "/api/v1/session", &[auth], body),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/up", &[auth, OCTETS, seq], body),
                Gets::Call,
            ),
            (
                request("POST", "/api/v1/up", &[auth, OCTETS, seq, length], &[]),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/up",
                    &[auth, OCTETS, ("X-Up-Seq", "01")],
                    body,
                ),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/up",
                    &[auth, OCTETS, ("X-Up-Seq", "0")],
                    body,
                ),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/up",
                    &[auth, OCTETS, ("X-Up-Seq", "+1")],
                    body,
                ),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/up",
                    &[auth, OCTETS, seq, ("X-Lane-ID", "1")],
                    body,
                ),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/up", &[auth, OCTETS], body),
                Gets::NotFound,
            ),
            (
                request("POST", "/api/v1/down", &[auth, cursor], &[]),
                Gets::Call,
            ),
            (
                request(
                    "POST",
                    "/api/v1/down",
                    &[auth, cursor, ("Content-Type", "")],
                    &[],
                ),
                Gets::Call,
            ),
            (
                request("POST", "/api/v1/down", &[auth, cursor, OCTETS], &[]),
                Gets::NotFound,
            ),
            (
                request(
                    "POST",
                    "/api/v1/down",
                    &[auth, cursor, ("Content-Length", "0")],
                    &[],
                ),
                Gets::Call,
            ),
            (
                request("GET", "/api/v1/down", &[auth, cursor], &[]),
                Gets::NotFound,
            ),
            (upgrade(&token), Gets::Call),
            (upgrade(&page_token), Gets::NotFound),
            (get(&format!("/{token}")), Gets::NotFound),
        ] {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(decided(&world, &bytes), gets, "{text}");
        }
        let head = upgrade(&token);
        let without = |line: &str| {
            let text = String::from_utf8(head.clone()).unwrap();
            assert!(text.contains(line), "{line}");
            text.replace(line, "").into_bytes()
        };
        for line in [
            "Upgrade: websocket\r\n",
            "Connection: keep-alive, Upgrade\r\n",
            "Sec-WebSocket-Version: 13\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ] {
            assert_eq!(decided(&world, &without(line)), Gets::NotFound, "{line}");
        }
        assert_eq!(
            decided(&world, &without(&format!("tproxy-v1.{token}"))),
            Gets::Cover
        );
    });
}

#[test]
fn what_a_call_says_is_read() {
    run(&[Clients::Idle], |world| async move {
        let token = session(&world).await;
        let bearer = bearer(&token);
        let auth = ("Authorization", bearer.as_str());
        let call = |bytes: &[u8]| {
            let end = bytes
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            let head = RequestHead::parse(&bytes[..end]).unwrap();
            match decide(&world.context.hosts(), &world.context.mint, &head) {
                Decision::Call(_, call) => call,
                _ => panic!("no call"),
            }
        };
        let seq = ("X-Up-Seq", "18446744073709551615");
        let up = request("POST", "/api/v1/up", &[auth, OCTETS, seq], b"x");
        assert_eq!(call(&up), Call::Up { number: u64::MAX });
        let down = request("POST", "/api/v1/down", &[auth, ("X-Down-Cursor", "7")], &[]);
        assert_eq!(call(&down), Call::Down { cursor: 7 });
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Wherever a secret stands in a target, it does not reach the cover.
    #[test]
    fn no_secret_reaches_the_cover(before in "[/a-z.?&=%]{0,8}[/?&=.]", after in "([/?&=.%][a-z.?&=]{0,8})?") {
        run(&[Clients::Idle], |world| async move {
            let target = format!("/{before}{CAPABILITY}{after}");
            assert_ne!(decided(&world, &get(&target)), Gets::Cover, "{target}");
        });
    }
}
