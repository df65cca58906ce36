//! `direct` and `ws` in one list: what leads to Telegram is used.

use std::time::Duration;

use fake_telegram::client::{Fate, Kind};
use fake_telegram::control::Behaviour;
use fake_telegram::payload::{Command, echo, streamed};
use fake_telegram::wait::{before, run, within};

use crate::{AT_ONCE, NEXT, Set, Set0, served_within};

#[test]
fn the_first_route_is_used_as_long_as_it_works() {
    run(async {
        let set = Set::start("direct,ws").await;
        for _ in 0..4 {
            served_within(&set.proxy, AT_ONCE).await;
        }
        assert_eq!(set.telegram.counters().direct_accepted(), 4);
        assert_eq!(set.front.tally().opened, []);
        set.assert_clean();
    });
}

#[test]
fn a_dc_that_refuses_is_reached_by_its_front() {
    run(async {
        let refuse = |dc: &mut Behaviour| dc.direct_refuse = true;
        let prepare = |set: &Set0| set.telegram.behave_dc(2, refuse);
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        served_within(&set.proxy, NEXT).await;
        for _ in 0..3 {
            served_within(&set.proxy, AT_ONCE).await;
        }
        assert_eq!(set.front.tally().opened, [2; 4]);
        assert_eq!(set.tried("direct", "useless"), 1);
        // Another DC has nothing to do with it.
        set.proxy.served_client(4).await;
        assert_eq!(set.telegram.counters().direct_accepted(), 1);
        set.assert_clean();
    });
}

/// It comes again, and has the other route.
#[test]
fn a_client_of_a_silent_dc_is_sent_away_where_there_is_another_route() {
    run(async {
        let silent = |dc: &mut Behaviour| dc.direct_silent = true;
        let prepare = |set: &Set0| set.telegram.behave_dc(2, silent);
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        let mut first = set.proxy.client(Kind::Padded).connect().await.unwrap();
        let fate = within("an end", first.fate_of(&echo(1, 64))).await;
        assert_eq!(fate, Fate::Closed);
        for _ in 0..3 {
            served_within(&set.proxy, AT_ONCE).await;
        }
        assert_eq!(set.front.tally().opened, [2; 3]);
        assert_eq!(set.tried("direct", "starves"), 1);
        set.assert_clean();
    });
}

/// Three in a row that had 8 to 32 KiB and no more.
#[test]
fn a_dc_that_starves_its_clients_is_left_for_its_front() {
    run(async {
        let starves = |dc: &mut Behaviour| dc.direct_starves_after = Some(18 << 10);
        let prepare = |set: &Set0| set.telegram.behave_dc(2, starves);
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        let mut starved = Vec::new();
        for _ in 0..3 {
            let mut client = set.proxy.client(Kind::Padded).connect().await.unwrap();
            let (total, size) = (100 << 10, 8 << 10);
            let request = Command::SendMe { total, size }.payload();
            client.send(&request).await.unwrap();
            for index in 0..2 {
                let answer = within("what is let through", client.recv_packet()).await;
                assert!(answer.unwrap() == streamed(index, size as usize));
            }
            starved.push(client);
        }
        // They ask again and again, as apps do.
        for _ in 0..2 {
            for client in &mut starved {
                client.send(&echo(1, 64)).await.unwrap();
            }
            smol::Timer::after(Duration::from_millis(2500)).await;
        }
        // Until they give up, if they are not sent away.
        for client in &mut starved {
            let _ = before(Duration::from_secs(4), client.until_closed()).await;
        }
        drop(starved);
        let mut client = served_within(&set.proxy, NEXT).await;
        let download = client.download(200 << 10, 20 << 10);
        within("a download", download).await.unwrap();
        assert_eq!(set.front.tally().opened, [2]);
        set.assert_clean();
    });
}

/// The first that works may have been the last resort.
#[test]
fn with_both_dead_both_are_tried_again() {
    run(async {
        let refuse = |dc: &mut Behaviour| dc.direct_refuse = true;
        let prepare = |set: &Set0| {
            set.telegram.behave_dc(2, refuse);
            set.front.refuse(true);
        };
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        crate::refused(&set.proxy).await;
        crate::refused(&set.proxy).await;
        set.front.refuse(false);
        served_within(&set.proxy, NEXT).await;
        set.assert_clean();
    });
}
