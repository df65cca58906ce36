//! The rules of `--policy`, and the clients that they count.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;

use super::table::Table;
use crate::config::{Key, Network, PolicyError, Rule};

/// Who asks to come in, known once its handshake is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor<'a> {
    /// Name of the listener.
    pub(crate) listener: &'a str,
    /// Name of the secret.
    pub(crate) secret: &'a str,
    /// The domain of a fake-TLS client.
    pub(crate) tls_domain: Option<&'a str>,
    pub(crate) client: IpAddr,
}

fn value_of<'a>(key: Key, visitor: &Visitor<'a>) -> Option<Value<'a>> {
    let address = visitor.client.to_canonical();
    let whole = Network::containing(address, 128);
    match key {
        Key::Listener => Some(Value::Name(visitor.listener)),
        Key::Secret => Some(Value::Name(visitor.secret)),
        Key::TlsDomain => visitor.tls_domain.map(Value::Name),
        Key::ClientIpv4 => address.is_ipv4().then_some(Value::Network(whole)),
        Key::ClientIpv6 => address.is_ipv6().then_some(Value::Network(whole)),
        Key::ClientSubnet(ipv4, ipv6) => {
            let length = if address.is_ipv4() { ipv4 } else { ipv6 };
            Some(Value::Network(Network::containing(address, length)))
        }
    }
}

fn is_in(key: Key, table: &Table, visitor: &Visitor<'_>) -> bool {
    match value_of(key, visitor) {
        None => false,
        Some(Value::Name(name)) => table.contains_name(name),
        Some(Value::Network(network)) => table.contains_address(network.first()),
    }
}

/// What clients are counted by, or looked for in a table. Names are the same whatever
/// their case.
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

/// Why a client stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooManyConnections,
    NotInTable,
    InTable,
}

/// The rules with their tables and counters.
#[derive(Default)]
pub(crate) struct Policies {
    checks: Vec<Check>,
}

struct Check {
    rule: Rule,
    table: Option<Rc<Table>>,
    counter: Rc<Counter>,
}

impl Policies {
    /// Ties rules to their tables. Rules that count by the same keys as rules of
    /// `before` go on where those were, whatever number they allow now.
    pub(crate) fn new(
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
            let counted = before.and_then(|before| before.counter_for(rule, &checks));
            checks.push(Check {
                rule: rule.clone(),
                table,
                counter: counted.unwrap_or_default(),
            });
        }
        Ok(Self { checks })
    }

    /// A counter by the same keys that none of the `taken` goes on with.
    fn counter_for(&self, rule: &Rule, taken: &[Check]) -> Option<Rc<Counter>> {
        let free = |counter: &Rc<Counter>| !taken.iter().any(|t| Rc::ptr_eq(&t.counter, counter));
        let mut same = self.checks.iter().filter(|old| match (&old.rule, rule) {
            (Rule::MaxConnections { keys: old, .. }, Rule::MaxConnections { keys: new, .. }) => {
                old == new
            }
            _ => false,
        });
        same.find(|old| free(&old.counter))
            .map(|old| old.counter.clone())
    }

    /// Lets a visitor in and counts it until the permit is dropped.
    pub(crate) fn permit(&self, visitor: &Visitor<'_>) -> Result<Permit, Refusal> {
        let mut places = Vec::new();
        for check in &self.checks {
            match (&check.rule, &check.table) {
                (Rule::MaxConnections { keys, most }, _) => {
                    let Some(group) = check.counter.group(keys, visitor) else {
                        continue;
                    };
                    places.push(check.counter.enter(group, *most)?);
                }
                (Rule::InTable { key, .. }, Some(table)) => {
                    if !is_in(*key, table, visitor) {
                        return Err(Refusal::NotInTable);
                    }
                }
                (Rule::NotInTable { key, .. }, Some(table)) => {
                    if is_in(*key, table, visitor) {
                        return Err(Refusal::InTable);
                    }
                }
                // `new` gave every table rule its table.
                (Rule::InTable { .. } | Rule::NotInTable { .. }, None) => {}
            }
        }
        Ok(Permit {
            _places: places.into(),
        })
    }
}

/// A visitor's places in the counters; dropping it gives them back.
#[derive(Default)]
pub(crate) struct Permit {
    /// Held for their drop alone.
    _places: Box<[Counted]>,
}

#[cfg(test)]
impl Permit {
    /// Is this client counted anywhere?
    pub(crate) fn is_counted(&self) -> bool {
        !self._places.is_empty()
    }
}

struct Counted {
    counter: Rc<Counter>,
    group: u64,
}

impl Drop for Counted {
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
            value_of(*key, visitor)?.hash(&mut hasher);
        }
        Some(hasher.finish())
    }

    fn enter(self: &Rc<Self>, group: u64, most: u32) -> Result<Counted, Refusal> {
        let mut live = self.live.borrow_mut();
        let count = live.get(&group).copied().unwrap_or(0);
        if count >= most {
            return Err(Refusal::TooManyConnections);
        }
        live.insert(group, count + 1);
        Ok(Counted {
            counter: self.clone(),
            group,
        })
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
