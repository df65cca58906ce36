//! The seam between clients and Telegram.
//!
//! The client side opens a session through a [`Backend`] and knows nothing of
//! what is behind it: the pools of this process, or a link to another machine.
//! Data flows one way through two small interfaces: from the client into a
//! [`Stream`], from Telegram into the client's [`Sink`].

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use smol_mtproxy_ciphers::StreamKey;

use crate::connection::OnTrial;
use crate::net::Rope;
use crate::wire::dc::DcId;
#[cfg(feature = "tls")]
use crate::wire::obfuscated2::KeyOrigin;
use crate::wire::secret::AdTag;

use crate::wire::transport::Transport;

/// How a session reaches its DC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Packets through a shared connection to a middle proxy.
    Middle,
    /// One obfuscated connection to the DC for this client alone.
    Direct,
}

/// What a client wants of Telegram, known once its handshake is done.
#[derive(Clone)]
pub(crate) struct SessionRequest {
    pub(crate) route: Route,
    /// The client may take another route. So if this one is out of reach now, it is told
    /// at once; for a client without another the backend tries again.
    pub(crate) has_other_route: bool,
    pub(crate) dc: DcId,
    /// The client's own address, which middle proxies are told.
    pub(crate) client: SocketAddr,
    /// Our address that the client connected to.
    pub(crate) local: SocketAddr,
    pub(crate) tag: Option<AdTag>,
    pub(crate) transport: Transport,
    /// Key of the proxy → client stream. A direct session makes the DC encrypt
    /// with it (`doc/protocol.md` §2, fast direct mode).
    pub(crate) to_client: StreamKey,
    /// What that key was made of; `None` where it is not known.
    #[cfg(feature = "tls")]
    pub(crate) made_of: Option<Rc<KeyOrigin>>,
}

/// Opens sessions. One implementation per place where Telegram is reached from.
pub(crate) trait Backend {
    /// Opens a session whose data from Telegram goes to `sink`. May wait for a
    /// connection; dropping the future gives the session up.
    fn open(&self, request: SessionRequest, sink: Rc<dyn Sink>) -> PendingSession<'_>;

    /// Whether middle proxies are reached at all; that may change with the config.
    fn has_middle(&self) -> bool {
        true
    }

    /// Whether this beginning of a client's connection, by what makes it the same one when
    /// it comes again, went out from here: its way to Telegram would be a circle.
    fn is_own(&self, _replay_id: &[u8]) -> bool {
        false
    }
}

pub(crate) type PendingSession<'a> = Pin<Box<dyn Future<Output = Result<Session, OpenError>> + 'a>>;

/// An open session; dropping it closes it on Telegram's side.
pub(crate) enum Session {
    /// Whole packets each way (middle): the client side unframes and frames.
    Packets(Box<dyn Stream>),
    /// Bytes each way (direct, through a link): what the client decrypts goes
    /// out as it is, what comes back is already encrypted for the client.
    Bytes(Box<dyn Stream>),
    /// The DC's connection itself (direct): the client side relays, with
    /// splice(2) where it can.
    Line(OnTrial),
}

/// From the client to Telegram.
pub(crate) trait Stream {
    /// Ready when one more [`push`](Self::push) is welcome. The client is not
    /// read while this is pending.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Hands on one packet (or any bytes of a byte stream). It is taken
    /// whether or not the stream is ready: ask before reading from the client.
    fn push(&self, packet: Packet<'_>);

    /// The sink that took less than it was offered has room again.
    fn resume(&self);
}

/// One packet of a client, without its transport framing; its length is a
/// multiple of 4.
pub(crate) struct Packet<'a> {
    /// The client asked for a quick acknowledgement.
    pub(crate) quick_ack: bool,
    pub(crate) body: Body<'a>,
}

pub(crate) enum Body<'a> {
    /// In the shared read buffer: the taker copies what it keeps.
    Slice(&'a [u8]),
    /// Collected in chunks: the taker keeps the chunks.
    Rope(Rope),
}

/// From Telegram to one client. No method waits or calls back into the stream.
pub(crate) trait Sink {
    /// A packet of `len` payload bytes starts (packet sessions only).
    fn begin_packet(&self, len: usize);

    /// Offers the next bytes, which may be changed in place; returns how many
    /// were taken. The sink writes at once what its socket takes and keeps at
    /// most `allowance` bytes in all. When it takes less than offered it calls
    /// [`Stream::resume`] as soon as it has room again; until then the rest
    /// stays with the caller.
    fn offer(&self, data: &mut [u8], allowance: usize) -> usize;

    /// The packet is complete (packet sessions only).
    fn end_packet(&self);

    /// Telegram's token for a packet that asked for a quick acknowledgement.
    fn quick_ack(&self, token: [u8; 4]);

    /// Bytes taken that the client's kernel socket has not accepted yet.
    fn undelivered(&self) -> usize;

    /// How the client takes what it is sent. Asks the kernel once more, which by itself
    /// tells of room only when a third of what it holds for the client is gone.
    fn taking(&self) -> Taking;

    /// The session is over; nothing follows.
    fn end(&self, end: SessionEnd);
}

/// How a client takes what it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taking {
    /// When it last took a byte, or had nothing left to take.
    pub(crate) last: Instant,
    /// How late we may learn of it.
    pub(crate) lag: Duration,
    /// No more is taken for lack of buffers, not because of the client.
    pub(crate) starved: bool,
}

/// Why Telegram's side ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// Telegram closed this client (RPC_CLOSE_EXT).
    ClosedByTelegram,
    /// The connection died with this client's packet partly or just written:
    /// whether Telegram has it cannot be known, so the client must resend.
    MidSend,
    /// The connection died in the middle of an answer to this client.
    MidAnswer,
    /// The connection died and no other could be had.
    NoConnection,
    /// The client took its data too slowly while others waited behind it.
    TooSlow,
    /// The link to the back is gone.
    LinkLost,
    /// The proxy is shutting down.
    Shutdown,
}

/// Why no session could be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// No middle proxy of this DC can be reached now.
    MiddleUnavailable,
    /// No address of this DC can be reached directly now.
    DirectUnavailable,
    /// The DC number is not one that a direct connection can go to.
    UnknownDc,
    /// There is no link to a back now.
    NoLink,
    /// The proxy is shutting down.
    Shutdown,
}
