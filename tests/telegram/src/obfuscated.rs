//! The obfuscated stream (`doc/protocol.md` §2), as initiator and responder.

use crate::crypto::{Ctr, random, sha256};
use crate::transport::Transport;

/// The two directions of a stream, named from the initiator's point of view.
pub struct Streams {
    pub from_initiator: Ctr,
    pub to_initiator: Ctr,
}

pub struct Accepted {
    pub transport: Transport,
    pub dc: i16,
    pub streams: Streams,
}

/// The 64 bytes that open a stream, and the streams positioned after them.
pub fn initiate(transport: Transport, dc: i16, secret: Option<&[u8; 16]>) -> ([u8; 64], Streams) {
    let mut header = loop {
        let candidate: [u8; 64] = random();
        if forbidden(&candidate).is_none() {
            break candidate;
        }
    };
    header[56..60].copy_from_slice(&transport.tag());
    header[60..62].copy_from_slice(&dc.to_le_bytes());
    let mut streams = derive(&header, secret);
    let mut encrypted = header;
    streams.from_initiator.apply(&mut encrypted);
    header[56..].copy_from_slice(&encrypted[56..]);
    (header, streams)
}

/// Reads the first 64 bytes of an initiator; says what is wrong with them.
pub fn accept(header: &[u8; 64], secret: Option<&[u8; 16]>) -> Result<Accepted, String> {
    if let Some(why) = forbidden(header) {
        return Err(format!("the first bytes of the stream are {why}"));
    }
    let mut streams = derive(header, secret);
    let mut clear = *header;
    streams.from_initiator.apply(&mut clear);
    let tag = [clear[56], clear[57], clear[58], clear[59]];
    let transport =
        Transport::from_tag(tag).ok_or_else(|| format!("no transport has the tag {tag:02x?}"))?;
    Ok(Accepted {
        transport,
        dc: i16::from_le_bytes([clear[60], clear[61]]),
        streams,
    })
}

/// Beginnings that would be taken for another protocol.
fn forbidden(header: &[u8; 64]) -> Option<&'static str> {
    if header[0] == 0xef {
        return Some("those of plain abridged");
    }
    if header[4..8] == [0; 4] {
        return Some("those of a plain full frame (bytes 4..8 are zero)");
    }
    match &header[..4] {
        b"HEAD" | b"POST" | b"GET " | b"OPTI" => Some("those of HTTP"),
        [0xee, 0xee, 0xee, 0xee] => Some("those of plain intermediate"),
        [0xdd, 0xdd, 0xdd, 0xdd] => Some("those of plain padded intermediate"),
        [0x16, 0x03, 0x01, 0x02] => Some("those of TLS"),
        _ => None,
    }
}

fn derive(header: &[u8; 64], secret: Option<&[u8; 16]>) -> Streams {
    let mut material = [0; 48];
    material.copy_from_slice(&header[8..56]);
    let from_initiator = stream(&material, secret);
    material.reverse();
    Streams {
        from_initiator,
        to_initiator: stream(&material, secret),
    }
}

fn stream(material: &[u8; 48], secret: Option<&[u8; 16]>) -> Ctr {
    let mut key = [0; 32];
    key.copy_from_slice(&material[..32]);
    if let Some(secret) = secret {
        key = sha256(&[&key, secret]);
    }
    let mut iv = [0; 16];
    iv.copy_from_slice(&material[32..]);
    Ctr::new(&key, &iv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::from_hex;

    #[test]
    fn both_ends_agree() {
        for secret in [None, Some(&[5; 16])] {
            let (header, mut ours) = initiate(Transport::Padded, -2, secret);
            let mut theirs = accept(&header, secret).unwrap();
            assert_eq!((theirs.transport, theirs.dc), (Transport::Padded, -2));
            let mut data = *b"there and back";
            ours.from_initiator.apply(&mut data);
            theirs.streams.from_initiator.apply(&mut data);
            theirs.streams.to_initiator.apply(&mut data);
            ours.to_initiator.apply(&mut data);
            assert_eq!(&data, b"there and back");
        }
    }

    /// The first packet of a real client (Telethon, classic secret).
    #[test]
    fn a_captured_client_is_understood() {
        let header = from_hex(concat!(
            "8a7e01af0e972feae0ab2e7ad7f7377012bf439d046579cf04a7c418458399c3",
            "a2ff08f86d593ec6b13b57830c3ed526b5a694e927cb77f29b0218c092e925cb"
        ))
        .unwrap();
        let header = header.as_slice().try_into().unwrap();
        let accepted = accept(header, Some(&crate::secret::KEY)).unwrap();
        assert_eq!(
            (accepted.transport, accepted.dc),
            (Transport::Intermediate, 2)
        );
    }
}
