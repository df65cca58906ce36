//! Who gets the bridge page, with what headers, and who does not.

use fake_telegram::crypto::hex;
use fake_telegram::harness::{ProxyOptions, Route};
use fake_telegram::secret::{self, KEY};
use fake_telegram::wait::run;
use fake_telegram::web_app::{Options, Request, Secret};

use crate::{HOST, Set};

const GUEST: [u8; 16] = [0x5a; 16];

fn bridge(app: &Options, query: &str) -> Request {
    Request::new(app, "GET", &format!("/{query}"))
}

#[test]
fn every_page_has_a_token_of_its_own() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let (first, second) = (set.app().page().await, set.app().page().await);
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_ne!(first.token(), second.token());
        let policy = |page: &fake_telegram::web_app::Page| {
            page.answer
                .field("Content-Security-Policy")
                .unwrap()
                .to_owned()
        };
        assert_ne!(policy(&first), policy(&second), "the nonce");
        assert!(set.origin.visits().is_empty());
        // Port 443 may be named.
        let app = set.app();
        let query = format!("?bridge={}", app.capability());
        let request = bridge(&app, &query).set("Host", &format!("{HOST}:443"));
        assert_eq!(set.ask(&request).await.status, 200);
    });
}

#[test]
fn each_secret_has_its_forms() {
    run(async {
        let dd = format!("guest=dd{}", hex(&GUEST));
        let set = Set::start_with(Route::Direct, |o| o.add("--secret", dd)).await;
        for (secret, expected) in [
            (Secret::plain(KEY), true),
            (Secret::padded(KEY), true),
            (Secret::plain(GUEST), false),
            (Secret::padded(GUEST), true),
            (Secret::plain([1; 16]), false),
        ] {
            let page = set.app().secret(secret.clone()).page().await;
            assert_eq!(page.is_ok(), expected, "{secret:?}");
        }
        let fake_tls = secret::fake_tls(&KEY, secret::DOMAIN);
        let set =
            Set::start_with(Route::Direct, |o: ProxyOptions| o.set("--secret", fake_tls)).await;
        set.app().page().await.unwrap();
        let padded = set.app().secret(Secret::padded(KEY));
        padded.page().await.unwrap();
    });
}

/// The vectors, as the built binary has them.
#[test]
fn capabilities_are_those_of_the_vectors() {
    run(async {
        let key: [u8; 16] = std::array::from_fn(|at| at as u8);
        let path = "dobry-cola-super-app";
        let set = Set::start_with(Route::Direct, |o: ProxyOptions| {
            let site = "xn--bcher-kva.example";
            o.set("--secret", hex(&key))
                .add("--web", format!("{HOST}/{path}"))
                .add("--web", site)
        })
        .await;
        for (host, path, capability) in [
            (HOST, "", "MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk"),
            (HOST, "", "IpJrt3e7sKtzPyoXy6w-Zj6GGEvsvclN66JzQEfPYLA"),
            (HOST, path, "hHz99Xs93EN1j91G9gpNepXwGNNt5YdAFkEVk_LlqdQ"),
            (HOST, path, "TGUkZaevsavLbHvlNWipnRoYxgzZ51ioWvbxgGT3wHo"),
            (
                "xn--bcher-kva.example",
                "",
                "G8OXpDDRVst4SRakme2Seeeejb1ln7JFeRQUHDLyUoM",
            ),
        ] {
            let app = Options::new(set.proxy.web_address(), host);
            let base = if path.is_empty() { "" } else { "/" };
            let target = format!("{path}{base}?bridge={capability}");
            let answer = set.ask(&bridge(&app, &target)).await;
            assert_eq!(answer.status, 200, "{host} {path}");
            assert_eq!(answer.field("Server"), None);
        }
        let app = set.app().secret(Secret::plain(key)).path(path);
        let session = app.session().await.unwrap();
        session.assert_clean();
        session.close().await.unwrap();
    });
}

/// An authentic capability in another form: a 404 of ours, and the site never sees it.
#[test]
fn an_authentic_secret_in_a_wrong_place_is_told_to_nobody() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let app = set.app();
        let capability = app.capability();
        let query = format!("?bridge={capability}");
        let escaped: String = capability
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let good = bridge(&app, &query);
        let odd = |target: &str| bridge(&app, target);
        let mut head = good.clone();
        "HEAD".clone_into(&mut head.method);
        let mut post = good.clone();
        "POST".clone_into(&mut post.method);
        for (what, request) in [
            ("HEAD", head),
            ("POST", post),
            ("more behind it", odd(&format!("{query}&x"))),
            (
                "something before it",
                odd(&format!("?x&bridge={capability}")),
            ),
            ("twice", odd(&format!("{query}&bridge={capability}"))),
            ("padded", odd(&format!("{query}="))),
            ("escaped", odd(&format!("?bridge={escaped}"))),
            ("another path", odd(&format!("index.html{query}"))),
            ("an escaped path", odd(&format!("%2f{query}"))),
            ("in the path", odd(&format!("x/{capability}"))),
            ("another query", odd(&format!("?b={capability}"))),
            (
                "a referrer",
                odd("").field("Referer", &format!("https://{HOST}/{query}")),
            ),
            (
                "a cookie",
                odd("").field("Cookie", &format!("a={capability}")),
            ),
            (
                "a field's name",
                odd("").field(&format!("X-{capability}"), "1"),
            ),
            (
                "Authorization",
                odd("").field("Authorization", &format!("Bearer {capability}")),
            ),
            (
                "a protocol",
                odd("").field("Sec-WebSocket-Protocol", &capability),
            ),
        ] {
            let answer = set.ask(&request).await;
            assert_eq!(answer.status, 404, "{what}");
            assert_eq!(answer.field("Cache-Control"), Some("no-store"), "{what}");
            assert_eq!(answer.field("Server"), None, "{what}: the site was asked");
        }
        let seen = set.origin.visits();
        assert!(
            seen.is_empty(),
            "{:?}",
            seen.iter().map(|v| v.text()).collect::<Vec<_>>()
        );
        let log = set.proxy.log().join("\n");
        assert!(!log.contains(&capability), "the log has a capability");
    });
}

/// What is not authentic is the site's, whatever it looks like.
#[test]
fn who_has_no_secret_is_shown_the_site() {
    run(async {
        let set = Set::start(Route::Direct).await;
        let app = set.app();
        let wrong = "A".repeat(42) + "E";
        for target in [
            format!("?bridge={wrong}"),
            format!("?bridge={wrong}&x=1"),
            format!("?bridge={wrong}&bridge={wrong}"),
            format!("?bridge={}", "A".repeat(42)),
            format!("?bridge={}", "A".repeat(44)),
            "?bridge=".to_owned(),
            "?bridge=%41".to_owned(),
        ] {
            let before = set.origin.visits().len();
            let request = bridge(&app, &target);
            assert!(set.is_covered(&request).await, "{target}");
            let visits = set.origin.visits();
            assert_eq!(visits.len(), before + 1);
            assert_eq!(visits[before].what(), format!("GET /{target}"));
        }
        // The capability of another host is nobody's.
        let elsewhere = Options::new(set.proxy.web_address(), "other.example.com");
        let target = format!("?bridge={}", elsewhere.capability());
        assert!(set.is_covered(&bridge(&app, &target)).await);
    });
}
