use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use smol_mtproxy_ciphers::{CtrStream, StreamKey};
use tinyvec::TinyVec;

use super::ClientContext;
use super::records::{PAUSE, RecordHeaders, RecordLengths, Slices, unwrapped};
use crate::backend::{SessionEnd, Sink};
use crate::config::{RecordSizes, Reset, ServerErrors};
use crate::guard::gate::Pass;
use crate::guard::limits::Account;
use crate::metrics::CloseReason;
use crate::net::{CHUNK_LEN, Rope, SCRATCH_LEN, Socket, fill_random};
use crate::wire::transport::Transport;

/// What all clients together may keep beyond the buffer pool's limit, so that
/// one that takes its data is served even while others hold all buffers.
const OVERDRAFT: usize = 16 * CHUNK_LEN;

/// Bytes of --buffers for each client whose keys may stay expanded, which takes
/// about 2 KiB more: 256 clients with 1 MiB. What a burst of clients leaves
/// behind in the heap is not given back to the system.
const BUFFERS_PER_AWAKE: usize = 4096;

/// Quick acknowledgements kept back behind an unfinished packet; a client can
/// do without those beyond.
const MAX_ACKS: usize = 64;

/// Telegram's error −404, a whole payload (`doc/protocol.md` §7): whoever gets
/// it has sent what no client sends.
const NOT_FOUND: [u8; 4] = (-404_i32).to_le_bytes();

/// Everything that goes to one client: frames it, encrypts it and writes it at
/// once, keeping only what the kernel does not take.
///
/// The client's task owns it together with the backend, which feeds it.
pub(super) struct ClientOut {
    pub context: Rc<ClientContext>,
    pub socket: Socket,
    /// What its bytes are booked on.
    pub account: Option<Rc<Account>>,
    /// Until it is closed.
    pass: Cell<Option<Pass>>,
    /// Its secret lets it stay no longer.
    revoked: Cell<Option<CloseReason>>,
    last_write: Cell<Instant>,
    /// Without expanded keys since the client went quiet.
    asleep: Cell<bool>,
    state: RefCell<State>,
}

struct State {
    transport: Transport,
    /// The lengths of the records that all goes in; `None`: no records.
    records: Option<RecordLengths>,
    /// `None` when the bytes come encrypted for the client.
    cipher: Option<CtrStream>,
    /// Encrypted and framed, refused by the kernel so far.
    queue: Rope,
    packet: PacketProgress,
    filter: ServerErrors,
    /// A packet as long as an error, until it is known whether it is one.
    suspect: Option<heapless::Vec<u8, 4, u8>>,
    /// Rarely more than a few at a time.
    acks: TinyVec<[[u8; 4]; 4]>,
    /// The backend was refused something and waits until the queue is this
    /// short.
    resume_at: Option<usize>,
    broken: bool,
    end: Option<SessionEnd>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct PacketProgress {
    /// The header, until it is written with the first bytes of the payload.
    header: heapless::Vec<u8, 4>,
    payload_left: usize,
    padding: heapless::Vec<u8, 3>,
}

impl PacketProgress {
    fn is_done(&self) -> bool {
        self.payload_left == 0 && self.header.is_empty()
    }
}

impl ClientOut {
    pub fn new(
        context: &Rc<ClientContext>,
        socket: Socket,
        transport: Transport,
        wrapped_in_records: bool,
        pass: Pass,
    ) -> Rc<Self> {
        let records = match context.limits.get().records {
            RecordSizes::Full => RecordLengths::FULL,
            RecordSizes::Auto => {
                let mut random = [0];
                fill_random(&mut random);
                RecordLengths::growing(random[0])
            }
        };
        let out = Self {
            account: pass.account(),
            pass: Cell::new(Some(pass)),
            revoked: Cell::new(None),
            last_write: Cell::new(context.reactor.now()),
            context: context.clone(),
            socket,
            asleep: Cell::new(true),
            state: RefCell::new(State {
                transport,
                records: wrapped_in_records.then_some(records),
                cipher: None,
                queue: Rope::default(),
                packet: PacketProgress::default(),
                filter: context.limits.get().filter_server_errors,
                suspect: None,
                acks: TinyVec::new(),
                resume_at: None,
                broken: false,
                end: None,
                waker: None,
            }),
        };
        out.wake_up();
        Rc::new(out)
    }

    /// From here on packets are framed and encrypted with `key`; without it
    /// bytes pass as they come.
    pub fn encrypt_with(&self, key: Option<StreamKey>) {
        self.state.borrow_mut().cipher = key.map(CtrStream::new);
    }

    pub fn is_wrapped_in_records(&self) -> bool {
        self.state.borrow().records.is_some()
    }

    /// Hangs up and gives up its place at once, even if the backend holds on to
    /// its sink for a while.
    pub fn close(&self) {
        self.pass.take();
        let mut state = self.state.borrow_mut();
        state.broken = true;
        state.queue.clear();
        state.waker = None;
        // It fails if the client was faster.
        let _ = match self.context.limits.get().reset {
            Reset::Always => self.socket.reset(),
            _ => self.socket.shutdown(),
        };
    }

    /// Makes the client's task end it.
    pub fn revoke(&self, reason: CloseReason) {
        self.revoked.set(Some(reason));
        self.fail(&mut self.state.borrow_mut());
    }

    pub fn revoked(&self) -> Option<CloseReason> {
        self.revoked.get()
    }

    /// Books bytes that went either way on the secret's account.
    pub fn spend(&self, length: usize) {
        if let Some(account) = self.metered() {
            let now = self.context.reactor.now();
            account.spend(length as u64, self.context.gate.clock(now));
            if account.is_used_up() {
                // The client's task sees it when it runs next, at the latest
                // when `Sessions` look.
                self.revoked.set(Some(CloseReason::QuotaUsed));
            }
        }
    }

    /// Until when nothing is to be read from either side, to keep to the
    /// secret's rate.
    pub fn paused_until(&self) -> Option<Instant> {
        let account = self.metered()?;
        let now = self.context.reactor.now();
        let pause = account.pause(self.context.gate.clock(now));
        now.checked_add(pause).filter(|_| !pause.is_zero())
    }

    /// Bytes to read at once, so that a low rate does not come in lumps.
    pub fn read_limit(&self) -> usize {
        let rate = self.metered().and_then(|account| account.rate());
        let part = rate.and_then(|rate| usize::try_from(rate / 8).ok());
        part.map_or(usize::MAX, |part| part.max(CHUNK_LEN))
    }

    fn metered(&self) -> Option<&Account> {
        let account = self.account.as_deref()?;
        account.is_metered().then_some(account)
    }

    /// Remembers whom to wake when there is something to do.
    pub fn park(&self, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        match &state.waker {
            Some(parked) if parked.will_wake(waker) => {}
            _ => state.waker = Some(waker.clone()),
        }
    }

    /// Ready when nothing is queued, or with the reason to close.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let mut state = self.state.borrow_mut();
        loop {
            if state.broken {
                return Poll::Ready(Err(CloseReason::ClientBroken));
            }
            if state.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.socket.poll_writable(cx));
            match state.queue.write_to(&self.socket) {
                Ok(0) => {}
                Ok(written) => self.wrote(written),
                Err(_) => self.fail(&mut state),
            }
        }
    }

    /// The backend was refused something and there is room again.
    pub fn take_resume(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let queued = state.queue.len();
        let resumed = state
            .resume_at
            .take_if(|limit| queued <= *limit && self.has_room());
        resumed.is_some()
    }

    /// The backend waits for buffers that others hold.
    pub fn is_starved(&self) -> bool {
        let state = self.state.borrow();
        state.resume_at.is_some() && state.queue.is_empty()
    }

    pub fn session_end(&self) -> Option<SessionEnd> {
        self.state.borrow().end
    }

    pub fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    /// The kernel took `length` bytes for the client.
    pub fn wrote(&self, length: usize) {
        self.last_write.set(self.context.reactor.now());
        self.context.metrics.client_bytes_out.add(length as u64);
        self.spend(length);
    }

    pub fn is_asleep(&self) -> bool {
        self.asleep.get()
    }

    /// Its keys are expanded from here on. Whether it was asleep.
    pub fn wake_up(&self) -> bool {
        let was_asleep = self.asleep.replace(false);
        if was_asleep {
            let awake = &self.context.awake;
            awake.set(awake.get() + 1);
        }
        was_asleep
    }

    fn fall_asleep(&self) {
        if !self.asleep.replace(true) {
            let awake = &self.context.awake;
            awake.set(awake.get() - 1);
        }
    }

    /// More clients have expanded keys than the memory for buffers allows.
    pub fn is_awake_in_a_crowd(&self) -> bool {
        let allowed = self.context.buffers.total_bytes() / BUFFERS_PER_AWAKE;
        !self.asleep.get() && self.context.awake.get() > allowed
    }

    /// Drops what can be computed again at the next byte.
    pub fn hibernate(&self) {
        self.fall_asleep();
        if let Some(cipher) = &mut self.state.borrow_mut().cipher {
            cipher.hibernate();
        }
    }

    /// Buffers for more are to be had.
    pub fn has_room(&self) -> bool {
        let buffers = &self.context.buffers;
        buffers.free_bytes() > 0 || buffers.used_bytes() < buffers.total_bytes() + OVERDRAFT
    }

    /// How much can be taken now if the kernel should take nothing of it.
    fn room(&self, state: &State, allowance: usize) -> usize {
        let room = allowance.min(self.context.buffers.free_bytes());
        if !state.queue.is_empty() || !self.socket.is_writable() {
            room.saturating_sub(state.queue.len())
        } else if self.has_room() {
            room.max(CHUNK_LEN)
        } else {
            room
        }
    }

    /// Sends a piece of a packet, with its header and padding where they
    /// belong.
    fn send_payload(&self, state: &mut State, payload: &mut [u8]) {
        let packet = &mut state.packet;
        let mut header = mem::take(&mut packet.header);
        packet.payload_left = packet.payload_left.saturating_sub(payload.len());
        let mut padding = heapless::Vec::new();
        if packet.payload_left == 0 {
            padding = mem::take(&mut packet.padding);
        }
        if let Some(cipher) = &mut state.cipher {
            cipher.apply(&mut header);
            cipher.apply(payload);
            cipher.apply(&mut padding);
        }
        self.write(state, [&header, payload, &padding]);
    }

    /// Writes what is ready for the wire except for records.
    fn write(&self, state: &mut State, parts: [&[u8]; 3]) {
        if let Some(lengths) = &mut state.records {
            let now = self.context.reactor.now();
            if now.duration_since(self.last_write.get()) >= PAUSE {
                lengths.restart();
            }
            let total = parts.iter().map(|part| part.len()).sum();
            let headers = RecordHeaders::new(total, lengths);
            self.write_slices(state, &headers.wrap(parts));
        } else {
            self.write_slices(state, &unwrapped(parts));
        }
    }

    fn write_slices(&self, state: &mut State, slices: &Slices<'_>) {
        let was_empty = state.queue.is_empty();
        let mut written = 0;
        if was_empty {
            let result = match slices.as_slice() {
                [only] => self.socket.try_write(only),
                several => self.socket.try_write_vectored(several),
            };
            match result {
                Ok(length) => written = length,
                Err(_) => return self.fail(state),
            }
            self.wrote(written);
        }
        for slice in slices {
            let skipped = written.min(slice.len());
            written -= skipped;
            if let Some(rest) = slice.get(skipped..) {
                state.queue.append_overdrawn(&self.context.buffers, rest);
            }
        }
        let is_stuck = was_empty && !state.queue.is_empty();
        if self.wake_up() || is_stuck {
            state.wake();
        }
    }

    /// Keeps bytes of a packet that may be a server's error; how many.
    fn withhold(&self, state: &mut State, data: &[u8]) -> usize {
        let Some(suspect) = &mut state.suspect else {
            return 0;
        };
        let missing = suspect.capacity() - suspect.len();
        let taken = data.get(..missing).unwrap_or(data);
        suspect.extend(taken.iter().copied());
        if suspect.is_full()
            && let Some(mut bytes) = state.suspect.take()
        {
            if *bytes == NOT_FOUND {
                state.packet = PacketProgress::default();
                self.context.metrics.server_errors_filtered.inc();
            } else {
                self.send_payload(state, &mut bytes);
            }
        }
        taken.len()
    }

    fn fail(&self, state: &mut State) {
        state.broken = true;
        state.queue.clear();
        state.wake();
    }

    fn send_ack(&self, state: &mut State, token: [u8; 4]) {
        let mut ack = state.transport.quick_ack(token);
        if let Some(cipher) = &mut state.cipher {
            cipher.apply(&mut ack);
        }
        self.write(state, [&ack, &[], &[]]);
        self.context.metrics.quick_acks.inc();
    }
}

impl Drop for ClientOut {
    fn drop(&mut self) {
        self.fall_asleep();
    }
}

impl State {
    /// Nothing more will reach this client.
    fn is_over(&self) -> bool {
        self.broken || self.end.is_some()
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Sink for ClientOut {
    fn begin_packet(&self, len: usize) {
        let mut state = self.state.borrow_mut();
        let padding = match state.transport {
            Transport::Padded => self.context.padding.next(),
            Transport::Abridged | Transport::Intermediate => heapless::Vec::new(),
        };
        self.context.metrics.client_packets_out.inc();
        let is_suspect = state.filter != ServerErrors::Deliver && len == NOT_FOUND.len();
        state.suspect = is_suspect.then(heapless::Vec::new);
        if state.filter == ServerErrors::FilterFirst {
            state.filter = ServerErrors::Deliver;
        }
        state.packet = PacketProgress {
            header: state.transport.write_header(len, padding.len()),
            payload_left: len,
            padding,
        };
    }

    fn offer(&self, data: &mut [u8], allowance: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let mut taken = self.withhold(&mut state, data);
        while let Some((_, rest)) = data.split_at_mut_checked(taken)
            && !rest.is_empty()
        {
            if state.is_over() {
                return data.len();
            }
            let length = rest
                .len()
                .min(self.room(&state, allowance))
                .min(SCRATCH_LEN);
            if length == 0 {
                state.resume_at = Some(state.queue.len() / 2);
                state.wake();
                break;
            }
            let piece = rest.get_mut(..length).unwrap_or_default();
            self.send_payload(&mut state, piece);
            taken += length;
        }
        taken
    }

    fn end_packet(&self) {
        let mut state = self.state.borrow_mut();
        if state.is_over() {
            return;
        }
        if !state.packet.is_done() {
            self.send_payload(&mut state, &mut []);
        }
        for token in mem::take(&mut state.acks) {
            self.send_ack(&mut state, token);
        }
    }

    fn quick_ack(&self, token: [u8; 4]) {
        let mut state = self.state.borrow_mut();
        if state.is_over() {
        } else if state.packet.is_done() {
            self.send_ack(&mut state, token);
        } else if state.acks.len() < MAX_ACKS {
            state.acks.push(token);
        }
    }

    fn undelivered(&self) -> usize {
        self.state.borrow().queue.len()
    }

    fn end(&self, end: SessionEnd) {
        let mut state = self.state.borrow_mut();
        state.end.get_or_insert(end);
        state.wake();
    }
}
