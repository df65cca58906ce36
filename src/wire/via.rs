//! A proxy of others that connections to Telegram go through: what both of its kinds
//! have in common. Each is a talk of a few messages, after which the connection is the
//! tunnel's, from the next byte on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64ct::{Base64, Encoding};

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
    /// A status of HTTP other than 2xx and 407.
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
            Self::Closed => "it closes at once; is that its port, and may this machine use it?",
            Self::ClosedOverTarget => "it closes without an answer",
        })
    }
}

impl std::error::Error for Refusal {}

/// Which kind of proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Socks5,
    Http,
}

/// The talk with either kind.
pub enum Talk {
    Socks5(super::socks5::Talk),
    Http(super::http_connect::Talk),
}

impl Talk {
    pub fn new(kind: Kind, target: Target, login: Option<&Login>) -> Self {
        match kind {
            Kind::Socks5 => Self::Socks5(super::socks5::Talk::new(target, login)),
            Kind::Http => Self::Http(super::http_connect::Talk::new(&target, login)),
        }
    }

    /// What is to be done next; what it gives to send is given once.
    pub fn step(&mut self) -> Step {
        match self {
            Self::Socks5(talk) => talk.step(),
            Self::Http(talk) => talk.step(),
        }
    }

    /// Takes what has come, at most what [`step`](Self::step) asked for.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Socks5(talk) => talk.receive(bytes),
            Self::Http(talk) => talk.receive(bytes),
        }
    }

    /// What it means that nothing more comes.
    pub fn ended(&self) -> Refusal {
        match self {
            Self::Socks5(talk) if talk.asks_for_target() => Refusal::ClosedOverTarget,
            Self::Socks5(_) | Self::Http(_) => Refusal::Closed,
        }
    }

    /// Whether silence now may be the target's: the proxy has been told of it, and may be
    /// waiting for it.
    pub fn asks_for_target(&self) -> bool {
        match self {
            Self::Socks5(talk) => talk.asks_for_target(),
            Self::Http(talk) => talk.asks_for_target(),
        }
    }
}

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
