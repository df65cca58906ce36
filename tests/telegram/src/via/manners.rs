//! How such a server misbehaves: where, what it says there, and what it does then.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Manners {
    pub fault: Option<(Step, Fault)>,
    /// Answers come byte by byte, with this pause.
    pub piecemeal: Option<Duration>,
    /// What the target seems to have said first, in one segment with the last answer.
    pub first_bytes: Vec<u8>,
    /// The last answer is so late.
    pub delay: Duration,
}

/// What the server answers at that moment. A CONNECT has the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The connection: nothing is read, and nothing should be said.
    Accepted,
    /// The methods that are offered.
    Methods,
    /// The user and the password.
    Credentials,
    /// Where to.
    Request,
}

impl Step {
    /// Those that a connection to `protocol` with credentials takes.
    pub fn of(protocol: super::Protocol) -> &'static [Self] {
        match protocol {
            super::Protocol::Socks5 => &[
                Self::Accepted,
                Self::Methods,
                Self::Credentials,
                Self::Request,
            ],
            super::Protocol::Http => &[Self::Accepted, Self::Request],
        }
    }
}

/// The bytes that are said instead of the right ones, and then.
#[derive(Clone, Debug)]
pub struct Fault {
    pub says: Vec<u8>,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// As if nothing had been wrong.
    GoesOn,
    /// Silence: a client that says more is wrong.
    Silent,
    /// Silence in what looks like a tunnel.
    Swallows,
    Fin,
    Reset,
    /// The same once more, for ever.
    Endless,
}

impl Manners {
    pub fn fault(step: Step, says: impl Into<Vec<u8>>, then: Then) -> Self {
        let says = says.into();
        Self {
            fault: Some((step, Fault { says, then })),
            ..Self::default()
        }
    }

    /// Refuses what is asked for, and ends.
    pub fn refuses(says: impl Into<Vec<u8>>) -> Self {
        Self::fault(Step::Request, says, Then::Fin)
    }

    /// Does what is asked for, in these words.
    pub fn grants(says: impl Into<Vec<u8>>) -> Self {
        Self::fault(Step::Request, says, Then::GoesOn)
    }

    pub fn piecemeal() -> Self {
        Self {
            piecemeal: Some(Duration::from_millis(2)),
            ..Self::default()
        }
    }
}

/// The address in a reply of SOCKS5.
#[derive(Clone, Debug)]
pub enum Bound {
    V4,
    V6,
    /// A name of so many bytes.
    Name(u8),
    /// Another kind of address.
    Unknown(u8),
}

/// A reply of SOCKS5 with this code.
pub fn reply(code: u8, bound: &Bound) -> Vec<u8> {
    let mut out = vec![5, code, 0];
    match bound {
        Bound::V4 => {
            out.push(1);
            out.extend(Ipv4Addr::new(192, 0, 2, 9).octets());
        }
        Bound::V6 => {
            out.push(4);
            out.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9).octets());
        }
        Bound::Name(length) => {
            out.extend([3, *length]);
            out.extend(std::iter::repeat_n(b'n', usize::from(*length)));
        }
        Bound::Unknown(kind) => out.extend([*kind, 1, 2, 3, 4]),
    }
    // Bytes that look like another answer to who takes too few.
    out.extend([5, 0]);
    out
}

/// A head of HTTP: a status line and the lines below it.
pub fn head(status: &str, lines: &[&str]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\n");
    for line in lines {
        out += &format!("{line}\r\n");
    }
    (out + "\r\n").into_bytes()
}

/// What a server says that has opened the tunnel.
pub fn granted(protocol: super::Protocol) -> Vec<u8> {
    match protocol {
        super::Protocol::Socks5 => reply(0, &Bound::V4),
        super::Protocol::Http => head("200 Connection established", &[]),
    }
}
