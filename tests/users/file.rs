//! What is kept, and what may happen to the file.

use std::os::unix::fs::PermissionsExt;

use fake_telegram::crypto::hex;
use fake_telegram::harness::skipped;
use fake_telegram::wait::run;

use super::*;

const BOB: [u8; 16] = [0xb0; 16];

#[test]
fn a_line_by_hand_counts_after_a_reload() {
    run(async {
        let telegram = telegram();
        let mut proxy = started(options(&telegram)).await;
        let alice = added(&proxy, "alice");
        let path = proxy.directory().join("users");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = file(&proxy).unwrap();
        let by_hand = format!("{before}# my brother\nbob=dd{}\n", hex(&BOB));
        fs::write(&path, &by_hand).unwrap();
        let (status, why) = refused(&proxy, "add carol");
        assert!(status == 69 && why.contains("changed by hand"), "{why}");
        assert!(served(&proxy, BOB).await.is_none());

        proxy.reload(|_| {});
        says(&proxy, "info reloaded: --secret").await;
        for key in [alice, BOB] {
            assert!(served(&proxy, key).await.is_some());
        }
        let carol = added(&proxy, "carol");
        assert!(file(&proxy).unwrap().starts_with(&by_hand));
        let copy = fs::read_to_string(proxy.directory().join("users.old"));
        assert_eq!(copy.unwrap(), by_hand);

        let proxy = started(proxy.stop().await).await;
        for key in [alice, BOB, carol] {
            assert!(served(&proxy, key).await.is_some());
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_reload_has_config_and_users_or_neither() {
    run(async {
        let telegram = telegram();
        let mut proxy = started(options(&telegram)).await;
        let alice = added(&proxy, "alice");
        let path = proxy.directory().join("users");
        let sound = file(&proxy).unwrap();
        fs::write(&path, format!("{sound}bob=dd{}\n", &hex(&BOB)[1..])).unwrap();
        proxy.reload(|flags| flags.push(("--max-handshakes", "77".to_owned())));
        says(&proxy, "the config was not reloaded: ").await;
        says(&proxy, "users:4: ").await;
        assert!(served(&proxy, alice).await.is_some());

        // A user of the name of one of the config is refused too.
        fs::write(&path, &sound).unwrap();
        let same = format!("alice=dd{}", hex(&BOB));
        proxy.reload(|flags| flags.push(("--secret", same)));
        says(&proxy, "two secrets are called alice").await;
        assert!(served(&proxy, BOB).await.is_none());
        assert!(served(&proxy, alice).await.is_some());
        proxy.reload(|flags| flags.retain(|flag| !flag.1.starts_with("alice=")));
        says(&proxy, "info reloaded: --max-handshakes").await;
        assert!(served(&proxy, alice).await.is_some());
        telegram.assert_clean();
    });
}

#[test]
fn a_damaged_file_is_named_and_nobody_is_left_out() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        added(&proxy, "alice");
        added(&proxy, "bob");
        let path = proxy.directory().join("users");
        let options = proxy.stop().await;
        for (content, wanted) in [
            ("", "is empty, as after a power cut"),
            ("\0\0\0\0", "users:1: "),
            ("# x\nalice=dd00\n", "users:2: "),
        ] {
            fs::write(&path, content).unwrap();
            let mut proxy = options.clone().spawn();
            assert_eq!(proxy.exit_status().await.code(), Some(65), "{content:?}");
            says(&proxy, wanted).await;
            says(&proxy, "users.old").await;
        }
        fs::rename(path.with_extension("old"), &path).unwrap();
        let proxy = started(options).await;
        let listed = json(&proxy, "list");
        assert_eq!(listed["users"][0]["name"], "alice");
        telegram.assert_clean();
    });
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let alice = added(&proxy, "alice");
        let before = file(&proxy);
        // Nothing can be written there, be it root's.
        for name in ["users.new", "users.old.new"] {
            let obstacle = proxy.directory().join(name);
            fs::create_dir_all(obstacle.join("x")).unwrap();
            for line in [
                "add bob",
                "limit alice max-ips=1",
                "rotate alice",
                "del alice",
            ] {
                let (status, why) = refused(&proxy, line);
                assert_eq!(status, 69, "{line}");
                assert!(
                    why.contains("cannot write ") && why.contains("no user is changed"),
                    "{why}"
                );
            }
            fs::remove_dir_all(obstacle).unwrap();
            assert_eq!(file(&proxy), before);
            assert!(served(&proxy, alice).await.is_some());
        }
        let listed = json(&proxy, "list");
        assert_eq!(listed["users"].as_array().unwrap().len(), 1);
        user(&proxy, "del alice").fine();
        telegram.assert_clean();
    });
}

#[test]
fn memory_keeps_no_users() {
    run(async {
        let memory = std::path::Path::new("/dev/shm");
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        if !mounts.contains(" /dev/shm tmpfs ") {
            return skipped("/dev/shm is not in memory here");
        }
        let telegram = telegram();
        let name = format!(
            "smol-mtproxy-test-{}",
            hex(&fake_telegram::crypto::random::<8>())
        );
        let place = memory.join(name);
        let proxy = options(&telegram).set("--data-dir", place.display());
        let proxy = proxy.start().await;
        eventually("its socket for ctl", || place.join("control").exists()).await;
        let place_text = place.display().to_string();
        let mut program = fake_telegram::harness::program(fake_telegram::built_binary!());
        let said = Said::by(program.args(["user", "add", "alice", "--data-dir", &place_text]));
        let is_kept = place.join("users").exists();
        drop(proxy);
        let _ = fs::remove_dir_all(&place);
        assert_eq!(said.status, 69);
        assert!(said.stderr.contains("is in memory"), "{}", said.stderr);
        assert!(said.stderr.contains("uci add_list"), "{}", said.stderr);
        assert!(!is_kept);
    });
}
