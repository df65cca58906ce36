//! Packets inside the obfuscated stream (`doc/protocol.md` §3), both sides.

use crate::crypto::{fill_random, random_below};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Abridged,
    Intermediate,
    Padded,
}

/// What a reader of the stream meets.
#[derive(Debug, PartialEq, Eq)]
pub enum Unit {
    Packet { payload: Vec<u8>, quick_ack: bool },
    QuickAck([u8; 4]),
}

/// Which end of the stream the decoder sits at: the top bit of a length means
/// "quick-ack wanted" to a server and "this is a quick-ack" to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

impl Transport {
    pub const ALL: [Transport; 3] = [Self::Abridged, Self::Intermediate, Self::Padded];

    pub fn tag(self) -> [u8; 4] {
        match self {
            Self::Abridged => [0xef; 4],
            Self::Intermediate => [0xee; 4],
            Self::Padded => [0xdd; 4],
        }
    }

    pub fn from_tag(tag: [u8; 4]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.tag() == tag)
    }

    /// One packet as it is sent, `padding` being the most random bytes that
    /// may follow it under the padded transport.
    pub fn frame(self, payload: &[u8], quick_ack: bool, padding: usize) -> Vec<u8> {
        let mut bytes = vec![0; random_below(padding + 1)];
        fill_random(&mut bytes);
        self.frame_with(payload, quick_ack, &bytes)
    }

    /// One packet as it is sent; these bytes follow it under the padded
    /// transport.
    pub fn frame_with(self, payload: &[u8], quick_ack: bool, padding: &[u8]) -> Vec<u8> {
        assert!(
            payload.len().is_multiple_of(4),
            "payloads are whole words, this one has {} bytes",
            payload.len()
        );
        let mut out = Vec::with_capacity(payload.len() + 20);
        let top = u8::from(quick_ack) << 7;
        match self {
            Self::Abridged if payload.len() / 4 < 0x7f => {
                out.push((payload.len() / 4) as u8 | top);
                out.extend_from_slice(payload);
            }
            Self::Abridged => {
                out.push(0x7f | top);
                out.extend_from_slice(&((payload.len() / 4) as u32).to_le_bytes()[..3]);
                out.extend_from_slice(payload);
            }
            Self::Intermediate | Self::Padded => {
                let padding = match self {
                    Self::Padded => padding,
                    _ => &[],
                };
                let length = (payload.len() + padding.len()) as u32 | u32::from(top) << 24;
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(payload);
                out.extend_from_slice(padding);
            }
        }
        out
    }

    /// A quick-ack token as a server sends it to a client.
    pub fn quick_ack(self, mut token: [u8; 4]) -> [u8; 4] {
        if self == Self::Abridged {
            token.reverse();
        }
        token
    }

    /// Takes one unit off the front of `input`: its value and its length, or
    /// `None` when more bytes are needed.
    pub fn parse(self, input: &[u8], side: Side) -> Result<Option<(Unit, usize)>, String> {
        match self {
            Self::Abridged => parse_abridged(input, side),
            Self::Intermediate | Self::Padded => self.parse_intermediate(input, side),
        }
    }

    fn parse_intermediate(self, input: &[u8], side: Side) -> Result<Option<(Unit, usize)>, String> {
        let Some((head, rest)) = input.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let word = u32::from_le_bytes(*head);
        let top = word >> 31 == 1;
        if top && side == Side::Client {
            return Ok(Some((Unit::QuickAck(*head), 4)));
        }
        let length = (word & 0x7fff_ffff) as usize;
        let payload_len = if self == Self::Padded {
            length - length % 4
        } else {
            length
        };
        packet(rest, 4, length, payload_len, top)
    }
}

fn parse_abridged(input: &[u8], side: Side) -> Result<Option<(Unit, usize)>, String> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    let top = first >> 7 == 1;
    if top && side == Side::Client {
        let Some(token) = input.first_chunk::<4>() else {
            return Ok(None);
        };
        let mut token = *token;
        token.reverse();
        return Ok(Some((Unit::QuickAck(token), 4)));
    }
    let short = usize::from(first & 0x7f);
    if short < 0x7f {
        return packet(&input[1..], 1, short * 4, short * 4, top);
    }
    let Some(&[_, a, b, c]) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes([a, b, c, 0]) as usize * 4;
    packet(&input[4..], 4, length, length, top)
}

fn packet(
    rest: &[u8],
    head: usize,
    length: usize,
    payload_len: usize,
    quick_ack: bool,
) -> Result<Option<(Unit, usize)>, String> {
    if length > 1 << 24 {
        return Err(format!("a packet of {length} bytes"));
    }
    if payload_len == 0 || !payload_len.is_multiple_of(4) {
        return Err(format!("a payload of {payload_len} bytes"));
    }
    Ok(rest.get(..length).map(|body| {
        let payload = body[..payload_len].to_vec();
        (Unit::Packet { payload, quick_ack }, head + length)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_is_parsed() {
        for transport in Transport::ALL {
            for length in [4, 8, 500, 504, 508, 512, 1 << 16, 1 << 20] {
                for quick_ack in [false, true] {
                    let payload = vec![7; length];
                    let bytes = transport.frame(&payload, quick_ack, 3);
                    let (unit, used) = transport.parse(&bytes, Side::Server).unwrap().unwrap();
                    assert_eq!(used, bytes.len());
                    assert_eq!(unit, Unit::Packet { payload, quick_ack });
                    for short in [0, 1, 3, bytes.len() - 1] {
                        assert_eq!(transport.parse(&bytes[..short], Side::Server), Ok(None));
                    }
                }
            }
        }
    }

    #[test]
    fn quick_acks_reach_the_client_as_they_left() {
        for transport in Transport::ALL {
            let token = [1, 2, 3, 0x84];
            let bytes = transport.quick_ack(token);
            let (unit, used) = transport.parse(&bytes, Side::Client).unwrap().unwrap();
            assert_eq!((unit, used), (Unit::QuickAck(token), 4));
        }
    }

    #[test]
    fn abridged_lengths_are_those_of_the_reference() {
        let frame = |words: usize| Transport::Abridged.frame(&vec![0; words * 4], true, 0);
        assert_eq!(frame(0x7e)[0], 0xfe);
        assert_eq!(frame(0x7f)[..4], [0xff, 0x7f, 0, 0]);
    }
}
