use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::host::{Host, HostPort};
use super::values::{BadValue, bad};
use crate::wire::via::{Kind, Login};

const SOCKS_PORT: u16 = 1080;

/// `--via`: the proxy of others that all connections to Telegram go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    scheme: Scheme,
    pub(crate) place: HostPort,
    pub(crate) login: Option<Login>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Socks5,
    /// It looks names up.
    Socks5h,
    Http,
}

impl Via {
    pub(crate) fn kind(&self) -> Kind {
        match self.scheme {
            Scheme::Socks5 | Scheme::Socks5h => Kind::Socks5,
            Scheme::Http => Kind::Http,
        }
    }

    /// Whether it is told names, not the addresses that this machine finds for them.
    pub(crate) fn looks_names_up(&self) -> bool {
        self.scheme != Scheme::Socks5
    }

    /// Whether who listens at `own` is surely meant by it.
    pub(super) fn is_at(&self, own: SocketAddr) -> bool {
        self.place.is_at(own)
    }
}

impl FromStr for Via {
    type Err = BadValue;

    /// What is wrong is said without the value: a password may be in it.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("socks5", rest)) => (Scheme::Socks5, rest),
            Some(("socks5h", rest)) => (Scheme::Socks5h, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => {
                return bad(
                    "expected socks5://HOST:PORT, socks5h://HOST:PORT (which looks names up) or \
                     http://HOST:PORT, with USER:PASSWORD@ before HOST if it wants them",
                );
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login_of(scheme, login)?), place),
            None => (None, rest),
        };
        Ok(Self {
            scheme,
            place: place_of(scheme, place)?,
            login,
        })
    }
}

fn login_of(scheme: Scheme, text: &str) -> Result<Login, BadValue> {
    match Login::of_url(text) {
        Some(login) if scheme == Scheme::Http && !login.fits_http() => {
            bad("an HTTP proxy's user has no colon in it")
        }
        Some(login) => Ok(login),
        None => bad(
            "before @ stand USER:PASSWORD, 1 to 255 bytes each; signs in them are written as in \
             URLs, : as %3A, @ as %40 and % as %25",
        ),
    }
}

fn place_of(scheme: Scheme, text: &str) -> Result<HostPort, BadValue> {
    if let Ok(place) = text.parse() {
        return Ok(place);
    }
    match (Host::parse(text), scheme) {
        (Ok(_), Scheme::Http) => bad("http:// needs a port too, as in http://192.0.2.1:3128"),
        (Ok(Host::Address(ip)), _) => Ok(HostPort::Address((ip, SOCKS_PORT).into())),
        (Ok(Host::Name(name)), _) => Ok(HostPort::Name {
            name,
            port: SOCKS_PORT,
        }),
        (Err(_), _) => bad(
            "behind :// or @ stands the address or the name of a machine, and a port, as in \
             192.0.2.1:1080, [2001:db8::1]:1080 or proxy.example.com:1080",
        ),
    }
}

impl fmt::Display for Via {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Socks5 => "socks5",
            Scheme::Socks5h => "socks5h",
            Scheme::Http => "http",
        };
        write!(f, "{scheme}://{}", self.place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls() {
        for (url, shown, kind, looks_up) in [
            (
                "socks5://192.0.2.1:9050",
                "socks5://192.0.2.1:9050",
                Kind::Socks5,
                false,
            ),
            (
                "socks5://192.0.2.1",
                "socks5://192.0.2.1:1080",
                Kind::Socks5,
                false,
            ),
            (
                "socks5h://Proxy.Example/",
                "socks5h://proxy.example:1080",
                Kind::Socks5,
                true,
            ),
            (
                "socks5://[2001:db8::1]",
                "socks5://[2001:db8::1]:1080",
                Kind::Socks5,
                false,
            ),
            (
                "http://[2001:db8::1]:3128/",
                "http://[2001:db8::1]:3128",
                Kind::Http,
                true,
            ),
            (
                "http://me:secret@a.b:8080",
                "http://a.b:8080",
                Kind::Http,
                true,
            ),
        ] {
            let via: Via = url.parse().unwrap();
            assert_eq!(via.to_string(), shown);
            assert_eq!((via.kind(), via.looks_names_up()), (kind, looks_up));
            assert!(!format!("{via:?}").contains("secret"));
        }
        let via: Via = "socks5://m%40e:p/s@s@192.0.2.1".parse().unwrap();
        assert_eq!(via.login, Login::new(b"m@e".to_vec(), b"p/s@s".to_vec()));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, way_out) in [
            ("192.0.2.1:1080", "expected socks5://"),
            ("https://me:secret@h:1", "expected socks5://"),
            ("socks4://h:1", "expected socks5://"),
            ("SOCKS5://h:1", "expected socks5://"),
            ("http://me:secret@h", "needs a port"),
            ("http://a%3Ab:secret@h:1", "no colon"),
            ("socks5://me@h:1", "USER:PASSWORD"),
            ("socks5://me:@h:1", "USER:PASSWORD"),
            ("socks5://:secret@h:1", "USER:PASSWORD"),
            ("socks5://me:secret%@h:1", "%25"),
            ("socks5://me:secret@", "192.0.2.1:1080"),
            ("socks5://", "192.0.2.1:1080"),
            ("socks5://h:0", "192.0.2.1:1080"),
            ("socks5://h:1/secret", "192.0.2.1:1080"),
            ("socks5://h:1?secret", "192.0.2.1:1080"),
            ("socks5://2001:db8::1", "192.0.2.1:1080"),
            ("socks5://h h:1", "192.0.2.1:1080"),
        ] {
            let error = url.parse::<Via>().unwrap_err().to_string();
            assert!(error.contains(way_out), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn who_it_surely_is() {
        let is_at = |via: &str, own: &str| {
            let via: Via = format!("socks5://{via}").parse().unwrap();
            via.is_at(own.parse().unwrap())
        };
        for (via, own) in [
            ("192.0.2.1:443", "192.0.2.1:443"),
            ("127.0.0.1:443", "0.0.0.0:443"),
            ("127.0.0.2:443", "0.0.0.0:443"),
            ("[::1]:443", "[::]:443"),
            ("0.0.0.0:443", "127.0.0.1:443"),
            ("0.0.0.0:443", "0.0.0.0:443"),
            ("localhost:443", "0.0.0.0:443"),
        ] {
            assert!(is_at(via, own), "{via} {own}");
        }
        for (via, own) in [
            ("127.0.0.1:1080", "0.0.0.0:443"),
            ("192.0.2.1:443", "0.0.0.0:443"),
            ("192.0.2.1:443", "192.0.2.2:443"),
            ("a.example:443", "0.0.0.0:443"),
        ] {
            assert!(!is_at(via, own), "{via} {own}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "((socks5h?|http)://)?[a-z0-9%:@./\\[\\]-]{0,30}|.{0,30}") {
            if let Ok(via) = text.parse::<Via>() {
                let again: Via = via.to_string().parse().unwrap();
                prop_assert_eq!(again.to_string(), via.to_string());
            }
        }
    }
}
