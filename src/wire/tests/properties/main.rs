//! What holds for every input: codecs undo each other however their bytes are
//! cut, and no parser panics or reads past what it was given.

mod link;

use proptest::collection::vec;
use proptest::prelude::*;
use smol_mtproxy_ciphers::{ChecksumKind, CtrStream};
use smol_mtproxy_wire::client_hello::{self, ClientHello, Parsed};
use smol_mtproxy_wire::dc::DcId;
use smol_mtproxy_wire::fake_tls::{RecordReader, record_header};
use smol_mtproxy_wire::full::{FrameEncoder, block_padding};
use smol_mtproxy_wire::invite::Invite;
use smol_mtproxy_wire::obfuscated2;
use smol_mtproxy_wire::proxy_config::ProxyConfig;
use smol_mtproxy_wire::rpc::{RpcDecoder, RpcEvent};
use smol_mtproxy_wire::secret::{Domain, Secret, SecretForm, SharedSecret};
use smol_mtproxy_wire::transport::{MAX_PACKET, Transport};

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        Just(Transport::Abridged),
        Just(Transport::Intermediate),
        Just(Transport::Padded),
    ]
}

fn shared_secret() -> impl Strategy<Value = SharedSecret> {
    let form = prop_oneof![
        Just(SecretForm::Classic),
        Just(SecretForm::Padded),
        "([a-z0-9_-]{1,40}\\.){0,3}[a-z]{1,20}"
            .prop_map(|name| { SecretForm::FakeTls(name.parse::<Domain>().unwrap()) }),
    ];
    (any::<[u8; 16]>(), form).prop_map(|(key, form)| SharedSecret {
        key: Secret(key),
        form,
    })
}

/// `bytes` in pieces, cut at `cuts` (taken modulo what is left).
fn pieces<'a>(mut bytes: &'a mut [u8], cuts: &[usize]) -> Vec<&'a mut [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (head, tail) = bytes.split_at_mut(cut % (bytes.len() + 1));
        pieces.push(head);
        bytes = tail;
    }
    pieces.push(bytes);
    pieces
}

/// What a decoder said, the parts of a payload joined.
#[derive(Debug, PartialEq)]
enum Heard {
    Payload(Vec<u8>),
    Event(String),
}

fn hear(heard: &mut Vec<Heard>, part: &[u8]) {
    match heard.last_mut() {
        Some(Heard::Payload(payload)) => payload.extend_from_slice(part),
        _ => heard.push(Heard::Payload(part.to_vec())),
    }
}

fn rpc_events(pieces: Vec<&mut [u8]>, kind: ChecksumKind) -> Vec<Heard> {
    let (mut decoder, mut heard) = (RpcDecoder::new(), Vec::new());
    decoder.set_checksum(kind);
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(RpcEvent::AnswerBytes(part))) => hear(&mut heard, part),
                Ok(Some(event)) => heard.push(Heard::Event(format!("{event:?}"))),
                Ok(None) => break,
                Err(error) => {
                    heard.push(Heard::Event(error.to_string()));
                    return heard;
                }
            }
        }
        assert!(piece.is_empty());
    }
    heard
}

fn record_payloads(pieces: Vec<&mut [u8]>) -> Vec<Heard> {
    let (mut reader, mut heard) = (RecordReader::new(), Vec::new());
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(part)) => hear(&mut heard, part),
                Ok(None) => break,
                Err(error) => {
                    heard.push(Heard::Event(error.to_string()));
                    return heard;
                }
            }
        }
    }
    heard
}

fn parse_hello(bytes: &[u8]) -> Result<Option<(ClientHello, usize)>, String> {
    match client_hello::parse(bytes) {
        Ok(Parsed::Incomplete) => Ok(None),
        Ok(Parsed::Complete { value, consumed }) => Ok(Some((value, consumed))),
        Err(error) => Err(error.to_string()),
    }
}

/// A hello as TDLib sent it.
fn captured_hello() -> Vec<u8> {
    let json = include_str!("../../../../tests/fixtures/td-ee-0.json");
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let hex = json["client_hello"]["hex"].as_str().unwrap();
    data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(*b"\x0d\xda\x03\x44"),
        Just(*b"\xa2\x34\xb6\x5e"),
        Just(*b"\x9b\x40\xac\x3b"),
        Just(*b"\xdf\xa2\x30\x57"),
        Just(*b"\xaa\x87\xcb\x7a"),
        any::<[u8; 4]>(),
    ];
    (word, vec(any::<[u8; 4]>(), 0..40))
        .prop_map(|(tag, rest)| [&tag[..], rest.as_flattened()].concat())
}

proptest! {
    #[test]
    fn packets_read_back(
        transport in transport(),
        words in 1..=MAX_PACKET / 4,
        padding in 0..4usize,
    ) {
        let padding = if transport == Transport::Padded { padding } else { 0 };
        let header = transport.write_header(words * 4, padding);
        let read = transport.parse_header(&header).unwrap().unwrap();
        prop_assert_eq!(read.payload_len, words * 4);
        prop_assert_eq!(read.body_len, words * 4 + padding);
        prop_assert_eq!(read.header_len, header.len());
        prop_assert!(!read.quick_ack);
    }

    #[test]
    fn any_packet_header_is_read_or_refused(
        transport in transport(),
        bytes in vec(any::<u8>(), 0..8),
    ) {
        match transport.parse_header(&bytes) {
            Ok(None) => prop_assert!(bytes.len() < 4),
            Ok(Some(header)) => {
                prop_assert!(header.header_len <= bytes.len());
                prop_assert!(header.payload_len % 4 == 0 && header.payload_len <= MAX_PACKET);
                prop_assert!(header.body_len - header.payload_len < 4);
            }
            Err(_) => prop_assert!(!bytes.is_empty()),
        }
    }

    #[test]
    fn obfuscated_headers_are_accepted_by_their_secret_only(
        transport in transport(),
        dc: i16,
        key: [u8; 16],
        random: [u8; 64],
        data in vec(any::<u8>(), 0..100),
    ) {
        let secret = Secret(key);
        let mut fill = |out: &mut [u8]| out.copy_from_slice(&random[..out.len()]);
        let (mut client, mut from_proxy) =
            obfuscated2::dial(transport, DcId(dc), Some(&secret), &mut fill);
        let mut accepted = obfuscated2::accept(&client.bytes, &secret).unwrap();
        prop_assert_eq!((accepted.transport, accepted.dc), (transport, DcId(dc)));

        let mut sent = data.clone();
        client.to_dc.apply(&mut sent);
        accepted.from_client.apply(&mut sent);
        prop_assert_eq!(&sent, &data);

        // A DC answers in the client's own cipher.
        let fast = obfuscated2::dial_fast(&accepted.to_client, transport, DcId(dc), &mut fill);
        let mut key_and_iv = obfuscated2::replay_id(&fast.bytes);
        key_and_iv.reverse();
        prop_assert_eq!(&key_and_iv[..32], &accepted.to_client.key);
        prop_assert_eq!(&key_and_iv[32..], &accepted.to_client.iv);
        let mut answered = data.clone();
        CtrStream::new(accepted.to_client).apply(&mut answered);
        from_proxy.apply(&mut answered);
        prop_assert_eq!(&answered, &data);

        let other = Secret(key.map(|byte| !byte));
        prop_assert!(obfuscated2::accept(&client.bytes, &other).is_none());
    }

    #[test]
    fn any_stream_of_messages_reads_the_same_however_cut(
        bodies in vec(body(), 1..6),
        crc32c: bool,
        cuts in vec(any::<usize>(), 0..20),
        broken in proptest::option::of((any::<usize>(), 1..=255u8)),
    ) {
        let kind = if crc32c { ChecksumKind::Crc32c } else { ChecksumKind::Crc32 };
        let mut encoder = FrameEncoder::new();
        encoder.set_checksum(kind);
        let mut bytes = Vec::new();
        for body in &bodies {
            encoder.encode_into(&mut bytes, &[body]);
            bytes.extend_from_slice(block_padding(bytes.len()));
        }
        if let Some((at, flip)) = broken {
            let len = bytes.len();
            bytes[at % len] ^= flip;
        }
        let whole = rpc_events(vec![&mut bytes.clone()], kind);
        prop_assert_eq!(rpc_events(pieces(&mut bytes, &cuts), kind), whole);
    }

    #[test]
    fn any_bytes_are_messages_or_an_error(mut bytes in vec(any::<u8>(), 0..200)) {
        rpc_events(vec![&mut bytes], ChecksumKind::Crc32);
    }

    #[test]
    fn records_read_the_same_however_cut(
        payloads in vec(vec(any::<u8>(), 0..300), 0..6),
        cuts in vec(any::<usize>(), 0..20),
        broken in proptest::option::of((any::<usize>(), 1..=255u8)),
    ) {
        let mut bytes = b"\x14\x03\x03\x00\x01\x01".to_vec();
        for payload in &payloads {
            bytes.extend_from_slice(&record_header(payload.len()));
            bytes.extend_from_slice(payload);
        }
        if let Some((at, flip)) = broken {
            let len = bytes.len();
            bytes[at % len] ^= flip;
        } else {
            let joined = payloads.concat();
            let expected = if joined.is_empty() { vec![] } else { vec![Heard::Payload(joined)] };
            prop_assert_eq!(record_payloads(vec![&mut bytes.clone()]), expected);
        }
        let whole = record_payloads(vec![&mut bytes.clone()]);
        prop_assert_eq!(record_payloads(pieces(&mut bytes, &cuts)), whole);
    }

    #[test]
    fn a_broken_hello_is_refused_or_read_but_never_both(
        at in 0..1700usize,
        flip in 1..=255u8,
        key: [u8; 16],
        cut: usize,
    ) {
        let mut bytes = captured_hello();
        let len = bytes.len();
        bytes[at % len] ^= flip;
        let whole = parse_hello(&bytes);
        match parse_hello(&bytes[..cut % len]) {
            Ok(None) => {}
            early => prop_assert_eq!(&early, &whole),
        }
        if let Ok(Some((hello, consumed))) = whole {
            prop_assert!(consumed <= len);
            prop_assert_eq!(client_hello::verify(&bytes, &hello, &Secret(key)), None);
        }
    }

    #[test]
    fn any_bytes_are_a_hello_or_an_error(
        head in prop_oneof![Just(&b"\x16\x03\x01"[..]), Just(&b""[..])],
        tail in vec(any::<u8>(), 0..200),
    ) {
        let bytes = [head, &tail].concat();
        if let Ok(Some((_, consumed))) = parse_hello(&bytes) {
            prop_assert!(consumed <= bytes.len());
        }
    }

    #[test]
    fn secrets_and_invites_read_back(
        secret in shared_secret(),
        server in "[a-zA-Z0-9.:%&= é-]{1,30}",
        port in 1..=u16::MAX,
    ) {
        prop_assert_eq!(secret.to_string().parse::<SharedSecret>(), Ok(secret.clone()));
        let invite = Invite { server, port, secret };
        prop_assert_eq!(invite.tg().parse::<Invite>(), Ok(invite.clone()));
        prop_assert_eq!(invite.t_me().parse::<Invite>(), Ok(invite));
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = text.parse::<SharedSecret>();
        let _ = format!("tg://proxy?{text}").parse::<Invite>();
        let _ = ProxyConfig::parse(&format!("default {text}"));
    }

    #[test]
    fn proxy_lists_read_back(
        default: i16,
        entries in vec((any::<i16>(), any::<std::net::SocketAddr>()), 1..20),
    ) {
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(dc, address)| (DcId(dc), (address.ip(), address.port().max(1)).into()))
            .collect();
        let mut text = format!("# a comment\ndefault {default};\n");
        for (dc, address) in &entries {
            text += &format!("proxy_for {dc} {address};\n");
        }
        let config = ProxyConfig { default: DcId(default), entries };
        prop_assert_eq!(ProxyConfig::parse(&text), Ok(config));
    }
}
