use base64ct::{Base64, Encoding};
use smol_mtproxy_ciphers::sha1;

/// Random bytes by which an answer is known to be one to a request.
pub const KEY_LEN: usize = 16;

/// Letters of base64 in `Sec-WebSocket-Accept`.
pub const ACCEPT_LEN: usize = 28;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a server answers to the client's `Sec-WebSocket-Key`; `None` if that is not
/// 16 bytes in base64.
pub fn accept_key(key: &[u8]) -> Option<[u8; ACCEPT_LEN]> {
    let mut random = [0; KEY_LEN];
    let decoded = Base64::decode(key, &mut random).ok()?;
    (decoded.len() == KEY_LEN).then(|| accept_of(key))
}

/// The same of a key that is one.
pub(super) fn accept_of(key: &[u8]) -> [u8; ACCEPT_LEN] {
    let mut accept = [0; ACCEPT_LEN];
    // 20 bytes are 28 letters.
    let _ = Base64::encode(&sha1(&[key, GUID]), &mut accept);
    accept
}
