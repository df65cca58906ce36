//! Disks that are full, or take long.

use std::time::{Duration, Instant};

use fake_telegram::harness::Strace;
use fake_telegram::payload::echo;
use fake_telegram::wait::{run, within};
use smol::future::{or, zip};

use super::*;

/// For what stands beside a disk that takes long.
const CALM: Duration = Duration::from_secs(2);

#[test]
fn a_full_disk_changes_nothing() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let alice = added(&proxy, "alice");
        let before = file(&proxy);
        let Some(full) = Strace::inject(&proxy, "fsync", "error=ENOSPC", None).await else {
            return;
        };
        for line in ["add bob", "rotate alice", "del alice"] {
            let (status, why) = refused(&proxy, line);
            assert_eq!(status, 69, "{line}");
            assert!(why.contains("make room on its disk"), "{why}");
            assert!(why.contains("no user is changed"), "{why}");
        }
        assert_eq!(file(&proxy), before);
        assert!(served(&proxy, alice).await.is_some());
        drop(full);
        let bob = added(&proxy, "bob");
        assert!(served(&proxy, bob).await.is_some());
        telegram.assert_clean();
    });
}

#[test]
fn a_slow_disk_is_waited_for_by_who_wants_it_alone() {
    run(async {
        let telegram = telegram();
        let proxy = started(options(&telegram)).await;
        let mut client = proxy.served_client(2).await;
        let Some(slow) = Strace::inject(&proxy, "fsync", "delay_enter=1500000", None).await else {
            return;
        };
        let add = |name: &str| {
            let mut command = proxy.prepared(&["user", "add", name, "--json"]);
            smol::unblock(move || Said::by(&mut command))
        };
        let adding = zip(add("alice"), add("bob"));
        let asking = async {
            let mut longest = Duration::ZERO;
            for number in 0.. {
                let began = Instant::now();
                within("an echo", client.echo(&echo(number, 64)))
                    .await
                    .unwrap();
                let mut command = proxy.prepared(&["user", "list"]);
                let listed = smol::unblock(move || Said::by(&mut command)).await;
                assert_eq!(listed.status, 0, "{}", listed.stderr);
                longest = longest.max(began.elapsed());
                assert!(longest < CALM, "{longest:?}");
            }
            unreachable!("it asks for ever")
        };
        let (alice, bob) = or(adding, asking).await;
        drop(slow);
        for said in [alice, bob] {
            let answer = serde_json::from_str(&said.stdout).unwrap();
            assert!(served(&proxy, key_in(&answer)).await.is_some());
        }
        telegram.assert_clean();
    });
}
