//! Proxies of ours, in every form.

use data_encoding::BASE64URL_NOPAD;
use fake_telegram::built_binary;
use fake_telegram::crypto::from_hex;
use fake_telegram::harness::{Route, Said, Secured, Split, start};
use fake_telegram::secret::{KEY, padded};
use fake_telegram::wait::run;

use crate::{forms, link, said, told, words};

#[test]
fn each_dc_answers_in_each_form_by_each_route() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start(built_binary!(), route, |o| o).await;
            for (form, secret) in forms(&KEY) {
                let more = words(&link(proxy.address(), &secret), "--dc 2 --dc 4");
                let (status, told) = told(&more).await;
                assert_eq!((status, &told["ok"]), (0, &true.into()), "{told}");
                let told = &told["links"][0];
                assert_eq!(told["port"], proxy.address().port());
                let pings = told["pings"].as_array().unwrap();
                let dcs: Vec<_> = pings.iter().map(|ping| ping["dc"].as_i64()).collect();
                assert_eq!(dcs, [Some(2), Some(4)]);
                for ping in pings {
                    assert_eq!(ping["form"], form);
                    assert!(ping["tcp_us"].is_u64() && ping["answer_us"].is_u64());
                    assert_eq!(ping["handshake_us"].is_u64(), form == "ee");
                }
                assert_eq!(told["summary"]["answered"], 2);
            }
            telegram.assert_clean();
        }
    });
}

/// Everything that a person sees of the five that accounts are on.
#[test]
fn what_a_person_sees_fits_a_terminal() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let (_, ee) = &forms(&KEY)[2];
        let said = said(&[link(proxy.address(), ee)]).await;
        assert_eq!(said.status, 0, "{}", said.stdout);
        for dc in 1..=5 {
            let row = format!("  DC {dc}    ok    tcp ");
            assert!(said.stdout.contains(&row), "{}", said.stdout);
        }
        assert!(said.stdout.contains("5 of 5 answered; "), "{}", said.stdout);
        assert!(said.stdout.lines().all(|line| line.chars().count() <= 80));
        // How long it takes is said beforehand, and nothing is wiped where no terminal is.
        let head = format!("{}, ee of example.com\n", proxy.address());
        assert!(said.stdout.starts_with(&head), "{}", said.stdout);
        assert!(
            said.stderr
                .contains("5 connections, at most one a second: 5 s, 50 s if")
        );
        assert!(!said.stderr.contains('\x1b'));
    });
}

#[test]
fn every_way_to_write_a_link() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let secret = padded(&KEY);
        let base64 = BASE64URL_NOPAD.encode(&from_hex(&secret).unwrap());
        let (address, port) = (proxy.address(), proxy.address().port());
        let server = address.ip();
        let mut all = words(&format!("{address}:{secret}"), "--dc 2");
        all.push(format!(
            "https://t.me/proxy?server={server}&port={port}&secret={base64}"
        ));
        all.push(format!(
            "t.me/proxy?port={port}&secret={secret}&server={server}"
        ));
        let (status, told) = told(&all).await;
        assert_eq!(status, 0, "{told}");
        assert_eq!(told["links"].as_array().unwrap().len(), 3);
        // Wherever the name leads.
        let elsewhere = format!("proxy.invalid:1:{secret}");
        let more = words(&elsewhere, &format!("--dc 2 --at {address}"));
        let (status, told) = crate::told(&more).await;
        assert_eq!(status, 0, "{told}");
        assert_eq!(told["links"][0]["addresses"][0], address.to_string());
    });
}

#[test]
fn through_a_front_and_its_back() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Direct, &secured, |o| o).await;
        for (form, secret) in forms(&KEY) {
            let more = words(&link(split.front.address(), &secret), "--dc 2");
            let (status, told) = told(&more).await;
            assert_eq!(status, 0, "{form}: {told}");
        }
        // The front itself says what becomes of the link.
        let Split { front, back, .. } = split;
        back.stop().await;
        for (form, secret) in forms(&KEY) {
            let more = words(&link(front.address(), &secret), "--dc 2 --timeout 4");
            let (status, told) = told(&more).await;
            assert_eq!(status, 69, "{told}");
            let failure = crate::failure(&told);
            let expected: &[&str] = match form {
                "ee" => &["dc_silent", "dc_closed", "dc_reset"],
                _ => &["silent", "closed", "reset"],
            };
            assert!(expected.contains(&failure), "{form}: {failure}");
        }
    });
}

#[test]
fn check_pings_the_config_s_own_links() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |options| {
            let server = options.listener().ip();
            options.set("--link-name", server).in_config_file()
        })
        .await;
        let config = proxy.directory().join("proxy.conf").display().to_string();
        let check = |more: &'static [&'static str]| {
            let mut command = proxy.prepared(&["check", "--offline", "--config", &config]);
            command.args(more);
            smol::unblock(move || Said::by(&mut command))
        };
        let said = check(&["--links"]).await;
        let of_links: Vec<_> = said
            .stdout
            .lines()
            .filter(|line| line.contains("link of"))
            .collect();
        assert_eq!(of_links.len(), 3, "{}", said.stdout);
        for line in of_links {
            assert!(line.starts_with("ok    link of "), "{line}");
            assert!(line.contains("from this machine; from outside"), "{line}");
        }
        let said = check(&[]).await;
        assert!(!said.stdout.contains("link of"), "{}", said.stdout);
        telegram.behave(|behaviour| behaviour.direct_refuse = true);
        let said = check(&["--links", "--json"]).await;
        assert_eq!(said.status, 69, "{}", said.stdout);
        assert!(
            said.stdout.contains("the proxy knows the secret"),
            "{}",
            said.stdout
        );
    });
}
