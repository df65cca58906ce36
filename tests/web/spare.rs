//! Spare connections: ready before they are asked for, and bounded.

use std::time::Duration;

use fake_telegram::client::Kind;
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_front::Tally;
use fake_telegram::web_front::manners::Ill;

use crate::{AT_ONCE, Set, served_within};

/// One is there beside those that are used.
async fn has_a_spare(set: &Set, used: u64) {
    eventually("a spare connection", || {
        let tally = set.front.tally();
        tally.upgraded > tally.opened.len() as u64 && tally.live > used
    })
    .await;
}

#[test]
fn the_next_client_finds_one_that_is_ready() {
    run(async {
        let set = Set::start("ws").await;
        assert_eq!(set.front.tally().accepted, 0, "nobody has asked for any");
        let mut clients = vec![served_within(&set.proxy, AT_ONCE).await];
        for _ in 0..4 {
            has_a_spare(&set, clients.len() as u64).await;
            // What is asked for anew could not be had.
            set.front.refuse(true);
            clients.push(served_within(&set.proxy, AT_ONCE).await);
            set.front.refuse(false);
            clients.push(served_within(&set.proxy, Duration::from_secs(5)).await);
        }
        let tally = set.front.tally();
        assert!(tally.live <= clients.len() as u64 + 1, "{tally:?}");
        for client in &mut clients {
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        }
        set.assert_clean();
    });
}

#[test]
fn one_that_died_or_said_something_is_not_used() {
    run(async {
        let set = Set::start("ws").await;
        drop(served_within(&set.proxy, AT_ONCE).await);
        set.left().await;
        for ill in [Some(Ill::Reset), Some(Ill::End), None] {
            has_a_spare(&set, 0).await;
            match ill {
                Some(ill) => {
                    let before = set.front.tally();
                    set.front.end(ill);
                    // The next one may be there at once.
                    let is_done = |tally: Tally| {
                        tally.live == 0
                            || tally.ended > before.ended
                            || tally.accepted > before.accepted
                    };
                    eventually("its end", || is_done(set.front.tally())).await;
                }
                None => {
                    set.front.ping(b"still there?");
                }
            }
            drop(served_within(&set.proxy, AT_ONCE).await);
            set.left().await;
        }
        set.assert_clean();
    });
}

#[test]
fn none_is_made_where_none_is_wanted() {
    run(async {
        let set = Set::start_with("ws", |_| {}, |o| o.set("--ws-spare", 0)).await;
        for kind in Kind::ALL {
            drop(crate::served(&set.proxy, kind, 2).await);
        }
        eventually("their ends", || set.front.tally().live == 0).await;
        let tally = set.front.tally();
        assert_eq!((tally.upgraded, tally.opened.len()), (4, 4));
        set.assert_clean();
    });
}
