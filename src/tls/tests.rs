use std::io::{Read, Write};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, RootCertStore, ServerConfig,
    ServerConnection,
};

use super::error::as_rustls;
use super::schedule::{Agreed, Schedule};
use super::shaking::{Progress, Shaking};
use super::side::Side;
use super::{has_aes, provider};
use crate::net::SCRATCH_LEN;
use crate::wire::tls::{
    End, HEADER_LEN, Opener, RECORD_LEN, RECORDS_PER_KEY, Sealer, TAIL_LEN, TlsError,
};

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Of the client `home` and of the server `back`, with certificates of one new CA.
fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let identity = |name: &str, host: &str, usage| -> Identity {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![made.into()], key)
    };
    let mut roots = RootCertStore::empty();
    roots.add(ca.into()).unwrap();
    let roots = Arc::new(roots);
    let (chain, key) = identity(
        "home",
        "home.example.com",
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain, key)
        .unwrap();
    client.enable_secret_extraction = true;
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .unwrap();
    let (chain, key) = identity(
        "back",
        "www.example.com",
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    server.send_tls13_tickets = 0;
    server.enable_secret_extraction = true;
    (client.into(), server.into())
}

fn name() -> ServerName<'static> {
    ServerName::try_from("www.example.com").unwrap()
}

/// One end of a connection, without a socket.
struct Half {
    sealer: Sealer,
    schedule: Schedule,
    opener: Opener,
    received: Vec<u8>,
    peer_name: Option<String>,
}

enum Shaken {
    /// With how many records are to be sealed with a key.
    Still(Box<Shaking>, u64),
    Open(Box<Half>),
}

impl Shaken {
    fn new(side: Side, records_per_key: u64) -> Self {
        let mut shaking = Box::new(Shaking::new(side));
        assert!(matches!(shaking.advance(&[]), Ok(Progress::Waits)));
        Self::Still(shaking, records_per_key)
    }

    /// Takes what came and says what there is to say.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let Self::Still(shaking, records_per_key) = self else {
            self.half().take(bytes)?;
            return Ok(Vec::new());
        };
        match shaking.advance(bytes)? {
            Progress::Waits => Ok(std::mem::take(shaking.outgoing())),
            Progress::Closed => panic!("closed"),
            Progress::Done(done) => {
                let Agreed::Keys(keys) = done.agreed else {
                    panic!("not TLS 1.3");
                };
                *self = Self::Open(Box::new(Half {
                    sealer: Sealer::new(keys.to_peer, *records_per_key),
                    schedule: keys.schedule,
                    opener: Opener::new(keys.from_peer, done.partial),
                    received: done.early,
                    peer_name: done.peer.and_then(|peer| peer.name),
                }));
                Ok(done.outgoing)
            }
        }
    }

    fn half(&mut self) -> &mut Half {
        match self {
            Self::Open(half) => half,
            Self::Still(..) => panic!("still shaking hands"),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }
}

impl Half {
    fn seal(&mut self, slices: &[&[u8]]) -> Vec<u8> {
        let mut batch = vec![0; SCRATCH_LEN];
        let (mut sent, mut left) = (Vec::new(), slices.concat());
        loop {
            let slices = [left.as_slice()].into_iter();
            let sealed = self.sealer.seal(&mut batch, slices, &mut self.schedule);
            let (taken, sealed) = sealed.unwrap();
            sent.extend_from_slice(&batch[..sealed]);
            left.drain(..taken);
            if left.is_empty() {
                return sent;
            }
            assert!(taken > 0);
        }
    }

    /// Takes what came, a buffer at a time.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let mut buffer = vec![0; SCRATCH_LEN];
        while !bytes.is_empty() {
            let known = self.opener.partial_mut().put(&mut buffer);
            let (now, later) = bytes.split_at(bytes.len().min(SCRATCH_LEN - known));
            bytes = later;
            let filled = known + now.len();
            buffer[known..filled].copy_from_slice(now);
            let opened = self.opener.open(&mut buffer[..filled], &mut self.schedule);
            self.received.extend_from_slice(&buffer[..opened.data]);
            if opened.wants_update {
                self.sealer.owe_update();
            }
            match opened.end {
                End::Open => {}
                End::Closed => return Err(Error::General("closed".to_owned())),
                End::Bad(error) => return Err(as_rustls(error)),
            }
        }
        Ok(())
    }
}

/// A front and a back that have shaken hands, in pieces of so many bytes.
fn pair(piece: usize) -> (Half, Half) {
    let (front, back) = configs();
    let front = Side::Client(UnbufferedClientConnection::new(front, name()).unwrap());
    let back = Side::Server(UnbufferedServerConnection::new(back).unwrap());
    let (mut front, mut back) = (
        Shaken::new(front, RECORDS_PER_KEY),
        Shaken::new(back, RECORDS_PER_KEY),
    );
    let mut to_back = front.take(&[]).unwrap();
    while !(front.is_open() && back.is_open()) {
        let mut to_front = Vec::new();
        for piece in to_back.chunks(piece) {
            to_front.extend(back.take(piece).unwrap());
        }
        to_back.clear();
        for piece in to_front.chunks(piece) {
            to_back.extend(front.take(piece).unwrap());
        }
        assert!(!to_back.is_empty() || back.is_open());
    }
    match (front, back) {
        (Shaken::Open(front), Shaken::Open(back)) => (*front, *back),
        _ => unreachable!(),
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    for piece in [1, 2, 5, 64, 700, 1 << 20] {
        let (mut front, mut back) = pair(piece);
        let sent = front.seal(&[b"to the back"]);
        back.take(&sent).unwrap();
        let sent = back.seal(&[b"to the front"]);
        front.take(&sent).unwrap();
        assert_eq!(back.received, b"to the back", "{piece}");
        assert_eq!(front.received, b"to the front", "{piece}");
    }
}

#[test]
fn each_side_knows_the_other_by_its_certificate() {
    let (front, back) = pair(1 << 20);
    assert_eq!(back.peer_name.unwrap(), "home");
    assert_eq!(front.peer_name.unwrap(), "back");
}

#[test]
fn full_records_fill_one_read_of_the_other_side() {
    let (mut front, mut back) = pair(1 << 20);
    let data = vec![7; 100_000];
    let mut batch = vec![0; SCRATCH_LEN];
    let Half {
        sealer, schedule, ..
    } = &mut front;
    let sealed = sealer.seal(&mut batch, data.chunks(4064), schedule);
    let (taken, sealed) = sealed.unwrap();
    assert_eq!(sealed, SCRATCH_LEN);
    let around = HEADER_LEN + TAIL_LEN;
    assert_eq!(taken, SCRATCH_LEN - SCRATCH_LEN / RECORD_LEN * around);
    let opened = back.opener.open(&mut batch, &mut back.schedule);
    assert_eq!((opened.data, opened.end), (taken, End::Open));
    assert!(batch[..taken].iter().all(|byte| *byte == 7));
    assert_eq!(back.opener.partial_mut().put(&mut batch), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn garbage_in_a_handshake_is_an_error(
        garbage in vec(any::<u8>(), 0..300),
        is_like_a_record in any::<bool>(),
        has_begun in any::<bool>(),
    ) {
        let mut bytes = garbage;
        if is_like_a_record && bytes.len() > 5 {
            let [high, low] = (bytes.len() as u16 - 5).to_be_bytes();
            let kind = if has_begun { 23 } else { 22 };
            bytes[..5].copy_from_slice(&[kind, 3, 3, high, low]);
        }
        let (front, back) = configs();
        let side = Side::Server(UnbufferedServerConnection::new(back).unwrap());
        let mut back = Shaken::new(side, RECORDS_PER_KEY);
        if has_begun {
            let side = Side::Client(UnbufferedClientConnection::new(front, name()).unwrap());
            let hello = Shaken::new(side, RECORDS_PER_KEY).take(&[]).unwrap();
            prop_assert!(!back.take(&hello).unwrap().is_empty());
        }
        let _ = back.take(&bytes);
        prop_assert!(!back.is_open());
    }
}

/// What rustls itself makes of it, as the other side: `them` and `half` have
/// shaken hands when that returns.
fn meet(us: Side, them: &mut Connection) -> Half {
    let mut us = Shaken::new(us, 3);
    let mut to_them = us.take(&[]).unwrap();
    for _ in 0..4 {
        let mut input = to_them.as_slice();
        while !input.is_empty() {
            them.read_tls(&mut input).unwrap();
            them.process_new_packets().unwrap();
        }
        to_them = us.take(&said(them)).unwrap();
    }
    assert!(!them.is_handshaking());
    let Shaken::Open(half) = us else {
        panic!("still shaking hands");
    };
    *half
}

fn said(them: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while them.wants_write() {
        them.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// What `them` reads of what `half` sends.
fn read(them: &mut Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut input, mut text) = (bytes, Vec::new());
    while !input.is_empty() {
        them.read_tls(&mut input).unwrap();
        them.process_new_packets().unwrap();
        let mut buffer = [0; 20_000];
        while let Ok(length @ 1..) = them.reader().read(&mut buffer) {
            text.extend_from_slice(&buffer[..length]);
        }
    }
    text
}

#[test]
fn rustls_understands_each_side_with_tickets_and_new_keys() {
    let (front, back) = configs();
    let mut with_tickets = (*back).clone();
    with_tickets.send_tls13_tickets = 3;
    let server = Arc::new(with_tickets);
    let client = ClientConnection::new(front.clone(), name()).unwrap();
    let known = ServerConnection::new(server.clone()).unwrap();
    let server = ServerConnection::new(server).unwrap();
    let mut telling = (*front).clone();
    telling.key_log = Arc::new(super::told::Listener);
    let us = [
        Side::Client(UnbufferedClientConnection::new(front, name()).unwrap()),
        Side::Client(UnbufferedClientConnection::new(Arc::new(telling), name()).unwrap()),
        Side::Server(UnbufferedServerConnection::new(back).unwrap()),
    ];
    let them = [
        Connection::from(server),
        Connection::from(known),
        Connection::from(client),
    ];
    let mut are_known = Vec::new();
    let long: Vec<u8> = (0..50_000u32).map(|i| (i / 7) as u8).collect();
    for (us, mut them) in us.into_iter().zip(them) {
        let mut half = meet(us, &mut them);
        are_known.push(matches!(half.schedule, Schedule::Known(_)));
        for round in 0..5 {
            if round == 2 {
                half.schedule.forget_tickets();
            }
            let sent = half.seal(&[&long]);
            assert!(read(&mut them, &sent) == long, "{round}");
            them.writer().write_all(b"an answer").unwrap();
            // They want new keys of us too.
            them.refresh_traffic_keys().unwrap();
            them.writer().write_all(b" and more").unwrap();
            half.take(&said(&mut them)).unwrap();
            assert_eq!(half.received, b"an answer and more", "{round}");
            half.received.clear();
        }
        them.send_close_notify();
        let closed = half.take(&said(&mut them)).unwrap_err();
        assert_eq!(closed, Error::General("closed".to_owned()));
    }
    assert_eq!(are_known, [false, true, false]);
}

/// rustls has words for each, which those who explain errors know.
#[test]
fn what_is_wrong_with_records_is_said_as_rustls_says_it() {
    assert_eq!(as_rustls(TlsError::Open), Error::DecryptError);
    let alert = as_rustls(TlsError::Alert(48));
    let expected = Error::AlertReceived(rustls::AlertDescription::UnknownCA);
    assert_eq!(alert, expected);
    let no_place = "unexpected error: a message of TLS that has no place here";
    assert_eq!(as_rustls(TlsError::OutOfPlace).to_string(), no_place);
}

#[test]
fn a_handshake_does_not_grow_without_end() {
    let (_, back) = configs();
    let side = Side::Server(UnbufferedServerConnection::new(back).unwrap());
    let mut back = Shaking::new(side);
    // A hello of 60,000 bytes, in records of 16,000.
    let mut first = vec![22, 3, 1, 0x3e, 0x80, 1, 0, 0xea, 0x60];
    first.resize(5 + 16_000, 0);
    let mut more = vec![22, 3, 1, 0x3e, 0x80];
    more.resize(5 + 16_000, 0);
    assert!(matches!(back.advance(&first), Ok(Progress::Waits)));
    assert!(matches!(back.advance(&more), Ok(Progress::Waits)));
    assert!(back.advance(&more).is_err());
}

#[test]
fn aes_128_comes_first_where_the_processor_has_aes() {
    let (front, _) = pair(1 << 20);
    let Schedule::Client(connection) = &front.schedule else {
        unreachable!();
    };
    let expected = match has_aes() {
        true => rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
        false => rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    };
    assert_eq!(connection.negotiated_cipher_suite().suite(), expected);
}
