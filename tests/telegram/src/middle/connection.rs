//! A middle-proxy connection after its handshake: many sessions on one stream.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;

use super::End;
use super::frames::{Checksum, FrameReader};
use super::handshake::{Opener, Secured};
use super::info::{ConnectionInfo, SessionInfo};
use super::outgoing::{self, Outgoing, PROXY_ANS};
use super::request::Request;
use crate::control::{Close, Cut, Damage};
use crate::counters::Counter;
use crate::crypto::{random, random_below};
use crate::host::Stream;
use crate::outbox::{Outbox, Pending, outbox};
use crate::payload::quick_ack_token;
use crate::service::{self, Session};
use crate::shared::{Dc, Shared};
use crate::watched::Watched;

const PROXY_REQ: [u8; 4] = [0xee, 0xf1, 0xce, 0x36];
const CLOSE_EXT: [u8; 4] = [0xa2, 0x34, 0xb6, 0x5e];
const CLOSE_CONN: [u8; 4] = [0x5d, 0x42, 0xcf, 0x1f];
const SIMPLE_ACK: [u8; 4] = [0x9b, 0x40, 0xac, 0x3b];
const PING: [u8; 4] = [0xdf, 0xa2, 0x30, 0x57];
const PONG: [u8; 4] = [0xa7, 0xea, 0x30, 0x84];

/// Smaller frames are not cut in their middle: a request's own head would do.
const MIN_CUT: usize = 256;

pub(crate) struct Connection {
    number: u64,
    dc: i16,
    peer: SocketAddr,
    local: SocketAddr,
    crc32c: bool,
    outbox: Outbox<Outgoing>,
    stop: Sender<Close>,
    /// What comes is not looked at for now.
    dark: Watched<bool>,
    state: Mutex<State>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<i64, SessionInfo>,
    /// Ended by the proxy: their ids must not come again.
    closed: HashSet<i64>,
    /// Ended by us: a request may have crossed that.
    closed_by_us: HashSet<i64>,
    pings: HashSet<i64>,
}

pub(super) async fn serve(
    shared: &Arc<Shared>,
    dc: &Arc<Dc>,
    stream: &Stream,
    secured: Secured,
) -> End {
    let socket = stream.get_ref();
    let (Ok(peer), Ok(local)) = (socket.peer_addr(), socket.local_addr()) else {
        return End::Gone;
    };
    let (outbox, pending) = outbox();
    let (stop, stopped) = bounded(1);
    let connection = Arc::new(Connection {
        number: shared.next_number(),
        dc: dc.id,
        peer,
        local,
        crc32c: secured.opener.frames.checksum == Checksum::Crc32c,
        outbox,
        stop,
        dark: Watched::default(),
        state: Mutex::default(),
        shared: shared.clone(),
    });
    shared.add_connection(connection.number, connection.clone());
    let end = run(&connection, dc, stream, secured, pending, stopped).await;
    shared.remove_connection(connection.number);
    end
}

async fn run(
    connection: &Arc<Connection>,
    dc: &Dc,
    stream: &Stream,
    secured: Secured,
    pending: Pending<Outgoing>,
    stopped: Receiver<Close>,
) -> End {
    let Secured {
        mut opener,
        mut sealer,
    } = secured;
    let reading = connection.read(dc, stream, &mut opener);
    let writing = outgoing::write(dc, stream, &mut sealer, &pending);
    let pinging = connection.ping_regularly(dc);
    let stopping = async { stopped.recv().await.map_or(End::Gone, End::Told) };
    stopping.or(reading).or(writing).or(pinging).await
}

impl Connection {
    async fn read(self: &Arc<Self>, dc: &Dc, stream: &Stream, reader: &mut Opener) -> End {
        loop {
            loop {
                match reader.frames.next() {
                    Err(why) => return End::Violation(why),
                    Ok(None) => break,
                    Ok(Some(body)) => {
                        if let Err(end) = self.take(dc, &body) {
                            return end;
                        }
                    }
                }
            }
            if let Some(close) = cut_mid_request(dc, &reader.frames) {
                return End::Told(close);
            }
            dc.until(|behaviour| !behaviour.stop_reading).await;
            match stream.read_some().await {
                Ok(bytes) if !bytes.is_empty() => {
                    self.dark.until(|dark| !dark).await;
                    reader.push(&bytes);
                }
                _ => return End::Gone,
            }
        }
    }

    fn take(self: &Arc<Self>, dc: &Dc, body: &[u8]) -> Result<(), End> {
        let (tag, rest) = body
            .split_first_chunk::<4>()
            .ok_or_else(|| End::Violation("an empty message".to_owned()))?;
        match *tag {
            PROXY_REQ => {
                let request = Request::parse(rest).map_err(End::Violation)?;
                self.take_request(dc, request)
            }
            CLOSE_CONN => {
                self.take_close(number(rest)?);
                Ok(())
            }
            PING => {
                self.shared.counters.add(Counter::pings_received, 1);
                if !dc.with(|behaviour| behaviour.ignore_pings) {
                    let id = number(rest)?;
                    self.push(&[&PONG, &id.to_le_bytes()]);
                }
                Ok(())
            }
            PONG => {
                let id = number(rest)?;
                if !self.state().pings.remove(&id) {
                    return Err(End::Violation(format!("a pong for no ping: {id:016x}")));
                }
                self.shared.counters.add(Counter::pongs_received, 1);
                Ok(())
            }
            other => Err(End::Violation(format!("a message {other:02x?}"))),
        }
    }

    fn take_request(self: &Arc<Self>, dc: &Dc, request: Request) -> Result<(), End> {
        self.note(&request).map_err(End::Violation)?;
        let counters = &self.shared.counters;
        counters.add(Counter::requests, 1);
        counters.add(Counter::request_bytes, request.payload.len() as u64);
        if self.state().closed_by_us.contains(&request.conn_id) {
            counters.add(Counter::requests_after_close_ext, 1);
            return Ok(());
        }
        let after = |cut: &Cut| matches!(cut, Cut::AfterRequest(_));
        if let Some(cut) = dc.take_cut(after) {
            return Err(End::Told(cut.close()));
        }
        if dc.with(|behaviour| behaviour.mute) {
            return Ok(());
        }
        let conn_id = request.conn_id;
        if request.quick_ack {
            counters.add(Counter::quick_acks, 1);
            let token = quick_ack_token(&request.payload);
            self.push(&[&SIMPLE_ACK, &conn_id.to_le_bytes(), &token]);
        }
        let session = OpenSession {
            connection: self.clone(),
            conn_id,
        };
        service::serve(&self.shared, session, request.payload);
        Ok(())
    }

    /// Remembers the session of `request`; it must be consistent with what is
    /// known.
    fn note(&self, request: &Request) -> Result<(), String> {
        let conn_id = request.conn_id;
        let expected = self.shared.options.tag;
        if expected.is_some() && request.tag != expected {
            return Err(format!("ad tag {:02x?} in a request", request.tag));
        }
        let mut state = self.state();
        if state.closed.contains(&conn_id) {
            return Err(format!("conn_id {conn_id:016x} comes again after its end"));
        }
        if let Some(known) = state.sessions.get_mut(&conn_id) {
            known.requests += 1;
            if (known.client, known.transport) != (request.client, request.transport) {
                return Err(format!("conn_id {conn_id:016x} changed its client"));
            }
            return Ok(());
        }
        if state.closed_by_us.contains(&conn_id) {
            return Ok(());
        }
        let session = SessionInfo {
            dc: self.dc,
            connection: self.number,
            conn_id,
            client: request.client,
            our: request.our,
            transport: request.transport,
            tag: request.tag,
            requests: 1,
        };
        state.sessions.insert(conn_id, session);
        self.shared.counters.add(Counter::sessions_opened, 1);
        Ok(())
    }

    fn take_close(&self, conn_id: i64) {
        let mut state = self.state();
        let counter = match state.sessions.remove(&conn_id) {
            Some(_) => Counter::close_conns,
            None => Counter::stray_close_conns,
        };
        state.closed.insert(conn_id);
        self.shared.counters.add(counter, 1);
    }

    async fn ping_regularly(&self, dc: &Dc) -> End {
        let Some(pause) = dc.with(|behaviour| behaviour.ping_every) else {
            return std::future::pending().await;
        };
        loop {
            self.shared.host.sleep(pause).await;
            self.ping();
        }
    }

    pub fn ping(&self) {
        let id = i64::from_le_bytes(random());
        self.state().pings.insert(id);
        self.shared.counters.add(Counter::pings_sent, 1);
        self.push(&[&PING, &id.to_le_bytes()]);
    }

    /// Sends an otherwise good ping in a frame that is damaged.
    pub fn damage(&self, damage: Damage) {
        let ping = [&PING[..], &random::<8>()].concat();
        self.outbox.push(Outgoing::Damaged(ping, damage));
    }

    /// Sends a message that no proxy knows.
    pub fn send_unknown(&self) {
        let length = 4 * random_below(64);
        self.push(&[&[0xde, 0xad, 0xbe, 0xef], &vec![7; length]]);
    }

    /// Sends an answer and an end for a session that does not exist.
    pub fn send_stray(&self) {
        let conn_id = random::<8>();
        self.push(&[&PROXY_ANS, &[0; 4], &conn_id, &[9; 64]]);
        self.push(&[&CLOSE_EXT, &conn_id]);
    }

    /// Ends the sessions that `chosen` picks with RPC_CLOSE_EXT; how many.
    pub fn close_sessions(&self, chosen: &dyn Fn(&SessionInfo) -> bool) -> usize {
        let ids: Vec<i64> = {
            let state = self.state();
            let chosen = state.sessions.values().filter(|session| chosen(session));
            chosen.map(|session| session.conn_id).collect()
        };
        ids.iter().for_each(|conn_id| self.close_session(*conn_id));
        ids.len()
    }

    fn close_session(&self, conn_id: i64) {
        let mut state = self.state();
        if state.sessions.remove(&conn_id).is_some() {
            state.closed_by_us.insert(conn_id);
            self.shared.counters.add(Counter::close_exts, 1);
            self.push(&[&CLOSE_EXT, &conn_id.to_le_bytes()]);
        }
    }

    pub fn darken(&self, dark: bool) {
        self.dark.change(|now| *now = dark);
    }

    pub fn close(&self, how: Close) {
        let _ = self.stop.try_send(how);
    }

    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.state().sessions.values().cloned().collect()
    }

    pub fn info(&self) -> ConnectionInfo {
        let state = self.state();
        ConnectionInfo {
            number: self.number,
            dc: self.dc,
            peer: self.peer,
            local: self.local,
            sessions: state.sessions.len(),
            pings_unanswered: state.pings.len(),
            crc32c: self.crc32c,
        }
    }

    fn push(&self, parts: &[&[u8]]) {
        self.outbox.push(Outgoing::Message(parts.concat()));
    }

    fn is_open(&self, conn_id: i64) -> bool {
        self.state().sessions.contains_key(&conn_id)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

struct OpenSession {
    connection: Arc<Connection>,
    conn_id: i64,
}

impl OpenSession {
    fn outgoing(&self, payload: Vec<u8>) -> Outgoing {
        self.connection.shared.counters.add(Counter::answers, 1);
        Outgoing::Answer {
            conn_id: self.conn_id,
            payload,
        }
    }
}

impl Session for OpenSession {
    fn answer(&self, payload: Vec<u8>) {
        if self.connection.is_open(self.conn_id) {
            self.connection.outbox.push(self.outgoing(payload));
        }
    }

    async fn answer_in_bulk(&self, payload: Vec<u8>) -> bool {
        if !self.connection.is_open(self.conn_id) {
            return false;
        }
        let outgoing = self.outgoing(payload);
        self.connection.outbox.push_bulk(outgoing).await
    }

    fn close(&self) {
        self.connection.close_session(self.conn_id);
    }
}

fn cut_mid_request(dc: &Dc, frames: &FrameReader) -> Option<Close> {
    let (_, length) = frames.unfinished()?;
    if length < MIN_CUT {
        return None;
    }
    let mid_request = |cut: &Cut| matches!(cut, Cut::MidRequest(_));
    dc.take_cut(mid_request).map(Cut::close)
}

fn number(bytes: &[u8]) -> Result<i64, End> {
    match bytes.try_into() {
        Ok(bytes) => Ok(i64::from_le_bytes(bytes)),
        Err(_) => Err(End::Violation(format!(
            "{} bytes where an i64 belongs",
            bytes.len()
        ))),
    }
}
