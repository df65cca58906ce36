//! `zone` and `worker`: Cloudflare before Telegram.

use std::sync::Arc;

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{ProxyOptions, Route, Secured};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::via::{self, Protocol, Via};
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_front::manners::{Answer, Certificate, Cut, Ill, Step};
use fake_telegram::web_front::{Authority, Kind as Front, Options, WebFront};

use crate::sessions::whole_sessions;
use crate::{AT_ONCE, NEXT, Set, Set0, refused, served, served_within};

const KEY: &str = "a-long-key";

fn zone(name: &str) -> (Front, String) {
    let at_address = format!("{name}={{address}}");
    let pattern = match name.contains("{dc}") {
        true => name.to_owned(),
        false => format!("kws{{dc}}.{name}"),
    };
    (Front::Zone(pattern), at_address)
}

fn worker(key: Option<&str>) -> (Front, String) {
    let host = "tunnel.example".to_owned();
    let shown = key.map_or(String::new(), |key| format!(",key={key}"));
    let flag = format!("{host}={{address}}{shown}");
    let key = key.map(str::to_owned);
    (Front::Worker { host, key }, flag)
}

/// A proxy that knows one of them.
async fn start(
    route: &str,
    (kind, value): (Front, String),
    prepare: impl FnOnce(&Set0),
    change: impl FnOnce(ProxyOptions) -> ProxyOptions,
) -> Set {
    let flag = match kind {
        Front::Zone(_) => "--cloudflare-zone",
        _ => "--cloudflare-worker",
    };
    let set = Set0::new(kind);
    prepare(&set);
    let value = value.replace("{address}", &set.front.address().to_string());
    let options = set.options(route).trusting(&set.front).add(flag, value);
    set.start(change(options)).await
}

#[test]
fn a_zone_carries_packets_of_every_size() {
    for name in ["zone.example", "t-{dc}.zone.example"] {
        run(async {
            let set = start("zone", zone(name), |_| {}, |o| o).await;
            whole_sessions(set.proxy.address(), 2).await;
            // Media at the same name; 203 has one of its own.
            for dc in [-4, 203] {
                served(&set.proxy, Kind::FakeTls, dc).await;
            }
            set.left().await;
            set.assert_clean();
            assert_eq!(set.front.tally().opened, [2, 2, 2, 2, -4, 203]);
        });
    }
}

#[test]
fn a_worker_carries_packets_of_every_size() {
    for key in [None, Some(KEY)] {
        run(async {
            let prepare = |set: &Set0| {
                set.front.behave(|m| {
                    m.answer = Answer::NoProtocol;
                    m.frames.cut = Cut::Fragments {
                        size: 1000,
                        count: 3,
                    };
                    m.frames.pings = true;
                });
            };
            // One that is ready has its DC already.
            let no_spare = |o: ProxyOptions| o.set("--ws-spare", 0);
            let set = start("worker", worker(key), prepare, no_spare).await;
            whole_sessions(set.proxy.address(), 2).await;
            served(&set.proxy, Kind::FakeTls, -4).await;
            set.left().await;
            set.assert_clean();
            let tally = set.front.tally();
            assert!(tally.longest_message < 1 << 20, "{}", tally.longest_message);
        });
    }
}

#[test]
fn what_cloudflare_refuses_is_left_for_the_next_route() {
    for status in [429, 503, 521, 522, 530] {
        for (route, server) in [("zone", zone("zone.example")), ("worker", worker(None))] {
            run(async {
                let answer = Answer::Status(status);
                let prepare = |set: &Set0| set.front.behave(|m| m.answer = answer.clone());
                let list = format!("{route},direct");
                let set = start(&list, server, prepare, |o| o).await;
                served_within(&set.proxy, NEXT).await;
                let asked = set.front.tally().accepted;
                assert!(asked > 0);
                for _ in 0..3 {
                    served_within(&set.proxy, AT_ONCE).await;
                }
                // A zone rests for all DCs.
                if route == "zone" {
                    served(&set.proxy, Kind::Padded, 4).await;
                }
                assert_eq!(set.front.tally().accepted, asked, "{route} {status}");
                set.assert_clean();
            });
        }
    }
}

#[test]
fn a_wrong_key_or_certificate_leads_nowhere() {
    run(async {
        let (kind, flag) = worker(Some(KEY));
        let flag = flag.replace(KEY, "another");
        let set = start("worker", (kind, flag), |_| {}, |o| o).await;
        refused(&set.proxy).await;
        set.assert_clean();
        assert_eq!(set.front.tally().opened, []);
        assert!(!set.proxy.log_contains("another"), "the key is in the log");
    });
    for (route, server) in [("zone", zone("zone.example")), ("worker", worker(None))] {
        run(async {
            let prepare = |set: &Set0| {
                set.front.behave(|m| m.certificate = Certificate::Stranger);
            };
            let set = start(route, server, prepare, |o| o).await;
            refused(&set.proxy).await;
            assert_eq!(set.front.tally().visits, []);
        });
    }
}

/// The 101 of a Worker proves nothing.
#[test]
fn a_worker_that_swallows_everything_is_left() {
    run(async {
        let prepare = |set: &Set0| set.front.behave(|m| m.swallows = true);
        let set = start("worker,direct", worker(None), prepare, |o| o).await;
        let mut first = set.proxy.client(Kind::Padded).connect().await.unwrap();
        first.send(&echo(1, 64)).await.unwrap();
        within("its end", first.until_closed()).await.unwrap();
        for _ in 0..3 {
            served_within(&set.proxy, AT_ONCE).await;
        }
        assert_eq!(set.telegram.counters().direct_accepted(), 3);
        set.assert_clean();
    });
}

#[test]
fn a_tunnel_that_breaks_ends_its_client() {
    for (route, server) in [
        ("zone", zone("zone.example")),
        ("worker", worker(Some(KEY))),
    ] {
        run(async {
            let set = start(route, server, |_| {}, |o| o).await;
            for ill in [Ill::Reset, Ill::End] {
                set.front.behave(|m| m.ill = Some((Step::MidFrame, ill)));
                refused(&set.proxy).await;
            }
            set.front.behave(|m| m.ill = None);
            let mut client = served_within(&set.proxy, NEXT).await;
            set.front.close(1011, "");
            within("its end", client.until_closed()).await.unwrap();
            eventually("its end", || set.front.tally().close_echoes == [1011]).await;
            set.assert_clean();
        });
    }
}

/// The list is `ws,zone,worker`, of which one is alive.
#[test]
fn the_one_that_leads_to_telegram_is_found() {
    for alive in 0..3 {
        run(async {
            let telegram = FakeTelegram::start(Default::default()).unwrap();
            let authority = Arc::new(Authority::new());
            let (zone, zone_flag) = zone("zone.example");
            let (worker, worker_flag) = worker(Some(KEY));
            let fronts = [Front::Telegram, zone, worker].map(|kind| {
                let options = Options {
                    authority: authority.clone(),
                    ..Options::new(kind)
                };
                WebFront::start(&telegram, options).unwrap()
            });
            for (at, front) in fronts.iter().enumerate() {
                front.refuse(at != alive);
            }
            let at = |flag: String, front: &WebFront| {
                flag.replace("{address}", &front.address().to_string())
            };
            let proxy = ProxyOptions::new(built_binary!(), &telegram, Route::Direct)
                .set("--route", "ws,zone,worker")
                .web_front(&fronts[0])
                .add("--cloudflare-zone", at(zone_flag, &fronts[1]))
                .add("--cloudflare-worker", at(worker_flag, &fronts[2]))
                .set("--ws-spare", 0)
                .start()
                .await;
            served_within(&proxy, NEXT).await;
            for _ in 0..2 {
                served_within(&proxy, AT_ONCE).await;
            }
            for (at, front) in fronts.iter().enumerate() {
                let expected = if at == alive { 3 } else { 0 };
                assert_eq!(front.tally().opened.len(), expected, "{alive} {at}");
            }
            telegram.assert_clean();
        });
    }
}

#[test]
fn a_back_reaches_telegram_by_them_too() {
    for (route, name, (kind, flag)) in [
        ("zone", "--cloudflare-zone", zone("t-{dc}.zone.example")),
        ("worker", "--cloudflare-worker", worker(Some(KEY))),
    ] {
        run(async {
            let set = Set0::new(kind);
            let secured = Secured::default();
            let flag = flag.replace("{address}", &set.front.address().to_string());
            let back = ProxyOptions::back(built_binary!(), &set.telegram, &secured)
                .set("--route", route)
                .trusting(&set.front)
                .add(name, flag)
                .start()
                .await;
            let backs = [back.address()];
            let front = ProxyOptions::front(
                built_binary!(),
                &set.telegram,
                Route::Direct,
                &secured,
                &backs,
            );
            let front = front.start().await;
            front.linked(1).await;
            whole_sessions(front.address(), 2).await;
            front.cleared().await;
            set.telegram.assert_clean();
            assert!(set.front.tally().opened.len() >= 4);
            assert_eq!(set.telegram.counters().direct_accepted(), 0);
        });
    }
}

/// Where the `--via` looks names up, it is told the names.
#[test]
fn a_proxy_in_between_is_told_the_names() {
    for (scheme, protocol) in [("socks5h", Protocol::Socks5), ("http", Protocol::Http)] {
        run(async {
            let via = Via::start(via::Options::new(protocol)).unwrap();
            let set = Set0::new(zone("zone.example").0);
            for dc in [2, 4] {
                via.lead(format!("kws{dc}.zone.example:443"), set.front.address());
            }
            let options = set.options("zone").trusting(&set.front);
            let options = options
                .add("--cloudflare-zone", "zone.example")
                .set("--via", via.url(scheme))
                .set("--ws-spare", 0);
            let set = set.start(options).await;
            served_within(&set.proxy, AT_ONCE).await;
            served(&set.proxy, Kind::FakeTls, -4).await;
            set.assert_clean();
            via.assert_clean();
            assert_eq!(set.front.tally().opened, [2, -4]);
        });
    }
}
