//! One session of an app, and who works for it. The first violation ends it, as it would
//! with the strictest app.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use smol::Task;
use smol::channel::{Receiver, Sender, bounded, unbounded};

use super::api::Api;
use super::carrier;
use super::frames::{self, CLOSE, LAST_STREAM, OPEN, PONG, window};
use super::options::Options;
use super::rules::{Event, Rules};
use super::stream::Stream;
use super::websocket;
use crate::client::invalid;
use crate::shared::lock;
use crate::wait::eventually;

/// Runs until it is dropped, which ends its carrier without a word.
pub struct Session {
    shared: Arc<Shared>,
    token: String,
    /// The socket's sender, over WebSocket.
    socket: Option<Arc<websocket::Sender>>,
    workers: Vec<Task<()>>,
}

pub(super) struct Shared {
    pub api: Api,
    state: Mutex<State>,
    /// Frames on their way to the carrier.
    outgoing: Sender<Outgoing>,
}

struct State {
    rules: Rules,
    streams: BTreeMap<u32, Ends>,
    next: u32,
    /// Bytes that streams have used and were not granted yet.
    used: BTreeMap<u32, u64>,
    over: Option<String>,
    violations: Vec<String>,
}

/// What a stream of the session waits for.
struct Ends {
    data: Sender<Vec<u8>>,
    credit: Sender<()>,
}

impl Session {
    pub(super) async fn open(options: &Options) -> io::Result<Self> {
        let api = options.api().await?;
        Self::open_with(api).await
    }

    /// With the bootstrap token of a page that was opened before.
    pub async fn open_with(api: Api) -> io::Result<Self> {
        let (token, welcome) = api.create().await?;
        Self::begin(api, token, &welcome).await
    }

    /// With what the creation was answered with.
    pub async fn begin(api: Api, token: String, welcome: &[u8]) -> io::Result<Self> {
        let (outgoing, frames) = unbounded();
        let mut rules = Rules::new(api.options.app);
        let events = rules.receive(welcome).map_err(invalid)?;
        if events != [Event::Welcome] {
            return Err(invalid(format!("instead of WELCOME: {events:?}")));
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                rules,
                streams: BTreeMap::new(),
                next: api.options.first_stream,
                used: BTreeMap::new(),
                over: None,
                violations: Vec::new(),
            }),
            api,
            outgoing,
        });
        let carried = carrier::start(&shared, &token, frames).await?;
        Ok(Self {
            shared,
            token,
            socket: carried.socket,
            workers: carried.workers,
        })
    }

    pub fn options(&self) -> &Options {
        &self.shared.api.options
    }

    pub fn api(&self) -> &Api {
        &self.shared.api
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The socket that carries it, if one does.
    pub fn socket(&self) -> Option<&Arc<websocket::Sender>> {
        self.socket.as_ref()
    }

    /// Opens the next stream.
    pub fn stream(&self) -> io::Result<Stream> {
        let stream = {
            let mut state = lock(&self.shared.state);
            let stream = state.next;
            state.next = if stream == LAST_STREAM { 1 } else { stream + 1 };
            stream
        };
        self.stream_numbered(stream)
    }

    /// Opens a stream of this id.
    pub fn stream_numbered(&self, stream: u32) -> io::Result<Stream> {
        let ((data, incoming), (credit, credited)) = (unbounded(), bounded(1));
        {
            let mut state = lock(&self.shared.state);
            state.check()?;
            state.rules.open(stream);
            state.streams.insert(stream, Ends { data, credit });
        }
        self.shared.send(frames::frame(OPEN, stream, &[]));
        let shared = self.shared.clone();
        Ok(Stream::new(shared, stream, incoming, credited))
    }

    /// Sends bytes as a message or body of their own, whatever the rules are.
    pub fn send_raw(&self, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        let alone = Outgoing {
            bytes,
            is_alone: true,
        };
        let _ = self.shared.outgoing.try_send(alone);
    }

    /// Why it is over, if it is.
    pub fn over(&self) -> Option<String> {
        self.shared.over()
    }

    /// Waits for its end, and says why it came.
    pub async fn until_over(&self) -> String {
        eventually("the session's end", || self.over().is_some()).await;
        self.over().unwrap_or_default()
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.shared.state).violations.clone()
    }

    /// Takes the violations away, for who expects some.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.state).violations)
    }

    /// It goes on, and nothing was wrong so far.
    pub fn assert_clean(&self) {
        let state = lock(&self.shared.state);
        assert!(state.violations.is_empty(), "{:#?}", state.violations);
        assert_eq!(state.over, None, "the session is over");
    }

    /// Ends it at the relay, as an app does that is closed.
    pub async fn close(&self) -> io::Result<()> {
        let answer = self.api().ask(&self.api().delete(&self.token)).await?;
        match answer.status {
            204 => Ok(()),
            status => Err(invalid(format!("no end: status {status}"))),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.workers.clear();
        if let Some(socket) = &self.socket {
            socket.cut();
        }
        self.shared.end("it was dropped");
        let violations = self.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "violations: {violations:#?}");
        }
    }
}

impl Shared {
    /// Takes a message or body from the relay; whether the session goes on.
    pub fn receive(self: &Arc<Self>, bytes: &[u8]) -> bool {
        let mut state = lock(&self.state);
        if state.over.is_some() {
            return false;
        }
        let events = match state.rules.receive(bytes) {
            Ok(events) => events,
            Err(why) => {
                drop(state);
                self.violation(why);
                return false;
            }
        };
        for event in events {
            match event {
                Event::Welcome => {}
                Event::Data(stream, data) => {
                    if let Some(ends) = state.streams.get(&stream) {
                        let _ = ends.data.try_send(data);
                    }
                }
                Event::Credit(stream, _) => {
                    if let Some(ends) = state.streams.get(&stream) {
                        let _ = ends.credit.try_send(());
                    }
                }
                Event::Closed(stream) => {
                    state.streams.remove(&stream);
                    state.used.remove(&stream);
                }
                Event::Ping(payload) => self.send(frames::frame(PONG, 0, &payload)),
                Event::Bye => {
                    drop(state);
                    self.end("BYE");
                    return false;
                }
            }
        }
        true
    }

    /// Something that no relay may do, which ends the session.
    pub fn violation(&self, what: String) {
        let mut state = lock(&self.state);
        state.violations.push(what.clone());
        state.end(what);
    }

    pub fn end(&self, why: &str) {
        lock(&self.state).end(why.to_owned());
        self.outgoing.close();
    }

    pub fn is_over(&self) -> bool {
        lock(&self.state).over.is_some()
    }

    pub fn over(&self) -> Option<String> {
        lock(&self.state).over.clone()
    }

    /// How much of `wanted` bytes may be sent on the stream now.
    pub fn spend(&self, stream: u32, wanted: usize) -> io::Result<usize> {
        let mut state = lock(&self.state);
        state.check()?;
        match state.rules.is_open(stream) {
            true => Ok(state.rules.spend(stream, wanted)),
            false => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    pub fn send(&self, frame: Vec<u8>) {
        let _ = self.outgoing.try_send(Outgoing {
            bytes: frame,
            is_alone: false,
        });
    }

    /// So much of what came for a stream is used: credit is granted as the app does.
    pub fn used(self: &Arc<Self>, stream: u32, count: usize) {
        let app = self.api.options.app;
        let mut state = lock(&self.state);
        if !state.rules.is_open(stream) {
            return;
        }
        let used = state.used.entry(stream).or_default();
        let is_first = *used == 0;
        *used += count as u64;
        if *used >= app.step() {
            self.grant(&mut state, stream);
        } else if let Some(pause) = app.pause().filter(|_| is_first) {
            let shared = self.clone();
            smol::spawn(async move {
                smol::Timer::after(pause).await;
                shared.grant(&mut lock(&shared.state), stream);
            })
            .detach();
        }
    }

    fn grant(&self, state: &mut State, stream: u32) {
        let Some(used) = state.used.remove(&stream).filter(|used| *used > 0) else {
            return;
        };
        if state.rules.is_open(stream) {
            let credit = u32::try_from(used).unwrap_or(u32::MAX);
            state.rules.grant(stream, credit);
            self.send(window(stream, credit));
        }
    }

    /// What the relay may still send on a stream, and the app.
    pub fn credits(&self, stream: u32) -> Option<(u64, u64)> {
        lock(&self.state).rules.credits(stream)
    }

    /// The app closes a stream.
    pub fn close(&self, stream: u32) {
        let mut state = lock(&self.state);
        state.streams.remove(&stream);
        state.used.remove(&stream);
        if state.rules.close(stream) {
            self.send(frames::frame(CLOSE, stream, &[]));
        }
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.over {
            None => Ok(()),
            Some(why) => Err(io::Error::new(ErrorKind::ConnectionReset, why.clone())),
        }
    }

    fn end(&mut self, why: String) {
        self.over.get_or_insert(why);
        self.streams.clear();
    }
}

/// Who works for a session.
pub(super) struct Carried {
    pub socket: Option<Arc<websocket::Sender>>,
    pub workers: Vec<Task<()>>,
}

/// A frame, or what is to be a message or body of its own.
pub(super) struct Outgoing {
    pub bytes: Vec<u8>,
    pub is_alone: bool,
}

pub(super) type Frames = Receiver<Outgoing>;
