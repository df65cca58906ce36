//! The route by another MTProxy.

#[cfg(feature = "tls")]
use std::fmt;
use std::str::FromStr;

use super::host::{Host, HostPort};
use super::values::{BadValue, bad};
use crate::wire::invite::Invite;
use crate::wire::secret::SharedSecret;

/// `--upstream HOST:PORT:SECRET` or an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NextProxy {
    pub(crate) place: HostPort,
    pub(crate) secret: SharedSecret,
}

impl FromStr for NextProxy {
    type Err = BadValue;

    /// What is wrong is said without the value: a secret is in it.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let invite: Invite = text.parse().or_else(|error| bad(format!("{error}")))?;
        let Invite { port, secret, .. } = invite;
        let place = match Host::alone(&invite.server) {
            Some(Host::Address(ip)) => HostPort::Address((ip, port).into()),
            Some(Host::Name(name)) => HostPort::Name { name, port },
            None => {
                return bad("its server is neither an address nor the name of a machine");
            }
        };
        Ok(Self { place, secret })
    }
}

#[cfg(feature = "tls")]
impl fmt::Display for NextProxy {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn parts_and_links() {
        let named = format!("ee{KEY}6578616d706c652e636f6d");
        for (text, place, secret) in [
            (format!("H.example:443:{KEY}"), "h.example:443", KEY),
            (
                format!("192.0.2.1:1:dd{KEY}"),
                "192.0.2.1:1",
                &format!("dd{KEY}"),
            ),
            (
                format!("[2001:db8::1]:443:{named}"),
                "[2001:db8::1]:443",
                &named,
            ),
            (
                format!("tg://proxy?server=2001:db8::1&port=443&secret={named}"),
                "[2001:db8::1]:443",
                &named,
            ),
            (
                format!("https://t.me/proxy?server=h.example&port=8443&secret={KEY}"),
                "h.example:8443",
                KEY,
            ),
            (
                "h:443:3QARIjNEVWZ3iJmqu8zd7v8".to_owned(),
                "h:443",
                &format!("dd{KEY}"),
            ),
        ] {
            let next: NextProxy = text.parse().unwrap();
            assert_eq!(next.place.to_string(), place);
            assert_eq!(next.secret.to_string(), secret);
            assert!(!format!("{next:?}").contains(&KEY[2..]), "{next:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, said) in [
            (format!("h:443:{}", &KEY[1..]), "a secret has 32 hex digits"),
            (format!("a b:443:{KEY}"), "its server is neither"),
            (format!("192.0.2.300:443:{KEY}"), "its server is neither"),
            (format!("h:{KEY}"), "a proxy is given as"),
            (
                format!("https://h.example:443:{KEY}"),
                "a proxy is given as",
            ),
        ] {
            let error = text.parse::<NextProxy>().unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
            assert!(!error.contains(&KEY[3..]), "{error}");
        }
    }
}
