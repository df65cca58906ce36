//! The names of the sites that are imitated.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use super::verdict::Verdict;
use crate::cli::invite_host;
use crate::cli::within::within;
use crate::client::of_addresses;
use crate::config::{Config, Reach};
use crate::telegram::directory::ask_services;

const LIMIT: Duration = Duration::from_secs(5);

/// Whether the imitated sites exist, and how well the imitation fits.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    if config.doors.tls_domains.is_empty() {
        return Vec::new();
    }
    let ours = ours(config);
    let has_relays = !config.guard.relays.is_empty();
    let names = config
        .doors
        .tls_domains
        .iter()
        .map(|domain| domain.as_str());
    names
        .map(|name| judge(name, &ours, has_relays, resolve(name)))
        .collect()
}

/// The addresses by which the internet reaches this machine, as far as they are known.
pub(super) fn ours(config: &Config) -> Vec<IpAddr> {
    let mut ours: Vec<IpAddr> = sending()
        .into_iter()
        .filter(|ip| Reach::of(*ip) == Reach::Internet)
        .chain(config.address.external_ip)
        .collect();
    if !ours.iter().any(IpAddr::is_ipv4) {
        // Behind a NAT; services outside see its address.
        ours.extend(within(LIMIT, ask_services).flatten());
    }
    ours
}

/// The addresses by which this machine sends.
pub(super) fn sending() -> Vec<IpAddr> {
    let sending = [true, false].map(invite_host::sending_address);
    sending.into_iter().flatten().collect()
}

fn judge(name: &str, ours: &[IpAddr], has_relays: bool, found: Option<Vec<IpAddr>>) -> Verdict {
    let subject = format!("site {name}");
    match found.as_deref() {
        None => Verdict::warn(
            subject,
            format!(
                "no answer from DNS within {} s; check the resolver",
                LIMIT.as_secs()
            ),
        ),
        Some([]) => Verdict::warn(
            subject,
            "DNS does not know it: a censor sees that; take a site that exists",
        ),
        Some(found) if found.iter().any(|ip| ours.contains(ip)) => {
            Verdict::ok(subject, "points here")
        }
        Some(_) if has_relays => Verdict::ok(
            subject,
            "exists; see that it leads to the relay in front (--proxy-protocol)",
        ),
        Some(found) => match of_addresses(found, ours) {
            Some(advice) => Verdict::warn(subject, advice),
            None => Verdict::ok(
                subject,
                "exists; whether it leads here is not known without this machine's public address \
                 of the same family (--external-ip)",
            ),
        },
    }
}

pub(super) fn resolve(name: &str) -> Option<Vec<IpAddr>> {
    let name = (name.to_owned(), 443);
    within(LIMIT, move || {
        let found = name.to_socket_addrs();
        found.map_or(Vec::new(), |all| all.map(|addr| addr.ip()).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn verdicts() {
        let ip: IpAddr = "198.51.100.1".parse().unwrap();
        let other = "198.51.100.2".parse().unwrap();
        let grade = |found| judge("a.example", &[ip], false, found).grade;
        assert_eq!(grade(None), Grade::Warn);
        assert_eq!(grade(Some(vec![])), Grade::Warn);
        assert_eq!(grade(Some(vec![other])), Grade::Warn);
        let relayed = judge("a.example", &[ip], true, Some(vec![other]));
        let unknown = judge("a.example", &[], false, Some(vec![other]));
        assert_eq!([relayed.grade, unknown.grade], [Grade::Ok; 2]);
        let here = judge("a.example", &[ip], false, Some(vec![other, ip]));
        assert_eq!(here.finding, "points here");
        assert!(resolve("localhost").unwrap()[0].is_loopback());
    }
}
