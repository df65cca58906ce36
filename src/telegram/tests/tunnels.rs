//! Lines through what an operator has at Cloudflare.

use std::future::poll_fn;

use fake_telegram::web_front::manners::{Answer, Certificate, Ill, Manners, Step};
use fake_telegram::web_front::{Kind, Options as FrontOptions, WebFront};

use super::*;
use crate::config::{Config, RouteName, TelegramConfig};
use crate::connection::OnTrial;
use crate::metrics::{Reason, RouteResult};

const KEY: &str = "a-long-key";

struct World {
    house: Rc<House>,
    front: WebFront,
    route: RouteName,
    _folder: TemporaryDirectory,
}

fn zone() -> Kind {
    Kind::Zone("t{dc}.zone.example".to_owned())
}

fn worker() -> Kind {
    Kind::Worker {
        host: "w.example.com".to_owned(),
        key: Some(KEY.to_owned()),
    }
}

/// `list` with a zone or a Worker in it; `change` has the last word.
fn run<F: Future<Output = ()>>(
    kind: Kind,
    list: &str,
    change: impl Fn(&mut TelegramConfig),
    test: impl Fn(Rc<World>) -> F,
) {
    House::run(ON_DEMAND, |house| async {
        let folder = TemporaryDirectory::new();
        let front = WebFront::start(&house.fake, FrontOptions::new(kind.clone())).unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, front.options().authority.pem()).unwrap();
        let at = front.address();
        let (route, flag, value) = match kind {
            Kind::Worker { host, .. } => (
                RouteName::Worker,
                "--cloudflare-worker",
                format!("{host}={at},key={KEY}"),
            ),
            Kind::Zone(name) => (RouteName::Zone, "--cloudflare-zone", format!("{name}={at}")),
            Kind::Telegram => unreachable!(),
        };
        let given = Config::of(&[
            ("--route", list),
            (flag, &value),
            ("--ws-ca", ca.to_str().unwrap()),
            ("--ws-spare", "0"),
        ]);
        let config = &house.telegram.shared.config;
        let mut new = TelegramConfig {
            routes: given.telegram.routes,
            ws: given.telegram.ws,
            zone: given.telegram.zone,
            worker: given.telegram.worker,
            ..TelegramConfig::clone(&config.get())
        };
        change(&mut new);
        let authorities = Authorities::read(&new).unwrap();
        house.telegram.believe(authorities);
        config.set(new);
        test(Rc::new(World {
            house,
            front,
            route,
            _folder: folder,
        }))
        .await;
    });
}

impl World {
    fn behave(&self, change: impl Fn(&mut Manners)) {
        self.front.behave(change);
    }

    async fn open(&self) -> Result<OnTrial, OpenError> {
        self.house.open_line().await
    }

    async fn is_served(&self) {
        let mut line = self.open().await.expect("a line");
        self.house.echo_by(&mut line, 64).await;
    }

    fn tried(&self, result: RouteResult) -> u64 {
        let mut text = String::new();
        self.house.metrics.render(&mut text);
        let route = self.route;
        let label = format!(
            "route=\"{route}\",dc=\"2\",result=\"{}\"}} ",
            result.label()
        );
        let found = text.split(&label).nth(1);
        found.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap())
    }
}

#[test]
fn a_line_goes_through_a_zone_and_through_a_worker() {
    for (kind, list) in [(zone(), "zone"), (worker(), "worker")] {
        run(
            kind,
            list,
            |_| {},
            |world| async move {
                for length in [64, 5_000, 200_000, 1 << 20] {
                    let mut line = world.open().await.unwrap();
                    world.house.echo_by(&mut line, length).await;
                }
                let tally = world.front.tally();
                let visit = &tally.visits[0];
                match world.route {
                    RouteName::Zone => {
                        assert_eq!((&*visit.host, &*visit.path), ("t2.zone.example", "/apiws"));
                        assert!(tally.longest_message > 1 << 20, "one packet a message");
                    }
                    _ => {
                        assert_eq!(visit.host, "w.example.com");
                        assert!(visit.path.ends_with("&dc=2&key=a-long-key"));
                        assert!(tally.longest_message <= 64 << 10, "messages are short");
                    }
                }
                assert_eq!((tally.opened.len(), tally.resumed), (4, 3));
                assert_eq!(world.tried(RouteResult::Opened), 4);
            },
        );
    }
}

#[test]
fn each_failure_is_told_from_the_others() {
    let silent = |step| move |manners: &mut Manners| manners.ill = Some((step, Ill::Silent));
    let reset = |step| move |manners: &mut Manners| manners.ill = Some((step, Ill::Reset));
    type Change<'a> = &'a dyn Fn(&mut Manners);
    let cases: [(Change<'_>, RouteResult); 8] = [
        (&silent(Step::Hello), RouteResult::Filtered),
        (&reset(Step::Hello), RouteResult::Filtered),
        (
            &|m| m.certificate = Certificate::WrongName,
            RouteResult::Intercepted,
        ),
        (&silent(Step::Requested), RouteResult::Ill),
        (&|m| m.answer = Answer::Status(301), RouteResult::NotServed),
        (&|m| m.answer = Answer::Status(429), RouteResult::Ill),
        (&|m| m.answer = Answer::Status(502), RouteResult::Ill),
        (&|m| m.answer = Answer::WrongAccept, RouteResult::Ill),
    ];
    for (kind, list) in [(zone(), "zone"), (worker(), "worker")] {
        for (change, result) in cases {
            run(
                kind.clone(),
                list,
                |_| {},
                |world| async move {
                    world.behave(change);
                    assert_eq!(world.open().await.err(), Some(OpenError::DirectUnavailable));
                    assert_eq!(world.tried(result), 1, "{result:?}");
                    // It is tried all the same, for want of another.
                    world.behave(|manners| *manners = Manners::default());
                    world.is_served().await;
                },
            );
        }
        run(
            kind,
            list,
            |_| {},
            |world| async move {
                world.front.refuse(true);
                assert_eq!(world.open().await.err(), Some(OpenError::DirectUnavailable));
                assert_eq!(world.tried(RouteResult::Useless), 1);
            },
        );
    }
}

#[test]
fn what_cloudflare_limits_rests_for_a_minute_and_is_found_again() {
    for (kind, list) in [(zone(), "zone,direct"), (worker(), "worker,direct")] {
        run(
            kind,
            list,
            |_| {},
            |world| async move {
                world.behave(|manners| manners.answer = Answer::Status(429));
                world.is_served().await;
                assert_eq!(world.tried(RouteResult::Ill), 1);
                world.behave(|manners| *manners = Manners::default());
                for _ in 0..3 {
                    world.is_served().await;
                }
                assert_eq!(world.front.tally().accepted, 1);
                world.house.reactor.sleep(Duration::from_secs(61)).await;
                world.is_served().await;
                assert_eq!(world.front.tally().opened.len(), 1);
            },
        );
    }
}

#[test]
fn a_swallowing_worker_is_left() {
    let list = "worker,direct";
    run(
        worker(),
        list,
        |_| {},
        |world| async move {
            world.behave(|manners| manners.swallows = true);
            let mut line = world.open().await.unwrap();
            let began = world.house.reactor.now();
            let mut packet = payload::echo(1, 64);
            line.send(&world.house.telegram.shared.buffers, &mut packet)
                .unwrap();
            poll_fn(|cx| line.poll_over(cx)).await;
            let took = world.house.reactor.now() - began;
            assert!(took <= Duration::from_secs(7), "{took:?}");
            drop(line);
            world.is_served().await;
            assert_eq!(world.front.tally().opened.len(), 1);
        },
    );
}

#[test]
fn one_connection_stands_ready() {
    for (kind, list) in [(zone(), "zone"), (worker(), "worker")] {
        run(
            kind,
            list,
            |config| config.ws.spare = 4,
            |world| async move {
                world.is_served().await;
                let is_there = || world.front.tally().upgraded == 2;
                world.house.until("a connection", is_there).await;
                world.house.reactor.sleep(Duration::from_secs(30)).await;
                assert_eq!(world.front.tally().upgraded, 2, "one is enough");
                world.is_served().await;
                let is_there = || world.front.tally().upgraded == 3;
                world.house.until("another one", is_there).await;
            },
        );
    }
}
