use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::str::FromStr;

use super::network::Network;
use super::table::Table;

/// Who asks to come in, known once its handshake is done.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// Name of the listener.
    pub listener: &'a str,
    /// Name of the secret.
    pub secret: &'a str,
    /// The domain of a fake-TLS client.
    pub tls_domain: Option<&'a str>,
    pub client: IpAddr,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Listener,
    Secret,
    TlsDomain,
    ClientIpv4,
    ClientIpv6,
    /// Prefix lengths for IPv4 and IPv6 clients.
    ClientSubnet(u8, u8),
}

impl Key {
    fn value<'a>(self, visitor: &Visitor<'a>) -> Option<Value<'a>> {
        let address = visitor.client.to_canonical();
        let whole = Network::containing(address, 128);
        match self {
            Self::Listener => Some(Value::Name(visitor.listener)),
            Self::Secret => Some(Value::Name(visitor.secret)),
            Self::TlsDomain => visitor.tls_domain.map(Value::Name),
            Self::ClientIpv4 => address.is_ipv4().then_some(Value::Network(whole)),
            Self::ClientIpv6 => address.is_ipv6().then_some(Value::Network(whole)),
            Self::ClientSubnet(ipv4, ipv6) => {
                let length = if address.is_ipv4() { ipv4 } else { ipv6 };
                Some(Value::Network(Network::containing(address, length)))
            }
        }
    }

    fn is_in(self, table: &Table, visitor: &Visitor<'_>) -> bool {
        match self.value(visitor) {
            None => false,
            Some(Value::Name(name)) => table.contains_name(name),
            Some(Value::Network(network)) => table.contains_address(network.first()),
        }
    }
}

/// Names differ by their case nowhere.
#[derive(Clone, Copy)]
enum Value<'a> {
    Name(&'a str),
    Network(Network),
}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Name(name) => {
                state.write_u8(1);
                state.write_usize(name.len());
                for byte in name.bytes() {
                    state.write_u8(byte.to_ascii_lowercase());
                }
            }
            Self::Network(network) => {
                state.write_u8(2);
                network.hash(state);
            }
        }
    }
}

/// One `--policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At most `most` live sessions whose keys have the same values. A client
    /// that lacks one of the keys (no TLS domain, the other address family) is
    /// not counted.
    MaxConnections { keys: Vec<Key>, most: u32 },
    /// Only clients whose key is in the table; who lacks the key stays out.
    InTable { key: Key, table: String },
    /// No clients whose key is in the table.
    NotInTable { key: Key, table: String },
}

/// Why a client stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooManyConnections,
    NotInTable,
    InTable,
}

/// The rules with their tables and counters.
#[derive(Default)]
pub struct Policies {
    checks: Vec<Check>,
}

struct Check {
    rule: Rule,
    table: Option<Rc<Table>>,
    counter: Rc<Counter>,
}

impl Policies {
    /// Ties rules to their tables. Rules that `before` had too go on counting
    /// where they were.
    pub fn new(
        rules: &[Rule],
        tables: &[Rc<Table>],
        before: Option<&Policies>,
    ) -> Result<Self, PolicyError> {
        let mut checks = Vec::new();
        for rule in rules {
            let table = match rule {
                Rule::MaxConnections { .. } => None,
                Rule::InTable { table, .. } | Rule::NotInTable { table, .. } => {
                    let known = tables.iter().find(|known| known.name == *table);
                    let known = known.ok_or_else(|| PolicyError::NoSuchTable(table.clone()))?;
                    Some(known.clone())
                }
            };
            let old = before.and_then(|before| {
                let same = before.checks.iter().find(|check| check.rule == *rule)?;
                Some(same.counter.clone())
            });
            checks.push(Check {
                rule: rule.clone(),
                table,
                counter: old.unwrap_or_default(),
            });
        }
        Ok(Self { checks })
    }

    /// Lets a visitor in and counts it until the permit is dropped.
    pub fn admit(&self, visitor: &Visitor<'_>) -> Result<Permit, Refusal> {
        let mut permit = Permit::default();
        for check in &self.checks {
            match (&check.rule, &check.table) {
                (Rule::MaxConnections { keys, most }, _) => {
                    let Some(group) = check.counter.group(keys, visitor) else {
                        continue;
                    };
                    permit.places.push(check.counter.enter(group, *most)?);
                }
                (Rule::InTable { key, .. }, Some(table)) => {
                    if !key.is_in(table, visitor) {
                        return Err(Refusal::NotInTable);
                    }
                }
                (Rule::NotInTable { key, .. }, Some(table)) => {
                    if key.is_in(table, visitor) {
                        return Err(Refusal::InTable);
                    }
                }
                // `new` gave every table rule its table.
                (Rule::InTable { .. } | Rule::NotInTable { .. }, None) => {}
            }
        }
        Ok(permit)
    }
}

/// A visitor's places in the counters; dropping it gives them back.
#[derive(Default)]
pub struct Permit {
    places: Vec<Place>,
}

impl Permit {
    /// Is this client counted anywhere?
    pub fn is_counted(&self) -> bool {
        !self.places.is_empty()
    }
}

struct Place {
    counter: Rc<Counter>,
    group: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut live = self.counter.live.borrow_mut();
        if let Some(count) = live.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                live.remove(&self.group);
            }
        }
    }
}

/// Live sessions by the hash of their keys' values.
#[derive(Default)]
struct Counter {
    hasher: RandomState,
    live: RefCell<HashMap<u64, u32>>,
}

impl Counter {
    fn group(&self, keys: &[Key], visitor: &Visitor<'_>) -> Option<u64> {
        let mut hasher = self.hasher.build_hasher();
        for key in keys {
            key.value(visitor)?.hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    fn enter(self: &Rc<Self>, group: u64, most: u32) -> Result<Place, Refusal> {
        let mut live = self.live.borrow_mut();
        let count = live.get(&group).copied().unwrap_or(0);
        if count >= most {
            return Err(Refusal::TooManyConnections);
        }
        live.insert(group, count + 1);
        Ok(Place {
            counter: self.clone(),
            group,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    Rule(String),
    Key(String),
    Number(String),
    NoSuchTable(String),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(text) => write!(
                f,
                "policy {text:?} is unknown: write max-connections:KEYS:N, in-table:KEY:TABLE or not-in-table:KEY:TABLE"
            ),
            Self::Key(text) => write!(
                f,
                "policy key {text:?} is unknown: write listener, secret, tls-domain, client-ipv4, client-ipv6 or client-subnet/N[/N6]"
            ),
            Self::Number(text) => write!(f, "policy limit {text:?} is not a number"),
            Self::NoSuchTable(name) => write!(
                f,
                "policy names table {name:?}, which does not exist: add --table {name}=FILE"
            ),
        }
    }
}

impl std::error::Error for PolicyError {}

impl FromStr for Rule {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let mut parts = text.splitn(3, ':');
        let (Some(kind), Some(keys), Some(last)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(PolicyError::Rule(text.to_owned()));
        };
        let table = last.to_owned();
        match kind {
            "max-connections" => Ok(Self::MaxConnections {
                keys: keys.split('+').map(str::parse).collect::<Result<_, _>>()?,
                most: last
                    .parse()
                    .map_err(|_| PolicyError::Number(last.to_owned()))?,
            }),
            "in-table" => Ok(Self::InTable {
                key: keys.parse()?,
                table,
            }),
            "not-in-table" => Ok(Self::NotInTable {
                key: keys.parse()?,
                table,
            }),
            _ => Err(PolicyError::Rule(text.to_owned())),
        }
    }
}

impl FromStr for Key {
    type Err = PolicyError;

    /// `client-subnet/N/N6` names both prefix lengths. With one, of up to 32
    /// bits, IPv6 takes twice as many: 24 and 48 (a site), 32 and 64 (a host's
    /// network); over 32 it is IPv6's, and IPv4 addresses are taken whole.
    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let wrong = || PolicyError::Key(text.to_owned());
        let bits = |text: &str, most: u8| {
            let number: u8 = text.parse().map_err(|_| wrong())?;
            (1..=most)
                .contains(&number)
                .then_some(number)
                .ok_or_else(wrong)
        };
        match text {
            "listener" => Ok(Self::Listener),
            "secret" => Ok(Self::Secret),
            "tls-domain" => Ok(Self::TlsDomain),
            "client-ipv4" => Ok(Self::ClientIpv4),
            "client-ipv6" => Ok(Self::ClientIpv6),
            _ => {
                let lengths = text.strip_prefix("client-subnet/").ok_or_else(wrong)?;
                if let Some((ipv4, ipv6)) = lengths.split_once('/') {
                    return Ok(Self::ClientSubnet(bits(ipv4, 32)?, bits(ipv6, 128)?));
                }
                match bits(lengths, 128)? {
                    both @ ..=32 => Ok(Self::ClientSubnet(both, both * 2)),
                    ipv6 => Ok(Self::ClientSubnet(32, ipv6)),
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
