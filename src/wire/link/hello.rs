use std::fmt;

use smol_mtproxy_ciphers::hmac_sha256;

use super::LinkError;
use crate::bytes::Reader;

/// Raised with every change that an older peer would not understand.
pub const VERSION: u16 = 1;

/// Every version's hello begins with this and then its version.
const MAGIC: [u8; 4] = *b"smLK";

const KEYED: u8 = 1;
const TRIAL: u8 = 2;
const LACKS_MIDDLE: u8 = 4;
const HEARS_MIDDLE: u8 = 8;

/// Bytes of the random in a hello.
pub const RANDOM_LEN: usize = 32;

/// Bytes of a proof.
pub const PROOF_LEN: usize = 32;

/// Which end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSide {
    Front = 1,
    Back = 2,
}

/// What each side says first:
/// `magic 4 | version u16 | role u8 | flags u8 | window u32 | random 32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub side: LinkSide,
    /// Its sender has a key, will prove it and wants proof (bit 0 of flags).
    pub is_keyed: bool,
    /// A front only wants to know whether it would get a link (bit 1 of flags). It
    /// is not in proofs: who does not know it takes the front for any other.
    pub is_trial: bool,
    /// A back reaches no middle proxies (bit 2; not in proofs either, nor is the next).
    pub lacks_middle: bool,
    /// A front takes [`Frame::Middle`](super::Frame::Middle), which older ones do not know
    /// (bit 3).
    pub hears_middle: bool,
    /// Bytes of each stream that its sender takes without further credit.
    pub window: u32,
    /// Fresh with every connection.
    pub random: [u8; RANDOM_LEN],
}

impl Hello {
    pub fn encode(&self) -> [u8; 44] {
        let flags = [
            (self.is_trial, TRIAL),
            (self.lacks_middle, LACKS_MIDDLE),
            (self.hears_middle, HEARS_MIDDLE),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        self.encode_with(set.map(|(_, flag)| flag).sum())
    }

    fn encode_with(&self, more_flags: u8) -> [u8; 44] {
        let mut out = [0; 44];
        let flags = more_flags | if self.is_keyed { KEYED } else { 0 };
        let parts: [&[u8]; 5] = [
            &MAGIC,
            &VERSION.to_be_bytes(),
            &[self.side as u8, flags],
            &self.window.to_be_bytes(),
            &self.random,
        ];
        for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        out
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, LinkError> {
        let mut reader = Reader(body);
        if reader.array() != Some(MAGIC) {
            return Err(LinkError::NotALink);
        }
        let version = reader.u16_be().ok_or(LinkError::NotALink)?;
        if version != VERSION {
            return Err(LinkError::Version(version));
        }
        Self::parse_fields(&mut reader).ok_or(LinkError::Body(1))
    }

    fn parse_fields(reader: &mut Reader<'_>) -> Option<Self> {
        let [side, flags] = reader.array()?;
        let hello = Self {
            side: match side {
                1 => LinkSide::Front,
                2 => LinkSide::Back,
                _ => return None,
            },
            is_keyed: flags & KEYED != 0,
            is_trial: flags & TRIAL != 0,
            lacks_middle: flags & LACKS_MIDDLE != 0,
            hears_middle: flags & HEARS_MIDDLE != 0,
            window: reader.array().map(u32::from_be_bytes)?,
            random: reader.array()?,
        };
        reader.is_empty().then_some(hello)
    }
}

/// What `side` sends to prove that it has the key: an HMAC over its side and
/// both hellos, whose randoms are fresh. So nothing that was ever said on
/// another connection, or by the other side of this one, is a proof.
pub fn proof(key: &[u8], side: LinkSide, front: &Hello, back: &Hello) -> [u8; PROOF_LEN] {
    let parts: [&[u8]; 4] = [
        b"smol-mtproxy link proof",
        &[side as u8],
        &front.encode_with(0),
        &back.encode_with(0),
    ];
    hmac_sha256(key, &parts)
}

impl fmt::Display for LinkSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Front => "front",
            Self::Back => "back",
        })
    }
}
