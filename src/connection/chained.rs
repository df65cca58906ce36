//! A connection to another MTProxy, as a client of it has.

use std::io::{self, IoSlice};
use std::iter;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smol_mtproxy_ciphers::CtrStream;

use super::line::Wrapped;
use crate::net::{BufferPool, PaddingSource, READS_PER_TURN, Rope, SCRATCH_LEN, Socket};
use crate::wire::fake_tls::{CHANGE_CIPHER_SPEC, RecordError, RecordReader, record_header};
use crate::wire::next_proxy::{
    FromPadded, HEADROOM, PaddedError, RECORD_TO_PROXY, Repacked, ToPadded,
};
use crate::wire::obfuscated2::HEADER_LEN;
use crate::wire::transport::Transport;

/// Packets of one write at most.
const PIECES: usize = 8;

/// Bytes of one write at most: header and padding of each packet on top of the client's.
const BATCH: usize = SCRATCH_LEN + PIECES * (4 + 3) + HEADER_LEN;

const MAX_RECORDS: usize = BATCH.div_ceil(RECORD_TO_PROXY);

/// A record's header, behind ChangeCipherSpec where it is the first one.
type RecordHead = heapless::Vec<u8, { CHANGE_CIPHER_SPEC.len() + 5 }, u8>;

/// The header of 64 bytes, three parts a packet, and a cut of one between two records.
type Slices<'a> = heapless::Vec<IoSlice<'a>, { 1 + 3 * PIECES + 2 * MAX_RECORDS }>;

/// What such a connection is made of. Nothing has been sent but, with fake TLS, the hello.
pub(super) struct ChainedParts {
    pub(super) socket: Socket,
    /// Goes out with the client's first bytes.
    pub(super) header: [u8; HEADER_LEN],
    /// Encrypts what follows it.
    pub(super) to_proxy: CtrStream,
    pub(super) from_proxy: CtrStream,
    /// Encrypts for the client, from its first byte on.
    pub(super) to_client: CtrStream,
    pub(super) transport: Transport,
    /// The proxy wants padded packets.
    pub(super) is_padded: bool,
    pub(super) is_fake_tls: bool,
    pub(super) padding: Rc<PaddingSource>,
}

/// What comes is decrypted, framed anew where the client has another transport than the
/// proxy wants, and encrypted for the client; what the client sends, the other way round.
/// No packet is ever held, only the beginning of one whose length is not known yet.
pub(crate) struct Chained {
    socket: Socket,
    /// Until the client has said something.
    header: Option<Box<[u8; HEADER_LEN]>>,
    to_proxy: CtrStream,
    /// `None`: packets go as they are.
    repack: Option<ToPadded>,
    padding: Rc<PaddingSource>,
    /// Ready for the wire, and not taken by the kernel.
    pending: Option<Box<Rope>>,
    /// The client's bytes of which the sender was not told yet that they are gone.
    unsettled: usize,
    from_proxy: CtrStream,
    /// Of the proxy's records, if it speaks fake TLS.
    records: Option<RecordReader>,
    unpack: Option<FromPadded>,
    to_client: CtrStream,
    /// For the client, and more than there was room for.
    rest: heapless::Vec<u8, HEADROOM, u8>,
    broken: Option<io::ErrorKind>,
}

impl Chained {
    pub(super) fn new(parts: ChainedParts) -> Self {
        let other = (parts.is_padded && parts.transport != Transport::Padded).then_some(());
        Self {
            socket: parts.socket,
            header: Some(Box::new(parts.header)),
            to_proxy: parts.to_proxy,
            repack: other.map(|()| ToPadded::new(parts.transport)),
            padding: parts.padding,
            pending: None,
            unsettled: 0,
            from_proxy: parts.from_proxy,
            records: parts.is_fake_tls.then(RecordReader::new),
            unpack: other.map(|()| FromPadded::new(parts.transport)),
            to_client: parts.to_client,
            rest: heapless::Vec::new(),
            broken: None,
        }
    }

    /// The next part of the client's bytes, encrypted.
    fn next_piece<'a>(&mut self, input: &mut &'a mut [u8]) -> io::Result<Option<Repacked<'a>>> {
        let padding = &self.padding;
        let next = match &mut self.repack {
            Some(repack) => repack.next(input, &mut || padding.next()),
            None if input.is_empty() => Ok(None),
            None => Ok(Some(Repacked {
                header: heapless::Vec::new(),
                payload: mem::take(input),
                padding: heapless::Vec::new(),
            })),
        };
        let Ok(mut next) = next else {
            return Err(self.fail(io::ErrorKind::InvalidData));
        };
        if let Some(piece) = &mut next {
            self.to_proxy.apply(&mut piece.header);
            self.to_proxy.apply(piece.payload);
            self.to_proxy.apply(&mut piece.padding);
        }
        Ok(next)
    }

    /// Writes what the kernel takes, in records if the proxy speaks fake TLS; the rest
    /// waits.
    fn write(&mut self, buffers: &Rc<BufferPool>, pieces: &[Repacked<'_>]) -> io::Result<()> {
        let header = self.header.take();
        let header = header.as_ref().map_or(&[][..], |header| header.as_slice());
        let of_pieces = pieces
            .iter()
            .flat_map(|piece| [piece.header.as_slice(), &*piece.payload, &piece.padding]);
        let parts = iter::once(header).chain(of_pieces);
        let heads = match self.records {
            Some(_) => record_heads(parts.clone().map(<[u8]>::len).sum(), !header.is_empty()),
            None => heapless::Vec::new(),
        };
        let slices = wrap(parts, self.records.is_some().then_some(&heads));
        let written = match self.is_empty() {
            true => self.socket.try_write_vectored(&slices),
            false => Ok(0),
        };
        let mut taken = *written.as_ref().unwrap_or(&0);
        for slice in &slices {
            let (gone, rest) = slice.split_at(taken.min(slice.len()));
            taken -= gone.len();
            if !rest.is_empty() {
                let pending = self.pending.get_or_insert_default();
                pending.append_overdrawn(buffers, rest);
            }
        }
        match written {
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(error.kind())),
        }
    }

    fn is_empty(&self) -> bool {
        self.pending.as_ref().is_none_or(|rope| rope.is_empty())
    }

    /// How many of the client's bytes are gone that were not told of. As there is more than
    /// the client's in what waits, this may tell of a few bytes late, and never early.
    fn settle(&mut self) -> usize {
        let pending = self.pending.as_ref().map_or(0, |rope| rope.len());
        let kept = self.unsettled.min(pending);
        let gone = self.unsettled - kept;
        self.unsettled = kept;
        gone
    }

    /// What the client gets of what came, which stands behind [`HEADROOM`] bytes.
    fn open<'a>(&mut self, space: &'a mut [u8]) -> Result<&'a mut [u8], Fault> {
        let payload = match &mut self.records {
            Some(records) => {
                let joined = records.join(space.get_mut(HEADROOM..).unwrap_or_default())?;
                HEADROOM + joined.start..HEADROOM + joined.end
            }
            None => HEADROOM..space.len(),
        };
        let data = space.get_mut(payload.clone()).unwrap_or_default();
        self.from_proxy.apply(data);
        let opened = match &mut self.unpack {
            Some(unpack) => {
                let with_room = payload.start - HEADROOM..payload.end;
                unpack.pass(space.get_mut(with_room).unwrap_or_default())?
            }
            None => space.get_mut(payload).unwrap_or_default(),
        };
        self.to_client.apply(opened);
        Ok(opened)
    }

    fn give_rest(&mut self, most: usize, take: &mut dyn FnMut(&mut [u8])) -> usize {
        let mut rest = mem::take(&mut self.rest);
        let length = most.min(rest.len());
        let (now, later) = rest.split_at_mut(length);
        take(now);
        self.rest.extend(later.iter().copied());
        length
    }

    fn check(&self) -> io::Result<()> {
        match self.broken {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, kind: io::ErrorKind) -> io::Error {
        self.broken = Some(kind);
        kind.into()
    }
}

impl Wrapped for Chained {
    fn send(&mut self, buffers: &Rc<BufferPool>, mut data: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.unsettled += data.len();
        while !data.is_empty() {
            let length = data.len().min(SCRATCH_LEN);
            let mut input = data.split_off_mut(..length).unwrap_or_default();
            loop {
                let mut pieces = heapless::Vec::<Repacked<'_>, PIECES>::new();
                while !pieces.is_full() {
                    let Some(piece) = self.next_piece(&mut input)? else {
                        break;
                    };
                    // It is not full.
                    let _ = pieces.push(piece);
                }
                if pieces.is_empty() {
                    break;
                }
                self.write(buffers, &pieces)?;
            }
        }
        Ok(self.settle())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        self.check()?;
        if let Some(pending) = &mut self.pending {
            while !pending.is_empty() && self.socket.poll_writable(cx).is_ready() {
                pending.write_to(&self.socket)?;
            }
        }
        Ok(self.settle())
    }

    fn is_flushed(&self) -> bool {
        self.is_empty() && self.broken.is_none()
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(self.give_rest(most, take)));
        }
        for _ in 0..READS_PER_TURN {
            self.check()?;
            let end = HEADROOM.saturating_add(most).min(space.len());
            let room = space.get_mut(HEADROOM..end).unwrap_or_default();
            let length = ready!(self.socket.poll_read(cx, room))?;
            if length == 0 {
                return Poll::Ready(Ok(0));
            }
            let came = space.get_mut(..HEADROOM + length).unwrap_or_default();
            match self.open(came) {
                Ok([]) => {}
                Ok(opened) => {
                    let (now, later) = opened.split_at_mut(most.min(opened.len()));
                    take(now);
                    // No more than what was kept before this read.
                    self.rest.extend(later.iter().copied());
                    return Poll::Ready(Ok(now.len()));
                }
                Err(fault) => {
                    let peer = self.socket.peer_address();
                    let peer = peer.map_or_else(|error| error.to_string(), |peer| peer.to_string());
                    match fault {
                        Fault::Record(error) => debug!("next proxy {peer}: {error}"),
                        Fault::Packet(error) => debug!("next proxy {peer}: {error}"),
                    }
                    return Poll::Ready(Err(self.fail(io::ErrorKind::InvalidData)));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn hibernate(&mut self) {
        self.to_proxy.hibernate();
        self.from_proxy.hibernate();
        self.to_client.hibernate();
        self.pending.take_if(|rope| rope.is_empty());
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.rest.len()
    }
}

/// Why what comes makes no sense.
enum Fault {
    Record(RecordError),
    Packet(PaddedError),
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<PaddedError> for Fault {
    fn from(error: PaddedError) -> Self {
        Self::Packet(error)
    }
}

type RecordHeads = heapless::Vec<(RecordHead, usize), MAX_RECORDS>;

/// What stands before each record of `total` bytes, at most a [`BATCH`], and how long it
/// is.
fn record_heads(mut total: usize, is_first: bool) -> RecordHeads {
    let mut heads = RecordHeads::new();
    let mut before = if is_first {
        &CHANGE_CIPHER_SPEC[..]
    } else {
        &[]
    };
    while total > 0 {
        let length = total.min(RECORD_TO_PROXY);
        let head = before.iter().copied().chain(record_header(length));
        let pushed = heads.push((head.collect(), length));
        debug_assert!(pushed.is_ok(), "a write of more than {MAX_RECORDS} records");
        before = &[];
        total -= length;
    }
    heads
}

/// The parts, cut into these records if there are some.
fn wrap<'a>(parts: impl Iterator<Item = &'a [u8]>, heads: Option<&'a RecordHeads>) -> Slices<'a> {
    let mut slices = Slices::new();
    let mut push = |slice: &'a [u8]| {
        let pushed = slices.push(IoSlice::new(slice));
        debug_assert!(pushed.is_ok(), "a write of too many slices");
    };
    let mut left = if heads.is_some() { 0 } else { usize::MAX };
    let mut heads = heads.into_iter().flatten();
    for mut part in parts {
        while !part.is_empty() {
            if left == 0 {
                let Some((head, length)) = heads.next() else {
                    break;
                };
                push(head);
                left = *length;
            }
            let (piece, rest) = part.split_at(left.min(part.len()));
            push(piece);
            left -= piece.len();
            part = rest;
        }
    }
    slices
}

#[cfg(test)]
mod tests;
