//! Tokens that need nothing kept: what one says is inside of it, sealed with a key of the
//! server's, and looks like noise to everybody else.
//!
//! ```text
//! ticket = made u32 BE ‖ serial u32 BE ‖ bridge 8 bytes
//! mac    = HMAC-SHA256(mac key, kind ‖ ticket)[..12]
//! body   = (ticket ⊕ HMAC-SHA256(mask key, mac)[..16]) ‖ mac        28 bytes
//! token  = body ‖ sieve of body                                    32 bytes
//! ```

use std::cell::Cell;
use std::fmt;

use smol_mtproxy_ciphers::{constant_time_eq, hmac_sha256, sha256};

use super::sieve::{SIFTED, Sieve};
use super::{Capability, code};

/// How long a bootstrap token is good for, in seconds.
pub const BOOTSTRAP_LIFE: u32 = 120;

const TICKET: usize = 16;
const MAC: usize = 32 - TICKET - SIFTED;

/// The token as it goes over the wire. Never printed by `Debug`.
#[derive(Clone, Copy)]
pub struct Token([u8; 32]);

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// In a page: begins one session.
    Bootstrap = 1,
    /// Names that session from then on.
    Session = 2,
}

/// What is in a token. A session has the ticket of the bootstrap token that began it, so
/// the same bootstrap always gives the same session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// When the page was given out, in seconds of whatever clock the server has.
    pub made: u32,
    /// Which one of the server's it is; begins again behind the last number, when those
    /// before are long dead.
    pub serial: u32,
    /// For which secret, host and path.
    pub bridge: BridgeId,
}

/// Stands for a capability where that must not be seen; it stays the same whatever else a
/// server is told to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeId([u8; 8]);

/// Makes tokens and knows its own again.
pub struct Mint {
    mac_key: [u8; 32],
    mask_key: [u8; 32],
    sieve: Sieve,
    serial: Cell<u32>,
}

impl Mint {
    /// `key` is random, and made anew at each start: no session outlives the process.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            mac_key: hmac_sha256(key, &[b"web token mac"]),
            mask_key: hmac_sha256(key, &[b"web token mask"]),
            sieve: Sieve::new(key),
            serial: Cell::new(0),
        }
    }

    /// What a new page is given, at the time `now` in seconds.
    pub fn ticket(&self, now: u32, bridge: BridgeId) -> Ticket {
        let serial = self.serial.get();
        self.serial.set(serial.wrapping_add(1));
        Ticket {
            made: now,
            serial,
            bridge,
        }
    }

    pub fn token(&self, kind: TokenKind, ticket: &Ticket) -> Token {
        let ticket = ticket.bytes();
        let mac = self.mac(kind, &ticket);
        let masked = self.masked(&ticket, &mac);
        let sifted = self.sieve.of(&[&masked, &mac]).to_be_bytes();
        let mut token = [0; 32];
        let all = masked.iter().chain(&mac).chain(&sifted);
        for (to, from) in token.iter_mut().zip(all) {
            *to = *from;
        }
        Token(token)
    }

    /// Whether it was made here, of whichever kind. Noise costs next to nothing.
    pub fn is_own(&self, token: &Token) -> bool {
        let kinds = [TokenKind::Bootstrap, TokenKind::Session];
        let opened = self.opened(token);
        opened.is_some_and(|(ticket, mac)| {
            let mut macs = kinds.iter().map(|kind| self.mac(*kind, &ticket));
            macs.any(|own| constant_time_eq(&own, &mac))
        })
    }

    /// What a token says; `None`: it is not one of this kind that was made here. Of its
    /// age nothing is said: see [`Ticket::is_fresh`].
    pub fn read(&self, kind: TokenKind, token: &Token) -> Option<Ticket> {
        let (ticket, mac) = self.opened(token)?;
        let is_ours = constant_time_eq(&self.mac(kind, &ticket), &mac);
        is_ours.then(|| Ticket::from_bytes(ticket))
    }

    /// A capability's number, by which nearly all others are told from it. It says nothing
    /// of the capability to who does not have the server's key.
    pub fn sift(&self, capability: &Capability) -> u32 {
        self.sieve.of(&[capability.bytes()])
    }

    /// What would be in it, and its MAC.
    fn opened(&self, token: &Token) -> Option<([u8; TICKET], [u8; MAC])> {
        let (masked, rest) = token.0.split_first_chunk::<TICKET>()?;
        let (mac, sifted) = rest.split_first_chunk::<MAC>()?;
        let is_sifted = self.sieve.of(&[masked, mac]).to_be_bytes() == *sifted;
        is_sifted.then(|| (self.masked(masked, mac), *mac))
    }

    fn mac(&self, kind: TokenKind, ticket: &[u8; TICKET]) -> [u8; MAC] {
        first(hmac_sha256(&self.mac_key, &[&[kind as u8], ticket]))
    }

    fn masked(&self, ticket: &[u8; TICKET], mac: &[u8; MAC]) -> [u8; TICKET] {
        let mut masked: [u8; TICKET] = first(hmac_sha256(&self.mask_key, &[mac]));
        for (mask, byte) in masked.iter_mut().zip(ticket) {
            *mask ^= byte;
        }
        masked
    }
}

fn first<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    hash.first_chunk().copied().unwrap_or([0; N])
}

impl Ticket {
    /// Whether a bootstrap token of it may still begin a session.
    pub fn is_fresh(&self, now: u32) -> bool {
        now.wrapping_sub(self.made) <= BOOTSTRAP_LIFE
    }

    fn bytes(&self) -> [u8; TICKET] {
        let (made, serial) = (self.made.to_be_bytes(), self.serial.to_be_bytes());
        let mut bytes = [0; TICKET];
        let all = made.iter().chain(&serial).chain(&self.bridge.0);
        for (to, from) in bytes.iter_mut().zip(all) {
            *to = *from;
        }
        bytes
    }

    fn from_bytes(bytes: [u8; TICKET]) -> Self {
        let [a, b, c, d, e, f, g, h, bridge @ ..] = bytes;
        Self {
            made: u32::from_be_bytes([a, b, c, d]),
            serial: u32::from_be_bytes([e, f, g, h]),
            bridge: BridgeId(bridge),
        }
    }
}

impl BridgeId {
    pub fn of(capability: &Capability) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[b"web bridge\n", capability.bytes()]);
        Self([a, b, c, d, e, f, g, h])
    }
}

impl Token {
    /// From the 43 letters of a request, if they are exactly as [`letters`](Self::letters)
    /// gives them.
    pub fn parse(letters: &[u8]) -> Option<Self> {
        code::decode(letters).map(Self)
    }

    /// For one that was found by [`code::candidates`].
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For a page or an answer, never for a log.
    pub fn letters(&self) -> [u8; code::LEN] {
        code::encode(&self.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.letters()
            .iter()
            .try_for_each(|letter| fmt::Write::write_char(f, char::from(*letter)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}
