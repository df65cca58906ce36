use std::fmt;
use std::str::FromStr;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Listener,
    Secret,
    TlsDomain,
    ClientIpv4,
    ClientIpv6,
    /// Prefix lengths for IPv4 and IPv6 clients.
    ClientSubnet(u8, u8),
}

/// One `--policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// At most `most` live sessions whose keys have the same values. A client
    /// that lacks one of the keys (no TLS domain, the other address family) is
    /// not counted.
    MaxConnections { keys: Vec<Key>, most: u32 },
    /// Only clients whose key is in the table; who lacks the key stays out.
    InTable { key: Key, table: String },
    /// No clients whose key is in the table.
    NotInTable { key: Key, table: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PolicyError {
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
            Self::Number(text) => write!(
                f,
                "policy limit {text:?} is not a number: write one, as in max-connections:secret:30"
            ),
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
mod tests {
    use super::*;

    #[test]
    fn text() {
        assert_eq!(
            "max-connections:listener+client-subnet/24:30".parse(),
            Ok(Rule::MaxConnections {
                keys: vec![Key::Listener, Key::ClientSubnet(24, 48)],
                most: 30
            })
        );
        assert_eq!(
            "not-in-table:client-ipv4:bad:one".parse(),
            Ok(Rule::NotInTable {
                key: Key::ClientIpv4,
                table: "bad:one".into()
            })
        );
        assert_eq!("client-subnet/32/56".parse(), Ok(Key::ClientSubnet(32, 56)));
        assert_eq!("client-subnet/64".parse(), Ok(Key::ClientSubnet(32, 64)));
        for wrong in [
            "",
            "max-connections:listener",
            "max-connections::3",
            "max-connections:listener:many",
            "max-connections:port:3",
            "in-table:secret+listener:t",
            "max-connections:client-subnet/0:1",
            "max-connections:client-subnet/33/64:1",
            "max-connections:client-subnet/200:1",
            "least:secret:3",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
