use std::fmt;
use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use super::timed_stream::{TimedStream, no_address};
use crate::config::{HostPort, Via};
use crate::wire::via::{Refusal, Step, Talk, Target};

/// For a connection to the proxy, whatever the number of its addresses.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// For all that it is asked, its own way to the target included.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);

/// The most that is read of an answer at a time.
pub(crate) const STEP_LEN: usize = 64;

/// Why a `--via` leads nowhere, and what to do.
#[derive(Debug)]
pub(crate) enum ViaFault {
    /// Its name leads to no address.
    Unresolved(String),
    Connect(io::Error),
    /// It says nothing.
    Silent,
    /// It says nothing to several in a row, whatever they ask for.
    SilentToAll,
    Lost(io::Error),
    Refusal(Refusal),
}

/// Why there is no connection through a `--via`.
#[derive(Debug)]
pub(crate) enum ThroughError {
    /// It works, and does not reach the target or must not.
    Target(Refusal),
    /// It works, as far as is known, and nothing comes from the target.
    TargetSilent,
    /// It leads nowhere.
    Via(ViaFault),
}

impl From<Refusal> for ThroughError {
    fn from(refusal: Refusal) -> Self {
        match refusal.is_of_target() {
            true => Self::Target(refusal),
            false => Self::Via(ViaFault::Refusal(refusal)),
        }
    }
}

impl ThroughError {
    /// What it means that `talk` has no end when its time is over.
    pub(crate) fn of_silence(talk: &Talk) -> Self {
        match talk.asks_for_target() {
            true => Self::TargetSilent,
            false => Self::Via(ViaFault::Silent),
        }
    }
}

/// Where no proxy is in between, one address gets no more time than this, so that others
/// of the name get some.
const STRAIGHT_LIMIT: Duration = Duration::from_secs(8);

/// A connection to a name or an address, by way of `via` if there is one; blocks.
pub(super) fn connect(
    via: Option<&Via>,
    host: &str,
    port: u16,
    deadline: Instant,
) -> io::Result<TimedStream> {
    let Some(via) = via else {
        return TimedStream::straight(&(host.to_owned(), port), deadline, STRAIGHT_LIMIT);
    };
    let named = || Target::of_name(host, port).ok_or_else(no_address);
    let targets = match via.looks_names_up() {
        true => vec![named()?],
        false => (host, port).to_socket_addrs()?.map(Target::from).collect(),
    };
    let mut failure = no_address();
    for target in targets {
        match through(via, target, deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let is_of_via = matches!(error, ThroughError::Via(_));
                failure = io::Error::other(format!("via {via}: {error}"));
                if is_of_via {
                    break;
                }
            }
        }
    }
    Err(failure)
}

/// A connection to `target` by way of `via`, on which nothing of the target's has been
/// read; blocks, 9 s at most and the lookup of the proxy's name.
fn through(via: &Via, target: Target, deadline: Instant) -> Result<TimedStream, ThroughError> {
    let connected = TimedStream::straight(&place(via), deadline, CONNECT_LIMIT);
    let mut stream = connected.map_err(|error| ThroughError::Via(ViaFault::Connect(error)))?;
    let handshake_end = Instant::now() + HANDSHAKE_LIMIT;
    stream.set_deadline(deadline.min(handshake_end));
    let mut talk = Talk::new(via.kind(), target, via.login.as_ref());
    shake(&mut stream, &mut talk)?;
    stream.set_deadline(deadline);
    Ok(stream)
}

fn place(via: &Via) -> (String, u16) {
    match &via.place {
        HostPort::Address(address) => (address.ip().to_string(), address.port()),
        HostPort::Name { name, port } => (name.clone(), *port),
    }
}

fn shake(stream: &mut TimedStream, talk: &mut Talk) -> Result<(), ThroughError> {
    let mut buffer = [0; STEP_LEN];
    loop {
        match talk.step() {
            Step::Open => return Ok(()),
            Step::Send(bytes) => stream
                .write_all(&bytes)
                .map_err(|error| lost(error, talk))?,
            Step::Receive(most) => {
                let space = buffer.get_mut(..most.min(STEP_LEN)).unwrap_or_default();
                match stream.read(space).map_err(|error| lost(error, talk))? {
                    0 => return Err(talk.ended().into()),
                    length => {
                        talk.receive(space.get(..length).unwrap_or_default())?;
                    }
                }
            }
        }
    }
}

fn lost(error: io::Error, talk: &Talk) -> ThroughError {
    match error.kind() {
        io::ErrorKind::TimedOut => ThroughError::of_silence(talk),
        _ => lost_to(error, talk),
    }
}

/// A connection that breaks, by RST for instance, is an end as others.
pub(crate) fn lost_to(error: io::Error, talk: &Talk) -> ThroughError {
    match talk.ended() {
        Refusal::ClosedOverTarget => ThroughError::Target(Refusal::ClosedOverTarget),
        _ => ThroughError::Via(ViaFault::Lost(error)),
    }
}

/// How long a connection through `via` to `address` takes to be made, or why there is
/// none; blocks.
#[cfg(feature = "check")]
pub(crate) fn time_through(
    via: &Via,
    address: std::net::SocketAddr,
    limit: Duration,
) -> Result<Duration, ThroughError> {
    let start = Instant::now();
    through(via, address.into(), start + limit)?;
    Ok(start.elapsed())
}

impl fmt::Display for ThroughError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(refusal) => refusal.fmt(f),
            Self::TargetSilent => write!(f, "no answer within {} s", HANDSHAKE_LIMIT.as_secs()),
            Self::Via(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for ViaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(why) => {
                write!(
                    f,
                    "its name leads nowhere ({why}); correct it, or give an address"
                )
            }
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::TimedOut => write!(
                    f,
                    "no answer within {} s; is it up, and is that its address?",
                    CONNECT_LIMIT.as_secs()
                ),
                io::ErrorKind::ConnectionRefused => f.write_str(
                    "connection refused: nobody listens there; start it, or correct --via",
                ),
                // As that of a handshake.
                io::ErrorKind::ConnectionReset => closed(f, error),
                _ => write!(f, "{error}; is that its address?"),
            },
            Self::Silent => write!(
                f,
                "no answer to the handshake within {} s; is it such a proxy?",
                HANDSHAKE_LIMIT.as_secs()
            ),
            Self::SilentToAll => {
                f.write_str("it says nothing, whatever it is asked; is it such a proxy?")
            }
            Self::Lost(error) => {
                write!(
                    f,
                    "it closes without an answer ({error}); is it such a proxy?"
                )
            }
            Self::Refusal(refusal) => refusal.fmt(f),
        }
    }
}

fn closed(f: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    write!(
        f,
        "it closes without an answer ({error}); is it such a proxy?"
    )
}
