use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fake_telegram::client::Codec;
use fake_telegram::tls::{self, CHANGE_CIPHER_SPEC_RECORD, Clock, Hello, HelloOptions};
use fake_telegram::transport::{self, Unit};

use crate::net::{Reactor, Socket};
use crate::wire::secret::Secret;
use crate::wire::transport::Transport;

/// Payload of one record that the app sends, as TDLib cuts them.
const APP_RECORD: usize = 2878;

/// A Telegram app: connects, sends packets, reads packets. What it says and
/// believes is the fake Telegram's, written apart from ours.
pub(crate) struct App {
    pub(crate) socket: Socket,
    codec: Codec,
    in_records: bool,
    /// What was read of records, to tell how long each is.
    wire: Vec<u8>,
}

impl App {
    pub(crate) async fn connect(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        transport: Transport,
        secret: &Secret,
    ) -> Self {
        let socket = Socket::connect(reactor, address).await.unwrap();
        let mut codec = codec(transport, secret);
        socket.write_all(&codec.seal(Vec::new())).await.unwrap();
        Self {
            socket,
            codec,
            in_records: false,
            wire: Vec::new(),
        }
    }

    /// Through fake-TLS; the first packets may follow the header in its record.
    pub(crate) async fn connect_tls(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        secret: &Secret,
    ) -> Self {
        Self::connect_slowly(reactor, address, secret, Duration::ZERO).await
    }

    /// The same, with a pause once it has got the answer to its hello.
    pub(crate) async fn connect_slowly(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        secret: &Secret,
        pause: Duration,
    ) -> Self {
        let socket = Socket::connect(reactor, address).await.unwrap();
        let hello = signed(secret, unix_now(), Some("example.com"));
        // In two segments, the second in two more.
        for part in [&hello.bytes[..70], &hello.bytes[70..71], &hello.bytes[71..]] {
            socket.set_nodelay();
            socket.write_all(part).await.unwrap();
            smol::future::yield_now().await;
        }
        let flight = read_server_flight(&socket).await;
        hello.verify(&flight, &secret.0).unwrap();
        reactor.sleep(pause).await;
        let mut codec = codec(Transport::Padded, secret);
        codec.begin_records();
        codec.cut_records(APP_RECORD);
        let header = codec.seal(Vec::new());
        let opening = [&CHANGE_CIPHER_SPEC_RECORD[..], &header].concat();
        socket.write_all(&opening).await.unwrap();
        Self {
            socket,
            codec,
            in_records: true,
            wire: Vec::new(),
        }
    }

    /// Nothing that comes is a packet.
    pub(crate) fn expect_no_packets(&mut self) {
        self.codec.expect_no_packets();
    }

    /// The bytes of one packet, ready for the wire.
    pub(crate) fn packet(&mut self, payload: &[u8], quick_ack: bool) -> Vec<u8> {
        self.codec.packet(payload, quick_ack, &[1, 2, 3])
    }

    pub(crate) async fn send(&mut self, payload: &[u8]) {
        let bytes = self.packet(payload, false);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Reads until `length` bytes of plain stream are there and takes them.
    pub(crate) async fn read(&mut self, length: usize) -> Vec<u8> {
        loop {
            match self.codec.next_bytes(length) {
                Some(bytes) => return bytes,
                None => self.read_more().await,
            }
        }
    }

    /// The next packet's payload.
    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        loop {
            match self.codec.next_unit().unwrap() {
                Some(Unit::Packet { payload, .. }) => return payload,
                Some(Unit::QuickAck(token)) => panic!("a quick-ack {token:02x?}"),
                None => self.read_more().await,
            }
        }
    }

    async fn read_more(&mut self) {
        let mut buffer = vec![0; 64 * 1024];
        let read = self.socket.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed, and more was to come");
        if self.in_records {
            self.wire.extend_from_slice(&buffer[..read]);
        }
        self.codec.push(&buffer[..read]).unwrap();
    }

    /// True once the proxy has closed, false if it sent something.
    pub(crate) async fn is_closed(&mut self) -> bool {
        if self.in_records {
            return matches!(*self.records_to_the_end().await, [] | [19]);
        }
        let mut byte = [0];
        !matches!(self.socket.read(&mut byte).await, Ok(1))
    }

    /// The records until the proxy closes: whole ones, and how long they are.
    pub(crate) async fn records_to_the_end(&mut self) -> Vec<usize> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(read @ 1..) = self.socket.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
        }
        lengths(&bytes)
    }

    /// How long the records were that were read for packets.
    pub(crate) fn records_read(&self) -> Vec<usize> {
        lengths(&self.wire)
    }
}

pub(crate) fn codec(transport: Transport, secret: &Secret) -> Codec {
    let transport = match transport {
        Transport::Abridged => transport::Transport::Abridged,
        Transport::Intermediate => transport::Transport::Intermediate,
        Transport::Padded => transport::Transport::Padded,
    };
    Codec::new(transport, 2, Some(&secret.0))
}

fn lengths(mut records: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some((kind, body, used)) = tls::split_record(records) {
        assert_eq!((kind, &records[1..3]), (tls::APPLICATION_DATA, &[3, 3][..]));
        lengths.push(body.len());
        records = &records[used..];
    }
    lengths
}

/// An answer to a hello, to its last byte.
pub(crate) async fn read_server_flight(socket: &Socket) -> Vec<u8> {
    let mut flight = Vec::new();
    for expected in [0x16, 0x14, 0x17] {
        let mut header = [0; 5];
        socket.read_exact(&mut header).await.unwrap();
        assert_eq!(header[0], expected);
        let length = u16::from_be_bytes([header[3], header[4]]);
        let mut payload = vec![0; usize::from(length)];
        socket.read_exact(&mut payload).await.unwrap();
        flight.extend(header);
        flight.extend(payload);
    }
    flight
}

pub(crate) fn unix_now() -> u32 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs() as u32
}

/// A signed ClientHello in one record.
pub(crate) fn hello(secret: &Secret, time: u32, name: Option<&str>) -> Vec<u8> {
    signed(secret, time, name).bytes
}

fn signed(secret: &Secret, time: u32, name: Option<&str>) -> Hello {
    let options = HelloOptions {
        domain: name.map(str::to_owned),
        clock: Clock::Fixed(time),
        post_quantum: false,
        ..HelloOptions::for_domain("")
    };
    Hello::new(&options, &secret.0)
}
