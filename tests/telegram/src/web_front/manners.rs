//! How a web front misbehaves on request.

use std::time::Duration;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// TCP is there, and not a byte was read.
    Accepted,
    /// The client's hello has come, and nothing was answered.
    Hello,
    /// TLS is there.
    Shaken,
    /// The request has come, and nothing was answered.
    Requested,
    /// Half of the answer's head was sent.
    MidAnswer,
    /// The 101 was sent.
    Upgraded,
    /// The stream's header has come.
    Opened,
    /// Half of the first frame with bytes of the DC was sent.
    MidFrame,
}

/// What becomes of a connection then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    Reset,
    /// FIN, without a word in TLS or WebSocket.
    End,
    /// It is read on and never answered.
    Silent,
}

/// What the certificate has that it should not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    #[default]
    Good,
    /// It is that of another site.
    WrongName,
    Expired,
    /// Nobody knows its authority.
    Stranger,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    #[default]
    Both,
    Only12,
    Only13,
}

/// What an answer to a request for WebSocket says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    #[default]
    Upgrade,
    /// This status, with a `Location` if it is one of those, and a page.
    Status(u16),
    /// A 101 to another key.
    WrongAccept,
    /// A 101 without that proof.
    NoAccept,
    /// A 101 that does not tell of a sub-protocol.
    NoProtocol,
    /// A head without an end, a mebibyte of it.
    Endless,
    /// No HTTP at all.
    Nonsense,
}

/// How what the DC says becomes frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A message of what is there, at most so long.
    UpTo(usize),
    /// Messages of so many frames (0: one message without an end), each at most so
    /// long.
    Fragments { size: usize, count: usize },
    /// Frames of exactly so many bytes, which come when the DC says them.
    Exactly(u64),
}

/// How many bytes a frame's length takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Width {
    #[default]
    Minimal,
    Two,
    Eight,
}

#[derive(Clone, Debug)]
pub struct Frames {
    pub cut: Cut,
    /// The opcode of messages: 2; 1 is text.
    pub opcode: u8,
    /// A ping behind every frame, inside of messages too, and an answer to none
    /// behind every other.
    pub pings: bool,
    /// An empty frame before every frame.
    pub empties: bool,
    pub width: Width,
    pub masked: bool,
    /// RSV1 to RSV3 as the bits 4, 2, 1.
    pub reserved: u8,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            cut: Cut::UpTo(64 << 10),
            opcode: 2,
            pings: false,
            empties: false,
            width: Width::Minimal,
            masked: false,
            reserved: 0,
        }
    }
}

/// How TLS 1.3 is made use of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// A record holds so many bytes of what is sent, and no more.
    pub record: Option<usize>,
    /// So many wishes for new keys are behind everything that is sent.
    pub key_updates: usize,
    /// So many tickets come with the handshake, instead of rustls' two.
    pub tickets: Option<usize>,
}

/// A connection keeps those that there were when it came.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    pub certificate: Certificate,
    pub versions: Versions,
    pub tls: Tls,
    pub ill: Option<(Step, Ill)>,
    /// Hellos whose name ends with this have this for an answer.
    pub filter: Option<(String, Ill)>,
    /// The name that hellos may have instead of the Host.
    pub fronting: Option<String>,
    /// Hosts to which only a 302 is answered.
    pub redirected: Vec<String>,
    pub answer: Answer,
    /// Waits so long before it answers a request; what comes meanwhile came too
    /// early.
    pub ponder: Duration,
    /// Frames in the same record as the end of the 101.
    pub behind_head: Vec<u8>,
    pub frames: Frames,
    /// Sends so many bytes at a time, with a pause behind each.
    pub pace: Option<(usize, Duration)>,
    /// Takes all messages and passes none on.
    pub swallows: bool,
}
