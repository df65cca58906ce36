//! What a line of the log looks like: as JSON, with addresses or without, and the line of
//! the self-test.

use std::net::IpAddr;

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{self, Proxy, ProxyOptions, Route, Secured, Split, free_address};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, run, within};
use serde_json::Value;

/// Whom the log is to show, or not.
const CLIENT: &str = "127.0.77.8";
const STRANGER: &str = "127.0.78.9";

/// The line of its log that says so, once it does.
async fn says(proxy: &Proxy, text: &str) -> String {
    let find = || proxy.log().into_iter().find(|line| line.contains(text));
    eventually(text, || find().is_some()).await;
    find().unwrap_or_default()
}

/// Has a client come and go, and a stranger come, each from an address of its own.
async fn visit(proxy: &Proxy, left: &str) {
    let from = |kind: Kind, source: &str| {
        let source: IpAddr = source.parse().unwrap();
        kind.options(proxy.address()).source(source)
    };
    let mut client = from(Kind::Padded, CLIENT).connect().await.unwrap();
    within("an echo", client.echo(&echo(1, 64))).await.unwrap();
    drop(client);
    says(proxy, left).await;
    let stranger = from(Kind::Padded, STRANGER).key([9; 16]);
    let connection = stranger.connect().await.unwrap();
    says(proxy, "is no client: no whole handshake").await;
    drop(connection);
}

#[test]
fn every_line_is_an_object_where_that_is_wanted() {
    run(async {
        let change = |o: ProxyOptions| {
            let json = o.set("--log-format", "json").set("--log-level", "trace");
            json.set("--handshake-timeout", 1).in_config_file()
        };
        let (telegram, mut proxy) = harness::start(built_binary!(), Route::Direct, change).await;
        visit(&proxy, "left after").await;
        for line in proxy.log() {
            let object: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            for field in ["level", "time", "room", "message"] {
                assert!(object[field].is_string(), "{line}");
            }
        }
        let line = says(&proxy, "left after").await;
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&object["level"], &object["room"]),
            (&"debug".into(), &"client".into())
        );
        // A reload takes text again.
        proxy.reload(|flags| flags.retain(|flag| flag.0 != "--log-format"));
        let line = says(&proxy, "reloaded: --log-format").await;
        assert!(line.contains(" info ") && !line.starts_with('{'), "{line}");
        telegram.assert_clean();
    });
}

#[test]
fn addresses_are_shown_as_is_wanted() {
    run(async {
        for (wanted, client, stranger) in [
            ("full", "127.0.77.8:", "127.0.78.9:"),
            ("masked", "127.0.77.0/24", "127.0.78.0/24"),
            ("none", "somebody left", "somebody is no client"),
        ] {
            let change = |o: ProxyOptions| {
                o.set("--log-addresses", wanted)
                    .set("--handshake-timeout", 1)
            };
            let change = |o| change(o).set("--log-level", "trace");
            let (telegram, proxy) = harness::start(built_binary!(), Route::Direct, change).await;
            visit(&proxy, "left after").await;
            let log = proxy.log().join("\n");
            assert!(log.contains(client) && log.contains(stranger), "{log}");
            let is_whole = log.contains(CLIENT) && log.contains(STRANGER);
            assert_eq!(is_whole, wanted == "full", "{log}");
            let is_any = log.contains("127.0.77.") || log.contains("127.0.78.");
            assert_eq!(is_any, wanted != "none", "{log}");
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_back_shows_no_address_of_its_front() {
    run(async {
        let change = |o: ProxyOptions| o.set("--log-addresses", "none");
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Direct, &secured, change).await;
        says(&split.back, "linked to the front somebody").await;
        split.telegram.assert_clean();
    });
}

#[test]
fn the_self_test_says_once_how_things_stand_and_asks_one_dc() {
    run(async {
        let change = |o: ProxyOptions| o.set("--self-test", "yes");
        let (telegram, proxy) = harness::start(built_binary!(), Route::Direct, change).await;
        let line = says(&proxy, "self-test: ").await;
        assert!(line.contains("info self-test: DC 2 answers in "), "{line}");
        assert!(line.contains(" ms by direct; "), "{line}");
        // Nobody has come, and nobody from elsewhere can come to 127.0.0.1.
        assert!(!line.contains("clients come"), "{line}");
        assert!(!line.contains("clients can come if"), "{line}");
        let log = proxy.log();
        let count = log.iter().filter(|line| line.contains("self-test")).count();
        assert_eq!(count, 1);
        assert_eq!(telegram.counters().direct_accepted(), 1);
        telegram.assert_clean();
    });
}

#[test]
fn the_self_test_says_what_is_wrong_and_the_way_out() {
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let nobody = free_address();
        let proxy = ProxyOptions::new(built_binary!(), &telegram, Route::Direct)
            .set("--self-test", "yes")
            .set("--dc", format!("4={nobody}"))
            .start()
            .await;
        let line = says(&proxy, "self-test: ").await;
        assert!(
            line.contains("warn self-test: DC 4 does not answer"),
            "{line}"
        );
        assert!(line.contains("--via"), "{line}");
    });
}

#[test]
fn the_self_test_of_a_front_tells_of_its_link() {
    run(async {
        let change = |o: ProxyOptions| o.set("--self-test", "yes");
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Direct, &secured, change).await;
        let line = says(&split.front, "self-test: ").await;
        assert!(
            line.contains("info self-test: the back is linked"),
            "{line}"
        );
        let line = says(&split.back, "self-test: ").await;
        assert!(
            line.contains("DC 2 answers") && line.contains("a front is linked"),
            "{line}"
        );
        // A front whose back is not there.
        let nobody = free_address();
        let telegram = &split.telegram;
        let alone = ProxyOptions::front(
            built_binary!(),
            telegram,
            Route::Direct,
            &secured,
            &[nobody],
        );
        let alone = change(alone).start().await;
        let line = says(&alone, "self-test: ").await;
        assert!(
            line.contains("warn self-test: there is no link to a back: "),
            "{line}"
        );
    });
}
