//! Whether the names of WEB hosts lead here, and an app gets a session there: over HTTPS,
//! on port 443, with a certificate that browsers take.

use std::net::IpAddr;
#[cfg(feature = "tls")]
use std::sync::Arc;

#[cfg(feature = "tls")]
use rustls::{CertificateError, Error, RootCertStore};

use super::verdict::Verdict;
use super::web_door::{DoorFailure, Manner, Step, key_of, try_door};
use super::{all_at_once, site_names};
use crate::config::{Config, Reach, WebHost};
#[cfg(feature = "tls")]
use crate::tls;

/// Apps know no other.
const PORT: u16 = 443;

/// Of a name, those that are tried.
const MAX_ADDRESSES: usize = 4;

/// Of each name, one of its hosts.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    let mut hosts: Vec<&WebHost> = Vec::new();
    for host in &config.web.hosts {
        if hosts.iter().all(|known| known.name != host.name) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        return Vec::new();
    }
    let ours = site_names::ours(config);
    let probes = hosts.into_iter().map(|host| {
        let ours = &ours;
        Box::new(move || of_host(host, ours)) as Box<dyn FnOnce() -> Vec<Verdict> + Send + '_>
    });
    all_at_once(probes.collect())
}

fn of_host(host: &WebHost, ours: &[IpAddr]) -> Vec<Verdict> {
    let name = &host.name;
    let subject = format!("WEB host {name}");
    let mut found = match site_names::resolve(name.as_str()) {
        None => {
            let why = "no answer from DNS; check the resolver";
            return vec![Verdict::warn(subject, why)];
        }
        Some(found) if found.is_empty() => {
            let why = "DNS does not know it, so apps get nowhere: give it an A record with this \
                       machine's address";
            return vec![Verdict::warn(subject, why)];
        }
        Some(found) => found,
    };
    found.sort();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    let judge = |address: IpAddr| {
        let place = Place::of(address, ours);
        let tried = manner().and_then(|manner| {
            let key = key_of(host)?;
            Some(try_door((address, PORT).into(), &manner, host, &key))
        });
        place.verdict(host, tried)
    };
    found.into_iter().map(judge).collect()
}

/// Whom apps trust.
#[cfg(feature = "tls")]
fn manner() -> Option<Manner> {
    manner_of(&tls::public_roots())
}

#[cfg(feature = "tls")]
fn manner_of(roots: &Arc<RootCertStore>) -> Option<Manner> {
    tls::client(roots).ok().map(Manner::Tls)
}

#[cfg(not(feature = "tls"))]
fn manner() -> Option<Manner> {
    None
}

/// Where a name leads.
#[derive(Clone, Copy, Debug)]
struct Place {
    address: IpAddr,
    /// `None`: this machine's public address of the same family is not known.
    is_here: Option<bool>,
}

impl Place {
    fn of(address: IpAddr, ours: &[IpAddr]) -> Self {
        let mut family = ours.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
        let is_here = match ours.contains(&address) {
            true => Some(true),
            false => family
                .any(|ip| Reach::of(*ip) == Reach::Internet)
                .then_some(false),
        };
        Self { address, is_here }
    }

    /// What came of trying it; `None`: it was not tried.
    fn verdict(self, host: &WebHost, tried: Option<Result<(), DoorFailure>>) -> Verdict {
        let subject = format!("WEB host {} at {}", host.name, self.address);
        let record = match self.address {
            IpAddr::V4(_) => "A",
            IpAddr::V6(_) => "AAAA",
        };
        match (tried, self.is_here) {
            // Who answers so knows the secret, wherever it is.
            (Some(Ok(())), _) => Verdict::ok(
                subject,
                "gives the page, a session and its WebSocket over HTTPS",
            ),
            (Some(Err(failure)), Some(false)) => Verdict::warn(
                subject,
                format!(
                    "not this machine's address, and {failure}: change the name's {record} \
                     record, or let what is there hand on to this proxy"
                ),
            ),
            (Some(Err(failure)), _) => {
                let advice = advice(&failure, host);
                Verdict::warn(subject, format!("{failure}: {advice}"))
            }
            (None, Some(true)) => Verdict::ok(subject, "leads here"),
            (None, Some(false)) => Verdict::warn(
                subject,
                format!(
                    "not this machine's address: change the name's {record} record, unless that \
                     is a web server or a CDN that hands on to this proxy"
                ),
            ),
            (None, None) => Verdict::ok(subject, "whether it leads here is not known"),
        }
    }
}

/// What to do about it.
fn advice(failure: &DoorFailure, host: &WebHost) -> String {
    let is_own = host.files.is_some();
    let name = &host.name;
    match failure {
        DoorFailure::Closed if is_own => format!(
            "start the proxy; if it runs, give it --listen {PORT}, or forward port {PORT} to it"
        ),
        DoorFailure::Closed => {
            format!("start the web server there, with port {PORT}, or forward that to it")
        }
        DoorFailure::Io(_) => format!(
            "open port {PORT} in the firewall (a cloud has one of its own), forward it on a \
             router; some routers do not lead from inside to their own address, so try \
             https://{name}/ from outside too"
        ),
        #[cfg(feature = "tls")]
        DoorFailure::Tls(error) => tls_advice(error, host),
        DoorFailure::Status(Step::WebSocket, _) | DoorFailure::Strange(Step::WebSocket) => {
            "let what is in front pass the fields Upgrade and Connection, in HTTP/1.1 (templates: \
             config/web); until then apps go a slower way"
                .to_owned()
        }
        DoorFailure::Status(..) | DoorFailure::Strange(_) if is_own => {
            "is it this proxy that answers there, with this config? restart it, and see its log"
                .to_owned()
        }
        DoorFailure::Status(..) | DoorFailure::Strange(_) => format!(
            "see that the web server hands all paths of {name} on to --web-listen, with the Host \
             field as it came (templates: config/web), and that this proxy runs with this config"
        ),
    }
}

#[cfg(feature = "tls")]
fn tls_advice(error: &Error, host: &WebHost) -> String {
    let name = &host.name;
    let what = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "apps refuse its certificate: no authority that browsers know has signed it, or the \
             chain is not whole (give the file fullchain.pem)"
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "apps refuse its certificate, which is over: renew it, and reload what shows it",
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            return format!(
                "apps refuse its certificate: get one for {name}, and see that it is the one \
                 shown to who asks for that name"
            );
        }
        Error::InvalidCertificate(_) => "apps refuse its certificate: get another one",
        _ => "see what has that port, and its log",
    };
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    fn host(flag: &str) -> WebHost {
        let config = Config::of(&[
            ("--web", flag),
            ("--web-listen", "127.0.0.1:8080"),
            ("--web-site", "/srv/www"),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ]);
        config.web.hosts[0].clone()
    }

    fn said(address: &str, tried: Option<Result<(), DoorFailure>>) -> Verdict {
        let ours = ["8.8.4.4".parse().unwrap()];
        let place = Place::of(address.parse().unwrap(), &ours);
        place.verdict(&host("proxy.example.com"), tried)
    }

    #[test]
    fn who_knows_the_secret_is_right_wherever_it_is() {
        for address in ["8.8.4.4", "9.9.9.9", "2001:4860:4860::8888"] {
            assert_eq!(said(address, Some(Ok(()))).grade, Grade::Ok);
        }
    }

    #[test]
    fn what_is_wrong_names_the_way_out() {
        let closed = || Some(Err(DoorFailure::Closed));
        let verdict = said("9.9.9.9", closed());
        assert!(verdict.finding.contains("change the name's A record"));
        let verdict = said("8.8.4.4", closed());
        assert_eq!(verdict.grade, Grade::Warn);
        assert!(verdict.finding.contains("start the web server"));
        // Nobody knows whether that is here.
        let verdict = said("2001:4860:4860::8888", closed());
        assert!(verdict.finding.contains("start the web server"));
        let no_upgrade = DoorFailure::Status(Step::WebSocket, 400);
        let verdict = said("8.8.4.4", Some(Err(no_upgrade)));
        assert!(verdict.finding.contains("Upgrade and Connection"));
        let page = DoorFailure::Strange(Step::Page);
        let verdict = said("8.8.4.4", Some(Err(page)));
        assert!(verdict.finding.contains("with the Host field"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn of_certificates_too() {
        let own = host("proxy.example.com,cert=/c,key=/k");
        for (error, way_out) in [
            (CertificateError::UnknownIssuer, "fullchain.pem"),
            (CertificateError::Expired, "renew it"),
            (
                CertificateError::NotValidForName,
                "get one for proxy.example.com",
            ),
        ] {
            let failure = DoorFailure::Tls(Error::InvalidCertificate(error));
            let said = advice(&failure, &own);
            assert!(said.contains(way_out), "{said}");
        }
        assert!(advice(&DoorFailure::Closed, &own).contains("--listen 443"));
    }
}
