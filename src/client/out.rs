//! What goes to a client, by whichever way it comes.
//!
//! | File | What |
//! |---|---|
//! | `sink` | what Telegram's side calls: framing, encrypting |
//! | `acks` | quick acknowledgements |
//! | `write` | records, writing, what waits for either |
//! | `tail` | how much waits so that no record is too short |
//! | `last` | what comes before we hang up |
//! | `metering` | the quota and rate of its secret |
//! | `sleep` | keys that the silent do without |

mod acks;
mod last;
mod metering;
mod sink;
mod sleep;
mod tail;
mod write;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use smol_mtproxy_ciphers::{CtrStream, StreamKey};
use tinyvec::TinyVec;

use super::ClientContext;
use super::ends::is_ours;
use super::records::RecordLengths;
use crate::backend::SessionEnd;
use crate::config::{Reset, ServerErrors};
use crate::connection::ClientEnd;
use crate::guard::gate::Pass;
use crate::guard::limits::{SecretAccount, Turn};
use crate::metrics::CloseReason;
use crate::net::{CHUNK_LEN, Rope};
use crate::wire::frames::Frames;
use crate::wire::transport::Transport;
use tail::Held;

/// What all clients together may keep beyond the buffer pool's limit, so that
/// one that takes its data is served even while others hold all buffers.
const OVERDRAFT: usize = 16 * CHUNK_LEN;

/// Everything that goes to one client: frames it, encrypts it and writes it at
/// once, keeping only what the kernel does not take.
///
/// The client's task owns it together with the backend, which feeds it.
pub(super) struct ClientOut {
    pub(crate) context: Rc<ClientContext>,
    pub(crate) end: ClientEnd,
    /// What its bytes are booked on.
    pub(crate) account: Option<Rc<SecretAccount>>,
    turn: Turn,
    /// Until it is closed.
    pass: Cell<Option<Pass>>,
    /// Its secret lets it stay no longer.
    revoked: Cell<Option<CloseReason>>,
    last_write: Cell<Instant>,
    /// Or when it was the client's turn again to say something.
    pub(crate) last_read: Cell<Instant>,
    /// That went either way.
    #[cfg(feature = "ctl")]
    pub(crate) bytes: Cell<u64>,
    /// Another one wants its place, and its client has not said yet that it is there.
    pub(crate) is_asked: Cell<bool>,
    /// Without expanded keys since the client went quiet.
    asleep: Cell<bool>,
    state: RefCell<State>,
}

struct State {
    transport: Transport,
    /// The lengths of the records that all goes in; `None`: no records.
    records: Option<RecordLengths>,
    content: Content,
    /// Encrypted and framed, refused by the kernel so far.
    queue: Rope,
    /// Encrypted, kept back for the next record. In a box: most of the time there
    /// is nothing.
    held: Option<Box<Held>>,
    packet: PacketProgress,
    filter: ServerErrors,
    suspect: Option<Suspect>,
    /// Quick-acks that wait. In a box: most of the time there are none.
    acks: Option<Box<Acks>>,
    /// The backend was refused something and waits until the queue is this
    /// short.
    resume_at: Option<u32>,
    broken: bool,
    /// Bytes of a record, or of the stream, got lost: nothing can follow them.
    torn: bool,
    end: Option<SessionEnd>,
    waker: Option<Waker>,
}

/// What the bytes for the client are when they come.
enum Content {
    /// Encrypted for the client.
    Sealed,
    /// The same, for a client in records: where its packets end is read.
    Followed(CtrStream, Frames),
    /// Packets, encrypted here.
    Packets(CtrStream),
}

/// Quick-acks that wait: for the end of an unfinished packet, or between two packets
/// for the records of the next one.
#[derive(Default)]
struct Acks {
    /// Rarely more than a few.
    tokens: TinyVec<[[u8; 4]; 4]>,
    /// Since when they have been between packets.
    since: Option<Instant>,
}

/// A packet as long as an error, until it is known whether it is one.
struct Suspect {
    bytes: heapless::Vec<u8, 4, u8>,
    /// Then it is not delivered.
    is_filtered: bool,
}

#[derive(Default)]
struct PacketProgress {
    /// The header, until it is written with the first bytes of the payload.
    header: heapless::Vec<u8, 4, u8>,
    payload_left: usize,
    padding: heapless::Vec<u8, 3, u8>,
}

impl PacketProgress {
    fn is_done(&self) -> bool {
        self.payload_left == 0 && self.header.is_empty()
    }

    /// Bytes that are still to be written.
    fn to_come(&self) -> usize {
        self.header.len() + self.payload_left + self.padding.len()
    }
}

impl ClientOut {
    pub(crate) fn new(
        context: &Rc<ClientContext>,
        end: ClientEnd,
        transport: Transport,
        records: Option<RecordLengths>,
        pass: Pass,
    ) -> Rc<Self> {
        let account = pass.account();
        let out = Self {
            turn: account.as_ref().map(|one| one.turn()).unwrap_or_default(),
            account,
            pass: Cell::new(Some(pass)),
            revoked: Cell::new(None),
            last_write: Cell::new(context.reactor.now()),
            last_read: Cell::new(context.reactor.now()),
            #[cfg(feature = "ctl")]
            bytes: Cell::new(0),
            is_asked: Cell::new(false),
            context: context.clone(),
            end,
            asleep: Cell::new(true),
            state: RefCell::new(State {
                transport,
                records,
                content: Content::Sealed,
                queue: Rope::default(),
                held: None,
                packet: PacketProgress::default(),
                filter: context.config.with(|config| config.filter_server_errors),
                suspect: None,
                acks: None,
                resume_at: None,
                broken: false,
                torn: false,
                end: None,
                waker: None,
            }),
        };
        out.wake_up();
        Rc::new(out)
    }

    /// What comes from here on is packets, framed and encrypted with `key`, or
    /// `is_encrypted` with it already.
    pub(crate) fn expect(&self, key: &StreamKey, is_encrypted: bool) {
        let mut state = self.state.borrow_mut();
        let cipher = || CtrStream::new(key.clone());
        state.content = match (is_encrypted, &state.records) {
            (false, _) => Content::Packets(cipher()),
            (true, Some(_)) => Content::Followed(cipher(), Frames::default()),
            (true, None) => Content::Sealed,
        };
    }

    pub(crate) fn is_wrapped_in_records(&self) -> bool {
        self.state.borrow().records.is_some()
    }

    /// Hangs up and gives up its place at once, even if the backend holds on to
    /// its sink for a while.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.pass.take();
        let mut state = self.state.borrow_mut();
        let is_reset = self.context.config.with(|config| config.reset) == Reset::Always;
        if is_ours(reason) && !is_reset {
            self.say_last(&mut state);
        }
        state.broken = true;
        state.queue.clear();
        state.held = None;
        state.waker = None;
        match is_reset {
            true => self.end.reset(),
            false => self.end.close(),
        }
    }

    /// Its client's connection is closed, or broken.
    pub(crate) fn is_over(&self) -> bool {
        self.state.borrow().broken
    }

    /// Remembers whom to wake when there is something to do.
    pub(crate) fn park(&self, waker: &Waker) {
        let mut state = self.state.borrow_mut();
        match &state.waker {
            Some(parked) if parked.will_wake(waker) => {}
            _ => state.waker = Some(waker.clone()),
        }
    }

    /// Ready when nothing is queued, or with the reason to close. Asks the
    /// kernel each time, as [`Sink::taking`](crate::backend::Sink::taking) does.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let mut state = self.state.borrow_mut();
        if !state.queue.is_empty() {
            self.end.expect_writable();
        }
        loop {
            if let Some(reason) = self.revoked() {
                return Poll::Ready(Err(reason));
            }
            if state.broken {
                return Poll::Ready(Err(CloseReason::ClientBroken));
            }
            if state.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.end.poll_writable(cx));
            match state.queue.write_once(&self.end) {
                Ok(0) => {}
                Ok(written) => self.wrote(written),
                Err(_) => self.fail(&mut state),
            }
        }
    }

    /// The backend was refused something and there is room again.
    pub(crate) fn take_resume(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let queued = state.queue.len();
        let resumed = state
            .resume_at
            .take_if(|limit| queued <= *limit as usize && self.has_room());
        resumed.is_some()
    }

    /// The backend waits for buffers that others hold.
    pub(crate) fn is_starved(&self) -> bool {
        let state = self.state.borrow();
        state.resume_at.is_some() && state.queue.is_empty()
    }

    pub(crate) fn session_end(&self) -> Option<SessionEnd> {
        self.state.borrow().end
    }

    pub(crate) fn last_write(&self) -> Instant {
        self.last_write.get()
    }

    /// The kernel took `length` bytes for the client.
    pub(crate) fn wrote(&self, length: usize) {
        self.last_write.set(self.context.reactor.now());
        self.context.metrics.client_bytes_out.add(length as u64);
        self.spend(length);
    }

    /// When what is held goes, should nothing follow.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.state.borrow().held.as_ref()?.until
    }

    /// Buffers for more are to be had.
    pub(crate) fn has_room(&self) -> bool {
        let buffers = &self.context.buffers;
        buffers.free_bytes() > 0 || buffers.used_bytes() < buffers.total_bytes() + OVERDRAFT
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
