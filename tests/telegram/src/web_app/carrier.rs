//! Who brings a session's frames.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use smol::Timer;

use super::frames::{MAX_BATCH, MAX_FRAMES};
use super::http::{Answer, Connection, Request};
use super::options::Carrier;
use super::session::{Carried, Frames, Outgoing, Shared};
use super::websocket::{Message, Sender, Socket};
use crate::client::invalid;

/// An app hands so much to the page at once.
const GROUP: usize = 1 << 20;

/// Network errors in a row that a client takes, and what it waits first and at most.
const TRIES: usize = 9;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// For so long it takes 503.
const BUSY: Duration = Duration::from_secs(90);

pub(super) async fn start(
    shared: &Arc<Shared>,
    token: &str,
    frames: Frames,
) -> io::Result<Carried> {
    match shared.api.options.carrier {
        Carrier::Https => {
            let (up, down) = (shared.clone(), shared.clone());
            let (token, for_down) = (token.to_owned(), token.to_owned());
            Ok(Carried {
                socket: None,
                workers: vec![
                    smol::spawn(async move {
                        let outcome = send_bodies(&up, &token, frames).await;
                        ended(&up, "up", outcome);
                    }),
                    smol::spawn(async move {
                        let outcome = poll(&down, &for_down).await;
                        ended(&down, "down", outcome);
                    }),
                ],
            })
        }
        Carrier::WebSocket => {
            let socket = Socket::open(&shared.api, token).await?;
            let sender = socket.sender();
            let (up, down, messages) = (shared.clone(), shared.clone(), socket.sender());
            Ok(Carried {
                socket: Some(sender),
                workers: vec![
                    smol::spawn(async move {
                        let outcome = send_messages(&messages, frames).await;
                        ended(&up, "the socket", outcome);
                    }),
                    smol::spawn(async move {
                        let outcome = take_messages(&down, socket).await;
                        ended(&down, "the socket", outcome);
                    }),
                ],
            })
        }
    }
}

fn ended(shared: &Shared, what: &str, outcome: io::Result<()>) {
    match outcome {
        Ok(()) => shared.end(&format!("{what} was closed")),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            shared.violation(format!("{what}: {error}"));
        }
        Err(error) => shared.end(&format!("{what}: {error}")),
    }
}

/// What goes to the carrier, a message or body at a time.
struct Groups {
    frames: Frames,
    /// What was next, and could not go with the others.
    kept: Option<Outgoing>,
}

impl Groups {
    fn of(frames: Frames) -> Self {
        let kept = None;
        Self { frames, kept }
    }

    /// The frames that are there, or the next one.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let first = match self.kept.take() {
            Some(kept) => kept,
            None => self.frames.recv().await.ok()?,
        };
        let mut group = first.bytes;
        if first.is_alone {
            return Some(group);
        }
        let mut count = 1;
        while group.len() < GROUP && count < MAX_FRAMES {
            match self.frames.try_recv() {
                Ok(next) if next.is_alone => {
                    self.kept = Some(next);
                    break;
                }
                Ok(mut next) => group.append(&mut next.bytes),
                Err(_) => break,
            }
            count += 1;
        }
        debug_assert!(group.len() <= MAX_BATCH);
        Some(group)
    }
}

async fn send_messages(sender: &Sender, frames: Frames) -> io::Result<()> {
    let mut groups = Groups::of(frames);
    while let Some(group) = groups.next().await {
        sender.send(&group).await?;
    }
    Ok(())
}

async fn take_messages(shared: &Arc<Shared>, mut socket: Socket) -> io::Result<()> {
    loop {
        match socket.recv().await? {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Message::Binary(batch)) => {
                if !shared.receive(&batch) {
                    return Ok(());
                }
            }
            Some(Message::Ping(payload)) => socket.sender().pong(&payload).await?,
            Some(Message::Close(code, text)) => {
                let _ = socket.sender().frame(0x88, &code.to_be_bytes()).await;
                let why = format!("CLOSE {code} {text}");
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
            }
        }
    }
}

async fn send_bodies(shared: &Shared, token: &str, frames: Frames) -> io::Result<()> {
    let mut line = Line::new(shared);
    let mut seq = 0u64;
    let mut groups = Groups::of(frames);
    while let Some(group) = groups.next().await {
        seq += 1;
        let request = shared.api.up(token, seq, &group);
        let answer = line.ask(&request).await?;
        if answer.status != 204 || answer.field("X-Up-Ack") != Some(&seq.to_string()) {
            let ack = answer.field("X-Up-Ack");
            return Err(refused(&answer, &format!("to {seq}, ack {ack:?}")));
        }
    }
    Ok(())
}

async fn poll(shared: &Arc<Shared>, token: &str) -> io::Result<()> {
    let mut line = Line::new(shared);
    let mut cursor = 0u64;
    while !shared.is_over() {
        let answer = line.ask(&shared.api.down(token, cursor)).await?;
        let told = answer.field("X-Down-Cursor").map(str::to_owned);
        match answer.status {
            204 if told == Some(cursor.to_string()) => {}
            200 if told == Some((cursor + 1).to_string()) => {
                if answer.field("Content-Type") != Some("application/octet-stream") {
                    return Err(invalid("a batch of another type".to_owned()));
                }
                cursor += 1;
                if !shared.receive(&answer.body) {
                    return Ok(());
                }
            }
            _ => return Err(refused(&answer, &format!("to {cursor}, cursor {told:?}"))),
        }
    }
    Ok(())
}

/// A session that is over is answered with the cover site's 404, or its likes.
fn refused(answer: &Answer, what: &str) -> io::Error {
    let what = format!("status {} {what}", answer.status);
    match answer.status {
        200..300 => invalid(what),
        _ => io::Error::new(io::ErrorKind::ConnectionAborted, what),
    }
}

/// A connection that is made anew when it is gone, with the same request.
struct Line<'a> {
    shared: &'a Shared,
    connection: Option<Connection>,
}

impl<'a> Line<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            connection: None,
        }
    }

    async fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let (mut failures, mut wait, mut busy) = (0, FIRST_WAIT, Duration::ZERO);
        loop {
            let answer = match self.attempt(request).await {
                Ok(answer) => answer,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
                Err(error) => {
                    failures += 1;
                    if failures == TRIES {
                        return Err(error);
                    }
                    Timer::after(wait).await;
                    wait = (wait * 2).min(LAST_WAIT);
                    continue;
                }
            };
            if answer.status != 503 {
                return Ok(answer);
            }
            let later = answer
                .field("Retry-After")
                .and_then(|value| value.parse().ok());
            let later = later.ok_or_else(|| invalid("503 without Retry-After".to_owned()))?;
            let later = Duration::from_secs(later);
            busy += later;
            if busy > BUSY {
                return Ok(answer);
            }
            Timer::after(later).await;
        }
    }

    async fn attempt(&mut self, request: &Request) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.shared.api.options).await?,
        };
        let answer = connection.ask(request).await?;
        if !answer.is_last() {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}
