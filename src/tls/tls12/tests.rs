//! Against rustls' server, which has nothing newer than TLS 1.2.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::crypto::ring::cipher_suite;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ConnectionTrafficSecrets, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite,
};

use rustls::client::UnbufferedClientConnection;

use super::*;
use crate::net::SCRATCH_LEN;
use crate::tls::records::Records;
use crate::tls::schedule::Agreed;
use crate::tls::shaking::{Progress, Shaking};
use crate::tls::side::Side;
use crate::tls::{WEB_VERSIONS, provider, web_provider};

const NAME: &str = "www.example.com";

struct World {
    client: Arc<ClientConfig>,
    server: ServerConfig,
}

impl World {
    /// With a server that has `key`, and no other suites than `suites` if there are any.
    fn new(key: &KeyPair, suites: &[SupportedCipherSuite]) -> Self {
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let certificate = params.self_signed(key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let mut ring = rustls::crypto::ring::default_provider();
        if !suites.is_empty() {
            ring.cipher_suites = suites.to_vec();
        }
        let server = ServerConfig::builder_with_provider(ring.into())
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let mut client = ClientConfig::builder_with_provider(web_provider())
            .with_protocol_versions(WEB_VERSIONS)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.require_ems = true;
        client.enable_secret_extraction = true;
        Self {
            client: client.into(),
            server,
        }
    }

    fn usual() -> Self {
        Self::new(&KeyPair::generate().unwrap(), &[])
    }

    /// Both ends of a connection, whose handshake came in pieces of so many bytes.
    fn pair(&self, piece: usize) -> (Us, ServerConnection) {
        let mut server = ServerConnection::new(Arc::new(self.server.clone())).unwrap();
        server.set_buffer_limit(None);
        let mut shaking = Shaking::new(side(&self.client));
        assert!(matches!(shaking.advance(&[]), Ok(Progress::Waits)));
        for _ in 0..4 {
            let to_server = std::mem::take(shaking.outgoing());
            for piece in to_server.chunks(piece) {
                assert!(hear(&mut server, piece).unwrap().is_empty());
            }
            for piece in said(&mut server).chunks(piece) {
                if let Progress::Done(done) = shaking.advance(piece).unwrap() {
                    assert!(hear(&mut server, &done.outgoing).unwrap().is_empty());
                    assert!(!server.is_handshaking());
                    assert!(matches!(done.agreed, Agreed::Connection(_)));
                    let records = Records::new(done.agreed, done.partial);
                    return (Us::new(records), server);
                }
            }
        }
        panic!("still shaking hands");
    }
}

fn side(config: &Arc<ClientConfig>) -> Side {
    let name = ServerName::try_from(NAME).unwrap();
    Side::Client(UnbufferedClientConnection::new(config.clone(), name).unwrap())
}

fn said(server: &mut ServerConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// What `server` reads of these.
fn hear(server: &mut ServerConnection, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    while !bytes.is_empty() {
        server.read_tls(&mut bytes).unwrap();
        let state = server.process_new_packets()?;
        let start = text.len();
        text.resize(start + state.plaintext_bytes_to_read(), 0);
        server.reader().read_exact(&mut text[start..]).unwrap();
    }
    Ok(text)
}

/// Our end.
struct Us {
    records: Records,
    received: Vec<u8>,
    owed: Vec<u8>,
}

#[derive(Debug, PartialEq)]
enum End {
    Closed,
    Refused(Error),
}

impl Us {
    fn new(records: Records) -> Self {
        Self {
            records,
            received: Vec::new(),
            owed: Vec::new(),
        }
    }

    fn seal(&mut self, slices: &[&[u8]]) -> Vec<u8> {
        let mut batch = vec![0; SCRATCH_LEN];
        let (mut sent, mut left) = (Vec::new(), slices.concat());
        while !left.is_empty() {
            let slices = left.chunks(5_000);
            let (taken, sealed) = self.records.seal(&mut batch, slices).unwrap();
            assert!(taken > 0 && sealed > taken && sealed <= MAX_RECORD);
            sent.extend_from_slice(&batch[..sealed]);
            left.drain(..taken);
        }
        sent
    }

    /// Takes what came, at most so many bytes at a time.
    fn take(&mut self, mut bytes: &[u8], most: usize) -> Result<(), End> {
        let mut buffer = vec![0; SCRATCH_LEN];
        while !bytes.is_empty() {
            let partial = self.records.partial_mut();
            assert!(partial.len() < MAX_RECORD);
            assert!((partial.len() + 1..=MAX_RECORD).contains(&partial.needed()));
            let known = partial.put(&mut buffer);
            let length = bytes.len().min(most).min(SCRATCH_LEN - known);
            let (now, later) = bytes.split_at(length);
            bytes = later;
            let received = &mut buffer[..known + length];
            received[known..].copy_from_slice(now);
            let (data, behind) = self.records.open(received, &mut self.owed);
            self.received.extend_from_slice(&received[..data]);
            match behind {
                Behind::Open => {}
                Behind::Closed => return Err(End::Closed),
                Behind::Bad(error) => panic!("{error}"),
                Behind::Refused(error) => return Err(End::Refused(error)),
            }
        }
        Ok(())
    }
}

fn long(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i / 7) as u8).collect()
}

#[test]
fn data_goes_both_ways_however_it_is_cut() {
    let world = World::usual();
    for piece in [1, 2, 5, 64, 700, 16_413, 1 << 20] {
        let (mut us, mut server) = world.pair(piece);
        let text = long(if piece < 64 { 40_000 } else { 1 << 20 });
        for piece in us.seal(&[b"GET ", &text]).chunks(piece) {
            let heard = hear(&mut server, piece).unwrap();
            us.received.extend_from_slice(&heard);
        }
        assert!(us.received[4..] == text, "{piece}");
        us.received.clear();
        for part in text.chunks(100_000) {
            server.writer().write_all(part).unwrap();
        }
        us.take(&said(&mut server), piece).unwrap();
        assert!(us.received == text, "{piece}");
        assert!(us.owed.is_empty());
    }
}

#[test]
fn all_suites_and_keys_will_do() {
    use cipher_suite::*;
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let rsa = KeyPair::from_pkcs8_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).unwrap();
    for (key, suite) in [
        (&ec, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (&ec, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        (&ec, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        (&rsa, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        (&rsa, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        (&rsa, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ] {
        let (mut us, mut server) = World::new(key, &[suite]).pair(1 << 20);
        assert_eq!(server.negotiated_cipher_suite(), Some(suite));
        let sealed = us.seal(&[b"a ", b"question"]);
        assert_eq!(hear(&mut server, &sealed).unwrap(), b"a question");
        server.writer().write_all(b"an answer").unwrap();
        us.take(&said(&mut server), 1 << 20).unwrap();
        assert_eq!(us.received, b"an answer");
    }
}

#[test]
fn a_second_connection_resumes_the_first() {
    let mut world = World::usual();
    world.server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    for kind in [
        rustls::HandshakeKind::Full,
        rustls::HandshakeKind::Resumed,
        rustls::HandshakeKind::Resumed,
    ] {
        let (mut us, mut server) = world.pair(1 << 20);
        assert_eq!(server.handshake_kind(), Some(kind));
        let sealed = us.seal(&[b"a question"]);
        assert_eq!(hear(&mut server, &sealed).unwrap(), b"a question");
    }
}

#[test]
fn a_link_of_tls_13_alone_refuses_it() {
    let world = World::usual();
    let mut newer = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    newer.enable_secret_extraction = true;
    let mut shaking = Shaking::new(side(&newer.into()));
    assert!(matches!(shaking.advance(&[]), Ok(Progress::Waits)));
    let mut server = ServerConnection::new(Arc::new(world.server)).unwrap();
    assert!(hear(&mut server, shaking.outgoing()).is_err());
    assert!(shaking.advance(&said(&mut server)).is_err());
}

/// The suites, and the kinds of the extensions, which stand in any order.
fn offers(config: &Arc<ClientConfig>) -> (Vec<u16>, Vec<u16>) {
    let mut shaking = Shaking::new(side(config));
    assert!(matches!(shaking.advance(&[]), Ok(Progress::Waits)));
    let hello = &shaking.outgoing()[5 + 4 + 2 + 32..];
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[0], bytes[1]]);
    let suites = &hello[1 + usize::from(hello[0])..];
    let (suites, rest) = suites[2..].split_at(usize::from(number(suites)));
    // No compression, and the length of the extensions.
    assert_eq!(rest[..2], [1, 0]);
    let (mut rest, mut kinds) = (&rest[4..], Vec::new());
    while !rest.is_empty() {
        kinds.push(number(rest));
        rest = &rest[4 + usize::from(number(&rest[2..]))..];
    }
    kinds.sort_unstable();
    (suites.chunks(2).map(number).collect(), kinds)
}

#[test]
fn the_hello_of_the_web_offers_both_versions_and_that_of_a_link_one() {
    let world = World::usual();
    let (mut suites, kinds) = offers(&world.client);
    assert_eq!(suites.pop(), Some(0x00ff));
    let newer = suites[..3].iter().all(|suite| suite >> 8 == 0x13);
    assert!(newer, "{suites:04x?}");
    suites.sort_unstable();
    let expected = [
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9,
    ];
    assert_eq!(suites, expected);
    let mut newer = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    newer.enable_secret_extraction = true;
    let (mut suites, kinds_13) = offers(&newer.into());
    suites.sort_unstable();
    assert_eq!(suites, [0x1301, 0x1302, 0x1303]);
    // Beside what TLS 1.3 has: the wish for a ticket.
    let ticket = kinds.iter().filter(|kind| **kind != 35);
    assert!(kinds.contains(&35) && ticket.eq(&kinds_13), "{kinds:?}");
}

#[test]
fn an_end_is_an_end() {
    let (mut us, mut server) = World::usual().pair(1 << 20);
    server.writer().write_all(b"all of it").unwrap();
    server.send_close_notify();
    assert_eq!(us.take(&said(&mut server), 1 << 20), Err(End::Closed));
    assert_eq!(us.received, b"all of it");
    // Last words may be said then.
    let sealed = us.seal(&[b"goodbye"]);
    assert_eq!(hear(&mut server, &sealed).unwrap(), b"goodbye");
}

#[test]
fn every_byte_and_the_order_of_records_are_protected() {
    let world = World::usual();
    let (_, mut server) = world.pair(1 << 20);
    server.writer().write_all(b"text").unwrap();
    let length = said(&mut server).len();
    for place in 0..length {
        let (mut us, mut server) = world.pair(1 << 20);
        server.writer().write_all(b"text").unwrap();
        let mut record = said(&mut server);
        record[place] ^= 0x10;
        // A length that is another one waits for the rest.
        record.resize(length + (1 << 13), 0);
        let end = us.take(&record, 1 << 20).unwrap_err();
        assert!(matches!(end, End::Refused(_)), "{place}");
        assert!(us.received.is_empty());
        let alert = hear(&mut server, &us.owed).unwrap_err();
        assert!(matches!(alert, Error::AlertReceived(_)), "{place}: {alert}");
    }
    let (mut us, mut server) = world.pair(1 << 20);
    server.writer().write_all(b"first").unwrap();
    let first = said(&mut server);
    us.take(&first, 1 << 20).unwrap();
    let end = us.take(&first, 1 << 20);
    assert_eq!(end, Err(End::Refused(Error::DecryptError)));
    let alert = hear(&mut server, &us.owed).unwrap_err();
    let expected = AlertDescription::BadRecordMac;
    assert_eq!(alert, Error::AlertReceived(expected));
}

/// A server that says what no library would.
struct Forger {
    key: LessSafeKey,
    iv: [u8; 12],
    number: u64,
}

impl Forger {
    fn pair() -> (Us, Self) {
        let suite = cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
        let mut world = World::new(&KeyPair::generate().unwrap(), &[suite]);
        world.server.enable_secret_extraction = true;
        let (us, server) = world.pair(1 << 20);
        let (number, secrets) = server.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
            panic!("another cipher");
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).unwrap();
        let forger = Self {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().try_into().unwrap(),
            number,
        };
        (us, forger)
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        self.number += 1;
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(number) {
            *byte ^= number;
        }
        let [high, low] = (content.len() as u16).to_be_bytes();
        let around = [&number[..], &[kind, 3, 3, high, low]].concat();
        let mut body = content.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .key
            .seal_in_place_append_tag(nonce, Aad::from(around), &mut body);
        sealed.unwrap();
        let [high, low] = (body.len() as u16).to_be_bytes();
        [&[kind, 3, 3, high, low], body.as_slice()].concat()
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HELLO_REQUEST: [u8; 4] = [0; 4];

#[test]
fn a_new_handshake_is_declined_even_if_we_write_in_the_middle_of_its_wish() {
    for cut in 0..=4 {
        let (mut us, mut forger) = Forger::pair();
        let (first, second) = HELLO_REQUEST.split_at(cut);
        us.take(&forger.record(DATA, b"text"), 7).unwrap();
        if !first.is_empty() {
            us.take(&forger.record(HANDSHAKE, first), 7).unwrap();
        }
        assert_eq!(us.owed.is_empty(), cut < 4);
        assert!(us.seal(&[b"ours"]).len() > 4);
        if !second.is_empty() {
            us.take(&forger.record(HANDSHAKE, second), 7).unwrap();
        }
        assert!(!us.owed.is_empty(), "{cut}");
        us.take(&forger.record(DATA, b" and more"), 7).unwrap();
        assert!(us.seal(&[b"ours"]).len() > 4);
        assert_eq!(us.received, b"text and more");
    }
}

#[test]
fn nothing_grows_however_often_something_is_said() {
    let nagging = [
        (HANDSHAKE, &HELLO_REQUEST[..]),
        // One that never ends.
        (HANDSHAKE, &[0, 0, 0xff, 0xff]),
        (HANDSHAKE, &[20, 0, 0, 0]),
        // Warnings.
        (ALERT, &[1, 90]),
        (ALERT, &[1, 100]),
        // A change of keys.
        (20, &[1]),
    ];
    for (kind, content) in nagging {
        let (mut us, mut forger) = Forger::pair();
        let mut ends = false;
        for _ in 0..2000 {
            let taken = us.take(&forger.record(kind, content), 1 << 20);
            assert!(us.owed.len() < 1000);
            ends = taken.is_err();
            if ends {
                break;
            }
            us.seal(&[b"ours"]);
        }
        assert!(ends, "{kind} {content:?}");
    }
    // Records without data are no more than what they take on their way.
    let (mut us, mut forger) = Forger::pair();
    for _ in 0..2000 {
        let _ = us.take(&forger.record(DATA, &[]), 1 << 20);
    }
    assert!(us.received.is_empty() && us.owed.is_empty());
}

#[test]
fn a_fatal_alert_is_told_by_its_name() {
    let (mut us, mut forger) = Forger::pair();
    let records = [
        forger.record(DATA, b"text"),
        forger.record(ALERT, &[2, 80]),
        forger.record(DATA, b"more"),
    ];
    let error = Error::AlertReceived(AlertDescription::InternalError);
    let end = us.take(&records.concat(), 1 << 20);
    assert_eq!(end, Err(End::Refused(error)));
    assert_eq!(us.received, b"text");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever a server says that has the keys.
    #[test]
    fn no_record_is_too_much(
        records in vec((20u8..25, vec(0u8..26, 0..12), any::<bool>()), 0..12),
        most in 1usize..40,
    ) {
        let (mut us, mut forger) = Forger::pair();
        for (kind, content, writes) in records {
            let taken = us.take(&forger.record(kind, &content), most);
            let mut batch = vec![0; SCRATCH_LEN];
            if writes {
                let _ = us.records.seal(&mut batch, [&b"ours"[..]].into_iter());
            }
            if taken.is_err() {
                break;
            }
        }
    }

    #[test]
    fn garbage_is_an_error_or_waits(garbage in vec(any::<u8>(), 0..300), is_like_a_record: bool) {
        let (mut us, _) = Forger::pair();
        let mut bytes = garbage;
        if is_like_a_record && bytes.len() > 5 {
            let [high, low] = (bytes.len() as u16 - 5).to_be_bytes();
            bytes[..5].copy_from_slice(&[DATA, 3, 3, high, low]);
        }
        let taken = us.take(&bytes, 11);
        prop_assert!(us.received.is_empty());
        prop_assert!(!is_like_a_record || bytes.len() <= 5 || taken.is_err());
    }
}

/// Of 2048 bits, made for this test.
pub(in crate::tls) const RSA_KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCZllcUOglIiO/f\n\
zWsRu5uXkTsTFmUzc4cVvv7trzCxI9FI8Rzdl8nqP69GQxGLidV4sriKfk034Xh0\n\
yIF2a4tdT5rY/9f8za4c82cBCoiNLK2j0FYe4u33HXGJJBlbtYPo5pDgeuRMWMrE\n\
+xcCYk/04NmuJS05UcLXIFsO3hvV6mWCwLcVA3MUugiduOxnieCxgMT/oVKORWoF\n\
gXuymI7Tgc3zuaO39j00wqlg+lJ5Io3Q5NdHLLQsXiISCvbpQMLWggmrx6ym3369\n\
IMTeRcBnhvCido4eqz7+5TWOaR6DOtaWCVjOLDc8LJBroHhZHJlbi+ZMsyeHhY8D\n\
xytK9YYfAgMBAAECggEATFKU+FS020pNZbqHa/r+YW4G3L/iz5Qn+2r79TJ7cHO7\n\
o1NKRGYTLWizWaenlt+KaR3rLcuA5PWTLfmbuDTOPzL5YL+W3iZ50SI1vCM3Y2xh\n\
54d23IdpuMT1cDCzt0q2/+xf72WygKwZK5UZRJKFaEu6cNtBo3vZZp1KEtPWIlFA\n\
oPp87exFaO9jmlKIBtkw2myhCs4Fr9M86MLdSzDIaPuFZwe8Py3GacaLS4WBkpmb\n\
qj+lhO6tF2bol14h1lfqWsC+kK2aYVP1x1cPJPuSib4voJwzCUiItwZezUkiIv8E\n\
gtQLJLEU9dSq2/j9eTSGhYpcZPvsAa87HQIJG/wlbQKBgQDXHJ+UbFZQSxiT+T6U\n\
5DMnSK6JtaY812Xdf0/z94KsT6BrczIsfR5S1yNGEoyOvpcEEeNjwfA16Tk7U2f9\n\
ayI0n4pJfemTSjDv+J0dNlfHMhF7ZaL+GjyTRGQd/QjuUDtb4lHENXcXgUleIoYA\n\
U6LH5KBxTfMot7yfNfrQcKdmlQKBgQC2x+wVvqAdukrU4MyPmnB5Vzu3ltFQTPLH\n\
LRFgQSO2+ibIcBl0WoJ5WHxtZxzTwnGMgZ2qrnu2PaxU5aCaXin+vONTjN2Rad6I\n\
tGrDssWFzg8LEvBLu4FL6EqkoARAWAcsvehvLZ/wPazOtdkbv4xI7+4+fa8xgv0r\n\
BhU4wdtQ4wKBgAoxB/p/O4OoWyy/lVB2k1ncHrDVk1+0kNXyrzYO1vkU+LO+jHUB\n\
JIumN7ydKl2k+ACwXEagrKHRP+3ooLen+MHngSTEO2nIDROBgugcaAI/BAcFpLhH\n\
Q/FyPxAQqfiogndy/I7APbk2XeSA3Dptu/uegF994vRd6Cje5Ng1TikVAoGAaAR+\n\
JiHFnSVXUK5du5t4RpWONnxtwfUIdLEBInXvjUHusEKbOcwIVGY26Uu07A3L8NoS\n\
j/+cB6oxWF8VdsP/wihcdj/EF+zX55RE7fnezrbleLfeaDrc6gXX9Lfbs4JlEuFA\n\
VYTxcBapMTnrxA7OFvPz8Tw1Z0fUK5fam+I2nWECgYADCbIheeIol67bopIOL8C9\n\
S9UjSmLAbpDSYMy8Qs3BEE8sEe89A6LoDalGv2G/8UIFzo5D5MnDUA3IE6is1Guh\n\
UT0WKYoJUeR0bJsg3sJAvr/gtax0TlJkF9jL0fkMNA8v7uirVrL3ky2cu9SOVDcE\n\
7J/HkLmGqovAYONnfJptsA==\n\
-----END PRIVATE KEY-----\n\
";
