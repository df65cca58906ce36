use std::fmt;
use std::io;

use crate::config::CERTIFICATES;
use crate::metrics::LinkEnd;
#[cfg(feature = "tls")]
use crate::tls;
use crate::wire::link::{LinkError, LinkSide, Refusal};

/// The likely cause of what no peer of the same version does.
const SAME_VERSION: &str = "; are both ends of the same version?";

/// Why a link ended or did not come about.
#[derive(Debug)]
pub(super) enum Fault {
    Closed,
    /// It is closed before the handshake is done; which side this one is.
    HungUp(LinkSide),
    Broken(io::Error),
    Silent,
    Stuck,
    Bytes(LinkError),
    /// Frames that are right by themselves but not here.
    Unexpected(&'static str),
    CreditOverrun,
    Shutdown,
    Unreachable(io::Error),
    /// No address for a name.
    Unresolved(String),
    /// A name leads where a link without TLS may not go.
    PlainOnPublic,
    HandshakeTimeout,
    SameRole,
    KeyMissing {
        here: bool,
    },
    WrongKey,
    #[cfg(feature = "tls")]
    Tls(String),
    /// The certificate of this front is refused.
    #[cfg(feature = "tls")]
    Revoked(String),
    /// Too many links.
    TooMany,
    /// Strangers took its place among half-open links before it had proven itself.
    PushedOut,
    /// The other side says why it closes.
    Refused(Refusal),
}

impl Fault {
    pub(crate) fn reason(&self) -> LinkEnd {
        match self {
            Self::Closed | Self::HungUp(_) => LinkEnd::Closed,
            Self::Broken(_) => LinkEnd::Broken,
            Self::Silent => LinkEnd::Silent,
            Self::Stuck => LinkEnd::Stuck,
            Self::Bytes(LinkError::NotALink) => LinkEnd::NotALink,
            Self::Bytes(LinkError::Version(_)) => LinkEnd::Version,
            Self::Bytes(_) | Self::Unexpected(_) => LinkEnd::Protocol,
            Self::CreditOverrun => LinkEnd::CreditOverrun,
            Self::Shutdown => LinkEnd::Shutdown,
            Self::Unreachable(_) => LinkEnd::Unreachable,
            Self::Unresolved(_) => LinkEnd::Unresolved,
            Self::PlainOnPublic => LinkEnd::PlainOnPublic,
            Self::HandshakeTimeout => LinkEnd::HandshakeTimeout,
            Self::SameRole => LinkEnd::Role,
            Self::KeyMissing { .. } => LinkEnd::KeyMissing,
            Self::WrongKey => LinkEnd::WrongKey,
            #[cfg(feature = "tls")]
            Self::Tls(_) => LinkEnd::Tls,
            #[cfg(feature = "tls")]
            Self::Revoked(_) => LinkEnd::Revoked,
            Self::TooMany => LinkEnd::TooMany,
            Self::PushedOut => LinkEnd::PushedOut,
            Self::Refused(refusal) => match refusal {
                Refusal::Shutdown => LinkEnd::Shutdown,
                Refusal::Version => LinkEnd::Version,
                Refusal::Role => LinkEnd::Role,
                Refusal::KeyMissing => LinkEnd::KeyMissing,
                Refusal::WrongKey => LinkEnd::WrongKey,
                Refusal::TooMany => LinkEnd::TooMany,
                Refusal::Protocol => LinkEnd::Protocol,
                Refusal::CreditOverrun => LinkEnd::CreditOverrun,
            },
        }
    }

    /// What the other side is to be told.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        Some(match self {
            Self::Shutdown => Refusal::Shutdown,
            Self::Bytes(LinkError::NotALink) => return None,
            Self::Bytes(LinkError::Version(_)) => Refusal::Version,
            Self::Bytes(_) | Self::Unexpected(_) => Refusal::Protocol,
            Self::CreditOverrun => Refusal::CreditOverrun,
            Self::SameRole => Refusal::Role,
            Self::KeyMissing { .. } => Refusal::KeyMissing,
            Self::WrongKey => Refusal::WrongKey,
            Self::TooMany => Refusal::TooMany,
            _ => return None,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::Unreachable(error) => write!(
                f,
                "cannot connect: {error}; is the back running, and its port open in the firewall?"
            ),
            Self::Unresolved(problem) => write!(
                f,
                "the name is not found: {problem}; is it spelled right, and does DNS work here?"
            ),
            Self::PlainOnPublic => write!(
                f,
                "without TLS the link could be read by everyone on its way there; use \
                 {CERTIFICATES}, or the address of a tunnel, or, if you must, \
                 --link-plain-on-public yes"
            ),
            Self::HungUp(LinkSide::Front) => write!(
                f,
                "the back hung up in the middle of the handshake: is that a port of its \
                 --link-listen, with TLS on both ends or on neither? Its log says why"
            ),
            Self::HungUp(LinkSide::Back) => write!(
                f,
                "it hung up before it had proven itself: a stranger, or a front whose log says why"
            ),
            Self::Bytes(error @ (LinkError::Version(_) | LinkError::NotALink)) => error.fmt(f),
            Self::Bytes(error) => write!(f, "{error}{SAME_VERSION}"),
            Self::Unexpected(what) => write!(f, "{what}, which has no place here{SAME_VERSION}"),
            Self::Shutdown => write!(f, "this side is stopping, or does without the link"),
            Self::KeyMissing { here: true } => write!(
                f,
                "the other side has a --link-psk and this one has none: give both the same file"
            ),
            Self::KeyMissing { here: false } => write!(
                f,
                "this side has a --link-psk and the other one has none: give both the same file"
            ),
            Self::HandshakeTimeout => write!(
                f,
                "no whole handshake within {} s: is the other side a link port, with TLS on both \
                 sides or on none?",
                super::HANDSHAKE_LIMIT.as_secs()
            ),
            Self::PushedOut => write!(
                f,
                "others that connect to the link's port and prove nothing have pushed out its \
                 handshake; let only your fronts reach that port (firewall)"
            ),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "TLS: {error}"),
            #[cfg(feature = "tls")]
            Self::Revoked(name) => write!(
                f,
                "the certificate of {name} is refused by --link-refuse; if it is to come again, \
                 give it another one: `smol-mtproxy certs renew DIR {name} --new-key`"
            ),
            Self::Refused(Refusal::Shutdown) => f.write_str(
                "the other side is stopping, or does without the link; a front dials again while \
                 it wants one",
            ),
            Self::Refused(_) => write!(f, "the other side says: {}", self.reason()),
            _ => self.reason().fmt(f),
        }
    }
}

#[cfg(feature = "tls")]
impl From<tls::Error> for Fault {
    fn from(error: tls::Error) -> Self {
        match error {
            tls::Error::Closed => Self::Closed,
            tls::Error::Broken(error) => Self::Broken(error),
            tls::Error::Tls(error) => Self::Tls(error),
            tls::Error::Denied(name) => Self::Revoked(name),
        }
    }
}

impl From<LinkError> for Fault {
    fn from(error: LinkError) -> Self {
        Self::Bytes(error)
    }
}
