//! Against rustls' client, whose post-quantum half is of other crates.

use std::io::{Read, Write};
use std::sync::Arc;

use curve25519_dalek::MontgomeryPoint;
use ml_kem::DecapsulationKey768;
use ml_kem::kem::{Decapsulate, KeyExport};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore,
    SupportedProtocolVersion,
};

use super::*;
use crate::net::{SCRATCH_LEN, fill_random};
use crate::tls::ByName;
use crate::tls::error::Behind;
use crate::tls::profile;
use crate::tls::records::Records;
use crate::tls::shaking::{Progress, Shaking};
use crate::tls::side::Side;
use crate::tls::tls12::tests::RSA_KEY;
use crate::wire::flight_length::FlightLength;
use crate::wire::secret::Domain;
use crate::wire::site_flight;
use crate::wire::site_hello::browser_hello;

const HOSTS: [&str; 2] = ["proxy.example.com", "other.example.com"];

struct World {
    config: Arc<ServerConfig>,
    certified: Arc<CertifiedKey>,
    tickets: Arc<dyn ProducesTickets>,
    roots: RootCertStore,
}

impl World {
    /// With two hosts, the first of which has `key`.
    fn new(key: KeyPair) -> Self {
        let mut roots = RootCertStore::empty();
        let keys = [key, KeyPair::generate().unwrap()];
        let hosts = HOSTS.into_iter().zip(keys).map(|(host, key)| {
            let params = CertificateParams::new([host.to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            roots.add(certificate.clone()).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
            let certified = CertifiedKey::new(vec![certificate], key);
            (host.to_owned(), Arc::new(certified))
        });
        let hosts: Vec<_> = hosts.collect();
        let certified = hosts[0].1.clone();
        let tickets = tickets().unwrap();
        Self {
            config: server(Arc::new(ByName::new(hosts)), &tickets).unwrap(),
            certified,
            tickets,
            roots,
        }
    }

    fn usual() -> Self {
        Self::new(KeyPair::generate().unwrap())
    }

    fn client(
        &self,
        groups: &[&'static dyn SupportedKxGroup],
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut provider = rustls::crypto::ring::default_provider();
        if !groups.is_empty() {
            provider.kx_groups = groups.to_vec();
        }
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// Our end, before and behind the handshake.
enum Us {
    Shaking(Box<Shaking>),
    Open(Box<Records>, Vec<u8>),
}

impl Us {
    fn new(config: &Arc<ServerConfig>) -> Self {
        let side = UnbufferedServerConnection::new(config.clone()).unwrap();
        Self::Shaking(Box::new(Shaking::new(Side::Server(side))))
    }

    /// Takes what came and says what there is to say; whether the other side has said
    /// goodbye.
    fn take(&mut self, bytes: &[u8]) -> Result<(Vec<u8>, bool), Error> {
        match self {
            Self::Shaking(shaking) => match shaking.advance(bytes)? {
                Progress::Waits => Ok((std::mem::take(shaking.outgoing()), false)),
                Progress::Closed => Ok((Vec::new(), true)),
                Progress::Done(done) => {
                    let records = Records::new(done.agreed, done.partial);
                    *self = Self::Open(Box::new(records), done.early);
                    Ok((done.outgoing, done.is_at_end))
                }
            },
            Self::Open(records, received) => {
                let mut buffer = vec![0; SCRATCH_LEN];
                let known = records.partial_mut().put(&mut buffer);
                buffer[known..known + bytes.len()].copy_from_slice(bytes);
                let mut owed = Vec::new();
                let (data, behind) = records.open(&mut buffer[..known + bytes.len()], &mut owed);
                received.extend_from_slice(&buffer[..data]);
                match behind {
                    Behind::Open => Ok((owed, false)),
                    Behind::Closed => Ok((owed, true)),
                    Behind::Bad(error) => panic!("{error}"),
                    Behind::Refused(error) => Err(error),
                }
            }
        }
    }

    fn open(&mut self) -> (&mut Records, &mut Vec<u8>) {
        match self {
            Self::Open(records, received) => (records, received),
            Self::Shaking(_) => panic!("still shaking hands"),
        }
    }

    fn seal(&mut self, mut text: &[u8]) -> Vec<u8> {
        let mut batch = vec![0; SCRATCH_LEN];
        let mut sent = Vec::new();
        while !text.is_empty() {
            let sealed = self.open().0.seal(&mut batch, [text].into_iter());
            let (taken, sealed) = sealed.unwrap();
            sent.extend_from_slice(&batch[..sealed]);
            text = &text[taken..];
        }
        sent
    }
}

fn said(them: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while them.wants_write() {
        them.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// What they read of these.
fn hear(them: &mut ClientConnection, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    while !bytes.is_empty() {
        them.read_tls(&mut bytes).unwrap();
        let state = them.process_new_packets()?;
        let start = text.len();
        text.resize(start + state.plaintext_bytes_to_read(), 0);
        them.reader().read_exact(&mut text[start..]).unwrap();
    }
    Ok(text)
}

fn client(config: &Arc<ClientConfig>, host: &'static str) -> ClientConnection {
    let name = ServerName::try_from(host).unwrap();
    ClientConnection::new(config.clone(), name).unwrap()
}

/// Shakes hands with pieces of so many bytes.
fn meet(world: &World, them: &mut ClientConnection, piece: usize) -> Result<Us, Error> {
    let mut us = Us::new(&world.config);
    loop {
        let to_us = said(them);
        if to_us.is_empty() {
            assert!(!them.is_handshaking());
            return Ok(us);
        }
        for piece in to_us.chunks(piece) {
            let (answer, _) = us.take(piece)?;
            assert!(hear(them, &answer)?.is_empty());
        }
    }
}

/// Data goes both ways, with new keys where there are any, then goodbye.
fn talk(mut us: Us, mut them: ClientConnection) {
    for round in 0..3 {
        them.writer().write_all(b"a question").unwrap();
        us.take(&said(&mut them)).unwrap();
        let received = us.open().1;
        assert_eq!(received, b"a question", "{round}");
        received.clear();
        let answer = us.seal(&[7; 30_000]);
        assert_eq!(hear(&mut them, &answer).unwrap(), [7; 30_000], "{round}");
        if us.open().0.version() == "TLS 1.3" {
            them.refresh_traffic_keys().unwrap();
        }
    }
    let goodbye = us.open().0.close().unwrap();
    them.read_tls(&mut &*goodbye).unwrap();
    assert!(them.process_new_packets().unwrap().peer_has_closed());
    them.send_close_notify();
    assert!(matches!(us.take(&said(&mut them)), Ok((_, true)) | Err(_)));
}

/// X25519MLKEM768 as the one who begins has it.
#[derive(Debug)]
struct Hybrid;

struct Begun {
    key: DecapsulationKey768,
    scalar: [u8; 32],
    share: Vec<u8>,
}

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let (mut seed, mut scalar) = ([0; 64], [0; 32]);
        fill_random(&mut seed);
        fill_random(&mut scalar);
        let key = DecapsulationKey768::from_seed(seed.into());
        let public = key.encapsulation_key().to_bytes();
        let point = MontgomeryPoint::mul_base_clamped(scalar);
        let share = [&public[..], point.as_bytes()].concat();
        Ok(Box::new(Begun { key, scalar, share }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl ActiveKeyExchange for Begun {
    fn complete(self: Box<Self>, share: &[u8]) -> Result<SharedSecret, Error> {
        assert_eq!(share.len(), 1120);
        let (ciphertext, point) = share.split_at(1088);
        let mut secret = self.key.decapsulate_slice(ciphertext).unwrap().to_vec();
        let point = MontgomeryPoint(point.try_into().unwrap());
        secret.extend_from_slice(point.mul_clamped(self.scalar).as_bytes());
        Ok(SharedSecret::from(secret))
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

/// A group that no server here has: the first share of a hello is of no use then.
#[derive(Debug)]
pub(in crate::tls) struct Strange;

impl SupportedKxGroup for Strange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Strange))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X448
    }
}

impl ActiveKeyExchange for Strange {
    fn complete(self: Box<Self>, _: &[u8]) -> Result<SharedSecret, Error> {
        panic!("the server has taken it");
    }

    fn pub_key(&self) -> &[u8] {
        &[9; 56]
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X448
    }
}

#[test]
fn each_group_makes_the_same_keys_on_both_sides() {
    let world = World::usual();
    let groups: [&'static dyn SupportedKxGroup; 4] = [&Hybrid, X25519, SECP256R1, SECP384R1];
    for group in groups {
        if cfg!(not(feature = "ml-kem")) && group.name() == NamedGroup::X25519MLKEM768 {
            continue;
        }
        for (before, kind) in [
            (None, HandshakeKind::Full),
            (
                Some(&Strange as &dyn SupportedKxGroup),
                HandshakeKind::FullWithHelloRetryRequest,
            ),
        ] {
            let groups: Vec<_> = before.into_iter().chain([group]).collect();
            let config = Arc::new(world.client(&groups, &[&TLS13]));
            let mut them = client(&config, HOSTS[0]);
            let us = meet(&world, &mut them, 700).unwrap();
            let chosen = them.negotiated_key_exchange_group().unwrap();
            assert_eq!(chosen.name(), group.name());
            assert_eq!(them.handshake_kind(), Some(kind));
            assert_eq!(them.alpn_protocol(), Some(&b"http/1.1"[..]));
            talk(us, them);
        }
    }
}

/// A key that is none is refused as any bad share is.
#[test]
#[cfg(feature = "ml-kem")]
fn a_bad_share_ends_the_handshake() {
    use crate::tls::mlkem::X25519_MLKEM768;

    for share in [&[0xff; 1216][..], &[0; 1215], &[0; 1217], &[]] {
        let made = X25519_MLKEM768.start_and_complete(share);
        let expected = Error::PeerMisbehaved(rustls::PeerMisbehaved::InvalidKeyShare);
        assert_eq!(made.err(), Some(expected));
    }
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    let world = World::usual();
    for versions in [&[&TLS13][..], &[&TLS12]] {
        for piece in [1, 5, 64, 1 << 20] {
            let config = Arc::new(world.client(&[], versions));
            let mut them = client(&config, HOSTS[0]);
            let us = meet(&world, &mut them, piece).unwrap();
            talk(us, them);
        }
    }
}

/// As one does who asks once and wants nothing else.
#[test]
fn what_comes_with_the_handshakes_end_and_a_goodbye_is_not_lost() {
    let world = World::usual();
    for piece in [1, 40, 1 << 20] {
        let mut them = client(&Arc::new(world.client(&[], &[&TLS13])), HOSTS[0]);
        let mut us = Us::new(&world.config);
        let (answer, _) = us.take(&said(&mut them)).unwrap();
        assert!(hear(&mut them, &answer).unwrap().is_empty());
        them.writer().write_all(b"a request").unwrap();
        them.send_close_notify();
        let mut has_ended = false;
        for piece in said(&mut them).chunks(piece) {
            let (answer, is_at_end) = us.take(piece).unwrap();
            assert!(hear(&mut them, &answer).unwrap().is_empty());
            has_ended |= is_at_end;
        }
        assert_eq!(us.open().1, b"a request");
        assert!(has_ended);
        let answer = us.seal(b"an answer");
        assert_eq!(hear(&mut them, &answer).unwrap(), b"an answer");
    }
    // One that says goodbye before it is done has nothing to be answered.
    let mut them = client(&Arc::new(world.client(&[], &[&TLS13])), HOSTS[0]);
    let mut us = Us::new(&world.config);
    us.take(&said(&mut them)).unwrap();
    them.send_close_notify();
    let ended = us.take(&said(&mut them));
    assert!(matches!(
        ended,
        Ok((_, true)) | Err(Error::AlertReceived(_))
    ));
}

#[test]
fn each_kind_of_key_signs_for_either_version() {
    for key in [
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::from_pkcs8_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).unwrap(),
    ] {
        let world = World::new(key);
        for versions in [&[&TLS13][..], &[&TLS12]] {
            let config = Arc::new(world.client(&[], versions));
            let mut them = client(&config, HOSTS[0]);
            talk(meet(&world, &mut them, 1 << 20).unwrap(), them);
        }
    }
}

#[test]
fn each_host_shows_its_certificate_and_the_first_one_is_for_all_else() {
    let world = World::usual();
    let shown = |host: &'static str, with_name: bool| {
        let mut config = world.client(&[], &[&TLS13]);
        config.enable_sni = with_name;
        let mut them = client(&Arc::new(config), host);
        meet(&world, &mut them, 1 << 20).map(|_| ())
    };
    assert_eq!(shown(HOSTS[0], true), Ok(()));
    assert_eq!(shown(HOSTS[1], true), Ok(()));
    assert_eq!(shown(HOSTS[0], false), Ok(()));
    for (host, with_name) in [(HOSTS[1], false), ("unknown.example.com", true)] {
        let refused = shown(host, with_name).unwrap_err();
        assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused}");
    }
}

#[test]
fn tickets_are_good_for_another_handshake_and_for_another_config() {
    let mut world = World::usual();
    for (versions, tickets) in [(&[&TLS13][..], 2), (&[&TLS12], 0)] {
        let config = Arc::new(world.client(&[], versions));
        let mut first = client(&config, HOSTS[0]);
        let us = meet(&world, &mut first, 1 << 20).unwrap();
        assert_eq!(first.tls13_tickets_received(), tickets);
        talk(us, first);
        // As after a new certificate.
        let hosts = vec![(HOSTS[0].to_owned(), world.certified.clone())];
        world.config = server(Arc::new(ByName::new(hosts)), &world.tickets).unwrap();
        let mut second = client(&config, HOSTS[0]);
        let us = meet(&world, &mut second, 64).unwrap();
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
        talk(us, second);
    }
}

/// What the other side hears of it: the level and number of an alert.
fn alert_for(world: &World, bytes: &[u8]) -> Option<(u8, u8)> {
    let side = UnbufferedServerConnection::new(world.config.clone()).unwrap();
    let mut shaking = Shaking::new(Side::Server(side));
    match shaking.advance(bytes) {
        Err(_) => match shaking.outgoing()[..] {
            [21, 3, _, 0, 2, level, number] => Some((level, number)),
            ref other => panic!("{other:?}"),
        },
        Ok(Progress::Waits) => None,
        Ok(_) => panic!("it is done"),
    }
}

#[test]
fn who_speaks_no_tls_of_ours_hears_an_alert() {
    let world = World::usual();
    let number = |description: AlertDescription| Some((2, u8::from(description)));
    let domain: Domain = HOSTS[0].parse().unwrap();
    let hello = browser_hello(&domain, false, &mut fill_random);
    assert_eq!(alert_for(&world, &hello), None);
    let at = |hello: &[u8], what: &[u8]| hello.windows(what.len()).position(|at| at == what);
    // TLS 1.1 and 1.0 for 1.3 and 1.2.
    let mut old = hello.clone();
    let versions = at(&old, &[3, 4, 3, 3]).unwrap();
    old[versions..versions + 4].copy_from_slice(&[3, 2, 3, 1]);
    let expected = number(AlertDescription::ProtocolVersion);
    assert_eq!(alert_for(&world, &old), expected);
    let mut only_h2 = hello.clone();
    let http = at(&only_h2, b"http/1.1").unwrap();
    only_h2[http] = b'x';
    let expected = number(AlertDescription::NoApplicationProtocol);
    assert_eq!(alert_for(&world, &only_h2), expected);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-OpenSSH\r\n"] {
        assert!(alert_for(&world, garbage).is_some());
    }
    let mut us = Us::new(&world.config);
    assert!(!us.take(&hello).unwrap().0.is_empty());
    let garbage = [&[23, 3, 3, 0, 40][..], &[7; 40]].concat();
    assert_eq!(us.take(&garbage).unwrap_err(), Error::DecryptError);
    let Us::Shaking(mut shaking) = us else {
        panic!("it is done");
    };
    // Level, number, kind and tag are encrypted.
    assert_eq!(shaking.outgoing()[..5], [23, 3, 3, 0, 19]);
    assert_eq!(shaking.outgoing().len(), 5 + 19);
}

/// Our answers to ee clients are made by it.
#[test]
fn the_profile_is_what_a_browser_sees() {
    let longest_of = |length: &FlightLength| length.range().1;
    for (key, is_ecdsa) in [
        (KeyPair::generate().unwrap(), true),
        (
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            true,
        ),
        (
            KeyPair::from_pkcs8_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).unwrap(),
            false,
        ),
    ] {
        let world = World::new(key);
        let domain: Domain = HOSTS[0].parse().unwrap();
        let made = profile(&world.certified, &world.tickets, &domain).unwrap();
        assert_eq!(made.post_quantum, cfg!(feature = "ml-kem"));
        assert_eq!(
            matches!(made.lengths.usual, FlightLength::Ecdsa { .. }),
            is_ecdsa
        );
        for with_mlkem in [true, false] {
            let expected = match &made.lengths.without_mlkem {
                Some(without) if !with_mlkem => without,
                _ => &made.lengths.usual,
            };
            for _ in 0..20 {
                let mut us = Us::new(&world.config);
                let hello = browser_hello(&domain, with_mlkem, &mut fill_random);
                let (flight, _) = us.take(&hello).unwrap();
                let seen = site_flight::read(&flight).unwrap();
                assert_eq!(
                    (seen.cipher_suite, seen.versions_first, seen.records),
                    (made.cipher_suite, made.versions_first, made.records)
                );
                assert_eq!(seen.post_quantum, made.post_quantum && with_mlkem);
                let shorter = usize::from(longest_of(expected)) - usize::from(seen.lengths);
                assert!(shorter <= if is_ecdsa { 6 } else { 0 }, "{shorter}");
            }
        }
    }
}
