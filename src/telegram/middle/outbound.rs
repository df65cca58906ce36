use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use smol_mtproxy_ciphers::{BLOCK_LEN, CbcEncryptor, ChecksumKind};

use super::super::held::{Held, QueuedPacket};
use super::super::session::MiddleSession;
use super::framing::{Begun, CHECKSUM_LEN, Cursor, Framer};
use crate::net::{BufferPool, Rope, Scratch, Socket};
use crate::wire::full::block_padding;
use crate::wire::rpc::{self, ProxyReq};

/// A frame is begun only where its fixed part (length, sequence number,
/// request header) fits whole.
const FRAME_HEAD_ROOM: usize = 128;

/// Control messages that may wait: more than the clients that one connection
/// has (--clients-per-connection) can cause by leaving all at once.
const MAX_CONTROLS: usize = 16 * 1024;

/// Answers to pings that may wait.
const MAX_PONGS: usize = 64;

/// Places that an empty queue keeps; what a burst needed beyond is given back.
const KEPT_PLACES: usize = 64;

/// A control message: a tag and an i64.
pub(super) type Control = [u8; 12];

/// Everything that waits to be sent on one middle-proxy connection.
///
/// Packets stay plain and in the order of their arrival until the socket can
/// take them; only then are they framed and encrypted, 64 KiB at a time. So at
/// the connection's death those that were not begun can go elsewhere.
pub(crate) struct Outbound {
    encryptor: CbcEncryptor,
    framer: Framer,
    queue: VecDeque<Queued>,
    /// How many of `queue` are control messages.
    controls: usize,
    /// How many of it answer pings.
    pongs: usize,
    /// Payloads of `queue`, and the rest of `current`'s before them.
    payload: Rope,
    current: Option<Begun>,
    /// Bytes that the kernel has taken.
    written: u64,
    /// Encrypted bytes that it has not taken yet.
    unsent: Rope,
    buffers: Rc<BufferPool>,
}

enum Queued {
    Packet(QueuedFrame),
    Control(Control),
    Pong(i64),
}

struct QueuedFrame {
    session: Rc<MiddleSession>,
    conn_id: i64,
    len: usize,
    quick_ack: bool,
}

/// What [`Outbound::flush`] got done.
#[derive(Default)]
pub(crate) struct Flushed {
    pub(crate) bytes: usize,
    pub(crate) packets: usize,
}

impl Outbound {
    /// For a connection whose handshake used the sequence numbers −2 and −1.
    pub(crate) fn new(
        encryptor: CbcEncryptor,
        checksum: ChecksumKind,
        buffers: &Rc<BufferPool>,
    ) -> Self {
        Self {
            encryptor,
            framer: Framer::new(checksum),
            queue: VecDeque::new(),
            controls: 0,
            pongs: 0,
            payload: Rope::default(),
            current: None,
            written: 0,
            unsent: Rope::default(),
            buffers: buffers.clone(),
        }
    }

    /// Bytes that wait, with their places in the queue: tiny packets need more
    /// memory for these than for themselves.
    pub(crate) fn pending_bytes(&self) -> usize {
        let places = self.queue.len() * size_of::<Queued>();
        self.payload.len() + self.unsent.len() + places
    }

    /// The kernel has refused some of it.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none() && self.unsent.is_empty()
    }

    /// There are packets that were not begun.
    pub(crate) fn has_packets(&self) -> bool {
        self.queue.len() > self.controls + self.pongs
    }

    /// How many bytes the kernel has taken since the handshake.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn push_packet(
        &mut self,
        session: &Rc<MiddleSession>,
        conn_id: i64,
        packet: QueuedPacket,
    ) {
        self.queue.push_back(Queued::Packet(QueuedFrame {
            session: session.clone(),
            conn_id,
            len: packet.body.len(),
            quick_ack: packet.quick_ack,
        }));
        self.payload.append_rope(packet.body);
    }

    pub(crate) fn push_held(&mut self, session: &Rc<MiddleSession>, conn_id: i64, held: Held) {
        for (len, quick_ack) in held.packets {
            self.queue.push_back(Queued::Packet(QueuedFrame {
                session: session.clone(),
                conn_id,
                len: len as usize,
                quick_ack,
            }));
        }
        self.payload.append_rope(held.payload);
    }

    /// [`push_packet`](Self::push_packet) for a packet in a shared buffer.
    pub(crate) fn push_slice(
        &mut self,
        session: &Rc<MiddleSession>,
        conn_id: i64,
        quick_ack: bool,
        body: &[u8],
    ) {
        self.queue.push_back(Queued::Packet(QueuedFrame {
            session: session.clone(),
            conn_id,
            len: body.len(),
            quick_ack,
        }));
        self.payload.append_overdrawn(&self.buffers, body);
    }

    /// False: so many wait that Telegram cannot be reading.
    pub(crate) fn push_control(&mut self, body: Control) -> bool {
        self.queue.push_back(Queued::Control(body));
        self.controls += 1;
        self.controls < MAX_CONTROLS
    }

    /// Answers a ping, unless so many answers wait that Telegram does not read
    /// them: it has no use for more.
    pub(crate) fn push_pong(&mut self, id: i64) {
        if self.pongs < MAX_PONGS {
            self.pongs += 1;
            self.queue.push_back(Queued::Pong(id));
        }
    }

    /// Sends what the socket takes now. Packets get the address `our` in
    /// their header; their sessions learn the time `now`.
    pub(crate) fn flush(
        &mut self,
        socket: &Socket,
        scratch: &Scratch,
        our: SocketAddr,
        now: Instant,
    ) -> io::Result<Flushed> {
        let mut done = Flushed::default();
        loop {
            let written = self.unsent.write_to(socket)?;
            done.bytes += self.count_written(written);
            if self.queue.is_empty() && self.current.is_none() {
                self.queue.shrink_to(KEPT_PLACES);
                return Ok(done);
            }
            if !self.unsent.is_empty() || !socket.is_writable() {
                return Ok(done);
            }
            scratch
                .with(|buffer| -> io::Result<()> {
                    let (length, packets) = self.fill(buffer, our, now);
                    let data = buffer.get(..length).unwrap_or_default();
                    let written = socket.try_write(data)?;
                    let rest = data.get(written..).unwrap_or_default();
                    self.unsent.append_overdrawn(&self.buffers, rest);
                    done.bytes += self.count_written(written);
                    done.packets += packets;
                    Ok(())
                })
                .transpose()?;
        }
    }

    fn count_written(&mut self, bytes: usize) -> usize {
        self.written += bytes as u64;
        bytes
    }

    /// Takes the packets that were not begun out of the queue, in order.
    pub(crate) fn take_packets(&mut self, take: impl Fn(&MiddleSession, QueuedPacket)) {
        if !self.has_packets() {
            return;
        }
        let begun = self.current.as_ref().map_or(0, |one| one.remaining);
        let begun = self.payload.split_front(begun, &self.buffers);
        for queued in std::mem::take(&mut self.queue) {
            if let Queued::Packet(frame) = queued {
                let body = self.payload.split_front(frame.len, &self.buffers);
                let quick_ack = frame.quick_ack;
                take(&frame.session, QueuedPacket { quick_ack, body });
            } else {
                self.queue.push_back(queued);
            }
        }
        self.payload = begun;
    }

    /// Frames and encrypts into `buffer`; returns the length, a multiple of
    /// the cipher's block, and how many packets were begun.
    fn fill(&mut self, buffer: &mut [u8], our: SocketAddr, now: Instant) -> (usize, usize) {
        let capacity = buffer.len() - buffer.len() % BLOCK_LEN;
        let mut out = Cursor::new(buffer.get_mut(..capacity).unwrap_or_default());
        let mut packets = 0;
        loop {
            if !self.finish_current(&mut out) || out.room() < FRAME_HEAD_ROOM {
                break;
            }
            match self.queue.pop_front() {
                Some(Queued::Packet(frame)) => {
                    self.begin_packet(&mut out, &frame, our, now);
                    packets += 1;
                }
                Some(Queued::Control(body)) => {
                    self.controls -= 1;
                    self.framer.put(&mut out, &body);
                }
                Some(Queued::Pong(id)) => {
                    self.pongs -= 1;
                    self.framer.put(&mut out, &rpc::pong_body(id));
                }
                None => break,
            }
        }
        out.put(block_padding(out.length));
        let Cursor { buffer, length } = out;
        self.encryptor
            .apply(buffer.get_mut(..length).unwrap_or_default());
        (length, packets)
    }

    fn begin_packet(
        &mut self,
        out: &mut Cursor<'_>,
        frame: &QueuedFrame,
        our: SocketAddr,
        now: Instant,
    ) {
        let session = &frame.session;
        let first8: heapless::Vec<u8, 8> =
            self.payload.slices().flatten().copied().take(8).collect();
        let header = ProxyReq {
            conn_id: frame.conn_id,
            client: session.client,
            our,
            tag: session.tag,
            transport: session.transport,
            quick_ack: frame.quick_ack,
        }
        .header(&first8);
        let mut checksum = self.framer.begin(out, header.len() + frame.len);
        checksum.update(&header);
        out.put(&header);
        let end = out.length + frame.len + CHECKSUM_LEN;
        session.sent(now, self.written + end as u64);
        self.current = Some(Begun {
            remaining: frame.len,
            checksum,
        });
    }

    /// Goes on with the frame that was begun; false if `out` is full before
    /// its end.
    fn finish_current(&mut self, out: &mut Cursor<'_>) -> bool {
        let Some(current) = &mut self.current else {
            return true;
        };
        let is_whole = current.fill(&mut self.payload, out);
        if is_whole {
            self.current = None;
        }
        is_whole
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use smol_mtproxy_ciphers::CbcDecryptor;

    use super::*;
    use crate::clock::Clock;
    use crate::net::Reactor;

    #[test]
    fn a_burst_does_not_keep_its_places() {
        let reactor = Reactor::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let socket = Socket::new(&reactor, near.into()).unwrap();
        let (scratch, buffers) = (
            Scratch::default(),
            BufferPool::new(reactor.clock(), 1 << 20),
        );
        let encryptor = CbcEncryptor::new(&[1; 32], &[2; 16]);
        let mut outbound = Outbound::new(encryptor, ChecksumKind::Crc32, &buffers);
        let our = SocketAddr::from(([127, 0, 0, 1], 1));
        for id in 0..1500 {
            assert!(outbound.push_control(rpc::close_conn_body(id)));
        }
        let flushed = outbound.flush(&socket, &scratch, our, Instant::now());
        assert!(outbound.is_idle());
        assert!(outbound.queue.capacity() <= 2 * KEPT_PLACES);
        // All the same, everything went out.
        let mut sent = vec![0; flushed.unwrap().bytes];
        far.read_exact(&mut sent).unwrap();
        assert_eq!(sent.len(), 1500 * 24);
    }

    #[test]
    fn what_a_dc_causes_that_does_not_read_is_bounded() {
        let (key, iv) = ([1; 32], [2; 16]);
        let buffers = BufferPool::new(&Clock::machine(), 1 << 20);
        let encryptor = CbcEncryptor::new(&key, &iv);
        let mut outbound = Outbound::new(encryptor, ChecksumKind::Crc32, &buffers);
        let mut decryptor = CbcDecryptor::new(&key, &iv);
        for round in [0, 7000] {
            assert!(outbound.push_control(rpc::close_conn_body(5)));
            for id in 0..1000 {
                outbound.push_pong(round + id);
            }
            assert_eq!(outbound.queue.len(), 1 + MAX_PONGS);
            let mut buffer = [0; 4096];
            let our = SocketAddr::from(([127, 0, 0, 1], 1));
            let (length, packets) = outbound.fill(&mut buffer, our, Instant::now());
            assert_eq!((packets, outbound.is_idle()), (0, true));
            decryptor.apply(&mut buffer[..length]);
            // Frames of 24 bytes: length, number, body and checksum.
            let mut bodies = buffer.chunks(24).map(|frame| &frame[8..20]);
            assert_eq!(bodies.next().unwrap(), rpc::close_conn_body(5));
            for id in 0..MAX_PONGS as i64 {
                assert_eq!(bodies.next().unwrap(), rpc::pong_body(round + id));
            }
        }
        let mut pushed = (0..).map(|id| outbound.push_control(rpc::close_conn_body(id)));
        assert_eq!(pushed.position(|fits| !fits), Some(MAX_CONTROLS - 1));
    }
}
