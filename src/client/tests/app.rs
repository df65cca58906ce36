use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol_mtproxy_ciphers::{CtrStream, hmac_sha256};

use crate::net::{Reactor, Socket, fill_random};
use crate::wire::dc::DcId;
use crate::wire::fake_tls::{RecordReader, record_header};
use crate::wire::obfuscated2;
use crate::wire::secret::Secret;
use crate::wire::transport::Transport;

/// Payload of one record that the app sends, as TDLib cuts them.
const APP_RECORD: usize = 2878;

/// A Telegram app: connects, sends packets, reads packets.
pub struct App {
    pub socket: Socket,
    transport: Transport,
    to_proxy: CtrStream,
    from_proxy: CtrStream,
    records: Option<RecordReader>,
    /// What was read of records, to tell how long each is.
    wire: Vec<u8>,
    received: Vec<u8>,
}

impl App {
    pub async fn connect(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        transport: Transport,
        secret: &Secret,
    ) -> Self {
        let socket = Socket::connect(reactor, address).await.unwrap();
        let (header, from_proxy) =
            obfuscated2::dial(transport, DcId(2), Some(secret), &mut fill_random);
        socket.write_all(&header.bytes).await.unwrap();
        Self {
            socket,
            transport,
            to_proxy: header.to_dc,
            from_proxy,
            records: None,
            wire: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Through fake-TLS; the first packets may follow the header in its record.
    pub async fn connect_tls(reactor: &Rc<Reactor>, address: SocketAddr, secret: &Secret) -> Self {
        Self::connect_slowly(reactor, address, secret, Duration::ZERO).await
    }

    /// The same, with a pause once it has got the answer to its hello.
    pub async fn connect_slowly(
        reactor: &Rc<Reactor>,
        address: SocketAddr,
        secret: &Secret,
        pause: Duration,
    ) -> Self {
        let socket = Socket::connect(reactor, address).await.unwrap();
        let hello = hello(secret, unix_now(), Some("example.com"));
        // In two segments, the second in two more.
        for part in [&hello[..70], &hello[70..71], &hello[71..]] {
            socket.set_nodelay();
            socket.write_all(part).await.unwrap();
            smol::future::yield_now().await;
        }
        read_server_flight(&socket).await;
        reactor.sleep(pause).await;
        let (header, from_proxy) =
            obfuscated2::dial(Transport::Padded, DcId(2), Some(secret), &mut fill_random);
        let app = Self {
            socket,
            transport: Transport::Padded,
            to_proxy: header.to_dc,
            from_proxy,
            records: Some(RecordReader::new()),
            wire: Vec::new(),
            received: Vec::new(),
        };
        let mut opening = vec![0x14, 3, 3, 0, 1, 1];
        opening.extend(app.wrap(&header.bytes));
        app.socket.write_all(&opening).await.unwrap();
        app
    }

    fn wrap(&self, bytes: &[u8]) -> Vec<u8> {
        if self.records.is_none() {
            return bytes.to_vec();
        }
        let records = bytes.chunks(APP_RECORD);
        let wrapped = records.map(|piece| [&record_header(piece.len())[..], piece].concat());
        wrapped.collect::<Vec<_>>().concat()
    }

    /// The bytes of one packet, ready for the wire.
    pub fn packet(&mut self, payload: &[u8], quick_ack: bool) -> Vec<u8> {
        let padding: &[u8] = match self.transport {
            Transport::Padded => &[1, 2, 3],
            _ => &[],
        };
        let mut bytes = self.transport.write_header(payload.len(), padding.len());
        if quick_ack {
            let mark = if self.transport == Transport::Abridged {
                0
            } else {
                3
            };
            bytes[mark] |= 0x80;
        }
        let mut bytes = [&bytes, payload, padding].concat();
        self.to_proxy.apply(&mut bytes);
        self.wrap(&bytes)
    }

    pub async fn send(&mut self, payload: &[u8]) {
        let bytes = self.packet(payload, false);
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// Reads until `length` bytes of plain stream are there and takes them.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        while self.received.len() < length {
            let read = self.socket.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "closed after {} of {length}", self.received.len());
            let mut input = &mut buffer[..read];
            let Some(records) = &mut self.records else {
                self.from_proxy.apply(input);
                self.received.extend_from_slice(input);
                continue;
            };
            self.wire.extend_from_slice(input);
            while let Some(payload) = records.next(&mut input).unwrap() {
                self.from_proxy.apply(payload);
                self.received.extend_from_slice(payload);
            }
        }
        self.received.drain(..length).collect()
    }

    /// The next packet's payload.
    pub async fn receive(&mut self) -> Vec<u8> {
        let mut header = Vec::new();
        loop {
            header.extend(self.read(1).await);
            // Our own answers may be larger than what clients may send.
            if let Some(found) = self.transport.parse_header(&header).unwrap() {
                let mut body = self.read(found.body_len).await;
                body.truncate(found.payload_len);
                return body;
            }
        }
    }

    /// True once the proxy has closed, false if it sent something.
    pub async fn is_closed(&mut self) -> bool {
        if self.records.is_some() {
            return matches!(*self.records_to_the_end().await, [] | [19]);
        }
        let mut byte = [0];
        !matches!(self.socket.read(&mut byte).await, Ok(1))
    }

    /// The records until the proxy closes: whole ones, and how long they are.
    pub async fn records_to_the_end(&mut self) -> Vec<usize> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(read @ 1..) = self.socket.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
        }
        lengths(&bytes)
    }

    /// How long the records were that were read for packets.
    pub fn records_read(&self) -> Vec<usize> {
        lengths(&self.wire)
    }
}

fn lengths(mut records: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some((header, behind)) = records.split_first_chunk::<5>() {
        assert_eq!(header[..3], [0x17, 3, 3]);
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        lengths.push(length);
        records = behind.get(length..).unwrap_or_default();
    }
    lengths
}

/// An answer to a hello, to its last byte.
pub async fn read_server_flight(socket: &Socket) {
    for expected in [0x16, 0x14, 0x17] {
        let mut header = [0; 5];
        socket.read_exact(&mut header).await.unwrap();
        assert_eq!(header[0], expected);
        let length = u16::from_be_bytes([header[3], header[4]]);
        let mut payload = vec![0; usize::from(length)];
        socket.read_exact(&mut payload).await.unwrap();
    }
}

pub fn unix_now() -> u32 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs() as u32
}

/// A signed ClientHello in one record.
pub fn hello(secret: &Secret, time: u32, name: Option<&str>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let length = name.len() as u16;
        extensions.extend([0, 0]);
        extensions.extend((length + 5).to_be_bytes());
        extensions.extend((length + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend(length.to_be_bytes());
        extensions.extend(name.as_bytes());
    }
    extensions.extend([0, 0x2b, 0, 3, 2, 3, 4]);
    extensions.extend([0, 0x33, 0, 38, 0, 36, 0, 0x1d, 0, 32]);
    extensions.extend([9; 32]);
    let mut body = vec![3, 3];
    body.extend([0; 32]);
    body.push(32);
    body.extend([7; 32]);
    body.extend([0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![0x16, 3, 1];
    hello.extend((body.len() as u16 + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    let mut random = hmac_sha256(&secret.0, &[&hello]);
    for (byte, time) in random[28..].iter_mut().zip(time.to_le_bytes()) {
        *byte ^= time;
    }
    hello[11..43].copy_from_slice(&random);
    hello
}
