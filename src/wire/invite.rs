//! Invites: the tg:// links that open a proxy in a Telegram app (`doc/protocol.md` §1).

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::secret::{SecretError, SharedSecret};

/// What may stand in a query value as it is (RFC 3986, unreserved).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

const PREFIXES: [&str; 7] = [
    "tg://proxy?",
    "tg:proxy?",
    "https://t.me/proxy?",
    "http://t.me/proxy?",
    "t.me/proxy?",
    "https://telegram.me/proxy?",
    "http://telegram.me/proxy?",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Host name or address; IPv6 without brackets, as clients expect it.
    pub server: String,
    pub port: u16,
    pub secret: SharedSecret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteError {
    NotAnInvite,
    Server,
    Port,
    NoSecret,
    Secret(SecretError),
}

impl Invite {
    /// The link for those who have the app.
    pub fn tg(&self) -> String {
        format!("tg://proxy?{}", self.query())
    }

    /// The link that also works in a browser.
    pub fn t_me(&self) -> String {
        format!("https://t.me/proxy?{}", self.query())
    }

    /// The same in fewer characters, for a QR code: with the secret in base64url,
    /// which apps read as well.
    pub fn short_tg(&self) -> String {
        format!("tg://proxy?{}", self.query_with(&self.secret.to_base64()))
    }

    fn query(&self) -> String {
        self.query_with(&self.secret.to_string())
    }

    fn query_with(&self, secret: &str) -> String {
        let server = utf8_percent_encode(unbracketed(&self.server), ESCAPED);
        format!("server={server}&port={}&secret={secret}", self.port)
    }
}

fn unbracketed(server: &str) -> &str {
    server
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(server)
}

impl Invite {
    fn from_parts(text: &str) -> Result<Self, InviteError> {
        // A link to something else.
        if text.contains("://") {
            return Err(InviteError::NotAnInvite);
        }
        let (address, secret) = text.rsplit_once(':').ok_or(InviteError::NotAnInvite)?;
        let (host, port) = address.rsplit_once(':').ok_or(InviteError::NotAnInvite)?;
        let server = unbracketed(host);
        // An IPv6 address without its brackets may have lost its end to the port.
        if server.is_empty() || server.len() == host.len() && host.contains(':') {
            return Err(InviteError::Server);
        }
        let port = port.parse().ok().filter(|&port| port != 0);
        Ok(Self {
            server: server.to_owned(),
            port: port.ok_or(InviteError::Port)?,
            secret: secret.parse().map_err(InviteError::Secret)?,
        })
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    /// An invite in any form that apps take, or the same as `HOST:PORT:SECRET`.
    fn from_str(text: &str) -> Result<Self, InviteError> {
        let Some(query) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) else {
            return Self::from_parts(text);
        };
        let (mut server, mut port, mut secret) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "server" => server = Some(unbracketed(&value).to_owned()),
                "port" => port = value.parse().ok(),
                "secret" => secret = Some(value.parse().map_err(InviteError::Secret)?),
                _ => {}
            }
        }
        Ok(Self {
            server: server
                .filter(|server| !server.is_empty())
                .ok_or(InviteError::Server)?,
            port: port.filter(|&port| port != 0).ok_or(InviteError::Port)?,
            secret: secret.ok_or(InviteError::NoSecret)?,
        })
    }
}

impl fmt::Display for InviteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnInvite => write!(
                f,
                "a proxy is given as tg://proxy?…, https://t.me/proxy?… or HOST:PORT:SECRET"
            ),
            Self::Server => write!(
                f,
                "no server is named; add server=HOST, or HOST: in front (IPv6 in brackets)"
            ),
            Self::Port => write!(f, "a port is needed; add port=1..65535, or HOST:PORT:"),
            Self::NoSecret => write!(f, "the link has no secret; add secret=S"),
            Self::Secret(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InviteError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretForm;

    fn invite(server: &str, secret: &str) -> Invite {
        Invite {
            server: server.to_owned(),
            port: 443,
            secret: secret.parse().unwrap(),
        }
    }

    const PADDED: &str = "dd00112233445566778899aabbccddeeff";

    #[test]
    fn both_forms() {
        let invite = invite("proxy.example.com", PADDED);
        let query = format!("server=proxy.example.com&port=443&secret={PADDED}");
        assert_eq!(invite.tg(), format!("tg://proxy?{query}"));
        assert_eq!(invite.t_me(), format!("https://t.me/proxy?{query}"));
        assert!(invite.short_tg().len() + 11 == invite.tg().len());
        assert_eq!(invite.short_tg().parse(), Ok(invite));
    }

    #[test]
    fn addresses_and_odd_names_are_escaped_and_read_back() {
        for (server, written) in [
            ("2001:db8::1", "server=2001%3Adb8%3A%3A1&"),
            ("a&b=c d", "server=a%26b%3Dc%20d&"),
            ("прокси.example", "server=%D0%BF"),
        ] {
            let invite = invite(server, PADDED);
            assert!(invite.tg().contains(written), "{}", invite.tg());
            assert_eq!(invite.tg().parse(), Ok(invite.clone()));
            assert_eq!(invite.t_me().parse(), Ok(invite));
        }
        let bracketed = invite("[2001:db8::1]", PADDED);
        assert_eq!(bracketed.tg(), invite("2001:db8::1", PADDED).tg());
    }

    #[test]
    fn base64_secrets_in_any_order_with_parameters_of_others() {
        let text = "t.me/proxy?secret=3QARIjNEVWZ3iJmqu8zd7v8%3D&x&port=443&server=h&y=1";
        assert_eq!(text.parse(), Ok(invite("h", PADDED)));
    }

    #[test]
    fn the_parts_alone() {
        for (text, server) in [
            (format!("h.example:443:{PADDED}"), "h.example"),
            (format!("192.0.2.1:443:{PADDED}"), "192.0.2.1"),
            (format!("[2001:db8::1]:443:{PADDED}"), "2001:db8::1"),
            ("h:443:3QARIjNEVWZ3iJmqu8zd7v8=".to_owned(), "h"),
        ] {
            assert_eq!(text.parse(), Ok(invite(server, PADDED)), "{text}");
        }
        let base64: Invite = "h:443:3f////////////////////8=".parse().unwrap();
        assert_eq!(base64.secret.form, SecretForm::Padded);
        let length = |secret: &str| secret.parse::<SharedSecret>().unwrap_err();
        for (text, error) in [
            ("", InviteError::NotAnInvite),
            ("h:443", InviteError::NotAnInvite),
            ("https://h:443:00", InviteError::NotAnInvite),
            (":443:00", InviteError::Server),
            ("[]:443:00", InviteError::Server),
            ("2001:db8::1:443:00", InviteError::Server),
            ("h:0:00", InviteError::Port),
            ("h:https:00", InviteError::Port),
            ("h:443:", InviteError::Secret(length(""))),
            ("h:443:00", InviteError::Secret(length("00"))),
        ] {
            assert_eq!(text.parse::<Invite>(), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, error) in [
            (
                "https://example.com/proxy?server=h",
                InviteError::NotAnInvite,
            ),
            (
                "tg://proxy?port=1&secret=",
                InviteError::Secret(SecretError::Length(0)),
            ),
            ("tg://proxy?port=1", InviteError::Server),
            ("tg://proxy?server=h&port=0", InviteError::Port),
            ("tg://proxy?server=h&port=65536", InviteError::Port),
            ("tg://proxy?server=h&port=1", InviteError::NoSecret),
        ] {
            assert_eq!(text.parse::<Invite>(), Err(error));
        }
    }
}
