use smol_mtproxy_ciphers::{CtrStream, StreamKey, sha256};

use super::dc::DcId;
use super::secret::Secret;
use super::transport::Transport;

/// Bytes that open every obfuscated connection (`doc/protocol.md` §2):
///
/// | bytes  | what                                                        |
/// |--------|-------------------------------------------------------------|
/// | 0..8   | random                                                      |
/// | 8..40  | key seed of initiator → responder                           |
/// | 40..56 | IV of initiator → responder                                 |
/// | 56..60 | transport tag, encrypted from here on                       |
/// | 60..62 | DC id, i16 LE                                               |
/// | 62..64 | random                                                      |
///
/// Bytes 8..56 reversed are key seed and IV of the other direction.
pub const HEADER_LEN: usize = 64;

const CLEAR_LEN: usize = 56;

/// What a client's header says, and the keys that follow from it.
pub struct ClientHeader {
    pub transport: Transport,
    pub dc: DcId,
    /// Decrypts what the client sends behind its header.
    pub from_client: CtrStream,
    /// Encrypts what the client receives, from its first byte.
    pub to_client: StreamKey,
    /// Of what these are.
    pub made_of: KeyOrigin,
}

/// Of what the keys of a connection are made.
pub struct KeyOrigin {
    /// Bytes 8..56 of its header.
    pub seed: [u8; 48],
    pub secret: Secret,
}

/// A header of ours, to be sent first.
pub struct DcHeader {
    pub bytes: [u8; HEADER_LEN],
    /// Encrypts what is sent behind the header.
    pub to_dc: CtrStream,
}

/// Opens a client's header; `None` when it was not made for this secret.
pub fn accept(header: &[u8; HEADER_LEN], secret: &Secret) -> Option<ClientHeader> {
    let keys = Keys::of(header, Some(secret));
    let mut from_client = CtrStream::new(keys.to_responder);
    let mut plain = *header;
    from_client.apply(&mut plain);
    let [.., t0, t1, t2, t3, dc0, dc1, _, _] = plain;
    Some(ClientHeader {
        transport: Transport::from_tag([t0, t1, t2, t3])?,
        dc: DcId(i16::from_le_bytes([dc0, dc1])),
        from_client,
        to_client: keys.to_initiator,
        made_of: KeyOrigin {
            seed: replay_id(header),
            secret: *secret,
        },
    })
}

/// Whether this is an HTTP request: no header begins like one.
pub fn begins_like_http(bytes: &[u8]) -> bool {
    [b"HEAD", b"POST", b"GET ", b"OPTI"]
        .iter()
        .any(|method| bytes.starts_with(*method))
}

/// What makes a header the same one when it comes again (`doc/protocol.md` §7).
pub fn replay_id(header: &[u8; HEADER_LEN]) -> [u8; 48] {
    std::array::from_fn(|i| header[8 + i])
}

/// A header for a DC whose answers arrive encrypted exactly as the client
/// expects them: the stream from the DC gets the key of `to_client`, so those
/// bytes are relayed untouched.
pub fn dial_fast(
    to_client: &StreamKey,
    transport: Transport,
    dc: DcId,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> DcHeader {
    let mut header = random_header(fill_random);
    let reversed_keys = to_client.key.iter().chain(&to_client.iv).rev();
    for (byte, key_byte) in header.iter_mut().skip(8).zip(reversed_keys) {
        *byte = *key_byte;
    }
    let keys = Keys::of(&header, None);
    seal(header, keys.to_responder, transport, dc)
}

/// A header with keys of its own, and the decryption of the answers.
pub fn dial(
    transport: Transport,
    dc: DcId,
    secret: Option<&Secret>,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> (DcHeader, CtrStream) {
    let header = random_header(fill_random);
    let keys = Keys::of(&header, secret);
    (
        seal(header, keys.to_responder, transport, dc),
        CtrStream::new(keys.to_initiator),
    )
}

/// A header with the keys of another connection: what answers it speaks the cipher of
/// that one's responder, byte for byte, if it has the same secret.
pub fn dial_same(
    KeyOrigin { seed, secret }: &KeyOrigin,
    transport: Transport,
    dc: DcId,
    fill_random: &mut dyn FnMut(&mut [u8]),
) -> DcHeader {
    let mut header = random_header(fill_random);
    header[8..CLEAR_LEN].copy_from_slice(seed);
    let keys = Keys::of(&header, Some(secret));
    seal(header, keys.to_responder, transport, dc)
}

struct Keys {
    to_responder: StreamKey,
    to_initiator: StreamKey,
}

impl Keys {
    fn of(header: &[u8; HEADER_LEN], secret: Option<&Secret>) -> Self {
        let mut id = replay_id(header);
        let to_responder = stream_key(&id, secret);
        id.reverse();
        Self {
            to_responder,
            to_initiator: stream_key(&id, secret),
        }
    }
}

fn stream_key(seed_and_iv: &[u8; 48], secret: Option<&Secret>) -> StreamKey {
    let seed: [u8; 32] = std::array::from_fn(|i| seed_and_iv[i]);
    StreamKey {
        key: secret.map_or(seed, |secret| sha256(&[&seed, &secret.0])),
        iv: std::array::from_fn(|i| seed_and_iv[32 + i]),
    }
}

fn seal(mut header: [u8; HEADER_LEN], key: StreamKey, transport: Transport, dc: DcId) -> DcHeader {
    header[56..60].copy_from_slice(&transport.tag());
    header[60..62].copy_from_slice(&dc.0.to_le_bytes());
    let mut to_dc = CtrStream::new(key);
    to_dc.skip(CLEAR_LEN as u64);
    to_dc.apply(&mut header[CLEAR_LEN..]);
    DcHeader {
        bytes: header,
        to_dc,
    }
}

fn random_header(fill_random: &mut dyn FnMut(&mut [u8])) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    fill_random(&mut header);
    // Stepping on instead of drawing again ends with any source of randomness.
    while looks_like_another_protocol(&header) {
        header[0] = header[0].wrapping_add(1);
        header[7] = header[7].wrapping_add(1);
    }
    header
}

/// First bytes by which Telegram tells its other transports (and HTTP, TLS).
fn looks_like_another_protocol(header: &[u8; HEADER_LEN]) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = *header;
    a == 0xef
        || begins_like_http(header)
        || matches!(
            &[a, b, c, d],
            [0xee, 0xee, 0xee, 0xee] | [0xdd, 0xdd, 0xdd, 0xdd] | [0x16, 0x03, 0x01, 0x02]
        )
        || [e, f, g, h] == [0; 4]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret([0x5a; 16]);

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 0u8;
        move |out| {
            for byte in out {
                next = next.wrapping_mul(73).wrapping_add(41);
                *byte = next;
            }
        }
    }

    #[test]
    fn a_client_and_the_proxy_understand_each_other() {
        let (mut client, mut from_proxy) =
            dial(Transport::Padded, DcId(-4), Some(&SECRET), &mut counting());
        let mut accepted = accept(&client.bytes, &SECRET).unwrap();
        assert_eq!(accepted.transport, Transport::Padded);
        assert_eq!(accepted.dc, DcId(-4));
        assert_eq!(accepted.from_client.position(), 64);

        let mut data = *b"to the proxy";
        client.to_dc.apply(&mut data);
        accepted.from_client.apply(&mut data);
        assert_eq!(&data, b"to the proxy");

        let mut data = *b"to the client";
        CtrStream::new(accepted.to_client).apply(&mut data);
        from_proxy.apply(&mut data);
        assert_eq!(&data, b"to the client");

        assert!(accept(&client.bytes, &Secret([0x5b; 16])).is_none());
        assert_eq!(replay_id(&client.bytes), client.bytes[8..56]);
    }

    #[test]
    fn fast_mode_makes_the_dc_speak_the_clients_cipher() {
        let to_client = StreamKey {
            key: std::array::from_fn(|i| i as u8),
            iv: std::array::from_fn(|i| 0xf0 | i as u8),
        };
        let header = dial_fast(&to_client, Transport::Abridged, DcId(203), &mut counting());
        let dc_side = Keys::of(&header.bytes, None);
        assert_eq!(dc_side.to_initiator.key, to_client.key);
        assert_eq!(dc_side.to_initiator.iv, to_client.iv);

        let mut plain = header.bytes;
        CtrStream::new(dc_side.to_responder).apply(&mut plain);
        assert_eq!(plain[56..62], [0xef, 0xef, 0xef, 0xef, 203, 0]);
        assert_eq!(header.to_dc.position(), 64);
    }

    #[test]
    fn a_header_with_the_keys_of_another_is_answered_in_its_cipher() {
        let (client, mut from_proxy) =
            dial(Transport::Padded, DcId(2), Some(&SECRET), &mut counting());
        let accepted = accept(&client.bytes, &SECRET).unwrap();
        let header = dial_same(
            &accepted.made_of,
            accepted.transport,
            accepted.dc,
            &mut counting(),
        );
        assert_eq!(header.to_dc.position(), 64);
        let next = accept(&header.bytes, &SECRET).unwrap();
        assert_eq!((next.transport, next.dc), (Transport::Padded, DcId(2)));
        let mut data = *b"to the client";
        CtrStream::new(next.to_client).apply(&mut data);
        from_proxy.apply(&mut data);
        assert_eq!(&data, b"to the client");
    }

    #[test]
    fn a_header_never_opens_like_another_protocol() {
        for start in [
            *b"\xef0000000",
            *b"HEAD0000",
            *b"POST0000",
            *b"GET 0000",
            *b"OPTI0000",
            [0xee; 8],
            [0xdd; 8],
            *b"\x16\x03\x01\x020000",
            [0; 8],
            [0xee, 0, 0, 0, 0, 0, 0, 0],
        ] {
            let mut fill = |out: &mut [u8]| out[..8].copy_from_slice(&start);
            let header = random_header(&mut fill);
            assert!(!looks_like_another_protocol(&header));
        }
    }
}
