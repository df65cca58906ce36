mod papers;

use std::io::{Read, Write};

use fake_telegram::harness::TemporaryDirectory;
use proptest::collection::vec;
use proptest::prelude::*;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::opener::{End, Opener};
use super::record::{HEADER_LEN, Kind, RECORD_LEN, TAIL_LEN};
use super::schedule::Schedule;
use super::shaking::{Progress, Shaking};
use super::*;
use crate::clock::Clock;
use crate::link::certificates;
use crate::net::SCRATCH_LEN;

/// A new CA with the front `home`, in `certs`.
fn made() -> TemporaryDirectory {
    let folder = TemporaryDirectory::new();
    let directory = folder.path().join("certs");
    certificates::init(&directory).unwrap();
    certificates::add_node(&directory, "home", None).unwrap();
    folder
}

fn files(folder: &TemporaryDirectory, name: &str) -> LinkTls {
    let directory = folder.path().join("certs");
    LinkTls {
        ca: directory.join("ca.pem"),
        cert: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}.key")),
        sni: None,
        alpn: vec!["h2".to_owned()],
        refuse: None,
    }
}

/// Of the front `home` and of the back of a new CA.
fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let folder = made();
    let side = |name, role| TlsFiles::read(&files(&folder, name), role).unwrap().side;
    match (side("home", Role::Front), side("back", Role::Back)) {
        (TlsSide::Front(front, _), TlsSide::Back(back)) => (front, back),
        _ => unreachable!(),
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("www.example.com").unwrap()
}

/// One end of a link, without a socket.
struct Half {
    sealer: Sealer,
    opener: Opener,
    received: Vec<u8>,
    peer_name: Option<String>,
}

enum Shaken {
    Still(Box<Shaking>),
    Open(Box<Half>),
}

impl Shaken {
    fn new(side: Side) -> Self {
        let mut shaking = Box::new(Shaking::new(side));
        assert!(matches!(shaking.advance(&[]), Ok(Progress::Waits)));
        Self::Still(shaking)
    }

    /// Takes what came and says what there is to say.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let Self::Still(shaking) = self else {
            self.half().take(bytes)?;
            return Ok(Vec::new());
        };
        match shaking.advance(bytes)? {
            Progress::Waits => Ok(std::mem::take(shaking.outgoing())),
            Progress::Closed => panic!("closed"),
            Progress::Done(done) => {
                let (key, schedule) = (done.agreed.to_peer, done.agreed.schedule);
                let buffers = BufferPool::new(&Clock::machine(), 1 << 20);
                *self = Self::Open(Box::new(Half {
                    sealer: Sealer::new(key, schedule, sealer::new_batch(), &buffers, &[]),
                    opener: Opener::new(done.agreed.from_peer, done.partial),
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
            Self::Still(_) => panic!("still shaking hands"),
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
            let (taken, sealed) = self
                .sealer
                .seal(&mut batch, [&left[..]].into_iter())
                .unwrap();
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
            let known = self.opener.put_partial(&mut buffer);
            let (now, later) = bytes.split_at(bytes.len().min(SCRATCH_LEN - known));
            bytes = later;
            let filled = known + now.len();
            buffer[known..filled].copy_from_slice(now);
            let (data, end) = self.opener.open(&mut buffer[..filled], &mut self.sealer);
            self.received.extend_from_slice(&buffer[..data]);
            match end {
                End::Open => {}
                End::Closed => return Err(Error::General("closed".to_owned())),
                End::Bad(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A front and a back that have shaken hands, in pieces of so many bytes.
fn pair(piece: usize) -> (Half, Half) {
    let (front, back) = configs();
    let front = Side::Front(UnbufferedClientConnection::new(front, name()).unwrap());
    let back = Side::Back(UnbufferedServerConnection::new(back).unwrap());
    let (mut front, mut back) = (Shaken::new(front), Shaken::new(back));
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
    let (taken, sealed) = front.sealer.seal(&mut batch, data.chunks(4064)).unwrap();
    assert_eq!(sealed, SCRATCH_LEN);
    let around = HEADER_LEN + TAIL_LEN;
    assert_eq!(taken, SCRATCH_LEN - SCRATCH_LEN / RECORD_LEN * around);
    let (opened, end) = back.opener.open(&mut batch, &mut back.sealer);
    assert!(matches!(end, End::Open));
    assert_eq!(opened, taken);
    assert!(batch[..opened].iter().all(|byte| *byte == 7));
    assert_eq!(back.opener.put_partial(&mut batch), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn data_arrives_however_it_is_cut(
        writes in vec((any::<bool>(), vec(0..30_000usize, 0..4), any::<bool>()), 1..8),
        cuts in vec(1..40_000usize, 1..10),
        records_per_key in 1..9u64,
    ) {
        let (mut front, mut back) = pair(1 << 20);
        front.sealer.renew_after(records_per_key);
        back.sealer.renew_after(records_per_key + 1);
        let (mut at_back, mut at_front) = (Vec::new(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        for (is_from_front, lengths, wants_update) in writes {
            let slices: Vec<Vec<u8>> = lengths.iter().map(|len| vec![*len as u8; *len]).collect();
            let slices: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
            let (from, to, expected) = match is_from_front {
                true => (&mut front, &mut back, &mut at_back),
                false => (&mut back, &mut front, &mut at_front),
            };
            if wants_update {
                from.sealer.owe_update();
            }
            expected.extend(slices.concat());
            let sent = from.seal(&slices);
            let mut rest = sent.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                to.take(now).unwrap();
                rest = later;
            }
        }
        prop_assert!(back.received == at_back);
        prop_assert!(front.received == at_front);
    }

    #[test]
    fn garbage_is_an_error_and_never_data(
        garbage in vec(any::<u8>(), 0..300),
        is_like_a_record in any::<bool>(),
        is_shaking in any::<bool>(),
        has_begun in any::<bool>(),
    ) {
        let mut bytes = garbage;
        if is_like_a_record && bytes.len() > 5 {
            let [high, low] = (bytes.len() as u16 - 5).to_be_bytes();
            let kind = if is_shaking && !has_begun { 22 } else { 23 };
            bytes[..5].copy_from_slice(&[kind, 3, 3, high, low]);
        }
        if is_shaking {
            let (front, back) = configs();
            let side = Side::Back(UnbufferedServerConnection::new(back).unwrap());
            let mut back = Shaken::new(side);
            if has_begun {
                let side = UnbufferedClientConnection::new(front, name()).unwrap();
                let hello = Shaken::new(Side::Front(side)).take(&[]).unwrap();
                prop_assert!(!back.take(&hello).unwrap().is_empty());
            }
            let _ = back.take(&bytes);
            prop_assert!(!back.is_open());
        } else {
            let (_, mut back) = pair(1 << 20);
            let _ = back.take(&bytes);
            prop_assert!(back.received.is_empty());
        }
    }
}

/// What rustls itself makes of it, as the other side: `them` and `half` have
/// shaken hands when that returns.
fn meet(us: Side, them: &mut Connection) -> Half {
    let mut us = Shaken::new(us);
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
    let server = ServerConnection::new(Arc::new(with_tickets)).unwrap();
    let client = ClientConnection::new(front.clone(), name()).unwrap();
    let us = [
        Side::Front(UnbufferedClientConnection::new(front, name()).unwrap()),
        Side::Back(UnbufferedServerConnection::new(back).unwrap()),
    ];
    let them = [Connection::from(server), Connection::from(client)];
    let long: Vec<u8> = (0..50_000u32).map(|i| (i / 7) as u8).collect();
    for (us, mut them) in us.into_iter().zip(them) {
        let mut half = meet(us, &mut them);
        half.sealer.renew_after(3);
        for round in 0..5 {
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
}

/// A record of `half` with something else than data in it.
fn record(half: &mut Half, content: &[u8], kind: Kind) -> Vec<u8> {
    let mut record = [&[0; HEADER_LEN], content, &[0; TAIL_LEN]].concat();
    half.sealer.key().seal(&mut record, kind).unwrap();
    record
}

#[test]
fn messages_of_tls_are_taken_in_their_place_only() {
    let ticket = [&[4, 0, 0, 200][..], &[0; 200]].concat();
    let endless = [&[4, 0xff, 0xff, 0xff][..], &[0; 200]].concat();
    let good: &[&[(Kind, &[u8])]] = &[
        &[(Kind::Handshake, &ticket), (Kind::Data, b"x")],
        // In two records, and two in one.
        &[
            (Kind::Handshake, &ticket[..3]),
            (Kind::Handshake, &ticket[3..]),
        ],
        &[(Kind::Handshake, &[ticket.clone(), ticket.clone()].concat())],
        &[
            (Kind::Alert, &[1, 90]),
            (Kind::Data, b""),
            (Kind::Data, b"x"),
        ],
    ];
    let bad: &[&[(Kind, &[u8])]] = &[
        &[(Kind::Handshake, &ticket[..3]), (Kind::Data, b"x")],
        &[(Kind::Handshake, b"")],
        &[(Kind::Handshake, &endless)],
        &[(Kind::Handshake, &[24, 0, 0, 1, 2])],
        &[(Kind::Handshake, &[24, 0, 0, 2, 0, 0])],
        // The key changes between records.
        &[(Kind::Handshake, &[24, 0, 0, 1, 0, 24])],
        &[(Kind::Handshake, &[1, 0, 0, 1, 0])],
        &[(Kind::Alert, &[2])],
        &[(Kind::Alert, &[2, 0, 0])],
    ];
    let send = |records: &[(Kind, &[u8])]| {
        let (mut front, mut back) = pair(1 << 20);
        let sent = records
            .iter()
            .flat_map(|(kind, content)| record(&mut back, content, *kind));
        let sent: Vec<u8> = sent.collect();
        // However they are cut.
        let halves = [&sent[..sent.len() / 2], &sent[sent.len() / 2..]];
        halves.iter().try_for_each(|half| front.take(half))
    };
    for (number, records) in good.iter().enumerate() {
        send(records).unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    for (number, records) in bad.iter().enumerate() {
        assert!(send(records).is_err(), "{number}");
    }
    // Nobody gives a back tickets.
    let (mut front, mut back) = pair(1 << 20);
    let sent = record(&mut front, &ticket, Kind::Handshake);
    assert!(back.take(&sent).is_err());
}

#[test]
fn a_record_that_is_too_long_is_refused_before_it_is_there() {
    let (_, mut back) = pair(1 << 20);
    let error = back.take(&[23, 3, 3, 0x41, 0x01]).unwrap_err();
    assert_eq!(error, Error::PeerSentOversizedRecord);
    let (_, mut back) = pair(1 << 20);
    back.take(&[23, 3, 3, 0x41, 0x00]).unwrap();
    back.take(&vec![0; 0x40ff]).unwrap();
    assert_eq!(back.take(&[0]).unwrap_err(), Error::DecryptError);
}

#[test]
fn a_handshake_does_not_grow_without_end() {
    let (_, back) = configs();
    let side = Side::Back(UnbufferedServerConnection::new(back).unwrap());
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
    let Schedule::Front(connection) = &front.sealer.schedule else {
        unreachable!();
    };
    let expected = match has_aes() {
        true => rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
        false => rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    };
    assert_eq!(connection.negotiated_cipher_suite().suite(), expected);
}
