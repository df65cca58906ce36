//! The least that a relay must do, and each fault that an app does not forgive, on
//! request. Its streams are TCP connections to one address.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use smol::channel::{Receiver, Sender, unbounded};
use smol::io::AsyncWriteExt;
use smol::{Async, Task};

use super::capability::unpadded;
use super::frames::{self, CLOSE, CREDIT, DATA, OPEN, PING, PONG, WELCOME, WINDOW, frame};
use crate::crypto::random;
use crate::harness::free_address;
use crate::shared::lock;
use crate::socket::read_some;
use crate::web_front::request::proof;

mod talk;
use talk::{Asked, Talk};

/// What it does amiss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// This field of the page is missing, or has another value.
    PageWithout(&'static str),
    PageStatus(u16),
    PageWithoutToken,
    /// These bytes instead of WELCOME.
    Welcome(&'static [u8]),
    CreationWithout(&'static str),
    /// These bytes as a batch, when the first stream is open.
    Batch(&'static [u8]),
    /// A DATA of one byte more than there is credit for.
    Overrun,
    /// One WINDOW that makes the credit 2^32.
    TooMuchCredit,
    /// DATA behind a CLOSE.
    DataBehindClose,
    /// Bytes on the socket as they are, when the first stream is open.
    Raw(&'static [u8]),
    /// A message in text.
    Text,
    /// The socket's answer names no subprotocol, or an extension.
    NoSubprotocol,
    Extension,
    /// Each `up` is answered with the ack of another.
    WrongAck,
    /// The cursor stays where it was, or goes too far.
    SameCursor,
    FarCursor,
    /// No end of trouble that an app must bear: 503, lost answers.
    Busy,
    LostAnswers,
}

/// Runs until it is dropped.
pub struct Relay {
    address: SocketAddr,
    _accepting: Task<()>,
}

pub(super) struct Inner {
    capability: String,
    host: String,
    to: SocketAddr,
    pub fault: Fault,
    sessions: Mutex<BTreeMap<String, Arc<Session>>>,
}

struct Session {
    inner: Arc<Inner>,
    streams: Mutex<BTreeMap<u32, Arc<Stream>>>,
    batches: Sender<Vec<u8>>,
    waiting: Receiver<Vec<u8>>,
    /// The last batch and its cursor, until it is acknowledged.
    kept: Mutex<(u64, Vec<u8>)>,
    seq: Mutex<u64>,
    /// How often something was lost on purpose.
    losses: Mutex<u64>,
}

struct Stream {
    up: Sender<Vec<u8>>,
    credit: Mutex<u64>,
    credited: (Sender<()>, Receiver<()>),
    tasks: Mutex<Vec<Task<()>>>,
}

impl Relay {
    /// For who has the capability, with streams to `to`.
    pub fn start(capability: &str, host: &str, to: SocketAddr, fault: Fault) -> io::Result<Self> {
        let address = free_address();
        let listener = Async::new(TcpListener::bind(address)?)?;
        let inner = Arc::new(Inner {
            capability: capability.to_owned(),
            host: host.to_owned(),
            to,
            fault,
            sessions: Mutex::default(),
        });
        Ok(Self {
            address,
            _accepting: smol::spawn(accept(inner, listener)),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(inner: Arc<Inner>, listener: Async<TcpListener>) {
    let mut open: Vec<Task<()>> = Vec::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.get_ref().set_nodelay(true);
        open.retain(|one| !one.is_finished());
        let inner = inner.clone();
        open.push(smol::spawn(async move {
            let mut talk = Talk::new(stream);
            while let Ok(asked) = talk.request().await {
                if serve(&inner, &mut talk, asked).await.is_err() {
                    return;
                }
            }
        }));
    }
}

async fn serve(inner: &Arc<Inner>, talk: &mut Talk, asked: Asked) -> io::Result<()> {
    if asked.what == format!("GET /?bridge={}", inner.capability) {
        return talk.write(&page(inner)).await;
    }
    let session = |token: &str| lock(&inner.sessions).get(token).cloned();
    let bearer = asked.field("authorization").unwrap_or_default();
    let bearer = bearer
        .strip_prefix("Bearer ")
        .unwrap_or_default()
        .to_owned();
    match (asked.what.as_str(), session(&bearer)) {
        ("POST /api/v1/session", _) => create(inner, talk).await,
        ("DELETE /api/v1/session", Some(_)) => {
            lock(&inner.sessions).remove(&bearer);
            talk.answer(204, &[], b"").await
        }
        ("POST /api/v1/up", Some(session)) => session.take_body(talk, &asked).await,
        ("POST /api/v1/down", Some(session)) => session.answer_poll(talk, &asked).await,
        ("GET /api/v1/ws", _) => {
            let protocol = asked.field("sec-websocket-protocol").unwrap_or_default();
            let token = protocol.strip_prefix("tproxy-v1.").unwrap_or_default();
            match session(token) {
                Some(session) => session.take_socket(talk, &asked, &protocol).await,
                None => talk.answer(404, &[], b"no").await,
            }
        }
        _ => talk.answer(404, &[], b"no").await,
    }
}

fn page(inner: &Inner) -> Vec<u8> {
    let token = match inner.fault {
        Fault::PageWithoutToken => String::new(),
        _ => unpadded(&random::<32>()),
    };
    let body = format!("<script nonce=\"n\">const token = \"{token}\"</script>");
    let policy = format!(
        "default-src 'none'; connect-src 'self' wss://{}; script-src 'nonce-n'; \
         frame-ancestors http://127.0.0.1:*; base-uri 'none'; form-action 'none'; \
         sandbox allow-scripts allow-same-origin",
        inner.host
    );
    let status = match inner.fault {
        Fault::PageStatus(status) => status,
        _ => 200,
    };
    let mut head = format!("HTTP/1.1 {status} OK\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-DNS-Prefetch-Control", "off"),
        ("Permissions-Policy", "camera=()"),
        ("Content-Security-Policy", &policy),
    ] {
        if inner.fault != Fault::PageWithout(name) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    if let Fault::PageWithout(name) = inner.fault
        && !head.contains(name)
        && matches!(name, "X-Frame-Options" | "Set-Cookie")
    {
        head += &format!("{name}: x\r\n");
    }
    format!("{head}\r\n{body}").into_bytes()
}

async fn create(inner: &Arc<Inner>, talk: &mut Talk) -> io::Result<()> {
    let token = unpadded(&random::<32>());
    let (batches, waiting) = unbounded();
    let session = Arc::new(Session {
        inner: inner.clone(),
        streams: Mutex::default(),
        batches,
        waiting,
        kept: Mutex::default(),
        seq: Mutex::default(),
        losses: Mutex::default(),
    });
    lock(&inner.sessions).insert(token.clone(), session);
    let fields = [
        ("Content-Type", "application/octet-stream"),
        ("Cache-Control", "no-store"),
        ("X-Session-Token", &token),
        ("X-Down-Cursor", "0"),
        ("X-Carrier-Mode", "https"),
    ];
    let kept = |field: &&(&'static str, &str)| inner.fault != Fault::CreationWithout(field.0);
    let fields: Vec<(&str, &str)> = fields.iter().filter(kept).copied().collect();
    let welcome = frame(WELCOME, 0, &[]);
    let body = match inner.fault {
        Fault::Welcome(bytes) => bytes,
        _ => &welcome,
    };
    talk.answer(200, &fields, body).await
}

impl Session {
    async fn take_body(self: &Arc<Self>, talk: &mut Talk, asked: &Asked) -> io::Result<()> {
        let seq: u64 = asked.number("x-up-seq");
        let losses = self.loss();
        if self.inner.fault == Fault::Busy && losses % 2 == 1 {
            return talk.answer(503, &[("Retry-After", "0")], b"").await;
        }
        let is_new = {
            let mut last = lock(&self.seq);
            let is_new = seq == *last + 1;
            assert!(is_new || seq == *last, "up {seq} after {last}");
            *last = seq;
            is_new
        };
        if is_new {
            self.take(&asked.body);
        }
        if self.inner.fault == Fault::LostAnswers && losses % 3 == 1 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let ack = match self.inner.fault {
            Fault::WrongAck => seq + 1,
            _ => seq,
        };
        talk.answer(204, &[("X-Up-Ack", &ack.to_string())], b"")
            .await
    }

    async fn answer_poll(self: &Arc<Self>, talk: &mut Talk, asked: &Asked) -> io::Result<()> {
        let cursor: u64 = asked.number("x-down-cursor");
        let losses = self.loss();
        let repeated = {
            let kept = lock(&self.kept);
            (kept.0 == cursor + 1).then(|| kept.1.clone())
        };
        let batch = match repeated {
            Some(batch) => batch,
            None => {
                let batch = self.waiting.recv().await.map_err(io::Error::other)?;
                *lock(&self.kept) = (cursor + 1, batch.clone());
                batch
            }
        };
        if self.inner.fault == Fault::LostAnswers && losses % 3 == 1 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let told = match self.inner.fault {
            Fault::SameCursor => cursor,
            Fault::FarCursor => cursor + 2,
            _ => cursor + 1,
        };
        let fields = [
            ("X-Down-Cursor", told.to_string()),
            ("Content-Type", "application/octet-stream".to_owned()),
        ];
        let fields = [0, 1].map(|at| (fields[at].0, fields[at].1.as_str()));
        talk.answer(200, &fields, &batch).await
    }

    fn loss(&self) -> u64 {
        let mut losses = lock(&self.losses);
        *losses += 1;
        *losses
    }

    async fn take_socket(
        self: &Arc<Self>,
        talk: &mut Talk,
        asked: &Asked,
        protocol: &str,
    ) -> io::Result<()> {
        let key = asked.field("sec-websocket-key").unwrap_or_default();
        let accept = proof(&key);
        let mut fields = vec![
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept.as_str()),
        ];
        if self.inner.fault != Fault::NoSubprotocol {
            fields.push(("Sec-WebSocket-Protocol", protocol));
        }
        if self.inner.fault == Fault::Extension {
            fields.push(("Sec-WebSocket-Extensions", "permessage-deflate"));
        }
        talk.answer(101, &fields, b"").await?;
        let (session, writer) = (self.clone(), talk.writer());
        let _sending = smol::spawn(async move {
            while let Ok(batch) = session.waiting.recv().await {
                let outcome = match session.inner.fault {
                    Fault::Raw(bytes) => writer.write(bytes).await,
                    Fault::Text => {
                        let text = crate::web_front::frame(1, &batch);
                        writer.write(&text).await
                    }
                    _ => {
                        let message = crate::web_front::frame(2, &batch);
                        writer.write(&message).await
                    }
                };
                if outcome.is_err() {
                    return;
                }
            }
        });
        loop {
            let (opcode, payload) = talk.message().await?;
            match opcode {
                2 => self.take(&payload),
                _ => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn take(self: &Arc<Self>, batch: &[u8]) {
        for one in frames::batch(batch).expect("an app sends whole frames") {
            match one.kind {
                OPEN => self.open(one.stream),
                DATA => {
                    if let Some(stream) = self.stream(one.stream) {
                        let _ = stream.up.try_send(one.payload);
                    }
                }
                WINDOW => {
                    let credit = one
                        .payload
                        .iter()
                        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                    if let Some(stream) = self.stream(one.stream) {
                        *lock(&stream.credit) += credit;
                        let _ = stream.credited.0.try_send(());
                    }
                }
                CLOSE => {
                    if let Some(stream) = lock(&self.streams).remove(&one.stream) {
                        lock(&stream.tasks).clear();
                    }
                }
                PONG => {}
                kind => panic!("an app sends no {kind:02x}"),
            }
        }
    }

    fn stream(&self, id: u32) -> Option<Arc<Stream>> {
        lock(&self.streams).get(&id).cloned()
    }

    fn say(&self, batch: Vec<u8>) {
        let _ = self.batches.try_send(batch);
    }

    fn open(self: &Arc<Self>, id: u32) {
        let (up, incoming) = unbounded();
        let stream = Arc::new(Stream {
            up,
            credit: Mutex::new(CREDIT),
            credited: unbounded(),
            tasks: Mutex::default(),
        });
        lock(&self.streams).insert(id, stream.clone());
        let (session, serving) = (self.clone(), stream.clone());
        let task = smol::spawn(async move {
            let _ = session.serve_stream(id, &serving, incoming).await;
            if lock(&session.streams).remove(&id).is_some() {
                session.say(frame(CLOSE, id, &[]));
            }
        });
        lock(&stream.tasks).push(task);
        self.misbehave(id);
    }

    /// Does what it was told to do amiss.
    fn misbehave(&self, id: u32) {
        match self.inner.fault {
            Fault::Batch(bytes) => self.say(bytes.to_vec()),
            Fault::Raw(_) | Fault::Text => self.say(frame(PING, 0, &[])),
            Fault::Overrun => {
                for _ in 0..4 {
                    self.say(frame(DATA, id, &vec![0; 1 << 20]));
                }
                self.say(frame(DATA, id, &[0]));
            }
            Fault::TooMuchCredit => self.say(frames::window(id, u32::MAX - (4 << 20) + 1)),
            Fault::DataBehindClose => {
                self.say([frame(CLOSE, id, &[]), frame(DATA, id, &[1])].concat());
            }
            _ => {}
        }
    }

    async fn serve_stream(
        &self,
        id: u32,
        stream: &Stream,
        incoming: Receiver<Vec<u8>>,
    ) -> io::Result<()> {
        let far = Async::<TcpStream>::connect(self.inner.to).await?;
        let up = async {
            while let Ok(bytes) = incoming.recv().await {
                (&far).write_all(&bytes).await?;
                self.say(frames::window(id, bytes.len() as u32));
            }
            far.get_ref().shutdown(Shutdown::Write)
        };
        let down = async {
            loop {
                let bytes = read_some(&far).await?;
                let mut rest = bytes.as_slice();
                if rest.is_empty() {
                    return Ok(());
                }
                while !rest.is_empty() {
                    let now = {
                        let mut credit = lock(&stream.credit);
                        let now = (rest.len() as u64).min(*credit);
                        *credit -= now;
                        now as usize
                    };
                    if now == 0 {
                        let _ = stream.credited.1.recv().await;
                        continue;
                    }
                    let (part, behind) = rest.split_at(now);
                    self.say(frame(DATA, id, part));
                    rest = behind;
                }
            }
        };
        smol::future::or(up, down).await
    }
}
