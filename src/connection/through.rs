use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dial_error::DialError;
use super::place::Place;
use super::rest::Rest;
use crate::clock::millis;
use crate::config::Via;
use crate::http::{CONNECT_LIMIT, HANDSHAKE_LIMIT, STEP_LEN, ThroughError, ViaFault, lost_to};
use crate::log::Trouble;
use crate::metrics::RouteResult;
use crate::net::{Executor, Reactor, Socket};
use crate::wire::via::{Step, Talk, Target};

/// An HTTP proxy that has not said a byte to so many in a row is ill: one or two may
/// have asked for what it waits for in vain.
const SILENT_IN_A_ROW: u32 = 3;

/// A handshake that has had so long shows as much as one whose time is over: a search of
/// routes gives it up a little before that.
const ENOUGH: Duration = Duration::from_secs(4);

/// Between lines about what is wrong with it.
const COMPLAINTS: Duration = Duration::from_secs(60);

/// What a connection is made with.
pub(super) struct Means {
    pub(super) reactor: Rc<Reactor>,
    pub(super) executor: Rc<Executor>,
}

/// The `--via` of the present config, and how it has fared.
pub(super) struct Through {
    pub(super) via: Arc<Via>,
    place: Place,
    rest: Cell<Option<Rest>>,
    silent_in_a_row: Cell<u32>,
    trouble: Trouble,
}

impl Through {
    pub(super) fn new(via: Arc<Via>) -> Self {
        Self {
            place: Place::new(&via.place),
            via,
            rest: Cell::default(),
            silent_in_a_row: Cell::default(),
            trouble: Trouble::new(COMPLAINTS),
        }
    }

    /// A tunnel to `target` from which nothing has been read.
    pub(super) async fn dial(&self, means: &Means, target: Target) -> Result<Socket, DialError> {
        let (reactor, via) = (&means.reactor, &self.via);
        let began = reactor.now();
        if let Some(rest) = self.rest.get().filter(|rest| rest.is_on(began)) {
            let left = millis(rest.left(began)).div_ceil(1000);
            return Err(DialError::ViaIll(format!(
                "via {via}: it has failed, and is tried again in {left} s"
            )));
        }
        match self.open(means, target).await {
            Ok(socket) => {
                self.works();
                Ok(socket)
            }
            Err(ThroughError::Target(refusal)) => {
                self.works();
                Err(DialError::ViaRefuses(format!("via {via}: {refusal}")))
            }
            Err(ThroughError::TargetSilent) => Err(DialError::TimedOut),
            Err(ThroughError::Via(fault)) => {
                self.fails(&fault, began, reactor.now());
                Err(DialError::ViaIll(format!("via {via}: {fault}")))
            }
        }
    }

    async fn open(&self, means: &Means, target: Target) -> Result<Socket, ThroughError> {
        let socket = self.connect(means).await.map_err(ThroughError::Via)?;
        socket.set_nodelay();
        let mut handshake = Handshake {
            through: self,
            reactor: &means.reactor,
            began: means.reactor.now(),
            talk: Talk::new(self.via.kind(), target, self.via.login.as_ref()),
            heard: false,
            is_over: false,
        };
        let shaking = shake(&socket, &mut handshake.talk, &mut handshake.heard);
        let shaken = means.reactor.timeout(HANDSHAKE_LIMIT, shaking).await;
        handshake.is_over = true;
        if handshake.heard {
            self.silent_in_a_row.set(0);
        }
        match shaken {
            Some(shaken) => shaken.map(|()| socket),
            None => Err(self.judge_silence(&handshake.talk, handshake.heard)),
        }
    }

    pub(super) fn is_resting(&self, now: Instant) -> bool {
        self.rest.get().is_some_and(|rest| rest.is_on(now))
    }

    /// To whichever of its addresses takes a connection, each with its share of the time.
    async fn connect(&self, means: &Means) -> Result<Socket, ViaFault> {
        let reactor = &means.reactor;
        let deadline = reactor.now() + CONNECT_LIMIT;
        let asking = self.place.addresses(reactor, &means.executor);
        let found = reactor.timeout(CONNECT_LIMIT, asking).await;
        let late = || Err(format!("no answer within {} s", CONNECT_LIMIT.as_secs()));
        let addresses: Vec<SocketAddr> =
            found.unwrap_or_else(late).map_err(ViaFault::Unresolved)?;
        let mut failure = io::Error::from(io::ErrorKind::TimedOut);
        let mut left = addresses.len() as u32;
        for address in addresses {
            let share = deadline.saturating_duration_since(reactor.now()) / left.max(1);
            left = left.saturating_sub(1);
            match Socket::connect_within(reactor, address, share).await {
                Ok(socket) => {
                    self.place.took(address);
                    return Ok(socket);
                }
                Err(error) => failure = error,
            }
        }
        Err(ViaFault::Connect(failure))
    }

    /// Whose silence it is. An HTTP proxy that waits for the target says no more than
    /// one that is ill.
    fn judge_silence(&self, talk: &Talk, heard: bool) -> ThroughError {
        if heard {
            return ThroughError::of_silence(talk);
        }
        let count = self.silent_in_a_row.get().saturating_add(1);
        self.silent_in_a_row.set(count);
        match count < SILENT_IN_A_ROW {
            true => ThroughError::of_silence(talk),
            false => ThroughError::Via(ViaFault::SilentToAll),
        }
    }

    fn fails(&self, fault: &ViaFault, began: Instant, now: Instant) {
        let before = self.rest.get();
        if before.is_some_and(|rest| rest.covers(began, now)) {
            return;
        }
        let rest = Rest::after(before, RouteResult::ProxyIll, now);
        self.rest.set(Some(rest));
        say!(
            self.trouble.fails(now),
            Warn,
            "no way to Telegram via {}: {fault} (tried again in {} s)",
            self.via,
            rest.left(now).as_secs()
        );
    }

    fn works(&self) {
        self.rest.set(None);
        if self.trouble.works() {
            info!("via {}: there is a way to Telegram again", self.via);
        }
    }
}

/// One that may be given up by who wanted it.
struct Handshake<'a> {
    through: &'a Through,
    reactor: &'a Reactor,
    began: Instant,
    talk: Talk,
    /// Something has come.
    heard: bool,
    is_over: bool,
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        let now = self.reactor.now();
        if self.is_over || now.saturating_duration_since(self.began) < ENOUGH {
            return;
        }
        let silence = self.through.judge_silence(&self.talk, self.heard);
        if let ThroughError::Via(fault) = silence {
            self.through.fails(&fault, self.began, now);
        }
    }
}

/// `heard`: something has come.
async fn shake(socket: &Socket, talk: &mut Talk, heard: &mut bool) -> Result<(), ThroughError> {
    let mut buffer = [0; STEP_LEN];
    loop {
        match talk.step() {
            Step::Open => return Ok(()),
            Step::Send(bytes) => {
                let sent = socket.write_all(&bytes).await;
                sent.map_err(|error| lost_to(error, talk))?;
            }
            Step::Receive(most) => {
                // Where an HTTP head ends is seen in it: it is looked at before it is read.
                let is_peeked = matches!(talk, Talk::Http(_));
                let read = match is_peeked {
                    true => poll_fn(|cx| socket.poll_peek(cx, &mut buffer)).await,
                    false => {
                        let space = buffer.get_mut(..most.min(STEP_LEN)).unwrap_or_default();
                        socket.read(space).await
                    }
                };
                let length = read.map_err(|error| lost_to(error, talk))?;
                if length == 0 {
                    return Err(talk.ended().into());
                }
                *heard = true;
                let came = buffer.get_mut(..length).unwrap_or_default();
                let used = talk.receive(came)?;
                if is_peeked {
                    let skipped = socket.skip(came.get_mut(..used).unwrap_or_default());
                    skipped.map_err(|error| lost_to(error, talk))?;
                }
            }
        }
    }
}
