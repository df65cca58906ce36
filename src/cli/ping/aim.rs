use std::fmt;

use crate::wire::invite::Invite;
use crate::wire::secret::SecretForm;
use crate::wire::web::WebInvite;

/// Apps know no other for a WEB proxy.
const WEB_PORT: u16 = 443;

/// What a link leads to.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Aim {
    Proxy(Invite),
    Web(WebInvite),
}

/// How a connection of an app looks, or what carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    Plain,
    Padded,
    FakeTls,
    WebSocket,
    Https,
}

impl Aim {
    /// A link as apps take it. What is said of a wrong one shows nothing of a secret.
    pub(in crate::cli) fn parse(link: &str) -> Result<Self, String> {
        if link.contains("socks?") {
            return Err("that is a link to a SOCKS5 proxy; ping is for MTProto proxies".to_owned());
        }
        match link.contains("webproxy?") {
            true if cfg!(not(feature = "tls")) => {
                Err("WEB proxies are pinged over TLS, which this build has not".to_owned())
            }
            true => link.parse().map(Self::Web).map_err(problem),
            false => link.parse().map(Self::Proxy).map_err(problem),
        }
    }

    pub(super) fn server(&self) -> &str {
        match self {
            Self::Proxy(invite) => &invite.server,
            Self::Web(invite) => invite.host.as_str(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Proxy(invite) => invite.port,
            Self::Web(_) => WEB_PORT,
        }
    }

    /// Each is tried by itself.
    pub(super) fn forms(&self) -> &'static [Form] {
        match self {
            Self::Proxy(invite) => match invite.secret.form {
                SecretForm::Classic => &[Form::Plain],
                SecretForm::Padded => &[Form::Padded],
                SecretForm::FakeTls(_) => &[Form::FakeTls],
            },
            Self::Web(_) => &[Form::WebSocket, Form::Https],
        }
    }

    pub(in crate::cli) fn is_web(&self) -> bool {
        matches!(self, Self::Web(_))
    }

    /// The name that the connection shows to everybody.
    pub(super) fn shown_name(&self) -> Option<&str> {
        match self {
            Self::Proxy(invite) => match &invite.secret.form {
                SecretForm::FakeTls(domain) => Some(domain.as_str()),
                _ => None,
            },
            Self::Web(invite) => Some(invite.host.as_str()),
        }
    }
}

fn problem(error: impl fmt::Display) -> String {
    format!("ping: {error}")
}

impl fmt::Display for Aim {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, port) = (self.server(), self.port());
        match self {
            Self::Proxy(invite) => {
                match server.contains(':') {
                    true => write!(f, "[{server}]:{port}")?,
                    false => write!(f, "{server}:{port}")?,
                }
                match &invite.secret.form {
                    SecretForm::Classic => write!(f, ", plain"),
                    SecretForm::Padded => write!(f, ", dd"),
                    SecretForm::FakeTls(domain) => write!(f, ", ee of {domain}"),
                }
            }
            Self::Web(invite) => {
                write!(f, "https://{server}/")?;
                if let Some(path) = &invite.path {
                    write!(f, "{}/", path.as_str())?;
                }
                write!(f, ", WEB proxy")
            }
        }
    }
}

impl Form {
    pub(in crate::cli) fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Padded => "dd",
            Self::FakeTls => "ee",
            Self::WebSocket => "websocket",
            Self::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn every_kind_of_link_has_its_forms() {
        let ee = format!("ee{KEY}612e6e6574");
        for (link, shown, form) in [
            (
                format!("tg://proxy?server=h&port=443&secret={KEY}"),
                "h:443, plain",
                Form::Plain,
            ),
            (
                format!("https://t.me/proxy?server=2001:db8::1&port=4&secret=dd{KEY}"),
                "[2001:db8::1]:4, dd",
                Form::Padded,
            ),
            (
                format!("t.me/proxy?server=h&port=443&secret={ee}"),
                "h:443, ee of a.net",
                Form::FakeTls,
            ),
            (
                "h:443:3QARIjNEVWZ3iJmqu8zd7v8=".to_owned(),
                "h:443, dd",
                Form::Padded,
            ),
        ] {
            let aim = Aim::parse(&link).unwrap();
            assert_eq!(
                (aim.to_string().as_str(), aim.forms()),
                (shown, &[form][..])
            );
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn web_proxies_too() {
        for link in [
            format!("tg://webproxy?server=p.example&secret=dd{KEY}"),
            format!("https://t.me/webproxy?server=p.example&secret={KEY}"),
        ] {
            let aim = Aim::parse(&link).unwrap();
            assert_eq!(aim.to_string(), "https://p.example/, WEB proxy");
            assert_eq!(aim.forms().len(), 2);
            assert_eq!((aim.port(), aim.shown_name()), (443, Some("p.example")));
        }
    }

    #[test]
    fn what_is_wrong_with_a_link_is_named_without_its_secret() {
        for (link, said) in [
            ("tg://socks?server=h&port=1", "SOCKS5"),
            ("https://example.com", "a proxy is given as"),
            ("h:443", "a proxy is given as"),
            (
                "tg://proxy?server=h&port=443&secret=00112233445566778899aabbccddee",
                "32 hex digits",
            ),
        ] {
            let problem = Aim::parse(link).unwrap_err();
            assert!(problem.contains(said), "{problem}");
            assert!(!problem.contains("0011223344"), "{problem}");
        }
    }
}
