//! RPC_PROXY_REQ, checked field by field (`doc/protocol.md` §4).

use std::net::{Ipv6Addr, SocketAddr};

use crate::transport::Transport;

const UNENCRYPTED: u32 = 0x2;
const TAGGED: u32 = 0x8;
const ALWAYS: u32 = 0x1000 | 0x2_0000;
const PADDED: u32 = 0x800_0000;
const INTERMEDIATE: u32 = 0x2000_0000;
const ABRIDGED: u32 = 0x4000_0000;
const QUICK_ACK: u32 = 0x8000_0000;

const TAG_BLOCK_START: [u8; 9] = [24, 0, 0, 0, 0xae, 0x26, 0x1e, 0xdb, 16];

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub conn_id: i64,
    pub client: SocketAddr,
    pub our: SocketAddr,
    pub transport: Transport,
    pub quick_ack: bool,
    pub tag: Option<[u8; 16]>,
    pub payload: Vec<u8>,
}

impl Request {
    /// `body` starts after the tag word of the frame.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(body);
        let flags = u32::from_le_bytes(reader.take()?);
        let conn_id = i64::from_le_bytes(reader.take()?);
        let client = address(reader.take()?)?;
        let our = address(reader.take()?)?;
        let tag = match flags & TAGGED {
            0 => None,
            _ => Some(tag_block(&mut reader)?),
        };
        let payload = reader.0.to_vec();
        if payload.is_empty() || !payload.len().is_multiple_of(4) {
            return Err(format!("a payload of {} bytes", payload.len()));
        }
        let unencrypted = payload.starts_with(&[0; 8]);
        if (flags & UNENCRYPTED != 0) != unencrypted {
            return Err(format!(
                "flags {flags:08x} for a payload that starts with {:02x?}",
                &payload[..payload.len().min(8)]
            ));
        }
        Ok(Self {
            conn_id,
            client,
            our,
            transport: transport(flags)?,
            quick_ack: flags & QUICK_ACK != 0,
            tag,
            payload,
        })
    }
}

fn transport(flags: u32) -> Result<Transport, String> {
    let known = UNENCRYPTED | TAGGED | ALWAYS | PADDED | INTERMEDIATE | ABRIDGED | QUICK_ACK;
    if flags & ALWAYS != ALWAYS || flags & !known != 0 {
        return Err(format!("flags {flags:08x}"));
    }
    match flags & (PADDED | INTERMEDIATE | ABRIDGED) {
        ABRIDGED => Ok(Transport::Abridged),
        INTERMEDIATE => Ok(Transport::Intermediate),
        both if both == PADDED | INTERMEDIATE => Ok(Transport::Padded),
        _ => Err(format!("flags {flags:08x} name no transport")),
    }
}

fn address(bytes: [u8; 20]) -> Result<SocketAddr, String> {
    let mut ip = [0; 16];
    ip.copy_from_slice(&bytes[..16]);
    let port = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    match u16::try_from(port) {
        Ok(port) if port > 0 => Ok((Ipv6Addr::from(ip).to_canonical(), port).into()),
        _ => Err(format!("port {port}")),
    }
}

fn tag_block(reader: &mut Reader) -> Result<[u8; 16], String> {
    let start: [u8; 9] = reader.take()?;
    let tag = reader.take()?;
    let end: [u8; 3] = reader.take()?;
    if start != TAG_BLOCK_START || end != [0; 3] {
        return Err(format!("a tag block {start:02x?} … {end:02x?}"));
    }
    Ok(tag)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| "a request that ends too early".to_owned())?;
        self.0 = rest;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::from_hex;

    /// The captured request of `doc/protocol.md` §9.
    #[test]
    fn a_captured_request_is_understood() {
        let body = from_hex(concat!(
            "eef1ce360a100240010000000000000000000000000000000000ffff6dee839f",
            "6804000000000000000000000000ffff50d31d2282d1000018000000ae261edb",
            "10dcbe8f1493fa4cd9ab300891c0b5b326000000",
            "0000000000000000000000003d02185b140000007897466099c58eeef58b55d0",
            "a0f144596a0776a7"
        ))
        .unwrap();
        let request = Request::parse(&body[4..]).unwrap();
        assert_eq!(request.conn_id, 1);
        assert_eq!(request.client, "109.238.131.159:1128".parse().unwrap());
        assert_eq!(request.our, "80.211.29.34:53634".parse().unwrap());
        assert_eq!(request.transport, Transport::Abridged);
        assert_eq!(request.payload.len(), 40);
        assert_eq!(
            request.tag.unwrap().as_slice(),
            from_hex("dcbe8f1493fa4cd9ab300891c0b5b326").unwrap()
        );
        for short in 0..body.len() - 4 - 40 {
            assert!(Request::parse(&body[4..4 + short]).is_err());
        }
    }
}
