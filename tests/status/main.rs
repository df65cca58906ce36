//! The status listener (`doc/status-page.md`): who gets what by which name, with which token,
//! and those who ask badly.

mod asking;
mod balancers;
mod load;
mod networks;
mod page;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use asking::{Asker, token};
use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{ProxyOptions, Route, start};
use fake_telegram::wait::run;

const OF_THIS_MACHINE: [&str; 4] = ["localhost:9090", "127.0.0.1", "[::1]:9090", "LOCALHOST"];

/// Anybody may lead such a name here.
const OF_OTHERS: [&str; 5] = [
    "attacker.example:9090",
    "localhost.attacker.example",
    "127.0.0.1.attacker.example",
    "localhost:x",
    "",
];

fn with_table(options: ProxyOptions) -> ProxyOptions {
    let table = options.directory().join("banned.txt");
    options.add("--table", format!("banned={}", table.display()))
}

#[test]
fn without_a_token_there_are_figures_for_this_machine_alone() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, with_table).await;
        let client = proxy.client(Kind::Padded).dc(2).served().await;
        assert!(client.is_some());
        let at = |host: &str| Asker::of(&proxy).host(host);
        for target in ["/v1/figures", "/v1/history"] {
            for host in OF_THIS_MACHINE {
                let answer = at(host).get(target);
                assert_eq!(answer.status, 200, "{host}: {}", answer.body);
                assert!(!answer.body.contains("secret1"), "{}", answer.body);
                assert!(!answer.body.contains("127.0.0.1"), "{}", answer.body);
            }
            for host in OF_OTHERS.into_iter().chain(["192.0.2.1:9090"]) {
                let answer = at(host).get(target);
                assert_eq!(answer.status, 401, "{host}: {}", answer.body);
                assert_eq!(answer.field("www-authenticate"), "Bearer");
                assert_eq!(answer.field("content-type"), "application/problem+json");
                assert!(
                    answer.json()["detail"]
                        .as_str()
                        .unwrap()
                        .contains("ctl token")
                );
            }
            // A web server in between may let anybody in.
            for field in [
                "X-Forwarded-For: 192.0.2.7",
                "Forwarded: for=x",
                "Via: 1.1 x",
            ] {
                assert_eq!(
                    at("localhost").with(field).get(target).status,
                    401,
                    "{field}"
                );
            }
            assert_eq!(at("localhost").ask("POST", target).status, 401);
            let twice = at("localhost").with("Host: attacker.example");
            assert_eq!(twice.get(target).status, 401);
        }
        let figures = at("localhost").get("/v1/figures").json();
        assert_eq!(figures["clients"]["now"], 1);
        assert_eq!(figures["dcs"][0]["sessions"], 1, "{figures:#}");
        for target in [
            "/v1/status",
            "/v1/secrets",
            "/v1/clients",
            "/v1/tables/banned",
            "/v1/users/secret1",
            "/v1/nothing",
            "/v1/figures/../secrets",
            "/v1/",
        ] {
            assert_eq!(at("localhost").get(target).status, 401, "{target}");
        }
        telegram.assert_clean();
    });
}

#[test]
fn the_token_is_good_for_all_that_ctl_may() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, with_table).await;
        let token = token(&proxy);
        let file = proxy.directory().join("api-token");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap().trim(), token);
        assert!(!proxy.log().join("\n").contains(&token));
        assert!(!proxy.metrics().0.contains(&token));
        // By any name: a web server with TLS may be in between.
        for host in OF_THIS_MACHINE.into_iter().chain(OF_OTHERS) {
            let asker = Asker::of(&proxy).host(host).token(&token);
            let status = asker.get("/v1/status");
            assert_eq!(status.status, 200, "{host}: {}", status.body);
            assert_eq!(status.json()["role"], "both");
        }
        let asker = Asker::of(&proxy).token(&token);
        assert_eq!(asker.get("/v1/nothing").status, 404);
        assert_eq!(asker.ask("POST", "/v1/status").status, 405);
        assert_eq!(
            asker.get("/v1/secrets").json()["secrets"][0]["name"],
            "secret1"
        );
        let user = asker.get("/v1/users/secret1").json();
        assert!(
            user["links"][0]["t_me"]
                .as_str()
                .unwrap()
                .starts_with("https://t.me/")
        );
        let entry = "/v1/tables/banned/entries/192.0.2.7";
        assert_eq!(asker.ask("PUT", entry).body, "{\"changed\":true}\n");
        let lines = asker.with("Accept: text/plain").get("/v1/tables/banned");
        assert_eq!(lines.body, "192.0.2.7\n");
        let head = Asker::of(&proxy).token(&token).ask("HEAD", "/v1/secrets");
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        // In another case of the scheme, and no other scheme.
        let bearing = |field: String| Asker::of(&proxy).with(&field).get("/v1/secrets").status;
        assert_eq!(bearing(format!("authorization: bEARER  {token} ")), 200);
        assert_eq!(bearing(format!("Authorization: Basic {token}")), 401);
        assert_eq!(bearing(format!("Authorization: {token}")), 401);
        assert_eq!(
            Asker::of(&proxy)
                .get(&format!("/v1/secrets?token={token}"))
                .status,
            401
        );
        telegram.assert_clean();
    });
}

#[test]
fn it_stays_the_same_until_it_is_removed() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let first = token(&proxy);
        let proxy = proxy.stop().await.start().await;
        assert_eq!(token(&proxy), first);
        let file = proxy.directory().join("api-token");
        fs::remove_file(&file).unwrap();
        let said = proxy.command(&["ctl", "token"]);
        assert_eq!(said.status.code(), Some(69), "{said:?}");
        fs::write(&file, "short\n").unwrap();
        let proxy = proxy.stop().await.start().await;
        assert!(proxy.log_contains("holds no token of 16 signs"));
        for token in ["short", ""] {
            assert_eq!(Asker::of(&proxy).token(token).get("/v1/status").status, 403);
        }
        assert_eq!(Asker::of(&proxy).get("/v1/figures").status, 200);
        assert_eq!(proxy.command(&["ctl", "token"]).status.code(), Some(69));
    });
}

#[test]
fn who_guesses_is_told_to_wait() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let token = token(&proxy);
        let with = |token: &str| Asker::of(&proxy).token(token).get("/v1/status");
        for wrong in [&token[1..], &format!("{token}0"), &token.to_uppercase()] {
            // Of digits alone none is in upper case.
            assert!(with(wrong).status == 401 || wrong == token, "{wrong}");
        }
        let mut statuses: Vec<_> = (0..30).map(|n| with(&format!("{n:032}")).status).collect();
        statuses.dedup();
        assert_eq!(statuses, [401, 429]);
        let told = with(&"0".repeat(32));
        assert_eq!((told.status, told.field("retry-after")), (429, "60"));
        // Who has it is not locked out by those who guess, and all else goes on.
        assert_eq!(with(&token).status, 200);
        assert_eq!(Asker::of(&proxy).get("/v1/figures").status, 200);
        assert!(proxy.command(&["ctl", "status"]).status.success());
        assert!(proxy.log_contains("a wrong token"));
    });
}
