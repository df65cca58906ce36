//! Attackers and others without a proxy between them and a DC, so that a trial
//! that fails accuses the right program.

use std::time::Duration;

use super::attack;
use super::watch::{Others, Watch};
use crate::client::{Kind, Options};
use crate::control::Close;
use crate::telegram::{self, FakeTelegram};
use crate::wait::{eventually, within};

fn telegram() -> FakeTelegram {
    let options = telegram::Options {
        direct_dcs: vec![2],
        ..telegram::Options::default()
    };
    FakeTelegram::start(options).unwrap()
}

fn client(telegram: &FakeTelegram) -> Options {
    Options {
        key: None,
        ..Kind::Padded.options(telegram.direct_addresses(2)[0])
    }
}

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn the_others_tell_how_long_they_waited() {
    smol::block_on(async {
        let telegram = telegram();
        let watches = || {
            vec![
                Watch::new("there", client(&telegram), 1000),
                Watch::newcomer("new", client(&telegram)),
            ]
        };
        let waits = Others::arrive(watches()).await.watch(SHORT, SHORT).await;
        for waits in &waits {
            assert!(waits.in_order.len() > 1 && waits.cuts == 0, "{waits:?}");
        }
        // A DC that does not read: they give up.
        let others = Others::arrive(watches()).await;
        telegram.behave_dc(2, |b| b.stop_reading = true);
        for waits in others.watch(SHORT, SHORT).await {
            assert!(waits.worst() >= SHORT && waits.in_order.len() <= 2);
        }
        telegram.behave_dc(2, |b| b.stop_reading = false);
        // Whoever is cut comes again, within the same wait.
        let others = Others::arrive(watches()).await;
        telegram.close_direct(Close::Reset);
        let waits = others.watch(SHORT, SHORT * 50).await;
        assert_eq!(waits[0].cuts, 1);
        assert!(waits[0].in_order.len() > 1);
        telegram.assert_clean();
    });
}

#[test]
fn a_slow_reader_is_slow_until_it_may_hurry() {
    smol::block_on(async {
        let telegram = telegram();
        let total = 4 << 20;
        let attack = attack::slow_reader(client(&telegram), total);
        attack.is_on().await;
        eventually("an answer", || attack.amount() > 0).await;
        assert!(attack.amount() < total.into());
        attack.hurry();
        within("the end", attack.is_over()).await;
        assert_eq!(attack.amount(), total.into());
        assert_eq!(attack.failures(), [] as [String; 0]);
        // One that does not get everything says so.
        let attack = attack::slow_reader(client(&telegram), total);
        attack.is_on().await;
        eventually("an answer", || attack.amount() > 0).await;
        telegram.close_direct(Close::Reset);
        within("the end", attack.is_over()).await;
        assert_eq!(attack.failures().len(), 1);
    });
}

#[test]
fn attackers_do_what_they_came_for() {
    smol::block_on(async {
        let telegram = telegram();
        let counters = telegram.counters();
        let uploaders = attack::uploaders(client(&telegram), 2, 1000);
        eventually("uploads", || counters.direct_bytes() > 100_000).await;
        assert!(uploaders.amount() > 0);
        drop(uploaders);
        eventually("their end", || counters.direct_live() == 0).await;

        let before = counters.direct_packets();
        let holders = attack::holders(client(&telegram), 5, attack::Hold::Half, false);
        holders.is_on().await;
        eventually("holders", || counters.direct_live() == 5).await;
        assert_eq!(counters.direct_packets(), before);
        // A connection is live a moment before it can be told to end.
        let ended = || {
            telegram.close_direct(Close::Reset);
            holders.cuts() == 5
        };
        eventually("their end", ended).await;

        let download = attack::Spending::Downloads;
        let spenders = attack::spenders(client(&telegram), 3, download, 1 << 20);
        within("their end", spenders.is_over()).await;
        // Answers come with headers and padding.
        assert!(spenders.amount() >= 3 << 20);
        let before = counters.direct_accepted();
        let leavers = attack::leavers(client(&telegram), 2, 50);
        eventually("leavers", || counters.direct_accepted() > before + 5).await;
        drop(leavers);
        telegram.assert_clean();
    });
}
