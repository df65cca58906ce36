use std::fmt;
use std::io::{self, ErrorKind};

/// Why Telegram does not answer through a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Failure {
    /// Its name leads nowhere.
    Unresolved(String),
    Refused,
    /// No connection in time.
    NoConnection,
    Unreachable,
    Connect(String),
    /// Not a byte upon the TLS hello.
    HelloSilent,
    HelloClosed,
    HelloReset,
    /// Its number.
    Alert(u8),
    /// A web site's answer.
    Site(SiteClock),
    /// Something, and no TLS.
    NotTls,
    /// What is no record of TLS, after a right handshake.
    BadRecord,
    /// No answer to the question. `is_proven`: who is there has shown that it knows the
    /// secret.
    Silent {
        is_proven: bool,
    },
    Closed {
        is_proven: bool,
    },
    Reset {
        is_proven: bool,
    },
    /// By this error.
    TelegramRefuses(i32),
    NotTelegram,
    #[cfg(feature = "tls")]
    Web(WebFailure),
}

/// How this machine's clock stands to that of the site that answers instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// It is asked over TLS.
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub(in crate::cli) enum SiteClock {
    Unknown,
    Agrees,
    /// This machine's is so many seconds ahead.
    Ahead(u64),
    Behind(u64),
}

/// Why a WEB proxy gives no stream.
#[cfg(feature = "tls")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum WebFailure {
    Certificate(BadCertificate),
    /// Another one of TLS.
    Tls(String),
    /// No answer of HTTP in time.
    Silent(WebStep),
    Closed(WebStep),
    NotHttp(WebStep),
    /// Something else than the page.
    Cover(u16),
    Status(WebStep, u16),
    /// An answer that no WEB proxy gives.
    Strange(WebStep),
}

#[cfg(feature = "tls")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum BadCertificate {
    UnknownIssuer,
    Expired,
    NotYet,
    OtherName,
    Other(String),
}

/// What an app asks for, one after another.
#[cfg(feature = "tls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum WebStep {
    Tls,
    Page,
    Session,
    WebSocket,
    Up,
    Down,
}

impl Failure {
    pub(super) fn of_connecting(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::NoConnection,
            ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::AddrNotAvailable => Self::Unreachable,
            _ => Self::Connect(error.to_string()),
        }
    }

    /// The connection breaks after the question.
    pub(super) fn of_break(error: &io::Error, is_proven: bool) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset => Self::Reset { is_proven },
            _ => Self::Closed { is_proven },
        }
    }

    /// Whether it comes before a DC is named: others would fare no better.
    pub(super) fn is_of_all_dcs(&self) -> bool {
        match self {
            Self::BadRecord
            | Self::Silent { .. }
            | Self::Closed { .. }
            | Self::Reset { .. }
            | Self::TelegramRefuses(_)
            | Self::NotTelegram => false,
            #[cfg(feature = "tls")]
            Self::Web(WebFailure::Silent(step) | WebFailure::Closed(step)) => {
                !matches!(step, WebStep::Down)
            }
            _ => true,
        }
    }

    /// No connection came about at all.
    #[cfg(feature = "check")]
    pub(in crate::cli) fn is_of_the_way(&self) -> bool {
        matches!(
            self,
            Self::Unresolved(_) | Self::NoConnection | Self::Unreachable | Self::Connect(_)
        )
    }

    /// For programs.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Unresolved(_) => "unresolved",
            Self::Refused => "refused",
            Self::NoConnection => "connect_timeout",
            Self::Unreachable => "unreachable",
            Self::Connect(_) => "connect",
            Self::HelloSilent => "handshake_timeout",
            Self::HelloClosed => "handshake_closed",
            Self::HelloReset => "handshake_reset",
            Self::Alert(_) => "tls_alert",
            Self::Site(SiteClock::Ahead(_) | SiteClock::Behind(_)) => "site_clock",
            Self::Site(_) => "site",
            Self::NotTls => "not_tls",
            Self::BadRecord => "bad_record",
            Self::Silent { is_proven: true } => "dc_silent",
            Self::Silent { .. } => "silent",
            Self::Closed { is_proven: true } => "dc_closed",
            Self::Closed { .. } => "closed",
            Self::Reset { is_proven: true } => "dc_reset",
            Self::Reset { .. } => "reset",
            Self::TelegramRefuses(_) => "telegram_refuses",
            Self::NotTelegram => "not_telegram",
            #[cfg(feature = "tls")]
            Self::Web(failure) => failure.word(),
        }
    }
}

#[cfg(feature = "tls")]
impl WebFailure {
    fn word(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate",
            Self::Tls(_) => "tls",
            Self::Silent(_) => "web_timeout",
            Self::Closed(_) => "web_closed",
            Self::NotHttp(_) => "not_http",
            Self::Cover(_) => "cover",
            Self::Status(..) => "web_status",
            Self::Strange(_) => "web_strange",
        }
    }
}

impl fmt::Display for Failure {
    /// Less than a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(why) => f.write_str(why),
            Self::Refused => f.write_str("refused: nobody listens there"),
            Self::NoConnection => f.write_str("timed out: no connection"),
            Self::Unreachable => f.write_str("no way there from this machine"),
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::HelloSilent => f.write_str("timed out: no answer to the TLS hello"),
            Self::HelloClosed => f.write_str("closed upon the TLS hello"),
            Self::HelloReset => f.write_str("reset upon the TLS hello"),
            Self::Alert(number) => write!(f, "TLS alert {number}{}", alert(*number)),
            Self::Site(_) => f.write_str("a web site answers instead of a proxy"),
            Self::NotTls => f.write_str("an answer that is not TLS"),
            Self::BadRecord => f.write_str("what follows the handshake is not TLS"),
            Self::Silent { is_proven: true } => f.write_str("timed out: the DC is silent"),
            Self::Silent { .. } => f.write_str("timed out: no answer"),
            Self::Closed { is_proven: true } => f.write_str("closed instead of the DC's answer"),
            Self::Closed { .. } => f.write_str("closed without an answer"),
            Self::Reset { is_proven: true } => f.write_str("reset instead of the DC's answer"),
            Self::Reset { .. } => f.write_str("reset without an answer"),
            Self::TelegramRefuses(code) => write!(f, "Telegram refuses by error {code}"),
            Self::NotTelegram => f.write_str("an answer that is not Telegram's"),
            #[cfg(feature = "tls")]
            Self::Web(failure) => failure.fmt(f),
        }
    }
}

/// What the numbers mean that are met (RFC 8446 §6).
fn alert(number: u8) -> &'static str {
    match number {
        0 => " (close notify)",
        10 => " (unexpected message)",
        40 => " (handshake failure)",
        47 => " (illegal parameter)",
        50 => " (decode error)",
        70 => " (protocol version)",
        80 => " (internal error)",
        112 => " (unrecognized name)",
        _ => "",
    }
}

#[cfg(feature = "tls")]
impl fmt::Display for WebFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(why) => match why {
                BadCertificate::UnknownIssuer => {
                    f.write_str("its certificate: no authority of browsers has signed it")
                }
                BadCertificate::Expired => f.write_str("its certificate is over"),
                BadCertificate::NotYet => f.write_str("its certificate is not valid yet"),
                BadCertificate::OtherName => f.write_str("its certificate is for another name"),
                BadCertificate::Other(why) => write!(f, "its certificate: {why}"),
            },
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Silent(step) => write!(f, "timed out: no answer for {step}"),
            Self::Closed(step) => write!(f, "closed without an answer for {step}"),
            Self::NotHttp(step) => write!(f, "for {step} an answer that is not HTTP"),
            Self::Cover(status) => {
                write!(
                    f,
                    "a web site answers instead of the page (status {status})"
                )
            }
            Self::Status(step, status) => write!(f, "status {status} for {step}"),
            Self::Strange(step) => write!(f, "no WEB proxy's answer for {step}"),
        }
    }
}

#[cfg(feature = "tls")]
impl fmt::Display for WebStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "the TLS hello",
            Self::Page => "the page",
            Self::Session => "a session",
            Self::WebSocket => "its WebSocket",
            Self::Up => "what is sent",
            Self::Down => "what is to come",
        })
    }
}
