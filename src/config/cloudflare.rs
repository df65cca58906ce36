//! The routes by what the operator has at Cloudflare: a zone, a Worker.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

#[cfg(feature = "tls")]
use super::host::HostPort;
use super::values::{BadValue, bad};
use crate::wire::secret::Domain;

#[cfg(feature = "tls")]
const HTTPS: u16 = 443;

/// Stands in a name for the number of a DC.
const DC: &str = "{dc}";

/// Letters of a Worker's key.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 1..=128;

/// `--cloudflare-zone ZONE|NAME{dc}…[=ADDR:PORT]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloudflareZone {
    /// What stands in its names before a DC's number and behind it, in lower case.
    before: String,
    behind: String,
    /// Instead of what DNS says of its names.
    at: Option<SocketAddr>,
}

/// `--cloudflare-worker HOST[=ADDR:PORT][,key=…]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CloudflareWorker {
    host: Domain,
    /// Instead of what DNS says of its name.
    at: Option<SocketAddr>,
    key: Option<WorkerKey>,
}

/// What a Worker serves nobody without; letters that stand in a URL as they are.
#[derive(Clone, PartialEq, Eq)]
struct WorkerKey(String);

#[cfg(feature = "tls")]
impl CloudflareZone {
    /// What this DC is called there.
    pub(crate) fn host(&self, dc: u16) -> String {
        format!("{}{dc}{}", self.before, self.behind)
    }

    /// Where that is.
    pub(crate) fn place(&self, dc: u16) -> HostPort {
        place(self.at, self.host(dc))
    }
}

#[cfg(feature = "tls")]
impl CloudflareWorker {
    pub(crate) fn host(&self) -> &str {
        self.host.as_str()
    }

    /// Where that is.
    pub(crate) fn place(&self) -> HostPort {
        place(self.at, self.host.as_str().to_owned())
    }

    /// It wants one, as far as we know.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The path with its query; the key is in it.
    pub(crate) fn path(&self, to: std::net::Ipv4Addr, dc: crate::wire::dc::DcId) -> String {
        let (name, key) = match &self.key {
            Some(WorkerKey(key)) => ("&key=", key.as_str()),
            None => ("", ""),
        };
        format!("/apiws?dst={to}&dc={dc}{name}{key}")
    }
}

#[cfg(feature = "tls")]
fn place(at: Option<SocketAddr>, name: String) -> HostPort {
    match at {
        Some(address) => HostPort::Address(address),
        None => HostPort::Name { name, port: HTTPS },
    }
}

/// Takes `=ADDR:PORT` off a name; an error has no value in it.
fn split_address(text: &str) -> Result<(&str, Option<SocketAddr>), BadValue> {
    let Some((name, address)) = text.split_once('=') else {
        return Ok((text, None));
    };
    let address = address.parse().ok();
    match address.filter(|address: &SocketAddr| address.port() != 0) {
        Some(address) => Ok((name, Some(address))),
        None => bad("behind = stands an address with its port, as in =192.0.2.1:443"),
    }
}

fn is_name(text: &str) -> Option<Domain> {
    let domain = Domain::from_sni(text.as_bytes()).ok()?;
    (!domain.is_address() && domain.as_str().contains('.')).then_some(domain)
}

impl FromStr for CloudflareZone {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (name, at) = split_address(text)?;
        let name = name.to_ascii_lowercase();
        let (before, behind) = match name.split_once(DC) {
            Some((before, behind)) => (before.to_owned(), behind.to_owned()),
            None => ("kws".to_owned(), format!(".{name}")),
        };
        // The longest number is that of the CDN's DC.
        if is_name(&format!("{before}203{behind}")).is_none() {
            return bad(format!(
                "`{name}`: expected a zone as example.com, whose names are kws1.example.com and \
                 so on, or a name with {DC} in it for the number of the DC, as t{DC}.example.com"
            ));
        }
        Ok(Self { before, behind, at })
    }
}

impl FromStr for CloudflareWorker {
    type Err = BadValue;

    /// What is wrong is said without the value: a key may be in it.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (place, key) = match text.split_once(',') {
            Some((place, option)) => (place, Some(key_of(option)?)),
            None => (text, None),
        };
        let (name, at) = split_address(place)?;
        match is_name(name) {
            Some(host) => Ok(Self { host, at, key }),
            None => bad(
                "expected the Worker's name, as NAME.ACCOUNT.workers.dev or one of a domain of \
                 yours, and its key behind it as ,key=KEY",
            ),
        }
    }
}

fn key_of(option: &str) -> Result<WorkerKey, BadValue> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    match option.strip_prefix("key=") {
        Some(key) if KEY_LENGTHS.contains(&key.len()) && key.bytes().all(is_plain) => {
            Ok(WorkerKey(key.to_owned()))
        }
        Some(_) => bad(format!(
            "the key has {} to {} letters and digits, and of signs only - . _ ~; \
             `smol-mtproxy secret plain` makes one",
            KEY_LENGTHS.start(),
            KEY_LENGTHS.end()
        )),
        None => bad("behind the comma stands key=KEY, and nothing else"),
    }
}

impl fmt::Display for CloudflareZone {
    /// As a name of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{DC}{}", self.before, self.behind)
    }
}

impl fmt::Debug for WorkerKey {
    /// Without it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerKey")
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;
    use crate::wire::dc::DcId;

    #[test]
    fn zones() {
        for (text, shown, host, place) in [
            (
                "Example.com",
                "kws{dc}.example.com",
                "kws203.example.com",
                "kws203.example.com:443",
            ),
            (
                "t-{dc}x.a.example",
                "t-{dc}x.a.example",
                "t-203x.a.example",
                "t-203x.a.example:443",
            ),
            (
                "{DC}.example.com=[2001:db8::1]:8443",
                "{dc}.example.com",
                "203.example.com",
                "[2001:db8::1]:8443",
            ),
        ] {
            let zone: CloudflareZone = text.parse().unwrap();
            assert_eq!(zone.to_string(), shown);
            assert_eq!(
                (&*zone.host(203), &*zone.place(203).to_string()),
                (host, place)
            );
        }
        for wrong in [
            "",
            "=192.0.2.1:443",
            "example.com=",
            "example.com=192.0.2.1",
            "example.com=192.0.2.1:0",
            "{dc}",
            "{dc}{dc}.example.com",
            "{dc}.example.{dc}",
            "a b.example.com",
            "x{dc}.192.0.2.1",
            "example.com,key=x",
            "https://example.com",
        ] {
            assert!(wrong.parse::<CloudflareZone>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn workers() {
        let to = [192, 0, 2, 7].into();
        for (text, host, place, path) in [
            (
                "A.b.Workers.dev",
                "a.b.workers.dev",
                "a.b.workers.dev:443",
                "/apiws?dst=192.0.2.7&dc=-4",
            ),
            (
                "w.example.com=192.0.2.1:8443,key=a-B_9",
                "w.example.com",
                "192.0.2.1:8443",
                "/apiws?dst=192.0.2.7&dc=-4&key=a-B_9",
            ),
        ] {
            let worker: CloudflareWorker = text.parse().unwrap();
            assert_eq!(worker.host(), host);
            assert_eq!(worker.place().to_string(), place);
            assert_eq!(worker.path(to, DcId(-4)), path);
            assert_eq!(worker.has_key(), text.contains("key="));
            assert!(!format!("{worker:?}").contains("a-B_9"));
        }
        for wrong in [
            "",
            "w",
            "w.example.com,",
            "w.example.com,key=",
            "w.example.com,key=a b",
            "w.example.com,key=a&b",
            "w.example.com,key=a,key=b",
            "w.example.com,other=a",
            "w.example.com=192.0.2.1,key=a",
            "192.0.2.1,key=a",
            "wss://w.example.com,key=a",
        ] {
            let error = wrong.parse::<CloudflareWorker>().unwrap_err().to_string();
            assert!(!error.contains("w.example"), "{error}");
        }
    }
}
