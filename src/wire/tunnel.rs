//! What a proxy of others is asked for, and what it may say: the same for each kind.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64ct::{Base64, Encoding};
use percent_encoding::percent_decode_str;

/// Where a tunnel is to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Never an IPv4 address inside an IPv6 one.
    Address(IpAddr),
    /// 1 to 255 bytes that can be seen.
    Name(String),
}

impl Target {
    /// A name that the proxy is to look up, or an address in its text form. `None`: it
    /// cannot be a name.
    pub fn of_name(name: &str, port: u16) -> Option<Self> {
        if let Ok(ip) = name.parse() {
            return Some(SocketAddr::new(ip, port).into());
        }
        let can_be_seen = name.bytes().all(|byte| byte.is_ascii_graphic());
        let is_name = (1..=255).contains(&name.len()) && can_be_seen && !name.contains(':');
        let host = Host::Name(name.to_owned());
        is_name.then_some(Self { host, port })
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Address(address.ip().to_canonical()),
            port: address.port(),
        }
    }
}

impl fmt::Display for Target {
    /// As HTTP writes it, IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// A user and a password, 1 to 255 bytes each.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Login {
    pub fn new(user: Vec<u8>, password: Vec<u8>) -> Option<Self> {
        let is_fine = |part: &[u8]| (1..=255).contains(&part.len());
        (is_fine(&user) && is_fine(&password)).then_some(Self { user, password })
    }

    /// As a URL has it, `USER:PASSWORD` with escapes like `%40`.
    pub fn of_url(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        Self::new(decoded(user)?, decoded(password)?)
    }

    /// Whether HTTP, where a colon ends the user, can say it.
    pub fn fits_http(&self) -> bool {
        !self.user.contains(&b':')
    }

    /// As SOCKS5 sends it (RFC 1929).
    pub(crate) fn socks5(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        for part in [&self.user, &self.password] {
            bytes.push(part.len() as u8);
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// As HTTP sends it (RFC 7617).
    pub(crate) fn basic(&self) -> String {
        Base64::encode_string(&[&*self.user, b":", &*self.password].concat())
    }
}

/// `None`: a `%` does not begin an escape.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let are_escapes = text.split('%').skip(1).all(is_escape);
    are_escapes.then(|| percent_decode_str(text).collect())
}

impl fmt::Debug for Login {
    /// Without either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// What a talk wants next.
/// Nothing that a log may show: a password may be in it.
#[cfg_attr(test, derive(Debug))]
#[derive(PartialEq, Eq)]
pub enum Step {
    Send(Vec<u8>),
    /// At most so many bytes more, one at least: none of the tunnel's is among them.
    Receive(usize),
    /// The connection is the tunnel's.
    Open,
}

/// Why there is no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A reply of SOCKS5 other than success, 1 to 8.
    Reply(u8),
    /// A status of HTTP other than 2xx, 401 and 407.
    Status(u16),
    /// It takes nobody without user and password.
    WantsLogin,
    /// It takes these not.
    WrongLogin,
    /// Not what such a proxy says.
    Nonsense,
    /// It closed before it had shown that it is such a proxy.
    Closed,
    /// It closed instead of an answer to where the tunnel is to lead.
    ClosedOverTarget,
}

impl Refusal {
    /// Whether the proxy works, and it is this target that it does not reach or not
    /// allow; else it fares no better with others.
    pub fn is_of_target(self) -> bool {
        match self {
            Self::Reply(7) => false,
            Self::Reply(_) | Self::ClosedOverTarget => true,
            // A server that does no CONNECT says 501, or one of 4xx.
            Self::Status(status) => matches!(status, 403 | 408 | 429 | 500 | 502..=504 | 506..),
            Self::WantsLogin | Self::WrongLogin | Self::Nonsense | Self::Closed => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply(1) => "it says: general failure",
            Self::Reply(2) => "its rules forbid it; allow Telegram's addresses there",
            Self::Reply(3) => "it says: network unreachable",
            Self::Reply(4) => "it says: host unreachable",
            Self::Reply(5) => "it says: connection refused",
            Self::Reply(6) => "it says: TTL expired",
            Self::Reply(7) => "it makes no connections for others; allow CONNECT there",
            Self::Reply(_) => "it says: no such kind of address here (IPv6?)",
            Self::Status(403) => {
                return f.write_str(
                    "it answers with status 403: its rules forbid it; allow Telegram's addresses \
                     and ports there",
                );
            }
            Self::Status(status) if self.is_of_target() => {
                return write!(f, "it answers with status {status}");
            }
            Self::Status(status) => {
                return write!(
                    f,
                    "it answers with status {status}, as who does no CONNECT; is it an HTTP proxy?"
                );
            }
            Self::WantsLogin => "it wants a user and a password; give them in the URL",
            Self::WrongLogin => "wrong user or password; correct them in the URL",
            Self::Nonsense => "it speaks another protocol; correct the URL's scheme or port",
            Self::Closed => {
                "it closes without an answer; is that its port, and may this machine use it?"
            }
            Self::ClosedOverTarget => "it closes instead of connecting",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_never_a_name_and_never_a_mapped_one() {
        let of = |name: &str| Target::of_name(name, 443).map(|target| target.to_string());
        assert_eq!(of("192.0.2.1").as_deref(), Some("192.0.2.1:443"));
        assert_eq!(of("2001:db8::1").as_deref(), Some("[2001:db8::1]:443"));
        assert_eq!(of("::ffff:192.0.2.1").as_deref(), Some("192.0.2.1:443"));
        assert_eq!(of("a.example").as_deref(), Some("a.example:443"));
        assert!(of(&"a".repeat(255)).is_some() && of(&"a".repeat(256)).is_none());
        for wrong in ["", "a b", "a\r\nb", "a\0", "a:1", "é"] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_login_has_its_bounds_and_is_not_shown() {
        let of = |user: usize, password: usize| Login::new(vec![b'u'; user], vec![b'p'; password]);
        for (user, password) in [(0, 1), (1, 0), (256, 1), (1, 256)] {
            assert_eq!(of(user, password), None);
        }
        let longest = of(255, 255).unwrap();
        assert_eq!(longest.socks5().len(), 513);
        assert!(longest.fits_http() && !format!("{longest:?}").contains('u'));
        assert!(
            !Login::new(b"a:b".to_vec(), b"c".to_vec())
                .unwrap()
                .fits_http()
        );
    }

    #[test]
    fn a_login_of_a_url_is_unescaped() {
        let of = |text: &str| Login::of_url(text);
        let login = |user: &[u8], password: &[u8]| Login::new(user.to_vec(), password.to_vec());
        assert_eq!(of("me:se:c@r/t"), login(b"me", b"se:c@r/t"));
        assert_eq!(of("m%3ae:%00%fF%25"), login(b"m:e", b"\0\xff%"));
        assert_eq!(
            of(&format!("{}:b", "%61".repeat(255))),
            login(&[b'a'; 255], b"b")
        );
        for wrong in [
            "", "me", "me:", ":me", "m%:e", "m%4:e", "m%4g:e", "m%é:e", "m%%41:e",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whose_failure_it_is() {
        let of_target = |refusal: Refusal| refusal.is_of_target();
        let replies: Vec<_> = (1..=8).filter(|n| of_target(Refusal::Reply(*n))).collect();
        assert_eq!(replies, [1, 2, 3, 4, 5, 6, 8]);
        let statuses = [
            301, 400, 401, 403, 404, 405, 429, 500, 501, 502, 503, 504, 505,
        ];
        let statuses: Vec<_> = statuses
            .into_iter()
            .filter(|status| of_target(Refusal::Status(*status)))
            .collect();
        assert_eq!(statuses, [403, 429, 500, 502, 503, 504]);
        let ill = [
            Refusal::WantsLogin,
            Refusal::WrongLogin,
            Refusal::Nonsense,
            Refusal::Closed,
        ];
        assert!(!ill.into_iter().any(of_target) && of_target(Refusal::ClosedOverTarget));
    }
}
