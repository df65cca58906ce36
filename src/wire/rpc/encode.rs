use std::net::SocketAddr;

use super::super::bytes::as_ipv6;
use super::{CLOSE_CONN, HANDSHAKE, HandshakeFrame, NONCE, NonceFrame, PING, PONG, PROXY_REQ};
use crate::secret::AdTag;
use crate::transport::Transport;

const PROXY_TAG: [u8; 4] = [0xae, 0x26, 0x1e, 0xdb];

const FLAG_UNENCRYPTED: u32 = 0x2;
const FLAG_AD_TAG: u32 = 0x8;
const FLAGS_ALWAYS: u32 = 0x1000 | 0x2_0000;
const FLAG_QUICK_ACK: u32 = 0x8000_0000;

/// Bytes of RPC_PROXY_REQ before the payload: without and with an ad tag.
const REQUEST_HEADER: usize = 56;
const REQUEST_HEADER_TAGGED: usize = REQUEST_HEADER + 28;

/// One client packet on its way to Telegram.
pub struct ProxyReq {
    pub conn_id: i64,
    pub client: SocketAddr,
    pub our: SocketAddr,
    pub tag: Option<AdTag>,
    pub transport: Transport,
    pub quick_ack: bool,
}

impl ProxyReq {
    /// Bytes that [`header`](Self::header) will have.
    pub fn header_len(&self) -> usize {
        match self.tag {
            None => REQUEST_HEADER,
            Some(_) => REQUEST_HEADER_TAGGED,
        }
    }

    /// The body up to the payload: tag, flags, conn_id, both addresses, and
    /// the ad tag's block if there is one. A payload whose first 8 bytes are
    /// zero is marked as an unencrypted MTProto message.
    pub fn header(&self, payload_first8: &[u8]) -> heapless::Vec<u8, 96> {
        let mut header = heapless::Vec::<u8, 96>::new();
        header.extend(PROXY_REQ.to_le_bytes());
        header.extend(self.flags(payload_first8).to_le_bytes());
        header.extend(self.conn_id.to_le_bytes());
        header.extend(address(self.client));
        header.extend(address(self.our));
        if let Some(tag) = self.tag {
            header.extend(24u32.to_le_bytes());
            header.extend(PROXY_TAG);
            header.extend([16]);
            header.extend(tag.0);
            header.extend([0; 3]);
        }
        header
    }

    fn flags(&self, payload_first8: &[u8]) -> u32 {
        let when = |condition: bool, flag: u32| if condition { flag } else { 0 };
        FLAGS_ALWAYS
            | self.transport.rpc_flags()
            | when(payload_first8.starts_with(&[0; 8]), FLAG_UNENCRYPTED)
            | when(self.tag.is_some(), FLAG_AD_TAG)
            | when(self.quick_ack, FLAG_QUICK_ACK)
    }
}

/// IPv6 or IPv4-mapped address, then the port as u32 LE.
fn address(address: SocketAddr) -> [u8; 20] {
    let ip = as_ipv6(address.ip());
    join(&[&ip.octets(), &u32::from(address.port()).to_le_bytes()])
}

impl NonceFrame {
    pub fn body(&self) -> [u8; 32] {
        join(&[
            &NONCE.to_le_bytes(),
            &self.key_selector,
            &self.schema.to_le_bytes(),
            &self.time.to_le_bytes(),
            &self.nonce,
        ])
    }
}

impl HandshakeFrame {
    pub fn body(&self) -> [u8; 32] {
        join(&[
            &HANDSHAKE.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.sender_pid,
            &self.peer_pid,
        ])
    }
}

/// What tells Telegram which proxy secret is in use: its first bytes.
pub fn key_selector(proxy_secret: &[u8]) -> [u8; 4] {
    join(&[proxy_secret])
}

/// RPC_CLOSE_CONN: our client went away.
pub fn close_conn_body(conn_id: i64) -> [u8; 12] {
    with_id(CLOSE_CONN, conn_id)
}

pub fn ping_body(id: i64) -> [u8; 12] {
    with_id(PING, id)
}

pub fn pong_body(id: i64) -> [u8; 12] {
    with_id(PONG, id)
}

fn with_id(tag: u32, id: i64) -> [u8; 12] {
    join(&[&tag.to_le_bytes(), &id.to_le_bytes()])
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut joined = [0; N];
    for (to, from) in joined.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    joined
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::full::{FrameEncoder, block_padding};
    use crate::rpc::{RpcDecoder, RpcEvent};

    fn request() -> ProxyReq {
        ProxyReq {
            conn_id: 1,
            client: "109.238.131.159:1128".parse().unwrap(),
            our: "80.211.29.34:53634".parse().unwrap(),
            tag: Some("dcbe8f1493fa4cd9ab300891c0b5b326".parse().unwrap()),
            transport: Transport::Abridged,
            quick_ack: false,
        }
    }

    // doc/protocol.md §9.
    #[test]
    fn captured_request() {
        let header = request().header(&[0; 8]);
        assert_eq!(header.len(), request().header_len());
        assert_eq!(
            HEXLOWER.encode(&header),
            "eef1ce360a100240010000000000000000000000000000000000ffff6dee839f\
             6804000000000000000000000000ffff50d31d2282d1000018000000ae261edb\
             10dcbe8f1493fa4cd9ab300891c0b5b326000000"
                .replace(' ', "")
        );
    }

    #[test]
    fn flags_follow_the_packet() {
        let plain = ProxyReq {
            tag: None,
            transport: Transport::Padded,
            quick_ack: true,
            client: "[2001:db8::1]:443".parse().unwrap(),
            ..request()
        };
        for first in [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[0; 7], &[]] {
            let header = plain.header(first);
            assert_eq!(header[4..8], 0xa802_1000_u32.to_le_bytes());
            assert_eq!(header.len(), 56);
            assert_eq!(header.len(), plain.header_len());
            assert_eq!(header[16..20], [0x20, 0x01, 0x0d, 0xb8]);
        }
    }

    #[test]
    fn what_both_sides_send_reads_back() {
        let nonce = NonceFrame {
            key_selector: [1, 2, 3, 4],
            schema: 1,
            time: 77,
            nonce: [9; 16],
        };
        let handshake = HandshakeFrame {
            flags: 0x800,
            sender_pid: [1; 12],
            peer_pid: [2; 12],
        };
        for (body, expected) in [
            (&nonce.body()[..], RpcEvent::Nonce(nonce)),
            (&handshake.body(), RpcEvent::Handshake(handshake)),
            (&ping_body(-3), RpcEvent::Ping { id: -3 }),
            (&pong_body(4), RpcEvent::Pong { id: 4 }),
            (&close_conn_body(5), RpcEvent::Unknown { tag: CLOSE_CONN }),
        ] {
            let mut bytes = Vec::new();
            FrameEncoder::new().encode_into(&mut bytes, &[body]);
            bytes.extend_from_slice(block_padding(bytes.len()));
            let event = RpcDecoder::new().next(&mut bytes.as_mut_slice()).unwrap();
            assert_eq!(event, Some(expected));
        }
        assert_eq!(key_selector(&[1, 2, 3, 4, 5]), [1, 2, 3, 4]);
        assert_eq!(close_conn_body(5), *b"\x5d\x42\xcf\x1f\x05\0\0\0\0\0\0\0");
    }
}
