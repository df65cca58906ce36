//! The fake Telegram against a proxy of a few lines, so that a test that fails
//! later accuses the right program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::client::{Kind, Options as ClientOptions};
use crate::control::{Accept, Close, Cut, Damage};
use crate::crypto::{CbcDecrypt, CbcEncrypt, random, unix_time};
use crate::middle::test_parts::{Checksum, FrameReader, FrameWriter, Material, pad};
use crate::payload::{self, Command, quick_ack_token};
use crate::telegram::{FakeTelegram, Options};
use crate::transport::{Transport, Unit};
use crate::wait::{eventually, within};

/// What a peer speaks over; a read waits.
pub(crate) trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// A proxy's end of a middle-proxy connection, blocking.
pub(crate) struct Peer<'a> {
    stream: Box<dyn Wire + 'a>,
    encrypt: CbcEncrypt,
    decrypt: CbcDecrypt,
    reader: FrameReader,
    writer: FrameWriter,
}

impl<'a> Peer<'a> {
    fn connect(telegram: &FakeTelegram, dc: i16, offer_crc32c: bool) -> Self {
        let address = *telegram.middle_addresses(dc).last().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let timeout = Some(crate::wait::patience());
        stream.set_read_timeout(timeout).unwrap();
        let client = stream.local_addr().unwrap();
        Self::shake_hands(telegram, Box::new(stream), [client, address], offer_crc32c)
    }

    pub(crate) fn shake_hands(
        telegram: &FakeTelegram,
        mut stream: Box<dyn Wire + 'a>,
        [client, server]: [SocketAddr; 2],
        offer_crc32c: bool,
    ) -> Self {
        let secret = &telegram.options().secret;
        let (mut reader, mut writer) = (FrameReader::new(), FrameWriter::new());
        let (time, nonce) = (unix_time(), random::<16>());
        let mut frame = Vec::new();
        let parts: [&[u8]; 5] = [
            &[0xaa, 0x87, 0xcb, 0x7a],
            &secret[..4],
            &[1, 0, 0, 0],
            &time.to_le_bytes(),
            &nonce,
        ];
        writer.write(&mut frame, &parts, None);
        stream.write_all(&frame).unwrap();
        let mut answer = [0; 44];
        stream.read_exact(&mut answer).unwrap();
        reader.push(&answer);
        let nonces = reader.next().unwrap().unwrap();
        let material = Material {
            server_nonce: nonces[16..].try_into().unwrap(),
            client_nonce: &nonce,
            client_time: time,
            server,
            client,
            secret,
        };
        let (key, iv) = material.derive("CLIENT");
        let encrypt = CbcEncrypt::new(&key, &iv);
        let (key, iv) = material.derive("SERVER");
        let decrypt = CbcDecrypt::new(&key, &iv);
        let mut peer = Self {
            stream,
            encrypt,
            decrypt,
            reader,
            writer,
        };
        let flags = if offer_crc32c { 0x800u32 } else { 0 };
        let hello = [
            &[0xf5, 0xee, 0x82, 0x76],
            &flags.to_le_bytes()[..],
            &[1; 12],
            &[2; 12],
        ];
        peer.send(&hello, None);
        let answer = peer.recv().unwrap();
        assert_eq!(answer[20..32], [1; 12]);
        if answer[4..8] != [0; 4] {
            peer.reader.checksum = Checksum::Crc32c;
            peer.writer.checksum = Checksum::Crc32c;
        }
        peer
    }

    pub(crate) fn send(&mut self, parts: &[&[u8]], damage: Option<Damage>) {
        let mut out = Vec::new();
        self.writer.write(&mut out, parts, damage);
        pad(&mut out);
        self.encrypt.apply(&mut out);
        self.stream.write_all(&out).unwrap();
    }

    /// The next message; `None` when the connection is over.
    pub(crate) fn recv(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(body) = self.reader.next().unwrap() {
                return Some(body);
            }
            let mut block = [0; 16];
            self.stream.read_exact(&mut block).ok()?;
            self.decrypt.apply(&mut block);
            self.reader.push(&block);
        }
    }

    pub(crate) fn request(
        &mut self,
        conn_id: i64,
        flags: u32,
        payload: &[u8],
        damage: Option<Damage>,
    ) {
        let head = request_head(conn_id, flags);
        self.send(&[&head, payload], damage);
    }

    pub(crate) fn answer(&mut self, conn_id: i64) -> Vec<u8> {
        let body = self.recv().expect("an answer");
        assert_eq!(body[..8], [0x0d, 0xda, 0x03, 0x44, 0, 0, 0, 0]);
        assert_eq!(body[8..16], conn_id.to_le_bytes());
        body[16..].to_vec()
    }
}

pub(crate) const GOOD_FLAGS: u32 = 0x2802_1000;

fn request_head(conn_id: i64, flags: u32) -> Vec<u8> {
    let mut out = vec![0xee, 0xf1, 0xce, 0x36];
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&conn_id.to_le_bytes());
    for port in [1234u32, 443] {
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
        out.extend_from_slice(&port.to_le_bytes());
    }
    out
}

fn telegram() -> FakeTelegram {
    let options = Options {
        ipv6: true,
        ..Options::default()
    };
    FakeTelegram::start(options).unwrap()
}

#[test]
fn a_well_behaved_peer_is_served() {
    let telegram = telegram();
    for crc32c in [false, true] {
        for (dc, refuse) in [(2, false), (-4, true), (203, false)] {
            telegram.behave_dc(dc, |b| b.refuse_crc32c = refuse);
            let mut peer = Peer::connect(&telegram, dc, crc32c);
            let request = payload::echo(7, 1000);
            peer.request(5, GOOD_FLAGS, &request, None);
            assert_eq!(peer.answer(5), request);
            assert_eq!(telegram.connections()[0].crc32c, crc32c && !refuse);
            peer.request(6, GOOD_FLAGS | 0x8000_0000, &request, None);
            let ack = peer.recv().unwrap();
            assert_eq!(ack[..4], [0x9b, 0x40, 0xac, 0x3b]);
            assert_eq!(ack[12..], quick_ack_token(&request));
            assert_eq!(peer.answer(6), request);
            let client: SocketAddr = "10.0.0.1:1234".parse().unwrap();
            assert_eq!(telegram.session_of(client).unwrap().dc, dc);
            peer.request(7, GOOD_FLAGS | 2, &payload::req_pq_multi([3; 16]), None);
            assert_eq!(peer.answer(7).len(), 84);
            telegram.ping();
            let ping = peer.recv().unwrap();
            peer.send(&[&[0xa7, 0xea, 0x30, 0x84], &ping[4..]], None);
            drop(peer);
            smol::block_on(eventually("the connection's end", || {
                telegram.connections().is_empty()
            }));
        }
    }
    telegram.assert_clean();
}

/// What the violation's text contains, and how to commit it.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Peer));

#[test]
fn every_violation_is_noted() {
    let request = payload::echo(7, 64);
    let cases: [Case; 7] = [
        ("Crc32c", &|peer| {
            peer.request(1, GOOD_FLAGS, &request, Some(Damage::Checksum))
        }),
        ("sequence", &|peer| {
            peer.request(1, GOOD_FLAGS, &request, Some(Damage::Sequence))
        }),
        ("frame of", &|peer| {
            peer.request(1, GOOD_FLAGS, &request, Some(Damage::Length))
        }),
        ("flags", &|peer| {
            peer.request(1, GOOD_FLAGS | 2, &request, None)
        }),
        ("no transport", &|peer| {
            peer.request(1, 0x6002_1000, &request, None)
        }),
        ("comes again", &|peer| {
            peer.request(1, GOOD_FLAGS, &request, None);
            peer.send(&[&[0x5d, 0x42, 0xcf, 0x1f], &1i64.to_le_bytes()], None);
            peer.request(1, GOOD_FLAGS, &request, None);
        }),
        ("pong", &|peer| {
            peer.send(&[&[0xa7, 0xea, 0x30, 0x84], &[1; 8]], None)
        }),
    ];
    for (expected, misbehave) in cases {
        let telegram = telegram();
        let mut peer = Peer::connect(&telegram, 2, true);
        misbehave(&mut peer);
        while peer.recv().is_some() {}
        smol::block_on(eventually(expected, || !telegram.violations().is_empty()));
        let violations = telegram.violations();
        assert!(
            violations[0].contains(expected),
            "{expected}: {violations:?}"
        );
    }
}

#[test]
fn connections_are_ended_and_refused_as_told() {
    let telegram = telegram();
    for how in [Close::Fin, Close::Drop, Close::Reset] {
        let mut peer = Peer::connect(&telegram, 1, true);
        smol::block_on(eventually("a connection", || {
            telegram.connections().len() == 1
        }));
        assert_eq!(telegram.rotate_all(how), 1);
        assert_eq!(peer.recv(), None);
        drop(peer);
        smol::block_on(eventually("no connection", || {
            telegram.connections().is_empty()
        }));
    }
    for cut in [Cut::MidRequest(Close::Drop), Cut::AfterRequest(Close::Fin)] {
        telegram.behave_dc(1, |b| b.cut = Some(cut));
        let mut peer = Peer::connect(&telegram, 1, true);
        peer.request(1, GOOD_FLAGS, &payload::echo(1, 1 << 16), None);
        assert_eq!(peer.recv(), None, "{cut:?}");
    }
    let address = telegram.middle_addresses(1)[0];
    for _ in 0..100 {
        telegram.behave_dc(1, |b| b.accept = Accept::Refuse);
        assert!(TcpStream::connect(address).is_err());
        telegram.behave_dc(1, |b| b.accept = Accept::Normal);
        assert!(TcpStream::connect(address).is_ok());
    }
}

/// A client that speaks to the direct DC itself, without a secret.
fn direct_client(telegram: &FakeTelegram, kind: Kind, dc: i16) -> ClientOptions {
    let address = telegram.direct_addresses(dc)[0];
    ClientOptions {
        key: None,
        dc,
        ..kind.options(address)
    }
}

#[test]
fn the_client_and_the_direct_dc_understand_each_other() {
    let telegram = telegram();
    let exchange = async {
        for kind in [Kind::Abridged, Kind::Intermediate, Kind::Padded] {
            let options = direct_client(&telegram, kind, 203);
            let mut client = options.connect().await.unwrap();
            for length in [8, 36, 508, 100 << 10, 1 << 20] {
                client.echo(&payload::echo(1, length)).await.unwrap();
            }
            client.download(3 << 20, 1 << 20).await.unwrap();
            let request = payload::echo(2, 64);
            client.send_for_quick_ack(&request).await.unwrap();
            let expected = Unit::QuickAck(quick_ack_token(&request));
            assert_eq!(client.recv().await.unwrap(), expected);
            assert_eq!(client.recv_packet().await.unwrap(), request);
            let last = Command::EchoAndClose.payload();
            client.send(&last).await.unwrap();
            assert_eq!(client.until_closed().await.unwrap().len(), 1);
        }
    };
    smol::block_on(within("the exchange", exchange));
    telegram.assert_clean();
}

#[test]
fn a_stream_for_another_dc_is_a_violation() {
    let telegram = telegram();
    let mut options = direct_client(&telegram, Kind::Padded, 2);
    options.dc = 3;
    let exchange = async {
        let mut client = options.connect().await.unwrap();
        client.send(&payload::echo(1, 64)).await.unwrap();
        assert!(client.recv().await.is_err());
    };
    smol::block_on(within("the exchange", exchange));
    assert_eq!(telegram.violations().len(), 1);
    assert_eq!(options.transport, Transport::Padded);
}
