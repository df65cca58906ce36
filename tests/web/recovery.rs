//! Routes that fail while many clients come: each has the next one soon, and those who
//! come later have it at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::harness::{BlackHole, Proxy, ProxyOptions, Route, Secured};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_front;
use fake_telegram::web_front::manners::{Ill, Step};

use crate::{AT_ONCE, NEXT, Set, Set0, served_within};

const CROWD: usize = 50;

/// In so long a client of a route that opens and then starves has been sent away and
/// served by the next one.
const COME_AGAIN: Duration = Duration::from_secs(9);

/// Comes again as apps do, until it is served.
async fn served_at_last(proxy: &Proxy, dc: i16) -> (Client, Duration) {
    let began = Instant::now();
    loop {
        let mut client = proxy.client(Kind::Padded).dc(dc).connect().await.unwrap();
        if client.fate_of(&echo(1, 64)).await == Fate::Answered {
            return (client, began.elapsed());
        }
        smol::Timer::after(Duration::from_millis(100)).await;
    }
}

/// All at once.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(|cx| {
        running.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                done.push(output);
                false
            }
            Poll::Pending => true,
        });
        match running.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done
}

async fn crowd_served_within(proxy: &Proxy, count: usize, limit: Duration) -> Vec<Client> {
    let crowd = all((0..count).map(|_| served_at_last(proxy, 2)));
    let served = within("a crowd", crowd).await;
    let slowest = served.iter().map(|(_, took)| *took).max().unwrap();
    assert!(slowest < limit, "served after {slowest:?}");
    served.into_iter().map(|(client, _)| client).collect()
}

/// A crowd comes to a first route that is dead, and then those who find it known.
async fn is_left(set: &Set, limit: Duration) {
    let mut crowd = crowd_served_within(&set.proxy, CROWD, limit).await;
    for _ in 0..3 {
        crowd.push(served_within(&set.proxy, AT_ONCE).await);
    }
    crowd.extend(crowd_served_within(&set.proxy, CROWD, AT_ONCE).await);
    for client in &mut crowd {
        within("an echo", client.echo(&echo(2, 64))).await.unwrap();
    }
    drop(crowd);
    set.left().await;
    set.assert_clean();
}

#[test]
fn a_crowd_leaves_a_dc_that_is_out_of_reach() {
    run(async {
        let prepare = |set: &Set0| set.telegram.behave_dc(2, |dc| dc.direct_refuse = true);
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        is_left(&set, AT_ONCE + AT_ONCE).await;
        let hole = BlackHole::new().unwrap();
        let address = format!("2={}", hole.address());
        let set = Set::start_with(
            "direct,ws",
            |_| {},
            |o| o.without("--dc").add("--dc", address),
        );
        let set = set.await;
        is_left(&set, NEXT).await;
        assert_eq!(set.tried("direct", "opened"), 0);
    });
}

#[test]
fn a_crowd_leaves_a_dc_that_starves_it() {
    run(async {
        let prepare = |set: &Set0| set.telegram.behave_dc(2, |dc| dc.direct_silent = true);
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        is_left(&set, COME_AGAIN).await;
        assert!(set.tried("direct", "starves") >= 1);
    });
}

#[test]
fn a_crowd_leaves_a_front_that_is_dead() {
    for ill in [
        None,
        Some((Step::Accepted, Ill::Silent)),
        Some((Step::Requested, Ill::Silent)),
        Some((Step::Requested, Ill::Reset)),
    ] {
        run(async {
            let prepare = |set: &Set0| match ill {
                None => set.front.refuse(true),
                ill => set.front.behave(|manners| manners.ill = ill),
            };
            let set = Set::start_with("ws,direct", prepare, |o| o).await;
            is_left(&set, NEXT).await;
            assert_eq!(set.tried("ws", "opened"), 0);
        });
    }
}

/// What is known of one DC says nothing of its media servers, and the other way round.
#[test]
fn media_servers_are_another_matter() {
    run(async {
        let prepare = |set: &Set0| set.telegram.behave_dc(2, |dc| dc.direct_refuse = true);
        let set = Set::start_with("direct,ws", prepare, |o| o).await;
        let useless = |dc: i16| {
            let labels = format!("route=\"direct\",dc=\"{dc}\",result=\"useless\"");
            set.proxy.counted("route_connects_total", &labels)
        };
        for _ in 0..2 {
            served_within(&set.proxy, AT_ONCE).await;
        }
        assert_eq!((useless(2), useless(-2)), (1, 0));
        for _ in 0..2 {
            served_at_last(&set.proxy, -2).await;
        }
        assert_eq!((useless(2), useless(-2)), (1, 1));
    });
}

#[test]
fn a_back_leaves_routes_as_well() {
    run(async {
        let set = Set0::new(web_front::Kind::Telegram);
        set.telegram.behave_dc(2, |dc| dc.direct_silent = true);
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &set.telegram, &secured)
            .set("--route", "direct,ws")
            .web_front(&set.front);
        let back = back.start().await;
        let links = [back.address()];
        let front = ProxyOptions::front(
            built_binary!(),
            &set.telegram,
            Route::Direct,
            &secured,
            &links,
        );
        let front = front.start().await;
        front.linked(1).await;
        let mut crowd = crowd_served_within(&front, CROWD, COME_AGAIN).await;
        crowd.extend(crowd_served_within(&front, CROWD, AT_ONCE).await);
        for client in &mut crowd {
            within("an echo", client.echo(&echo(2, 64))).await.unwrap();
        }
        set.telegram.assert_clean();
    });
}

/// Those who wait for a front that says nothing have the new list when they come again,
/// and who is served stays so.
#[test]
fn another_list_is_for_those_who_come() {
    run(async {
        let in_file = |o: ProxyOptions| o.in_config_file().set("--ws-spare", 0);
        let mut set = Set::start_with("ws", |_| {}, in_file).await;
        let mut old = served_within(&set.proxy, AT_ONCE).await;
        let silent = Some((Step::Accepted, Ill::Silent));
        set.front.behave(|manners| manners.ill = silent);
        let asked = set.front.tally().accepted;
        let mut waiting = set.proxy.client(Kind::Padded).connect().await.unwrap();
        waiting.send(&echo(1, 64)).await.unwrap();
        eventually("an attempt", || set.front.tally().accepted > asked).await;
        set.proxy.reload(|flags| {
            let flag = flags.iter_mut().find(|(name, _)| *name == "--route");
            flag.unwrap().1 = "direct,ws".to_owned();
        });
        eventually("a reload", || {
            set.proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        let mut crowd = crowd_served_within(&set.proxy, CROWD, NEXT).await;
        drop(waiting);
        crowd.push(served_within(&set.proxy, AT_ONCE).await);
        within("an echo", old.echo(&echo(2, 64))).await.unwrap();
        assert!(set.tried("direct", "opened") > CROWD as u64);
        set.assert_clean();
    });
}
