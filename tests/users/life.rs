//! From the first day of a user to the last.

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{Route, Secured, Split};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};

use super::*;

#[test]
fn a_user_comes_at_once_and_goes_at_once() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let mut other = proxy.served_client(2).await;
        let key = added(&proxy, "alice");
        let mut alice = served(&proxy, key).await.unwrap();
        let listed = json(&proxy, "list");
        let [row] = &listed["users"].as_array().unwrap()[..] else {
            panic!("{listed}")
        };
        assert_eq!(
            (row["name"].as_str(), row["clients"].as_u64()),
            (Some("alice"), Some(1))
        );

        assert_eq!(user(&proxy, "del alice").fine(), "changed\n");
        ends(&mut alice).await;
        assert_eq!(
            proxy.counted("closed_total", "reason=\"secret_removed\""),
            1
        );
        assert!(served(&proxy, key).await.is_none());
        says(
            &proxy,
            "ctl: user del alice; secret taken out: alice (1 session ends)",
        )
        .await;
        assert!(
            !proxy
                .log()
                .concat()
                .contains(&fake_telegram::crypto::hex(&key))
        );
        within("an echo", other.echo(&echo(2, 64))).await.unwrap();
        telegram.assert_clean();
    });
}

#[test]
fn limits_hold_at_once() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let key = added(&proxy, "alice max-connections=1,quota=50G rate=2M");
        assert!(
            file(&proxy)
                .unwrap()
                .ends_with(",max-connections=1,quota=50G,rate=2M\n")
        );
        let _first = served(&proxy, key).await.unwrap();
        assert!(served(&proxy, key).await.is_none());
        assert_eq!(
            user(&proxy, "limit alice max-connections=2 rate=none").fine(),
            "changed\n"
        );
        assert_eq!(
            user(&proxy, "limit alice max-connections=2").fine(),
            "unchanged\n"
        );
        let mut second = served(&proxy, key).await.unwrap();
        assert_eq!(
            user(&proxy, "limit alice expires=2020-12-31").fine(),
            "changed\n"
        );
        ends(&mut second).await;
        assert!(served(&proxy, key).await.is_none());
        let text = file(&proxy).unwrap();
        assert!(
            text.ends_with(",max-connections=2,expires=2020-12-31,quota=50G\n"),
            "{text}"
        );
        let shown = user(&proxy, "show alice").fine();
        assert!(shown.contains("expired on 2020-12-31"), "{shown}");
        telegram.assert_clean();
    });
}

#[test]
fn an_old_secret_is_good_beside_the_new_one_and_after_a_restart() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let first = added(&proxy, "alice max-connections=2");
        let mut inside = served(&proxy, first).await.unwrap();
        within("a download", inside.download(100_000, 10_000))
            .await
            .unwrap();
        let second = key_in(&json(&proxy, "rotate alice --keep 7d"));
        assert_ne!(first, second);
        let mut other = served(&proxy, second).await.unwrap();
        assert!(
            served(&proxy, first).await.is_none(),
            "one account has both"
        );
        within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
        let used = |proxy: &Proxy| {
            let listed = json(proxy, "list");
            assert_eq!(
                listed["users"][0]["old_secrets_until"]
                    .as_array()
                    .unwrap()
                    .len(),
                1
            );
            listed["users"][0]["bytes"].as_u64().unwrap()
        };
        assert!(used(&proxy) >= 100_000);
        let shown = user(&proxy, "show alice --no-qr").fine();
        assert!(shown.contains("an old secret is good until 2"), "{shown}");
        assert!(
            !shown.contains(&fake_telegram::crypto::hex(&first)),
            "{shown}"
        );

        let proxy = started(proxy.stop().await).await;
        ends(&mut other).await;
        assert!(used(&proxy) >= 100_000);
        let mut of_old = served(&proxy, first).await.unwrap();
        let mut of_new = served(&proxy, second).await.unwrap();

        let third = key_in(&json(&proxy, "rotate alice"));
        ends(&mut of_old).await;
        ends(&mut of_new).await;
        for gone in [first, second] {
            assert!(served(&proxy, gone).await.is_none());
        }
        assert!(served(&proxy, third).await.is_some());
        telegram.assert_clean();
    });
}

#[test]
fn an_old_secret_ends_in_time() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let first = added(&proxy, "alice");
        let mut inside = served(&proxy, first).await.unwrap();
        let second = key_in(&json(&proxy, "rotate alice --keep 3s"));
        let mut new = served(&proxy, second).await.unwrap();
        ends(&mut inside).await;
        says(
            &proxy,
            "an old secret is good no more; secret taken out: alice (1 session ends)",
        )
        .await;
        assert!(served(&proxy, first).await.is_none());
        within("an echo", new.echo(&echo(2, 64))).await.unwrap();
        assert!(served(&proxy, second).await.is_some());
        // The next change takes its line out.
        let lines = |proxy: &Proxy| file(proxy).unwrap().matches("alice=").count();
        assert_eq!(lines(&proxy), 2);
        added(&proxy, "bob");
        assert_eq!(lines(&proxy), 1);
        telegram.assert_clean();
    });
}

#[test]
fn many_at_once_are_one_after_the_other() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let begin = |name: &str| {
            let mut command = proxy.prepared(&["user", "add", name, "--json"]);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null());
            command.spawn().unwrap()
        };
        let names = ["a", "b", "c", "d", "d", "d"];
        let children: Vec<_> = names.map(begin).into_iter().collect();
        let mut keys = Vec::new();
        for child in children {
            let output = child.wait_with_output().unwrap();
            if output.status.success() {
                keys.push(key_in(&serde_json::from_slice(&output.stdout).unwrap()));
            }
        }
        assert_eq!(keys.len(), 4);
        let text = file(&proxy).unwrap();
        assert_eq!(
            text.lines().filter(|line| !line.starts_with('#')).count(),
            4
        );
        for key in keys {
            assert!(served(&proxy, key).await.is_some());
        }
        telegram.assert_clean();
    });
}

/// Whoever runs it without a secret of the config goes on with the one that it made.
#[test]
fn the_first_user_takes_nobodys_link_away() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram).without("--secret")).await;
        let kept = fs::read_to_string(proxy.directory().join("secret")).unwrap();
        let own = key_in(&serde_json::json!({ "secret": format!("dd{kept}") }));
        let mut inside = served(&proxy, own).await.unwrap();
        let key = added(&proxy, "alice");
        assert!(served(&proxy, key).await.is_some());
        let proxy = {
            within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
            started(proxy.stop().await).await
        };
        for key in [own, key] {
            assert!(served(&proxy, key).await.is_some());
        }
        let (status, why) = refused(&proxy, "del own");
        assert!(
            status == 69 && why.contains("the proxy has made itself"),
            "{why}"
        );
        user(&proxy, "del alice").fine();
        assert!(served(&proxy, own).await.is_some());
        telegram.assert_clean();
    });
}

#[test]
fn users_live_on_the_front() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Direct, &secured, |o| {
            // A back has no clients to reset.
            match o.has("--listen") {
                true => o.set("--reset", "on-handshake-error"),
                false => o,
            }
        })
        .await;
        let control = |proxy: &Proxy| proxy.directory().join("control").exists();
        eventually("both", || control(&split.front) && control(&split.back)).await;
        let key = added(&split.front, "alice");
        let client = split.front.client(Kind::Padded).key(key);
        let mut alice = client.served().await.unwrap();
        let (status, why) = refused(&split.back, "add bob");
        assert!(status == 69 && why.contains("ask its front"), "{why}");
        user(&split.front, "del alice").fine();
        ends(&mut alice).await;
        split.telegram.assert_clean();
    });
}
