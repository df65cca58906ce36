//! The API over the control socket (`doc/api.md`): each call as the document has it, in
//! every role, and those who ask badly.

mod askers;
mod asking;
mod shape;

use std::fs;

use asking::{ask, ask_with, get};
use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::crypto::hex;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, Split, start};
use fake_telegram::payload::echo;
use fake_telegram::secret::DOMAIN;
use fake_telegram::wait::{eventually, run};
use serde_json::{Value, json};
use shape::{difference, examples};

/// Letters, and signs that mean something in a URL or in JSON.
const ODD_NAME: &str = "Ольга/%?#&'";
const ODD_KEY: [u8; 16] = [0x5a; 16];

fn with_secrets(options: ProxyOptions) -> ProxyOptions {
    let secret = format!(
        "{ODD_NAME}={},max-connections=1,max-ips=3,expires=2999-01-31,quota=1G,rate=1G",
        hex(&ODD_KEY)
    );
    let table = options.directory().join("banned.txt");
    options
        .set("--reset", "on-handshake-error")
        .add("--secret", secret)
        .add("--table", format!("banned={}", table.display()))
}

/// What the answer to a call of the document has another shape in.
fn compare(proxy: &Proxy, method: &str, target: &str) -> Value {
    let answer = ask(proxy, method, target);
    assert_eq!(answer.status, 200, "{method} {target}: {}", answer.body);
    let answer = answer.json();
    let example = examples().into_iter().find(|example| {
        example.method == method && example.target == target.split('?').next().unwrap()
    });
    let example = example.unwrap_or_else(|| panic!("no example of {method} {target}"));
    if let Some(difference) = difference(&example.json, &answer, target) {
        panic!("{difference}\n{answer:#}");
    }
    answer
}

#[test]
fn each_call_is_as_documented() {
    run(async {
        for route in Route::ALL {
            let change = |options| with_secrets(options).in_config_file();
            let (telegram, mut proxy) = start(built_binary!(), route, change).await;
            let mut client = proxy.client(Kind::FakeTls).dc(2).served().await.unwrap();
            let mut odd = proxy.client(Kind::Padded).dc(4).key(ODD_KEY);
            let _second = odd.served().await.unwrap();
            odd = proxy.client(Kind::Padded).dc(4).key(ODD_KEY);
            assert!(!odd.is_served().await, "one client at most");
            client.echo(&echo(1, 5000)).await.unwrap();
            proxy.reload(|flags| flags.push(("--max-clients", "77".into())));
            eventually("a reload", || {
                proxy.counted("config_reloads_total", "") == 1
            })
            .await;

            for example in examples() {
                // Of these there are none here.
                let is_other = matches!(example.target.as_str(), "" | "/v1/links");
                if !is_other {
                    compare(&proxy, &example.method, &example.target);
                }
            }
            tells_of_clients(&proxy, route);
            let (code, problem) = (ask(&proxy, "GET", "/v1/links"), 409);
            assert_eq!(code.status, problem);
            telegram.assert_clean();
        }
    });
}

/// There are two, one of them of the secret with the odd name.
fn tells_of_clients(proxy: &Proxy, route: Route) {
    let status = get(proxy, "/v1/status");
    assert_eq!(status["role"], "both");
    let clients = &status["clients"];
    assert_eq!((&clients["now"], &clients["most"]), (&json!(2), &json!(77)));
    assert!(clients["today"].as_u64() >= Some(2), "{status:#}");
    assert!(clients["bytes_today"].as_u64() > Some(10_000), "{status:#}");
    let reached = status["limits_reached"].as_array().unwrap();
    assert_eq!(reached[0]["reason"], "secret_connections", "{status:#}");
    assert_eq!(status["last_reload"]["changed"], json!(["--max-clients"]));
    let by = match route {
        Route::Middle => "middle",
        Route::Direct => "direct",
    };
    let dcs = status["dcs"].as_array().unwrap();
    let two = dcs.iter().find(|dc| dc["dc"] == 2).unwrap();
    assert_eq!(two["sessions_by_route"], json!({ by: 1 }));
    let middle = two["middle_connections"].as_array().unwrap();
    assert_eq!(!middle.is_empty(), route == Route::Middle, "{two:#}");

    let all = get(proxy, "/v1/secrets")["secrets"].clone();
    let of = |name: &str| {
        let mut all = all.as_array().unwrap().iter();
        all.find(|one| one["name"] == name).unwrap().clone()
    };
    let odd = of(ODD_NAME);
    assert_eq!((&odd["clients"], &odd["addresses"]), (&json!(1), &json!(1)));
    assert_eq!(odd["limits"]["expires"], "2999-01-31");
    assert_eq!(odd["limits"]["quota"], 1 << 30);
    // Counted without a quota too: an echo comes and goes.
    assert!(of("secret1")["bytes"].as_u64() > Some(10_000), "{all:#}");

    let masked = get(proxy, "/v1/clients");
    assert_eq!(masked["clients"].as_array().unwrap().len(), 2);
    assert_eq!(masked["clients"][0]["address"], "127.0.0.*");
    let target = "/v1/clients?addresses=full&secret=%D0%9E%D0%BB%D1%8C%D0%B3%D0%B0%2F%25%3F%23%26'";
    let full = get(proxy, target)["clients"].clone();
    assert_eq!(full.as_array().unwrap().len(), 1, "{full:#}");
    assert_eq!(
        (&full[0]["secret"], &full[0]["dc"]),
        (&json!(ODD_NAME), &json!(4))
    );
    assert_eq!(
        (&full[0]["route"], &full[0]["form"]),
        (&json!(by), &json!("padded"))
    );
    let address = full[0]["address"].as_str().unwrap();
    assert!(address.parse::<std::net::SocketAddr>().is_ok(), "{address}");
    // One page after the other.
    let mut seen = Vec::new();
    let mut next = json!(0);
    while let Some(after) = next.as_u64() {
        let page = get(proxy, &format!("/v1/clients?limit=1&after={after}"));
        seen.extend(page["clients"].as_array().unwrap().clone());
        next = page["next"].clone();
    }
    assert_eq!(seen.len(), 2, "{seen:#?}");
    is_told_to_people(proxy);
}

fn is_told_to_people(proxy: &Proxy) {
    let said = |words: &[&str]| {
        let output = proxy.command(&[&["ctl"], words].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let status = said(&["status"]);
    for wanted in [
        "clients      2 of at most 77; ",
        "1 time: more connections",
        "--max-clients",
    ] {
        assert!(status.contains(wanted), "{status}");
    }
    let secrets = said(&["secrets"]);
    assert!(secrets.starts_with("SECRET "), "{secrets}");
    assert!(
        secrets.contains("at most 3 addresses, until 2999-01-31"),
        "{secrets}"
    );
    let clients = said(&["clients", ODD_NAME, "--full", "--limit", "5"]);
    assert_eq!(clients.lines().count(), 2, "{clients}");
    for words in ["dcs", "table"] {
        assert!(said(&[words]).lines().count() > 1, "{words}");
    }
    let json: Value = serde_json::from_str(&said(&["status", "--json"])).unwrap();
    assert_eq!(json["clients"]["now"], 2);
    let refused = proxy.command(&["ctl", "clients", "nobody", "--json"]);
    assert_eq!(refused.status.code(), Some(69));
    let problem: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(problem["status"], 404);
    assert_eq!(proxy.command(&["ctl", "links"]).status.code(), Some(69));
    for wrong in [
        &["status", "--full"][..],
        &["secrets", "--save"],
        &["clients", "--limit", "10001"],
    ] {
        let output = proxy.command(&[&["ctl"], wrong].concat());
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
}

#[test]
fn a_front_and_its_back_each_tell_their_half() {
    run(async {
        let split = Split::start(built_binary!(), Route::Middle, &Secured::default(), |o| o).await;
        let client = split.front.client(Kind::Padded).dc(2).served().await;
        assert!(client.is_some());
        for (half, role) in [(&split.front, "front"), (&split.back, "back")] {
            let links = compare(half, "GET", "/v1/links")["links"].clone();
            assert_eq!(
                (&links[0]["state"], &links[0]["clients"]),
                (&json!("up"), &json!(1))
            );
            let status = compare(half, "GET", "/v1/status");
            assert_eq!(status["role"], role);
            assert_eq!(status["links"].as_array().unwrap().len(), 1);
            let dcs = status["dcs"].as_array().unwrap();
            let two = dcs.iter().find(|dc| dc["dc"] == 2).unwrap();
            assert_eq!(two["sessions"], 1, "{two:#}");
            compare(half, "GET", "/v1/secrets");
            let lines = half.command(&["ctl", "status"]);
            let lines = String::from_utf8(lines.stdout).unwrap();
            assert!(lines.contains("1 client, for "), "{lines}");
        }
        assert_eq!(ask(&split.front, "GET", "/v1/routes").status, 409);
        assert_eq!(ask(&split.back, "GET", "/v1/clients").status, 409);
        assert!(get(&split.back, "/v1/status")["clients"].is_null());
        // A round trip is known once a ping was answered.
        eventually("a round trip", || {
            get(&split.front, "/v1/links")["links"][0]["round_trip_micros"].is_u64()
        })
        .await;
        let Split {
            telegram,
            back,
            front,
        } = split;
        back.stop().await;
        eventually("that the link is down", || {
            let link = get(&front, "/v1/links")["links"][0].clone();
            link["state"] == "down" && link["fault"].is_string()
        })
        .await;
        let errors = get(&front, "/v1/status")["errors"].clone();
        let is_of_link = |error: &Value| error["line"].as_str().unwrap().contains("link");
        assert!(
            errors.as_array().unwrap().iter().any(is_of_link),
            "{errors:#}"
        );
        telegram.assert_clean();
    });
}

#[test]
fn hosts_and_sites_are_in_the_status() {
    run(async {
        let change = |options: ProxyOptions| {
            let site = options.directory().join("site");
            fs::create_dir(&site).unwrap();
            fs::write(site.join("index.html"), "<p>Hello.</p>\n").unwrap();
            options.web("proxy.example.org", site.display())
        };
        let (telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
        let status = compare(&proxy, "GET", "/v1/status");
        let web = json!({"hosts": ["proxy.example.org"], "sessions": 0, "streams": 0});
        assert_eq!(status["web"], web);
        let site = &status["sites"][0];
        assert_eq!(
            (&site["domain"], &site["place"]),
            (&json!(DOMAIN), &Value::Null)
        );
        let lines = proxy.command(&["ctl", "status"]);
        let lines = String::from_utf8(lines.stdout).unwrap();
        assert!(lines.contains("proxy.example.org: 0 sessions"), "{lines}");
        telegram.assert_clean();
    });
}

#[test]
fn tables_are_changed_and_a_refused_reload_is_told() {
    run(async {
        let change = |options| with_secrets(options).in_config_file();
        let (telegram, mut proxy) = start(built_binary!(), Route::Direct, change).await;
        let entry = "/v1/tables/banned/entries/192.0.2.0%2F24";
        let changed = |method, is| {
            assert_eq!(
                compare_entry(&proxy, method, entry),
                json!({ "changed": is })
            );
        };
        changed("PUT", true);
        changed("PUT", false);
        assert_eq!(
            get(&proxy, "/v1/tables/banned"),
            json!({"entries": ["192.0.2.0/24"]})
        );
        assert_eq!(get(&proxy, "/v1/tables")["tables"][0]["entries"], 1);
        changed("DELETE", true);
        changed("DELETE", false);
        changed("PUT", true);
        compare(&proxy, "POST", "/v1/tables/banned/save");
        let file = proxy.directory().join("banned.txt");
        assert_eq!(fs::read_to_string(file).unwrap(), "192.0.2.0/24\n");
        proxy.reload(|flags| flags.push(("--no-such-flag", "1".into())));
        eventually("a refused reload", || {
            proxy.counted("config_reload_failures_total", "") == 1
        })
        .await;
        let reload = get(&proxy, "/v1/status")["last_reload"].clone();
        assert_eq!(reload["taken_over"], false);
        assert!(
            reload["error"].as_str().unwrap().contains("--no-such-flag"),
            "{reload:#}"
        );
        telegram.assert_clean();
    });
}

fn compare_entry(proxy: &Proxy, method: &str, target: &str) -> Value {
    let answer = ask(proxy, method, target);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[test]
fn what_is_wrong_is_told_as_a_problem() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, with_secrets).await;
        let problem = examples()
            .into_iter()
            .find(|example| example.method == "problem");
        let problem = problem.unwrap().json;
        for (method, target, status) in [
            ("GET", "/", 404),
            ("GET", "/v1/nothing", 404),
            ("GET", "/v1/tables/friends", 404),
            ("GET", "/v1/clients?secret=nobody", 404),
            ("POST", "/v1/status", 405),
            ("GET", "/v1/tables/banned/save", 405),
            ("GET", "/v1/clients?limit=10001", 400),
            ("GET", "/v1/status?x=1", 400),
            ("GET", "/v1/%ff", 400),
            ("PUT", "/v1/tables/banned/entries/10.0.0.0%2F40", 400),
            ("GET", "/v1/links", 409),
        ] {
            let answer = ask(&proxy, method, target);
            assert_eq!(answer.status, status, "{method} {target}: {}", answer.body);
            assert_eq!(answer.field("content-type"), "application/problem+json");
            let told = answer.json();
            assert_eq!(difference(&problem, &told, ""), None, "{told}");
            assert_eq!(told["status"], status);
            assert_eq!(status == 405, !answer.field("allow").is_empty());
            let lines = ask_with(&proxy, method, target, "Accept: text/plain\r\n");
            assert_eq!(lines.status, status);
            assert_eq!(lines.body.trim_end(), told["detail"].as_str().unwrap());
        }
        telegram.assert_clean();
    });
}

#[test]
fn no_answer_has_a_secret_in_it() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, with_secrets).await;
        let client = proxy.client(Kind::Padded).key(ODD_KEY).served().await;
        assert!(client.is_some());
        let secret = hex(&ODD_KEY);
        for example in examples().iter().filter(|example| example.method == "GET") {
            for accept in ["", "Accept: text/plain\r\n"] {
                let answer = ask_with(&proxy, "GET", &example.target, accept);
                assert!(!answer.body.contains(&secret), "{}", answer.body);
            }
        }
        telegram.assert_clean();
    });
}
