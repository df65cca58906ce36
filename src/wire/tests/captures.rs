//! First packets of real clients, captured as they sent them, through `wire`.

use std::fs;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value;
use smol_mtproxy_wire::client_hello::{self, ClientHello, Parsed, Records};
use smol_mtproxy_wire::fake_tls::RecordReader;
use smol_mtproxy_wire::obfuscated2::{self, HEADER_LEN};
use smol_mtproxy_wire::secret::{Secret, SecretForm, SharedSecret};
use smol_mtproxy_wire::transport::Transport;

struct Capture {
    name: String,
    json: Value,
}

impl Capture {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let captures: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
            .map(|path| Self {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                json: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
            })
            .collect();
        assert_eq!(captures.len(), 15);
        captures
    }

    fn secret(&self) -> SharedSecret {
        self.json["secret"].as_str().unwrap().parse().unwrap()
    }

    fn unix_time(&self) -> u32 {
        self.json["unix_time"].as_f64().unwrap() as u32
    }

    fn sent(&self) -> Vec<u8> {
        let chunks = self.json["chunks"].as_array().unwrap();
        chunks.iter().flat_map(|chunk| hex(&chunk["hex"])).collect()
    }

    /// What follows the ClientHello, out of its records.
    fn unwrap_records(&self, records: &mut [u8]) -> Vec<u8> {
        let (mut reader, mut payload) = (RecordReader::new(), Vec::new());
        let mut input = records;
        while let Some(part) = reader.next(&mut input).unwrap() {
            payload.extend_from_slice(part);
        }
        payload
    }
}

fn hex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn parse(bytes: &[u8]) -> Option<(ClientHello, usize)> {
    match client_hello::parse(bytes).unwrap() {
        Parsed::Incomplete => None,
        Parsed::Complete { value, consumed } => Some((value, consumed)),
    }
}

#[test]
fn every_stream_decrypts_to_what_the_client_meant() {
    for capture in Capture::all() {
        let secret = capture.secret();
        let mut stream = capture.sent();
        if let SecretForm::FakeTls(_) = secret.form {
            let (_, consumed) = parse(&stream).unwrap();
            stream = capture.unwrap_records(&mut stream[consumed..]);
        }
        let (header, packets) = stream.split_first_chunk_mut::<HEADER_LEN>().unwrap();
        let obf2 = &capture.json["obf2"];
        assert_eq!(header[..], hex(&obf2["header_hex"]), "{}", capture.name);

        let mut accepted = obfuscated2::accept(header, &secret.key).unwrap();
        let transport = match obf2["tag"].as_str().unwrap() {
            "abridged" => Transport::Abridged,
            "intermediate" => Transport::Intermediate,
            "padded" => Transport::Padded,
            other => panic!("{other}"),
        };
        assert_eq!(accepted.transport, transport);
        assert_eq!(i64::from(accepted.dc.0), obf2["dc"].as_i64().unwrap());
        assert!(obfuscated2::accept(header, &Secret([0; 16])).is_none());

        accepted.from_client.apply(packets);
        check_packets(&capture, transport, packets);
    }
}

fn check_packets(capture: &Capture, transport: Transport, mut rest: &[u8]) {
    for expected in capture.json["decoded"].as_array().unwrap() {
        let header = transport.parse_header(rest).unwrap().unwrap();
        let body = &rest[header.header_len..][..header.body_len];
        // The recorder kept the padding, and no more than the first bytes.
        assert_eq!(body.len() as u64, expected["len"].as_u64().unwrap());
        assert!(body.starts_with(&hex(&expected["hex"])), "{}", capture.name);
        assert_eq!(header.quick_ack, expected["quickack"].as_bool().unwrap());
        let message_len = u32::from_le_bytes(body[16..20].try_into().unwrap()) as usize;
        let message_end = 20 + message_len;
        assert!((message_end..message_end + 16).contains(&header.payload_len));
        rest = &rest[header.header_len + header.body_len..];
    }
    assert!(rest.is_empty(), "{}", capture.name);
}

fn hellos() -> Vec<(Capture, Vec<u8>)> {
    let captures = Capture::all().into_iter();
    let hellos: Vec<_> = captures
        .filter(|capture| capture.json["secret_kind"] == "ee")
        .map(|capture| {
            let bytes = hex(&capture.json["client_hello"]["hex"]);
            (capture, bytes)
        })
        .collect();
    assert!(hellos.len() >= 5);
    hellos
}

#[test]
fn hellos_are_read_and_their_signatures_found() {
    for (capture, bytes) in hellos() {
        let secret = capture.secret();
        let (hello, consumed) = parse(&bytes).unwrap();
        assert_eq!(consumed, bytes.len());
        assert_eq!(hello.random, bytes[11..43]);
        assert_eq!(hello.session_id.len(), 32);
        assert_eq!(hello.cipher_suites[..], [0x1301, 0x1302, 0x1303]);
        assert_eq!(hello.sni.as_ref().unwrap().as_str(), "example.com");
        assert!(hello.tls13 && hello.x25519.is_some());
        assert_eq!(
            hello.x25519_mlkem768.is_some(),
            bytes.len() > 1600,
            "{}",
            capture.name
        );

        let time = client_hello::verify(&bytes, &hello, &secret.key).unwrap();
        assert!(time.abs_diff(capture.unix_time()) <= 1);
        assert_eq!(client_hello::verify(&bytes, &hello, &Secret([1; 16])), None);
    }
}

#[test]
fn a_hello_is_awaited_to_its_last_byte_and_no_further() {
    for (_, mut bytes) in hellos() {
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), None);
        }
        let expected = parse(&bytes);
        bytes.extend_from_slice(b"\x14\x03\x03\x00\x01\x01");
        assert_eq!(parse(&bytes), expected);
    }
}

/// The same message in records of the given lengths.
fn split_into_records(bytes: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (header, mut message) = bytes.split_at(5);
    let mut out = Vec::new();
    for &len in lengths.iter().chain([&usize::MAX]) {
        let (record, rest) = message.split_at(len.min(message.len()));
        out.extend_from_slice(&header[..3]);
        out.extend_from_slice(&(record.len() as u16).to_be_bytes());
        out.extend_from_slice(record);
        message = rest;
    }
    out
}

#[test]
fn a_hello_split_over_records_is_the_same_hello() {
    let (capture, bytes) = hellos().pop().unwrap();
    let (whole, _) = parse(&bytes).unwrap();
    let time = client_hello::verify(&bytes, &whole, &capture.secret().key);
    assert!(time.is_some());
    let message_len = bytes.len() - 5;
    for lengths in (1..message_len)
        .map(|len| vec![len])
        .chain([vec![1; 60], vec![3, 2, 40, 500]])
    {
        let split = split_into_records(&bytes, &lengths);
        let (hello, consumed) = parse(&split).unwrap();
        assert_eq!(consumed, split.len());
        assert_eq!(hello, whole);
        assert_eq!(
            client_hello::verify(&split, &hello, &capture.secret().key),
            time
        );
    }
}

/// As a handshake reads it: nothing behind it, and in few steps however many
/// records there are.
#[test]
fn a_hello_is_read_as_far_as_it_goes() {
    let (_, bytes) = hellos().pop().unwrap();
    let (whole, _) = parse(&bytes).unwrap();
    let tens = vec![10; bytes.len() / 10 - 1];
    let ones = vec![1; bytes.len() - 6];
    for lengths in [&vec![], &vec![3, 2, 40, 500], &tens, &ones] {
        let split = split_into_records(&bytes, lengths);
        let mut records = Records::default();
        let (mut length, mut steps) = (0, 0);
        let hello = loop {
            match records.parse(&split[..length]).unwrap() {
                Parsed::Complete { value, .. } => break value,
                Parsed::Incomplete => {
                    assert!((1..=split.len() - length).contains(&records.wanted()));
                    length += records.wanted();
                    steps += 1;
                }
            }
        };
        assert_eq!(hello, whole);
        assert_eq!(length, split.len());
        assert!(steps < 60, "{steps} steps");
    }
    let split = split_into_records(&bytes, &ones);
    let mut records = Records::default();
    for length in 0..split.len() {
        let parsed = records.parse(&split[..length]);
        assert!(matches!(parsed, Ok(Parsed::Incomplete)), "{length}");
    }
    assert!(matches!(
        records.parse(&split),
        Ok(Parsed::Complete { value, .. }) if value == whole
    ));
}

#[test]
fn what_a_beginning_of_a_hello_wants() {
    for (begun, wanted) in [
        (&[][..], 5 + 4),
        (&[0x16], 4 + 4),
        (&[0x16, 3, 1, 0], 1 + 4),
        (&[0x16, 3, 1, 2, 0], 512),
        (&[0x16, 3, 1, 0, 2, 1], 1 + 5 + 2),
        (&[0x16, 3, 1, 0, 1, 1], 5 + 3),
        (&[0x16, 3, 1, 0, 1, 1, 0x16, 3], 3 + 3),
        (&[0x16, 3, 1, 0, 5, 1, 0, 1, 0, 9], 5 + 255),
    ] {
        let mut records = Records::default();
        assert!(matches!(records.parse(begun), Ok(Parsed::Incomplete)));
        assert_eq!(records.wanted(), wanted, "{begun:?}");
    }
}
