//! What commands say of the WEB proxy, and the proxy of those in front of it.
#![cfg(feature = "check")]

use std::fs;

use fake_telegram::built_binary;
use fake_telegram::harness::{ProxyOptions, Route, Said, TemporaryDirectory};
use fake_telegram::secret;
use fake_telegram::telegram::{self, FakeTelegram};
use fake_telegram::wait::{eventually, run};
use serde_json::Value;

const KEY: &str = "00112233445566778899aabbccddeeff";
const HOST: &str = "proxy.example.com";

fn say(line: &str) -> Said {
    Said::to(built_binary!(), line)
}

fn invites(said: &Said) -> Vec<&str> {
    let lines = said.stdout.lines().map(str::trim);
    lines.filter(|line| line.starts_with("tg://")).collect()
}

#[test]
fn links_of_web_hosts_stand_beside_the_others() {
    let directory = TemporaryDirectory::new();
    let site = directory.path().display();
    let flags = format!(
        "link --external-ip 192.0.2.1 --secret anna={KEY} --web {HOST} --web b.example/My/app \
         --web-listen 127.0.0.1:8080 --web-site {site}"
    );
    let said = say(&format!("{flags} --no-qr"));
    assert_eq!(said.status, 0, "{}", said.stderr);
    // 70, dd and the key, as apps want it where there is a path.
    let marked = "cN0AESIzRFVmd4iZqrvM3e7_";
    let wanted = [
        format!("tg://webproxy?server={HOST}&secret=dd{KEY}"),
        format!("tg://webproxy?server=b.example%2FMy%2Fapp&secret={marked}"),
    ];
    assert_eq!(invites(&said), wanted);
    for link in wanted {
        let t_me = link.replace("tg://", "https://t.me/");
        assert!(said.stdout.contains(&t_me), "{}", said.stdout);
    }
    let both = say(&format!("{flags} --no-qr --listen 8443"));
    assert_eq!(invites(&both).len(), 3, "{}", both.stdout);
    assert!(say(&flags).stdout.contains('█'));
    let json = say(&format!("{flags} --json"));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let text = json.to_string();
    assert!(text.contains("My/app") && text.contains(marked), "{text}");
}

#[cfg(feature = "tls")]
#[test]
fn a_port_that_apps_do_not_take_has_no_link_and_says_why() {
    let flags = format!(
        "link --no-qr --external-ip 192.0.2.1 --secret anna={KEY} --listen 8443 \
         --web {HOST},cert=chain.pem,key=key.pem --web-site site"
    );
    let said = say(&flags);
    assert!(!said.stdout.contains("webproxy"), "{}", said.stdout);
    let why = format!("say so with --link-name {HOST}:443");
    assert!(said.stderr.contains(&why), "{}", said.stderr);
    let said = say(&format!("{flags} --link-name {HOST}:443"));
    assert!(said.stdout.contains("tg://webproxy"), "{}", said.stderr);
}

#[test]
fn a_check_goes_through_the_door_as_an_app_does() {
    run(async {
        let telegram = FakeTelegram::start(telegram::Options::default()).unwrap();
        let site = TemporaryDirectory::new();
        fs::write(site.path().join("index.html"), "a page").unwrap();
        let site = site.path().display();
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
        let proxy = options.web(HOST, &site).start().await;
        let door = proxy.web_address();
        let check = |secret: &str| {
            say(&format!(
                "check --offline --external-ip 192.0.2.1 --secret anna={secret} --web {HOST} \
                 --web-listen {door} --web-site {site}"
            ))
        };
        let said = check(&secret::classic(&secret::KEY)).stdout;
        let good = format!("{HOST}, a session and its WebSocket");
        let line = format!("ok    WEB door {door}: gives the page of {good}");
        assert!(said.contains(&line), "{said}");
        // It says whose its requests are, as a web server does.
        let is_told = || proxy.log_contains("so its clients count as one address");
        assert!(!is_told());
        // Another secret than that of what runs.
        let said = check(&KEY.replace("00", "99")).stdout;
        let line = format!("warn  WEB door {door}: the page is");
        assert!(said.contains(&line), "{said}");
        let api = proxy.web_app(HOST).api().await.unwrap();
        api.create().await.unwrap();
        eventually("a web server that does not say it is named", is_told).await;
    });
}
