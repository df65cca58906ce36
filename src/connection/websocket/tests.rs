//! Against a server of TLS and frames of the test's own.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::net::sockopt;
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use super::*;
use crate::connection::{FreshWebSocket, Line, WebContext, WebError, WebRequest, WebTrust};
use crate::net::test_help::pair;
use crate::net::{Executor, Reactor, SCRATCH_LEN};
use crate::tls::{Judge, Peer, TlsContext, provider};
use crate::wire::dc::DcId;
use crate::wire::obfuscated2::{HEADER_LEN, accept, dial_fast};
use crate::wire::secret::Secret;
use crate::wire::transport::{MAX_PACKET, Transport};
use Transport::*;

const HOST: &str = "kws2.web.telegram.org";
/// What a browser of 2011 and RFC 6455 have.
const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nSec-WebSocket-Accept: ";

const WANTED: WebRequest<'static> = WebRequest {
    host: HOST,
    front: None,
    path: "/apiws",
    protocol: Some("binary"),
};

struct Nobody;

impl Judge for Nobody {
    fn denies(&self, _: &Peer) -> Option<String> {
        None
    }

    fn explain(&self, error: &rustls::Error) -> String {
        error.to_string()
    }
}

struct World {
    reactor: Rc<Reactor>,
    context: WebContext,
    trust: WebTrust,
    server: Arc<ServerConfig>,
}

impl World {
    /// With a server whose certificate is for `names`.
    fn new(names: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ca.into()).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![made.into()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        server.enable_secret_extraction = true;
        let reactor = Reactor::new().unwrap();
        Self {
            context: WebContext {
                scratch: Rc::default(),
                buffers: BufferPool::new(reactor.clock(), 4 << 20),
                batch: Default::default(),
                reactor: reactor.clone(),
            },
            reactor,
            trust: WebTrust::new(Arc::new(roots)).unwrap(),
            server: Arc::new(server),
        }
    }

    fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.reactor.block_on(&Executor::default(), test)
    }

    async fn server(&self, socket: Socket) -> Server {
        let context = TlsContext {
            batch: Default::default(),
            buffers: self.context.buffers.clone(),
            judge: Rc::new(Nobody),
        };
        Server {
            socket,
            tls: TlsStream::accept(context, &self.server).unwrap(),
            buffers: self.context.buffers.clone(),
            space: vec![0; SCRATCH_LEN],
            received: Vec::new(),
        }
    }

    /// A WebSocket, and its server behind the upgrade, with `and` sent along.
    async fn open(&self, and: &[u8]) -> (FreshWebSocket, Server) {
        let (near, far) = pair(&self.reactor).await;
        sockopt::set_socket_send_buffer_size(&near, 16 * 1024).unwrap();
        let mut server = self.server(far).await;
        let opening = FreshWebSocket::open(&self.context, &self.trust, near, WANTED);
        let (fresh, ()) = smol::future::zip(opening, server.upgrade(and)).await;
        (fresh.unwrap(), server)
    }

    /// The line and its DC.
    async fn line(&self, transport: Transport, and: &[u8]) -> (Line, Server, Dc) {
        let (fresh, mut server) = self.open(and).await;
        let key = StreamKey {
            key: [4; 32],
            iv: [5; 16],
        };
        let header = dial_fast(&key, transport, DcId(2), &mut crate::net::fill_random);
        let line = fresh
            .into_line(header, Messages::Packets(transport))
            .unwrap();
        let (opcode, header) = server.message().await.unwrap();
        assert_eq!((opcode, header.len()), (2, HEADER_LEN));
        // Without a secret: as if it were one of sixteen zeros, if they were hashed.
        let dc = Dc::new(&header);
        (line, server, dc)
    }

    /// Sends `data` by the line in reads of `step`, all of it; whoever asks is told of
    /// each byte once.
    async fn send(&self, line: &mut Line, data: &[u8], step: usize) {
        let mut settled = 0;
        for part in data.chunks(step) {
            let mut part = part.to_vec();
            settled += line.send(&self.context.buffers, &mut part).unwrap();
            poll_fn(|cx| {
                settled += line.flush(cx).unwrap();
                match line.is_flushed() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
        assert_eq!(settled, data.len());
        assert_eq!(self.context.buffers.used_bytes(), 0);
    }

    /// Reads `length` bytes of the line, at most `most` at once.
    async fn read(&self, line: &mut Line, length: usize, most: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < length {
            match self.read_once(line, &mut received, most).await {
                Ok(0) | Err(_) => break,
                Ok(came) => assert!(came <= most),
            }
        }
        received
    }

    async fn read_once(
        &self,
        line: &mut Line,
        received: &mut Vec<u8>,
        most: usize,
    ) -> io::Result<usize> {
        poll_fn(|cx| {
            let before = received.len();
            let read = self.context.scratch.with(|space| {
                line.poll_read(cx, space, most, &mut |data| {
                    received.extend_from_slice(data)
                })
            });
            let read = read.unwrap();
            if let Poll::Ready(Ok(came)) = read {
                assert_eq!(before + came, received.len());
            }
            read
        })
        .await
    }
}

/// What decrypts a client's bytes at the DC.
struct Dc(CtrStream);

impl Dc {
    fn new(header: &[u8]) -> Self {
        let header: [u8; HEADER_LEN] = header.try_into().unwrap();
        let at = |from, to| header[from..to].to_vec();
        let mut stream = CtrStream::new(StreamKey {
            key: at(8, 40).try_into().unwrap(),
            iv: at(40, 56).try_into().unwrap(),
        });
        stream.skip(HEADER_LEN as u64);
        // It is no header for clients.
        assert!(accept(&header, &Secret([1; 16])).is_none());
        Self(stream)
    }
}

/// A strict server of frames.
struct Server {
    socket: Socket,
    tls: TlsStream,
    buffers: Rc<BufferPool>,
    space: Vec<u8>,
    received: Vec<u8>,
}

impl Server {
    async fn more(&mut self) -> Result<(), tls::Error> {
        let Self {
            socket,
            tls,
            space,
            received,
            ..
        } = self;
        poll_fn(|cx| {
            loop {
                tls.flush(socket, &mut Rope::default()).unwrap();
                let before = received.len();
                ready!(tls.poll_read::<tls::Error>(cx, socket, space, &mut |data| {
                    received.extend_from_slice(data);
                    Ok(())
                }))?;
                if received.len() > before {
                    return Poll::Ready(Ok(()));
                }
            }
        })
        .await
    }

    async fn send(&mut self, bytes: &[u8]) {
        let mut out = Rope::default();
        for part in bytes.chunks(SCRATCH_LEN) {
            out.append_overdrawn(&self.buffers, part);
            poll_fn(|cx| {
                while !(out.is_empty() && self.tls.is_flushed()) {
                    self.tls.flush(&self.socket, &mut out).unwrap();
                    if !(out.is_empty() && self.tls.is_flushed()) {
                        ready!(self.socket.poll_writable(cx));
                    }
                }
                Poll::Ready(())
            })
            .await;
        }
    }

    async fn upgrade(&mut self, and: &[u8]) {
        while !self.received.ends_with(b"\r\n\r\n") {
            self.more().await.unwrap();
        }
        let head = String::from_utf8(std::mem::take(&mut self.received)).unwrap();
        assert!(head.starts_with("GET /apiws HTTP/1.1\r\nHost: kws2.web.telegram.org\r\n"));
        let key = head.split("Sec-WebSocket-Key: ").nth(1).unwrap();
        let key = key.split("\r\n").next().unwrap();
        let guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        let digest = smol_mtproxy_ciphers::sha1(&[key.as_bytes(), guid.as_bytes()]);
        let accept = data_encoding::BASE64.encode(&digest);
        let answer = [ANSWER, &accept, "\r\n\r\n"].concat();
        self.send(&[answer.as_bytes(), and].concat()).await;
    }

    /// The next frame, which has to be masked, whole and with the shortest header.
    async fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((header, length)) = self.frame()
                && self.received.len() >= header + length
            {
                let opcode = self.received[0] & 0x0f;
                let frame: Vec<u8> = self.received.drain(..header + length).collect();
                let mask = &frame[header - 4..header];
                let payload = frame[header..].iter().zip(mask.iter().cycle());
                return Some((opcode, payload.map(|(byte, mask)| byte ^ mask).collect()));
            }
            self.more().await.ok()?;
        }
    }

    /// Lengths of header and payload.
    fn frame(&self) -> Option<(usize, usize)> {
        let (&first, &second) = (self.received.first()?, self.received.get(1)?);
        assert_eq!(first & 0xf0, 0x80, "one whole frame without extensions");
        assert_eq!(second & 0x80, 0x80, "masked");
        Some(match second & 0x7f {
            126 => {
                let length = u16::from_be_bytes(*self.received.get(2..)?.first_chunk()?);
                assert!(length > 125);
                (8, length.into())
            }
            127 => {
                let length = u64::from_be_bytes(*self.received.get(2..)?.first_chunk()?);
                assert!(length > 0xffff);
                (14, length as usize)
            }
            short => (6, short.into()),
        })
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut frame = vec![first];
    match length {
        0..=125 => frame.push(length as u8),
        126..=0xffff => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// A client's packet with its header.
fn packet(transport: Transport, length: usize, label: usize) -> Vec<u8> {
    let mut packet = transport.write_header(length, 0).to_vec();
    packet.extend((0..length).map(|i| (i * 7 + label) as u8));
    packet
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 256) as u8).collect()
}

#[test]
fn each_packet_is_a_message_however_it_comes() {
    let world = World::new(&[HOST]);
    for transport in [Abridged, Intermediate, Padded] {
        for step in [1, 3, 50, 4_000, SCRATCH_LEN] {
            world.run(async {
                let (mut line, mut server, mut dc) = world.line(transport, &[]).await;
                let lengths: &[usize] = match step {
                    1 | 3 => &[4, 40, 508, 600, 4],
                    _ => &[4, 40, 508, 600, 64, 40_000, 65_536, MAX_PACKET, 8],
                };
                let packets: Vec<_> = (lengths.iter().enumerate())
                    .map(|(at, length)| packet(transport, *length, at))
                    .collect();
                let stream = packets.concat();
                let receiving = async {
                    for sent in &packets {
                        let (opcode, mut message) = server.message().await.unwrap();
                        dc.0.apply(&mut message);
                        assert!(opcode == 2 && message == *sent, "{transport:?} {step}");
                    }
                };
                smol::future::zip(world.send(&mut line, &stream, step), receiving).await;
            });
        }
    }
}

#[test]
fn frames_however_cut_are_one_stream() {
    let world = World::new(&[HOST]);
    world.run(async {
        let (mut line, mut server, _) = world.line(Padded, &[]).await;
        let whole = payload(3 << 20);
        for (size, most) in [
            (10, 60_000),
            (1_000, 100),
            (100_000, 20_000),
            (1 << 20, SCRATCH_LEN),
            (1 << 20, 4_000),
        ] {
            let length = whole.len().min(size * 300);
            let mut sent = Vec::new();
            for (at, part) in whole[..length].chunks(size).enumerate() {
                // Fragments, with pings between them.
                let (one, two) = part.split_at(part.len() / 3);
                sent.extend(frame(0x02, one));
                if at % 50 == 0 {
                    sent.extend(frame(0x89, b"are you there"));
                }
                sent.extend(frame(0x00, &[]));
                sent.extend(frame(0x80, two));
                sent.extend(frame(0x8a, b"nobody asked"));
            }
            let reading = world.read(&mut line, length, most);
            let ((), received) = smol::future::zip(server.send(&sent), reading).await;
            assert!(received == whole[..length], "{size} {most}");
            let Line::Wrapped(web) = &line else {
                unreachable!()
            };
            assert_eq!(web.held(), 0);
            let (opcode, body) = server.message().await.unwrap();
            assert_eq!((opcode, body.as_slice()), (10, &b"are you there"[..]));
            server.received.clear();
        }
    });
}

#[test]
fn who_takes_nothing_holds_one_record() {
    let world = World::new(&[HOST]);
    world.run(async {
        let (mut line, mut server, _) = world.line(Padded, &[]).await;
        let whole = payload(8 << 20);
        let sent = frame(0x82, &whole);
        let receiving = async {
            let mut received = Vec::new();
            for _ in 0..100 {
                world.read_once(&mut line, &mut received, 10).await.unwrap();
            }
            let Line::Wrapped(web) = &line else {
                unreachable!()
            };
            assert!(web.held() <= MAX_RECORD);
            let left = whole.len() - received.len();
            received.extend(world.read(&mut line, left, SCRATCH_LEN).await);
            received
        };
        let ((), received) = smol::future::zip(server.send(&sent), receiving).await;
        assert!(received == whole);
    });
}

#[test]
fn an_answer_to_a_ping_waits_for_the_end_of_a_message() {
    let world = World::new(&[HOST]);
    world.run(async {
        let (mut line, mut server, mut dc) = world.line(Intermediate, &[]).await;
        let sent = packet(Intermediate, 400, 1);
        world.send(&mut line, &sent[..100], 100).await;
        let ping = [frame(0x89, b"1"), frame(0x89, b"2"), frame(0x82, b"data")].concat();
        server.send(&ping).await;
        assert_eq!(world.read(&mut line, 4, 100).await, b"data");
        world
            .send(&mut line, &[&sent[100..], &sent[..1]].concat(), 1000)
            .await;
        let (opcode, mut message) = server.message().await.unwrap();
        dc.0.apply(&mut message);
        assert!(opcode == 2 && message == sent);
        assert_eq!(server.message().await.unwrap(), (10, b"2".to_vec()));
    });
}

#[test]
fn the_end_is_told_both_ways() {
    let world = World::new(&[HOST]);
    world.run(async {
        // The server's.
        let (mut line, mut server, _) = world.line(Padded, &[]).await;
        let goodbye = [&1000u16.to_be_bytes()[..], b"404"].concat();
        let last = [
            frame(0x82, b"last"),
            frame(0x88, &goodbye),
            frame(0x82, b"no"),
        ]
        .concat();
        server.send(&last).await;
        assert_eq!(world.read(&mut line, 100, 100).await, b"last");
        let mut none = Vec::new();
        assert_eq!(world.read_once(&mut line, &mut none, 100).await.unwrap(), 0);
        drop(line);
        assert_eq!(server.message().await, Some((8, vec![3, 232])));
        assert_eq!(server.message().await, None);
        // The client's, at the end of a message and in the middle of one.
        for (sent, told) in [(100, true), (99, false)] {
            let (mut line, mut server, _) = world.line(Padded, &[]).await;
            world
                .send(&mut line, &packet(Padded, 96, 0)[..sent], 100)
                .await;
            drop(line);
            if told {
                assert_eq!(server.message().await.unwrap().0, 2);
                assert_eq!(server.message().await, Some((8, vec![3, 232])));
            }
            assert_eq!(server.message().await, None);
        }
    });
}

#[test]
fn what_makes_no_sense_ends_the_line() {
    let world = World::new(&[HOST]);
    for bad in [
        frame(0xc2, b"compressed"),
        frame(0x83, b"unknown"),
        frame(0x80, b"goes on with nothing"),
        frame(0x09, b"a ping in parts"),
        vec![0x82, 0x81, 0, 0, 0, 0, 7],
        vec![0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1],
        frame(0x88, b"1"),
    ] {
        world.run(async {
            let (mut line, mut server, _) = world.line(Padded, &[]).await;
            server.send(&bad).await;
            let mut none = Vec::new();
            assert!(
                world.read_once(&mut line, &mut none, 100).await.is_err(),
                "{bad:?}"
            );
            assert!(!line.is_flushed());
            let mut data = packet(Padded, 40, 0);
            assert!(line.send(&world.context.buffers, &mut data).is_err());
            assert!(poll_fn(|cx| Poll::Ready(line.flush(cx))).await.is_err());
        });
    }
}

#[test]
fn frames_may_come_with_the_upgrade() {
    let world = World::new(&[HOST]);
    world.run(async {
        let early = [frame(0x89, b"so soon"), frame(0x82, b"early")].concat();
        let (fresh, _server) = world.open(&early).await;
        assert!(!fresh.is_fresh());
        let (mut line, mut server, _) = world.line(Padded, &early).await;
        assert_eq!(world.read(&mut line, 5, 3).await, b"early");
        assert_eq!(server.message().await, Some((10, b"so soon".to_vec())));
    });
}

#[test]
fn one_that_waited_is_fresh_until_something_comes() {
    let world = World::new(&[HOST]);
    world.run(async {
        for close in [true, false] {
            let (fresh, mut server) = world.open(&[]).await;
            assert!(fresh.is_fresh());
            match close {
                true => drop(server),
                false => server.send(&frame(0x89, b"")).await,
            }
            while fresh.is_fresh() {
                smol::future::yield_now().await;
            }
        }
    });
}

#[test]
fn certificates_are_of_the_host_or_behind_a_front_of_telegram() {
    let front = Some("www.example.com");
    for (names, front, is_good) in [
        (&[HOST][..], None, true),
        (&["*.web.telegram.org"], None, true),
        (&["example.com"], None, false),
        (&["*.telegram.org", "telegram.org"], None, false),
        (&["*.telegram.org", "telegram.org"], front, true),
        (&["*.web.telegram.org"], front, true),
        (&["www.example.com"], front, false),
    ] {
        let world = World::new(names);
        world.run(async {
            let (near, far) = pair(&world.reactor).await;
            let mut server = world.server(far).await;
            let wanted = WebRequest { front, ..WANTED };
            let opening = FreshWebSocket::open(&world.context, &world.trust, near, wanted);
            let serving = async {
                if is_good {
                    server.upgrade(&[]).await;
                } else {
                    assert!(server.more().await.is_err());
                }
            };
            let (opened, ()) = smol::future::zip(opening, serving).await;
            match opened {
                Ok(_) => assert!(is_good, "{names:?} {front:?}"),
                Err(error) => {
                    assert!(
                        !is_good && matches!(error, WebError::Certificate(_)),
                        "{error}"
                    )
                }
            }
        });
    }
}

/// With a certificate that is not taken once the server is known.
#[test]
fn who_comes_again_needs_no_certificate() {
    for has_tickets in [true, false] {
        let mut world = World::new(&[HOST]);
        let other = World::new(&["www.example.com"]).server;
        world.run(async {
            let (mut line, mut server, _) = world.line(Padded, &[]).await;
            server.send(&frame(0x82, b"behind the tickets")).await;
            world.read(&mut line, 18, 100).await;
        });
        let mut server = ServerConfig::clone(&world.server);
        server.cert_resolver = other.cert_resolver.clone();
        if !has_tickets {
            server.session_storage = other.session_storage.clone();
        }
        world.server = Arc::new(server);
        world.run(async {
            let (near, far) = pair(&world.reactor).await;
            let mut server = world.server(far).await;
            let opening = FreshWebSocket::open(&world.context, &world.trust, near, WANTED);
            let serving = async {
                match has_tickets {
                    true => server.upgrade(&[]).await,
                    false => assert!(server.more().await.is_err()),
                }
            };
            let (opened, ()) = smol::future::zip(opening, serving).await;
            assert_eq!(opened.is_ok(), has_tickets);
        });
    }
}

/// Beside the certificates, which rustls keeps for tickets that are still to come.
#[test]
#[cfg(target_pointer_width = "64")]
fn an_idle_one_is_small() {
    let line = size_of::<WebSocket>();
    let records = size_of::<crate::wire::tls::Opener>() + size_of::<RefCell<Writer>>();
    assert!(
        line <= 640 && records <= 1920,
        "line {line}, records {records}"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Flush,
    Hibernate,
    Ping,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However the other side reads: what arrives are the packets, in order, and each byte
    /// is told of once.
    #[test]
    fn all_arrives_and_is_told_of_once(
        steps in proptest::collection::vec(prop_oneof![
            4 => prop_oneof![1..200usize, 1..60_000usize].prop_map(Step::Send),
            2 => Just(Step::Flush),
            1 => Just(Step::Hibernate),
            1 => Just(Step::Ping),
        ], 1..40),
        lengths in proptest::collection::vec(prop_oneof![1..60usize, 1..40_000usize], 8),
    ) {
        let world = World::new(&[HOST]);
        world.run(async {
            let (mut line, mut server, mut dc) = world.line(Padded, &[]).await;
            let buffers = &world.context.buffers;
            let mut stream = lengths.iter().cycle().enumerate()
                .flat_map(|(at, length)| packet(Padded, length * 4, at));
            let (mut sent, mut told) = (Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Send(length) => {
                        let mut data: Vec<u8> = stream.by_ref().take(length).collect();
                        sent.extend_from_slice(&data);
                        told += line.send(buffers, &mut data).unwrap();
                    }
                    Step::Flush => told += poll_fn(|cx| Poll::Ready(line.flush(cx))).await.unwrap(),
                    Step::Hibernate => line.hibernate(),
                    Step::Ping => {
                        server.send(&[frame(0x89, b""), frame(0x82, b"!")].concat()).await;
                        world.read(&mut line, 1, 100).await;
                    }
                }
                assert!(told <= sent.len());
                assert!(!line.is_flushed() || told == sent.len());
            }
            let flushing = async {
                poll_fn(|cx| {
                    told += line.flush(cx).unwrap();
                    if line.is_flushed() { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                drop(line);
            };
            let receiving = async {
                let mut received = Vec::new();
                while let Some((opcode, mut message)) = server.message().await {
                    if opcode == 2 {
                        dc.0.apply(&mut message);
                        received.extend(message);
                    }
                }
                received
            };
            let ((), received) = smol::future::zip(flushing, receiving).await;
            assert_eq!(told, sent.len());
            // The last packet may have stayed unfinished.
            assert!(sent.starts_with(&received));
            assert_eq!(buffers.used_bytes(), 0);
        });
    }
}
