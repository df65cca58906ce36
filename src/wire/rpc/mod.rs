//! The messages inside the frames of a middle-proxy connection
//! (`doc/protocol.md` §4): [`RpcDecoder`] for those that the proxy receives,
//! bodies for those that it sends.

mod decode;
mod encode;

pub use decode::{RpcDecoder, RpcError, RpcEvent};
pub use encode::{ProxyReq, close_conn_body, key_selector, ping_body, pong_body};

const NONCE: u32 = 0x7acb_87aa;
const HANDSHAKE: u32 = 0x7682_eef5;
const HANDSHAKE_ERROR: u32 = 0x6a27_beda;
const PROXY_REQ: u32 = 0x36ce_f1ee;
const PROXY_ANS: u32 = 0x4403_da0d;
const CLOSE_EXT: u32 = 0x5eb6_34a2;
const SIMPLE_ACK: u32 = 0x3bac_409b;
const PING: u32 = 0x5730_a2df;
const PONG: u32 = 0x8430_eaa7;
const CLOSE_CONN: u32 = 0x1fcf_425d;

/// [`NonceFrame::schema`]: AES, the only one in use.
pub const SCHEMA_AES: u32 = 1;
/// In [`HandshakeFrame::flags`]: offers CRC32C, or agrees to it.
pub const FLAG_CRC32C: u32 = 0x800;
/// Seconds that the clocks of the two sides may differ by; middle proxies refuse
/// more (`doc/protocol.md` §4).
pub const MAX_CLOCK_OFFSET: u32 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonceFrame {
    /// First bytes of Telegram's proxy secret.
    pub key_selector: [u8; 4],
    /// 1: AES.
    pub schema: u32,
    /// Unix seconds on the sender's clock.
    pub time: u32,
    pub nonce: [u8; 16],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeFrame {
    pub flags: u32,
    pub sender_pid: [u8; 12],
    pub peer_pid: [u8; 12],
}
