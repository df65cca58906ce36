//! Whether Telegram answers by each route of the list, and how soon.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::verdict::{Grade, Verdict};
use crate::clock::millis;
use crate::config::{Config, DataDir, RouteList, RouteName, TelegramConfig};
use crate::connection::Dialer;
use crate::log::Throttle;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Executor, Live, Reactor};
use crate::telegram::directory::{Directory, PublicAddress};
use crate::telegram::{Fared, Patience, Shared, Telegram, Told};
use crate::wire::dc::DcId;

/// More than all questions take, in bytes.
const BUFFERS: usize = 1 << 20;

/// A route, and how it fared.
type Row = (RouteName, Fared);

/// One verdict for each of `dcs` and each route: all at once, a connection for each.
pub(super) fn check(config: &Config, dcs: &[DcId]) -> Vec<Verdict> {
    let reactor = match Reactor::new() {
        Ok(reactor) => reactor,
        Err(error) => {
            return vec![Verdict::fail(
                "Telegram",
                format!("not tried: {error}; try it again"),
            )];
        }
    };
    let executor: Rc<Executor> = Rc::default();
    let (mut verdicts, mut asked) = (Vec::new(), Vec::new());
    for route in config.telegram.routes.as_slice() {
        // Each has one of its own, so that none goes by what another has met.
        match telegram(config, &reactor, &executor) {
            Ok(telegram) => asked.extend(dcs.iter().map(|dc| {
                let (dc, route, telegram) = (*dc, *route, telegram.clone());
                let fared: Rc<Cell<Option<Fared>>> = Rc::default();
                let found = fared.clone();
                let asking = async move { found.set(Some(telegram.ask(dc, route).await)) };
                (dc, route, fared, executor.spawn(asking))
            })),
            Err(verdict) => {
                verdicts.push(verdict);
                return verdicts;
            }
        }
    }
    let by_dc = reactor.block_on(&executor, async {
        let mut by_dc: BTreeMap<DcId, Vec<Row>> = BTreeMap::new();
        for (dc, route, fared, asking) in asked {
            asking.await;
            let fared = fared.take().map(|fared| (route, fared));
            by_dc.entry(dc).or_default().extend(fared);
        }
        by_dc
    });
    let is_lost = !by_dc.values().any(|rows| is_reached(rows));
    verdicts.extend(by_dc.into_iter().flat_map(|(dc, rows)| of_dc(dc, rows)));
    if is_lost {
        verdicts.push(way_out(&config.telegram));
    }
    verdicts
}

fn telegram(
    config: &Config,
    reactor: &Rc<Reactor>,
    executor: &Rc<Executor>,
) -> Result<Rc<Telegram>, Verdict> {
    let mut config_here = config.telegram.clone();
    let metrics: Rc<Metrics> = Rc::default();
    #[cfg(feature = "tls")]
    {
        // Nobody comes whom they could be for.
        config_here.ws.spare = 0;
    }
    config_here.pools.dc_connections = 0;
    let live = Live::new(config_here);
    let data_dir = DataDir::new(&config.process.data_dir);
    let directory = Directory::new(live.clone(), data_dir, &metrics, reactor.clock());
    let telegram = Telegram::new(Rc::new(Shared {
        reactor: reactor.clone(),
        executor: executor.clone(),
        buffers: BufferPool::new(reactor.clock(), BUFFERS),
        scratch: Rc::default(),
        directory,
        address: PublicAddress::new(Live::new(config.address.clone()), config.process.role),
        metrics,
        dialer: Dialer::new(reactor, executor, live.clone()),
        config: live,
        patience: Patience::default(),
        complaints: Throttle::new(std::time::Duration::ZERO),
        told: Some(Told::default()),
    }));
    #[cfg(feature = "tls")]
    match crate::telegram::Authorities::read(&config.telegram) {
        Ok(authorities) => {
            telegram.believe(authorities);
        }
        Err(error) => return Err(Verdict::fail("--ws-ca", error.to_string())),
    }
    Ok(telegram)
}

fn is_reached(rows: &[Row]) -> bool {
    rows.iter().any(|(_, fared)| fared.answered.is_ok())
}

/// That a route does not lead to the DC is bad only if none does.
fn of_dc(dc: DcId, rows: Vec<Row>) -> Vec<Verdict> {
    let grade = match is_reached(&rows) {
        true => Grade::Warn,
        false => Grade::Fail,
    };
    let verdicts = rows.into_iter().map(|(route, fared)| {
        let Fared { place, answered } = fared;
        let subject = format!("DC {dc} {route}");
        let verdict = match (answered, place) {
            (Ok(took), place) => {
                let place = place.map_or_else(String::new, |place| place + " ");
                Verdict::ok(subject, format!("{place}in {} ms", millis(took)))
            }
            (Err(why), Some(place)) => {
                let place = place.trim_end_matches(',');
                Verdict::new(grade, subject, format!("{place}: {why}"))
            }
            (Err(why), None) => Verdict::new(grade, subject, why),
        };
        verdict.of_route(route)
    });
    verdicts.collect()
}

/// What to do where no DC is reached.
fn way_out(config: &TelegramConfig) -> Verdict {
    let routes = config.routes;
    let others = match routes {
        _ if config.via.is_some() => "see that what --via names reaches Telegram itself, or take",
        _ if routes == RouteList::default() && cfg!(feature = "tls") => {
            "try --route direct,ws, or --via, or take"
        }
        _ => "try --via, or take",
    };
    Verdict::fail(
        "Telegram",
        format!(
            "no DC answers by --route {routes}: if this machine is online, Telegram is blocked \
             here; {others} a --role back elsewhere (doc/blocked.md says how to choose)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_route_that_fails_is_bad_if_no_other_leads_there() {
        let fared = |place: Option<&str>, answered: Result<u64, &str>| Fared {
            place: place.map(str::to_owned),
            answered: answered
                .map(Duration::from_millis)
                .map_err(|why| why.to_owned()),
        };
        let blocked = || {
            (
                RouteName::Direct,
                fared(None, Err("192.0.2.1:443: blocked")),
            )
        };
        let place = "192.0.2.2 as kws2.web.telegram.org, TLS 1.3,";
        let works = (RouteName::Ws, fared(Some(place), Ok(84)));
        let silent = (RouteName::Ws, fared(Some(place), Err("no answer")));
        let lines = |rows| {
            let verdicts = of_dc(DcId(2), rows);
            verdicts
                .iter()
                .map(|one| one.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            lines(vec![blocked(), works]),
            [
                "warn  DC 2 direct: 192.0.2.1:443: blocked",
                "ok    DC 2 ws: 192.0.2.2 as kws2.web.telegram.org, TLS 1.3, in 84 ms",
            ]
        );
        assert_eq!(
            lines(vec![blocked(), silent]),
            [
                "fail  DC 2 direct: 192.0.2.1:443: blocked",
                "fail  DC 2 ws: 192.0.2.2 as kws2.web.telegram.org, TLS 1.3: no answer",
            ]
        );
    }
}
