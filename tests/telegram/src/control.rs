//! How the fake Telegram misbehaves on request.

use std::time::Duration;

/// How a connection is ended from Telegram's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// FIN; what still arrives is read and forgotten.
    Fin,
    /// FIN, then RST to whatever still arrives.
    Drop,
    /// RST at once.
    Reset,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Checksum,
    Sequence,
    /// A length over 16 MiB.
    Length,
}

/// What happens to a new connection to a middle proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    #[default]
    Normal,
    /// Nobody listens.
    Refuse,
    /// Closed at once.
    Drop,
    /// Accepted, and not a byte ever comes.
    Silent,
    /// The nonce is answered, the handshake never.
    SilentAfterNonce,
    /// The handshake is answered with RPC_HANDSHAKE_ERROR and this code.
    HandshakeError(i32),
    /// Closed as soon as the handshake is done.
    DropAfterHandshake,
}

/// When the connection is cut because of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Part of a request (of more than 256 bytes) has arrived.
    MidRequest(Close),
    /// A request has arrived and is not going to be answered.
    AfterRequest(Close),
    /// Half of an answer's frame has been sent.
    MidAnswer(Close),
}

/// The manners of one DC, to be changed at any time.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    pub accept: Accept,
    /// Nothing is read from the proxy.
    pub stop_reading: bool,
    /// Requests are read, answers never come. Pings are answered.
    pub mute: bool,
    /// Pings are not answered.
    pub ignore_pings: bool,
    /// Sends RPC_PING this often on connections made from now on.
    pub ping_every: Option<Duration>,
    /// Seconds by which the DC's clock is wrong.
    pub clock_skew: i64,
    /// CRC32C is not agreed to, even if offered.
    pub refuse_crc32c: bool,
    /// A nonce frame of 48 bytes: with a word of padding.
    pub pad_nonce: bool,
    /// Applied to the next request or answer, once.
    pub cut: Option<Cut>,
    /// Applied to the next answer, once.
    pub damage: Option<Damage>,
    /// Direct DCs: accepted connections are never answered nor closed.
    pub direct_silent: bool,
    /// Direct DCs: a connection that has had so many bytes never has another, and
    /// is read on.
    pub direct_starves_after: Option<usize>,
    /// Direct DCs: nobody listens.
    pub direct_refuse: bool,
}

/// What the HTTP server does with a request for the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Http {
    #[default]
    Normal,
    /// The connection is closed without an answer.
    Down,
    /// Not a byte is answered.
    Silent,
    /// One byte of the answer at a time, with this pause.
    Slow(Duration),
    /// This status with a short page.
    Status(u16),
    /// An HTML page with status 200, as captive portals send it.
    Portal,
    /// Random bytes with status 200, as long as the real answer.
    Garbage,
    /// The answer ends in its middle, against its own Content-Length.
    Truncated,
    /// The lists as ever, with a `Date` so many seconds off the present.
    Dated(i64),
    /// An empty body.
    Empty,
    /// The lists are replaced by this text; the secret is as ever.
    Config(String),
}
