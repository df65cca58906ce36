use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use super::verdict::Verdict;
use crate::cli::server;
use crate::cli::within::within;
use crate::config::Config;

const LIMIT: Duration = Duration::from_secs(5);

/// Whether the imitated sites exist, and how well the imitation fits.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    let ours = ours(config);
    let names = config.tls_domains.iter().map(|domain| domain.as_str());
    names
        .map(|name| judge(name, &ours, resolve(name)))
        .collect()
}

/// The addresses of this machine, as far as they are known.
pub(super) fn ours(config: &Config) -> Vec<IpAddr> {
    let sending = [true, false]
        .into_iter()
        .filter_map(server::sending_address);
    sending.chain(config.external_ip).collect()
}

fn judge(name: &str, ours: &[IpAddr], found: Option<Vec<IpAddr>>) -> Verdict {
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
        Some(_) => Verdict::ok(
            subject,
            "exists, but its address is another: a censor who compares can tell; best is a \
             domain of your own that points here",
        ),
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
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let other = "192.0.2.2".parse().unwrap();
        let grade = |found| judge("a.example", &[ip], found).grade;
        assert_eq!(grade(None), Grade::Warn);
        assert_eq!(grade(Some(vec![])), Grade::Warn);
        assert_eq!(grade(Some(vec![other])), Grade::Ok);
        let here = judge("a.example", &[ip], Some(vec![other, ip]));
        assert_eq!(here.finding, "points here");
        assert!(resolve("localhost").unwrap()[0].is_loopback());
    }
}
