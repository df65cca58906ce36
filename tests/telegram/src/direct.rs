//! A DC that is spoken to directly: one obfuscated stream per client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;

use crate::control::Close;
use crate::counters::Counter;
use crate::crypto::Ctr;
use crate::host::Stream;
use crate::obfuscated::{self, Accepted};
use crate::outbox::{Outbox, Pending, outbox};
use crate::payload::quick_ack_token;
use crate::service::{self, Session};
use crate::shared::{Dc, Shared};
use crate::socket;
use crate::transport::{Side, Transport, Unit};

/// Random bytes that may follow a packet to a padded client.
const PADDING: usize = 3;

/// What is known of one live direct connection.
#[derive(Clone, Debug)]
pub struct DirectInfo {
    pub number: u64,
    /// The DC whose address was dialled.
    pub listener: i16,
    /// The DC id in the stream's header.
    pub dc: i16,
    pub transport: Transport,
    pub peer: SocketAddr,
}

pub(crate) struct DirectConnection {
    pub info: DirectInfo,
    outbox: Outbox<Outgoing>,
    stop: Sender<Close>,
    shared: Arc<Shared>,
    over: Mutex<bool>,
}

enum Outgoing {
    Packet(Vec<u8>),
    QuickAck([u8; 4]),
    End,
}

/// Serves one connection of a proxy until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, dc: Arc<Dc>, stream: Stream) {
    shared.counters.add(Counter::direct_accepted, 1);
    let field = dc.id;
    attend(shared, dc, field, stream).await;
}

/// Serves a stream whose header has this DC in its field, up to the sign.
pub(crate) async fn attend(shared: Arc<Shared>, dc: Arc<Dc>, field: i16, stream: Stream) {
    if dc.with(|behaviour| behaviour.direct_silent) {
        return stream.drain().await;
    }
    shared.counters.add(Counter::direct_live, 1);
    if let Err(why) = run(&shared, &dc, field, &stream).await {
        shared.violation(format!("DC {}: {why}", dc.id));
    }
    shared.counters.subtract(Counter::direct_live, 1);
}

async fn run(shared: &Arc<Shared>, dc: &Dc, field: i16, stream: &Stream) -> Result<(), String> {
    let mut header = [0; 64];
    let Ok(peer) = stream.get_ref().peer_addr() else {
        return Ok(());
    };
    if stream.read_exact(&mut header).await.is_err() {
        return Ok(());
    }
    let accepted = obfuscated::accept(&header, None)?;
    if accepted.dc.unsigned_abs() != field.unsigned_abs() {
        return Err(format!("a stream for DC {}", accepted.dc));
    }
    let (outbox, pending) = outbox();
    let (stop, stopped) = bounded(1);
    let connection = Arc::new(DirectConnection {
        info: DirectInfo {
            number: shared.next_number(),
            listener: dc.id,
            dc: accepted.dc,
            transport: accepted.transport,
            peer,
        },
        outbox,
        stop,
        shared: shared.clone(),
        over: Mutex::new(false),
    });
    shared.add_direct(connection.info.number, connection.clone());
    let outcome = connection
        .serve(dc, stream, accepted, pending, stopped)
        .await;
    connection.end();
    shared.remove_direct(connection.info.number);
    outcome
}

impl DirectConnection {
    async fn serve(
        self: &Arc<Self>,
        dc: &Dc,
        stream: &Stream,
        accepted: Accepted,
        pending: Pending<Outgoing>,
        stopped: Receiver<Close>,
    ) -> Result<(), String> {
        let transport = accepted.transport;
        let streams = accepted.streams;
        let reading = self.read(dc, stream, streams.from_initiator);
        let writing = async {
            write(dc, stream, transport, streams.to_initiator, &pending).await;
            Ok(())
        };
        let stopping = async {
            match stopped.recv().await {
                Ok(Close::Fin) => {
                    let _ = stream.get_ref().shutdown(std::net::Shutdown::Write);
                    stream.drain().await;
                }
                Ok(Close::Reset) => socket::reset_on_close(stream.get_ref()),
                Ok(Close::Drop) | Err(_) => {}
            }
            Ok(())
        };
        stopping.or(reading).or(writing).await
    }

    async fn read(
        self: &Arc<Self>,
        dc: &Dc,
        stream: &Stream,
        mut decrypt: Ctr,
    ) -> Result<(), String> {
        let transport = self.info.transport;
        let (mut clear, mut taken) = (Vec::new(), 0);
        loop {
            while let Some((unit, used)) = transport.parse(&clear[taken..], Side::Server)? {
                taken += used;
                self.take(dc, unit);
            }
            clear.drain(..taken);
            taken = 0;
            if clear.is_empty() {
                clear = Vec::new();
            }
            dc.until(|behaviour| !behaviour.stop_reading).await;
            match stream.read_some().await {
                Ok(mut bytes) if !bytes.is_empty() => {
                    decrypt.apply(&mut bytes);
                    clear.append(&mut bytes);
                }
                _ => return Ok(()),
            }
        }
    }

    fn take(self: &Arc<Self>, dc: &Dc, unit: Unit) {
        let Unit::Packet { payload, quick_ack } = unit else {
            return;
        };
        let counters = &self.shared.counters;
        counters.add(Counter::direct_packets, 1);
        counters.add(Counter::direct_bytes, payload.len() as u64);
        if dc.with(|behaviour| behaviour.mute) {
            return;
        }
        if quick_ack {
            self.shared.counters.add(Counter::quick_acks, 1);
            let token = quick_ack_token(&payload);
            self.outbox.push(Outgoing::QuickAck(token));
        }
        let session = OpenSession(self.clone());
        service::serve(&self.shared, session, payload);
    }

    pub fn close(&self, how: Close) {
        let _ = self.stop.try_send(how);
    }

    fn end(&self) {
        *self.over.lock().expect("no holder panics") = true;
    }

    fn is_over(&self) -> bool {
        *self.over.lock().expect("no holder panics")
    }
}

struct OpenSession(Arc<DirectConnection>);

impl Session for OpenSession {
    fn answer(&self, payload: Vec<u8>) {
        self.0.outbox.push(Outgoing::Packet(payload));
    }

    async fn answer_in_bulk(&self, payload: Vec<u8>) -> bool {
        !self.0.is_over() && self.0.outbox.push_bulk(Outgoing::Packet(payload)).await
    }

    fn close(&self) {
        self.0.outbox.push(Outgoing::End);
    }
}

async fn write(
    dc: &Dc,
    stream: &Stream,
    transport: Transport,
    mut encrypt: Ctr,
    pending: &Pending<Outgoing>,
) {
    let mut written = 0;
    while let Some(outgoing) = pending.next().await {
        let mut bytes = match outgoing {
            Outgoing::Packet(payload) => transport.frame(&payload, false, PADDING),
            Outgoing::QuickAck(token) => transport.quick_ack(token).to_vec(),
            Outgoing::End => return,
        };
        encrypt.apply(&mut bytes);
        let left = dc.with(|behaviour| {
            behaviour
                .direct_starves_after
                .map(|most| most.saturating_sub(written))
        });
        let starves = left.is_some_and(|left| left < bytes.len());
        bytes.truncate(left.unwrap_or(bytes.len()));
        written += bytes.len();
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        if starves {
            std::future::pending::<()>().await;
        }
    }
}
