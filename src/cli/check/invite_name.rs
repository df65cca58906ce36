//! The name in invites (`--link-name`).

use std::net::IpAddr;

use super::site_names;
use super::verdict::Verdict;
use crate::config::{Config, Reach, Role};

/// Whether the name in invites leads here; where none is in them, which one could be.
pub(super) fn check(config: &Config) -> Option<Verdict> {
    if config.process.role == Role::Back
        || config.address.link_name.is_none() && config.doors.tls_domains.is_empty()
    {
        return None;
    }
    let ours = site_names::ours(config);
    match &config.address.link_name {
        Some(name) if name.host.parse::<IpAddr>().is_ok() => None,
        Some(name) => {
            let subject = format!("link name {}", name.host);
            Some(judge(subject, &ours, site_names::resolve(&name.host)))
        }
        None => {
            let mut domains = config
                .doors
                .tls_domains
                .iter()
                .map(|domain| domain.as_str());
            let leads_here =
                |domain: &&str| leads_to(&ours, site_names::resolve(domain).as_deref());
            domains.find(leads_here).map(hint)
        }
    }
}

fn leads_to(ours: &[IpAddr], found: Option<&[IpAddr]>) -> bool {
    found.is_some_and(|found| found.iter().any(|ip| ours.contains(ip)))
}

/// Of a name that links carry: `found` is where it leads.
pub(super) fn judge(subject: String, ours: &[IpAddr], found: Option<Vec<IpAddr>>) -> Verdict {
    let is_known = ours.iter().any(|ip| Reach::of(*ip) == Reach::Internet);
    match found.as_deref() {
        None => Verdict::warn(subject, "no answer from DNS; check the resolver"),
        Some([]) => Verdict::warn(
            subject,
            "DNS does not know it, so links lead nowhere: give it an A record, or links another \
             --link-name",
        ),
        found if leads_to(ours, found) => Verdict::ok(subject, "leads here"),
        Some([first, ..]) if is_known => Verdict::warn(
            subject,
            format!(
                "leads to {first}, not here: change its A record, unless that is a relay of yours"
            ),
        ),
        Some([first, ..]) => Verdict::ok(subject, format!("leads to {first}")),
    }
}

fn hint(domain: &str) -> Verdict {
    Verdict::ok(
        "link name",
        format!(
            "links carry an address; {domain} leads here too, and links that carry it outlive the \
             address: --link-name {domain}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn verdicts() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (here, other, private) = (ip("8.8.4.4"), ip("9.9.9.9"), ip("10.0.0.2"));
        let grade = |ours, found| judge("link name a.example".to_owned(), &[ours], found).grade;
        assert_eq!(grade(here, None), Grade::Warn);
        assert_eq!(grade(here, Some(vec![])), Grade::Warn);
        assert_eq!(grade(here, Some(vec![other, here])), Grade::Ok);
        assert_eq!(grade(here, Some(vec![other])), Grade::Warn);
        // Behind a NAT nobody knows better.
        assert_eq!(grade(private, Some(vec![other])), Grade::Ok);
    }
}
