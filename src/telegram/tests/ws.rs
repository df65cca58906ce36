//! Lines through Telegram's web front.

use std::sync::Arc;

use fake_telegram::web_front::manners::{Answer, Certificate, Ill, Manners, Step};
use fake_telegram::web_front::{Authority, Kind, Options as FrontOptions, WebFront};

use super::*;
use crate::config::{RouteChoice, TelegramConfig};
use crate::connection::OnTrial;
use crate::metrics::{Reason, RouteResult};

struct Web {
    house: Rc<House>,
    fronts: Vec<WebFront>,
    _folder: TemporaryDirectory,
}

/// With so many fronts, one authority for all; `change` has the last word.
fn run<F: Future<Output = ()>>(
    fronts: usize,
    change: impl Fn(&mut TelegramConfig),
    test: impl Fn(Rc<Web>) -> F,
) {
    House::run(ON_DEMAND, |house| async {
        let folder = TemporaryDirectory::new();
        let authority = Arc::new(Authority::new());
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let fronts: Vec<_> = (0..fronts)
            .map(|_| {
                let options = FrontOptions {
                    authority: authority.clone(),
                    ..FrontOptions::new(Kind::Telegram)
                };
                WebFront::start(&house.fake, options).unwrap()
            })
            .collect();
        let config = &house.telegram.shared.config;
        let mut new = TelegramConfig::clone(&config.get());
        let RouteChoice::Own(routes) = "ws".parse().unwrap() else {
            unreachable!()
        };
        new.routes = routes;
        let addresses = fronts.iter().map(|front| (DcId(2), front.address()));
        new.ws.addresses = addresses.collect();
        new.ws.ca = Some(ca);
        new.ws.spare = 0;
        change(&mut new);
        let authorities = Authorities::read(&new).unwrap();
        house.telegram.believe(authorities);
        config.set(new);
        test(Rc::new(Web {
            house,
            fronts,
            _folder: folder,
        }))
        .await;
    });
}

impl Web {
    fn behave(&self, change: impl Fn(&mut Manners)) {
        for front in &self.fronts {
            front.behave(&change);
        }
    }

    async fn open(&self) -> Result<OnTrial, OpenError> {
        self.house.open_line().await
    }

    async fn echo(&self, line: &mut OnTrial, length: usize) {
        self.house.echo_by(line, length).await;
    }

    async fn is_served(&self) {
        let mut line = self.open().await.expect("a line");
        self.echo(&mut line, 64).await;
    }

    fn tried(&self, result: RouteResult) -> u64 {
        let mut text = String::new();
        self.house.metrics.render(&mut text);
        let label = format!("route=\"ws\",dc=\"2\",result=\"{}\"}} ", result.label());
        let found = text.split(&label).nth(1);
        found.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap())
    }
}

#[test]
fn a_line_goes_through_a_front() {
    run(
        1,
        |_| {},
        |web| async move {
            for length in [64, 5_000, 1 << 20] {
                let mut line = web.open().await.unwrap();
                web.echo(&mut line, length).await;
            }
            let tally = web.fronts[0].tally();
            assert_eq!(tally.visits[0].host, "kws2.web.telegram.org");
            assert_eq!(tally.visits[0].path, "/apiws");
            assert_eq!((tally.opened.len(), tally.shaken, tally.resumed), (3, 3, 2));
            assert_eq!(web.tried(RouteResult::Opened), 3);
        },
    );
}

#[test]
fn each_failure_is_told_from_the_others() {
    let silent = |step| move |manners: &mut Manners| manners.ill = Some((step, Ill::Silent));
    let reset = |step| move |manners: &mut Manners| manners.ill = Some((step, Ill::Reset));
    type Change<'a> = &'a dyn Fn(&mut Manners);
    let cases: [(Change<'_>, RouteResult); 9] = [
        (&silent(Step::Hello), RouteResult::Filtered),
        (&reset(Step::Hello), RouteResult::Filtered),
        (
            &|m| m.ill = Some((Step::Hello, Ill::End)),
            RouteResult::Filtered,
        ),
        (
            &|m| m.certificate = Certificate::WrongName,
            RouteResult::Intercepted,
        ),
        (
            &|m| m.certificate = Certificate::Stranger,
            RouteResult::Intercepted,
        ),
        (&silent(Step::Requested), RouteResult::Ill),
        (&reset(Step::MidAnswer), RouteResult::Ill),
        (&|m| m.answer = Answer::Status(503), RouteResult::Ill),
        (&|m| m.answer = Answer::WrongAccept, RouteResult::Ill),
    ];
    for (change, result) in cases {
        run(
            1,
            |_| {},
            |web| async move {
                web.behave(change);
                assert_eq!(web.open().await.err(), Some(OpenError::DirectUnavailable));
                assert_eq!(web.tried(result), 1, "{result:?}");
                // It is tried all the same, for want of another.
                web.behave(|manners| *manners = Manners::default());
                web.is_served().await;
            },
        );
    }
    run(
        1,
        |_| {},
        |web| async move {
            web.fronts[0].refuse(true);
            assert_eq!(web.open().await.err(), Some(OpenError::DirectUnavailable));
            assert_eq!(web.tried(RouteResult::Useless), 1);
        },
    );
}

#[test]
fn a_dc_is_looked_for_under_both_names_and_at_the_next_address() {
    run(
        2,
        |_| {},
        |web| async move {
            let plain = "kws2.web.telegram.org".to_owned();
            let media = "kws2-1.web.telegram.org".to_owned();
            web.fronts[0].behave(|manners| manners.redirected = vec![plain.clone()]);
            web.is_served().await;
            assert_eq!(web.fronts[0].tally().opened.len(), 1);
            web.fronts[0].behave(|manners| manners.redirected = vec![plain, media]);
            web.is_served().await;
            let visits = web.fronts[0].tally().visits.len();
            assert_eq!(web.fronts[1].tally().opened.len(), 1);
            // It is not asked again for an hour.
            web.is_served().await;
            assert_eq!(web.fronts[0].tally().visits.len(), visits);
            web.fronts[1].refuse(true);
            web.fronts[0].behave(|manners| manners.redirected = Vec::new());
            web.is_served().await;
        },
    );
}

#[test]
fn a_filtered_name_is_hidden_by_another_one() {
    let change = |config: &mut TelegramConfig| {
        let name = b"www.example.com";
        config.ws.sni = crate::wire::secret::Domain::from_sni(name).ok();
    };
    for ill in [Ill::Silent, Ill::Reset] {
        run(1, change, |web| async move {
            web.behave(|manners| {
                manners.filter = Some(("telegram.org".to_owned(), ill));
                manners.fronting = Some("www.example.com".to_owned());
            });
            for _ in 0..3 {
                web.is_served().await;
            }
            let tally = web.fronts[0].tally();
            let fronted = tally.names.iter().filter(|name| *name == "www.example.com");
            assert_eq!((fronted.count(), tally.names.len()), (3, 4));
        });
    }
}

#[test]
fn connections_stand_ready() {
    run(
        1,
        |config| config.ws.spare = 1,
        |web| async move {
            web.is_served().await;
            let live = |count| {
                let web = web.clone();
                async move {
                    let is_there = || web.fronts[0].tally().upgraded == count;
                    web.house.until("connections", is_there).await;
                }
            };
            live(2).await;
            // One that is used is followed by another, one that ends is not used.
            let mut line = web.open().await.unwrap();
            web.echo(&mut line, 64).await;
            live(3).await;
            assert_eq!(web.fronts[0].end(Ill::End), 2);
            web.house.reactor.sleep(Duration::from_millis(50)).await;
            web.is_served().await;
            assert_eq!(web.tried(RouteResult::Opened), 3);
            // They are renewed as long as the DC is asked for.
            let before = web.fronts[0].tally().upgraded;
            web.house.reactor.sleep(Duration::from_secs(590)).await;
            let renewed = web.fronts[0].tally().upgraded - before;
            assert!((9..=14).contains(&renewed), "{renewed}");
            web.house.reactor.sleep(Duration::from_secs(100)).await;
            let after = web.fronts[0].tally();
            web.house.reactor.sleep(Duration::from_secs(600)).await;
            assert_eq!(web.fronts[0].tally().accepted, after.accepted);
        },
    );
}

fn direct_first(config: &mut TelegramConfig) {
    let RouteChoice::Own(routes) = "direct,ws".parse().unwrap() else {
        unreachable!()
    };
    config.routes = routes;
}

/// The DC is asked whether it is there at all.
#[test]
fn who_says_what_nobody_answers_keeps_no_route_from_others() {
    run(1, direct_first, |web| async move {
        let starves = async || {
            let mut line = web.open().await.unwrap();
            let is_direct = line.as_socket().is_some();
            web.house.reactor.sleep(Duration::from_secs(1)).await;
            // Half of a packet.
            let mut packet = [100, 0, 0, 0, 1, 2, 3];
            let shared = &web.house.telegram.shared;
            line.send(&shared.buffers, &mut packet).unwrap();
            poll_fn(|cx| line.poll_over(cx)).await;
            drop(line);
            web.house.reactor.sleep(Duration::from_secs(1)).await;
            is_direct
        };
        for _ in 0..5 {
            assert!(starves().await);
            let mut other = web.open().await.unwrap();
            assert!(other.as_socket().is_some());
            web.echo(&mut other, 64).await;
        }
        // Where nobody else comes it is believed in the end.
        for _ in 0..4 {
            assert!(starves().await);
        }
        assert!(web.open().await.unwrap().as_socket().is_none());
    });
}

/// As soon as its rest is over, by whoever comes then.
#[test]
fn a_route_that_comes_back_is_found() {
    run(1, direct_first, |web| async move {
        let is_direct = async || {
            let mut line = web.open().await.unwrap();
            web.echo(&mut line, 64).await;
            line.as_socket().is_some()
        };
        let fake = &web.house.fake;
        for (silent, rest) in [(false, 60), (true, 600)] {
            assert!(is_direct().await);
            fake.behave_dc(2, |dc| {
                dc.direct_refuse = !silent;
                dc.direct_silent = silent;
            });
            if silent {
                let mut line = web.open().await.unwrap();
                let shared = &web.house.telegram.shared;
                web.house.reactor.sleep(Duration::from_secs(1)).await;
                line.send(&shared.buffers, &mut [1, 0, 0, 0]).unwrap();
                poll_fn(|cx| line.poll_over(cx)).await;
            }
            assert!(!is_direct().await);
            fake.behave_dc(2, |dc| {
                dc.direct_refuse = false;
                dc.direct_silent = false;
            });
            web.house
                .reactor
                .sleep(Duration::from_secs(rest - 20))
                .await;
            assert!(!is_direct().await);
            web.house.reactor.sleep(Duration::from_secs(20)).await;
            assert!(is_direct().await, "after {rest} s");
        }
    });
}

/// Asked again soon, as which of its names is let through may change.
#[test]
fn an_address_that_answers_to_no_name_rests_for_a_minute() {
    let change = |config: &mut TelegramConfig| {
        let name = b"www.example.com";
        config.ws.sni = crate::wire::secret::Domain::from_sni(name).ok();
    };
    run(2, change, |web| async move {
        let filter = Some((String::new(), Ill::Reset));
        web.fronts[0].behave(|manners| manners.filter = filter.clone());
        web.is_served().await;
        web.fronts[0].behave(|manners| manners.filter = None);
        web.is_served().await;
        assert_eq!(web.fronts[0].tally().opened.len(), 0);
        web.house.reactor.sleep(Duration::from_secs(60)).await;
        web.is_served().await;
        assert_eq!(web.fronts[0].tally().opened.len(), 1);
    });
}
