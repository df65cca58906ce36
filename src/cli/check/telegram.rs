//! Whether Telegram can be reached.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::verdict::{Grade, Verdict};
use super::{Probe, all_at_once, routes};
use crate::clock::{Clock, millis};
use crate::config::{Config, DataDir, Role, RouteChoice, RouteName, Via};
use crate::http::{ThroughError, time_through};
use crate::net::Live;
use crate::telegram::directory::{Directory, fetch};
use crate::wire::dc::DcId;
use crate::wire::proxy_config::ProxyConfig;

/// Those that people's accounts are on, and 203, the CDN.
const DIRECT_DCS: [i16; 6] = [1, 2, 3, 4, 5, 203];

/// A kind of connection of which more than that it is made is asked.
const DIRECT: &str = "direct";

/// For all addresses of a DC together; each gets its share.
const LIMIT: Duration = Duration::from_secs(10);
const LIMIT_OF_ONE: Duration = Duration::from_secs(5);
const MAX_ADDRESSES: u32 = 10;

/// Addresses to try, by kind of connection.
pub(super) type Targets = Vec<(&'static str, Vec<(DcId, SocketAddr)>)>;

/// What the routes in use need. Middle proxies are those of `--telegram-config`, where
/// that can be read, else those that the proxy would start with.
pub(super) fn targets(config: &Config) -> (Targets, Vec<Verdict>) {
    let data_dir = DataDir::new(&config.process.data_dir);
    let directory = Directory::new(
        Live::new(config.telegram.clone()),
        data_dir,
        &Rc::default(),
        &Clock::machine(),
    );
    let mut targets = Targets::new();
    let mut verdicts = Vec::new();
    if uses_direct(config) {
        let of_dc = |dc| directory.direct(dc).unwrap_or_default();
        let dcs = DIRECT_DCS.map(DcId);
        targets.push((DIRECT, addresses(dcs, of_dc)));
    }
    if config.telegram.uses_middle {
        let middle = match given_list(config) {
            Some(Ok(list)) => list.entries,
            Some(Err(verdict)) => {
                verdicts.push(verdict);
                addresses(directory.middle_dcs(), |dc| directory.middle(dc))
            }
            None => addresses(directory.middle_dcs(), |dc| directory.middle(dc)),
        };
        targets.push(("middle proxy", middle));
    }
    (targets, verdicts)
}

fn addresses(
    dcs: impl IntoIterator<Item = DcId>,
    of_dc: impl Fn(DcId) -> Vec<SocketAddr>,
) -> Vec<(DcId, SocketAddr)> {
    let each = |dc| of_dc(dc).into_iter().map(move |addr| (dc, addr));
    dcs.into_iter().flat_map(each).collect()
}

/// The list of --telegram-config.
fn given_list(config: &Config) -> Option<Result<ProxyConfig, Verdict>> {
    let source = config.telegram.config.as_ref()?;
    let unusable = |problem: String| {
        Verdict::warn(
            format!("--telegram-config {source}"),
            format!("{problem}; the last good list is used"),
        )
    };
    Some(
        fetch(source, config.telegram.via.as_deref())
            .map(|fetched| fetched.body)
            .map_err(|error| unusable(error.to_string()))
            .and_then(|text| {
                let text = String::from_utf8_lossy(&text);
                ProxyConfig::parse(&text).map_err(|error| unusable(error.to_string()))
            }),
    )
}

/// Whether each DC is reached, by way of a `--via` if there is one.
pub(super) fn check(config: &Config, targets: Targets) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let via = config.telegram.via.as_deref();
    if let Some(via) = via {
        let all = targets.iter().flat_map(|(_, addresses)| addresses);
        let mut v4 = all.map(|(_, addr)| addr).filter(|addr| addr.is_ipv4());
        let is_used = config.telegram.routes.has(RouteName::Direct);
        let verdict = v4.next().map(|address| of_via(via, *address, is_used));
        let is_ill = verdict
            .as_ref()
            .is_some_and(|verdict| verdict.grade == Grade::Fail);
        verdicts.extend(verdict);
        // Nothing is to be learnt of DCs then.
        if is_ill {
            return verdicts;
        }
    }
    for (kind, addresses) in targets {
        let (v6, v4) = addresses.into_iter().partition(|(_, addr)| addr.is_ipv6());
        if kind == DIRECT {
            verdicts.extend(routes::check(config, &DIRECT_DCS.map(DcId)));
            if !config.telegram.routes.has(RouteName::Direct) {
                continue;
            }
        } else {
            verdicts.extend(of_each_dc(kind, via, v4));
        }
        verdicts.extend(ipv6(kind, via, v6));
    }
    verdicts
}

/// Whether it leads anywhere; `address` is a DC's, which matters only if it is used.
fn of_via(via: &Via, address: SocketAddr, is_used: bool) -> Verdict {
    let subject = format!("via {via}");
    match time_through(via, address, LIMIT) {
        Ok(took) => Verdict::ok(subject, format!("in {} ms", millis(took))),
        Err(error @ ThroughError::Via(_)) => Verdict::fail(subject, error.to_string()),
        Err(_) if !is_used => Verdict::ok(subject, "it answers"),
        Err(error) => Verdict::warn(subject, format!("it works, but to {address}: {error}")),
    }
}

fn uses_direct(config: &Config) -> bool {
    if config.process.role == Role::Back {
        return true;
    }
    let untagged = config.doors.listeners.iter().any(|l| l.tag.is_none());
    matches!(config.doors.route, RouteChoice::Own(_))
        || config.doors.route == RouteChoice::Auto && untagged
}

fn of_each_dc(kind: &str, via: Option<&Via>, addresses: Vec<(DcId, SocketAddr)>) -> Vec<Verdict> {
    let mut by_dc: BTreeMap<DcId, Vec<SocketAddr>> = BTreeMap::new();
    for (dc, addr) in addresses {
        by_dc.entry(dc).or_default().push(addr);
    }
    let probes = by_dc.into_iter().map(|(dc, all)| -> Probe<'_> {
        Box::new(move || vec![of_dc(&format!("DC {dc} {kind}"), via, &all)])
    });
    all_at_once(probes.collect())
}

fn of_dc(subject: &str, via: Option<&Via>, addresses: &[SocketAddr]) -> Verdict {
    let count = (addresses.len() as u32).clamp(1, MAX_ADDRESSES);
    let share = (LIMIT / count).min(LIMIT_OF_ONE);
    let mut problem = String::new();
    for addr in addresses.iter().take(count as usize) {
        match time_to(via, *addr, share) {
            Ok(took) => return Verdict::ok(subject, format!("{addr} in {} ms", millis(took))),
            Err(why) => problem = format!("{addr}{why}"),
        }
    }
    Verdict::fail(subject, problem)
}

/// How long a connection takes to be made; what stands behind the address where there is
/// none.
fn time_to(via: Option<&Via>, address: SocketAddr, limit: Duration) -> Result<Duration, String> {
    if let Some(via) = via {
        let took = time_through(via, address, limit);
        return took.map_err(|error| format!(" via {via}: {error}"));
    }
    let start = Instant::now();
    match TcpStream::connect_timeout(&address, limit) {
        Ok(_) => Ok(start.elapsed()),
        Err(error) => Err(format!(": {error}; {}", way_out(&error))),
    }
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NetworkUnreachable => {
            "there is no way from here: look at the network configuration"
        }
        _ => "a firewall or the provider blocks it, or it is down",
    }
}

/// One verdict: IPv6 is a bonus.
fn ipv6(kind: &str, via: Option<&Via>, addresses: Vec<(DcId, SocketAddr)>) -> Option<Verdict> {
    let (_, first) = *addresses.first()?;
    let mut verdict = of_dc(&format!("IPv6 {kind}"), via, &[first]);
    if verdict.grade == Grade::Fail {
        verdict = Verdict::ok(verdict.subject, "not from here; IPv4 is used");
    }
    Some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_dc_is_reached_by_any_of_its_addresses() {
        let up = TcpListener::bind("127.0.0.1:0").unwrap();
        let down = TcpListener::bind("127.0.0.1:0").unwrap();
        let [up_addr, down_addr] = [&up, &down].map(|l| l.local_addr().unwrap());
        drop(down);
        let all = vec![
            (DcId(2), down_addr),
            (DcId(2), up_addr),
            (DcId(-4), down_addr),
        ];
        let verdicts = of_each_dc("direct", None, all);
        let shown: Vec<_> = verdicts
            .iter()
            .map(|v| (v.grade, v.subject.as_str()))
            .collect();
        assert_eq!(
            shown,
            [(Grade::Fail, "DC -4 direct"), (Grade::Ok, "DC 2 direct")]
        );
        assert!(verdicts[0].finding.contains(&down_addr.to_string()));
    }
}
