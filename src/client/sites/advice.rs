//! What a person should know of a site that the proxy passes for.

#[cfg(feature = "check")]
use std::net::IpAddr;

#[cfg(feature = "check")]
use crate::net::is_local_address;
use crate::wire::server_hello::FlightProfile;

/// What of the site's answer is unlike ours or unlike what draws no attention; a
/// sentence each, without the site's name.
pub(crate) fn of_answer(profile: &FlightProfile) -> Vec<String> {
    let mut found = Vec::new();
    if !profile.post_quantum {
        found.push(
            "does not do X25519MLKEM768: proxies that pass for such a site are reported to get \
             their iOS users blocked (Russia, 2026); take one that does, as nginx or HAProxy with \
             OpenSSL 3.5, or Caddy from 2.10 on"
                .to_owned(),
        );
    }
    let records = profile.records;
    if records > 1 {
        found.push(format!(
            "answers with {records} encrypted records, this proxy with one as long, because clients \
             take no more: who looks at the records of a client can tell; a server on rustls \
             (rpxy) or BoringSSL (Envoy) sends one, too"
        ));
    }
    found
}

/// That a name leads to other machines than this one, whose addresses as the
/// internet sees them are `ours`. A family of which we know none of ours tells
/// nothing.
#[cfg(feature = "check")]
pub(crate) fn of_addresses(found: &[IpAddr], ours: &[IpAddr]) -> Option<String> {
    let is_ours = |ip: &IpAddr| ours.contains(&ip.to_canonical()) || is_local_address(*ip);
    let alike = |ip: &&IpAddr| ours.iter().any(|own| own.is_ipv4() == ip.is_ipv4());
    if found.iter().any(is_ours) {
        return None;
    }
    let other = found.iter().find(alike)?;
    let own = ours.iter().find(|own| own.is_ipv4() == other.is_ipv4())?;
    Some(format!(
        "leads to {other}, and this machine is {own}: a censor who looks the name up can tell (such \
         proxies are reported to be banned in bulk); best is a domain of your own whose A or AAAA \
         record is this machine's"
    ))
}

#[cfg(all(test, feature = "check"))]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace()
            .map(|ip| ip.parse().unwrap())
            .collect()
    }

    #[test]
    fn what_is_unlike_us() {
        let mut profile = FlightProfile {
            cipher_suite: 0x1301,
            post_quantum: true,
            versions_first: true,
            records: 1,
            lengths: 2800.into(),
        };
        assert!(of_answer(&profile).is_empty());
        profile.records = 4;
        let several = of_answer(&profile);
        assert!(several.len() == 1 && several[0].contains("4 encrypted records"));
        profile.post_quantum = false;
        assert!(of_answer(&profile)[0].contains("X25519MLKEM768"));
        assert_eq!(of_answer(&profile).len(), 2);
    }

    #[test]
    fn whose_address_it_is() {
        let elsewhere = |found, ours| of_addresses(&ips(found), &ips(ours)).is_some();
        assert!(elsewhere("198.51.100.2", "198.51.100.1"));
        assert!(elsewhere("2001:db8::2 198.51.100.2", "198.51.100.1"));
        assert!(!elsewhere("198.51.100.2 198.51.100.1", "198.51.100.1"));
        assert!(!elsewhere("::ffff:198.51.100.1", "198.51.100.1"));
        // Not known, and this machine's own hosts file.
        assert!(!elsewhere("198.51.100.2", ""));
        assert!(!elsewhere("2001:db8::2", "198.51.100.1"));
        assert!(!elsewhere("127.0.1.1", "198.51.100.1"));
        assert!(!elsewhere("", "198.51.100.1"));
    }
}
