//! How a WebSocket to a web server comes to be: TLS, then the upgrade.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::line::Line;
use super::web_trust::WebTrust;
use super::websocket::{Messages, WebSocket, WebSocketParts};
use crate::net::{BufferPool, Reactor, Rope, Scratch, Socket, fill_random};
use crate::tls::{self, Batch, TlsContext, TlsStream};
use crate::wire::obfuscated2::DcHeader;
use crate::wire::websocket::{KEY_LEN, UpgradeAnswer, UpgradeError, message_header, request};

/// For the first byte of the answer to our hello, and for the rest of the handshake.
const HELLO_LIMIT: Duration = Duration::from_secs(3);
const SHAKE_LIMIT: Duration = Duration::from_secs(2);

/// For the answer to the request.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What WebSockets are made with.
pub(crate) struct WebContext {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) batch: Batch,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct WebRequest<'a> {
    /// Whom the certificate is for, unless the front's name is another one.
    pub(crate) host: &'a str,
    /// Stands in the hello, and the certificate is one of Telegram's then.
    pub(crate) front: Option<&'a str>,
    pub(crate) path: &'a str,
    /// The sub-protocol.
    pub(crate) protocol: Option<&'a str>,
}

/// Why there is no WebSocket, by what can be done about it.
#[derive(Debug)]
pub(crate) enum WebError {
    /// Silence, or the connection's end, behind our hello: names are filtered on the way.
    Filtered,
    /// The certificate is not the one it has to be: somebody is in between.
    Certificate(String),
    /// Anything else that is wrong with TLS.
    Tls(String),
    /// An answer, but another one.
    Upgrade(UpgradeError),
    /// No answer in time.
    Silent,
    /// The connection ends.
    Broken(Option<io::Error>),
}

/// A WebSocket on which nothing has been sent.
pub(crate) struct FreshWebSocket {
    socket: Socket,
    tls: TlsStream,
    /// Frames that came with the answer.
    early: Vec<u8>,
}

impl FreshWebSocket {
    /// Over `socket`, on which nothing has been sent or read; 10 s at most.
    pub(crate) async fn open(
        context: &WebContext,
        trust: &WebTrust,
        socket: Socket,
        wanted: WebRequest<'_>,
    ) -> Result<Self, WebError> {
        let tls = shake(context, trust, &socket, wanted).await?;
        let mut fresh = Self {
            socket,
            tls,
            early: Vec::new(),
        };
        let upgraded = {
            let upgrade = pin!(fresh.upgrade(context, wanted));
            context.reactor.timeout(ANSWER_LIMIT, upgrade).await
        };
        upgraded.unwrap_or(Err(WebError::Silent))?;
        // Servers send them before anything else.
        fresh.tls.forget_tickets();
        Ok(fresh)
    }

    async fn upgrade(
        &mut self,
        context: &WebContext,
        wanted: WebRequest<'_>,
    ) -> Result<(), WebError> {
        let mut key = [0; KEY_LEN];
        fill_random(&mut key);
        let request = request(wanted.host, wanted.path, &key, wanted.protocol);
        let mut out = Rope::default();
        out.append_overdrawn(&context.buffers, request.as_bytes());
        let mut answer = UpgradeAnswer::new(&key);
        poll_fn(|cx| self.poll_upgrade(cx, context, &mut out, &mut answer)).await
    }

    fn poll_upgrade(
        &mut self,
        cx: &mut Context<'_>,
        context: &WebContext,
        out: &mut Rope,
        answer: &mut UpgradeAnswer,
    ) -> Poll<Result<(), WebError>> {
        let Self { socket, tls, early } = self;
        loop {
            while !(out.is_empty() && tls.is_flushed()) && socket.poll_writable(cx).is_ready() {
                tls.flush(socket, out)?;
            }
            let mut is_done = false;
            let mut take = |mut data: &mut [u8]| {
                if !is_done {
                    let mut rest = &*data;
                    is_done = answer.take(&mut rest)?;
                    let left = rest.len();
                    data = data.split_off_mut(data.len() - left..).unwrap_or_default();
                }
                early.extend_from_slice(data);
                Ok::<(), WebError>(())
            };
            let read = context
                .scratch
                .with(|buffer| tls.poll_read(cx, socket, buffer, &mut take));
            match read {
                Some(Poll::Ready(read)) => read?,
                Some(Poll::Pending) => return Poll::Pending,
                None => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            if is_done {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// What it is inside of, in words.
    pub(crate) fn tls_version(&self) -> &'static str {
        self.tls.version()
    }

    /// Nothing came meanwhile, not even its end.
    pub(crate) fn is_fresh(&self) -> bool {
        self.early.is_empty() && self.socket.is_silent()
    }

    /// Sends the header, which is a message of its own.
    pub(crate) fn into_line(self, header: DcHeader, messages: Messages) -> io::Result<Line> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let writer = self.tls.writer().ok_or_else(bad)?;
        let front = message_header(header.bytes.len());
        let message = [front.as_slice(), &header.bytes];
        let sent = writer.borrow_mut().write(&self.socket, message.into_iter());
        let is_sent = sent.is_ok_and(|sent| sent == front.len() + header.bytes.len());
        if !is_sent {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let parts = WebSocketParts {
            socket: self.socket,
            tls: self.tls,
            to_dc: header.to_dc,
            messages,
            early: self.early,
        };
        let web = WebSocket::new(parts)?;
        Ok(Line::Wrapped(Box::new(web)))
    }
}

async fn shake(
    context: &WebContext,
    trust: &WebTrust,
    socket: &Socket,
    wanted: WebRequest<'_>,
) -> Result<TlsStream, WebError> {
    let name = wanted.front.unwrap_or(wanted.host).to_owned();
    let name = ServerName::try_from(name.clone())
        .map_err(|_| WebError::Tls(format!("{name} is not a name for a certificate")))?;
    let parts = TlsContext {
        batch: context.batch.clone(),
        buffers: context.buffers.clone(),
        judge: trust.judge.clone(),
    };
    let config = trust.config(wanted.front.is_some());
    let mut tls = TlsStream::connect(parts, config, name)?;
    let has_answer = Cell::new(false);
    let shaken = {
        let shaking = poll_fn(|cx| poll_shake(cx, context, socket, &mut tls, &has_answer));
        let mut shaking = pin!(shaking);
        match context.reactor.timeout(HELLO_LIMIT, shaking.as_mut()).await {
            None if has_answer.get() => context.reactor.timeout(SHAKE_LIMIT, shaking).await,
            shaken => shaken,
        }
    };
    match shaken {
        Some(Ok(())) => Ok(tls),
        Some(Err(tls::Error::Tls(why))) if trust.judge.saw_bad_certificate() => {
            Err(WebError::Certificate(why))
        }
        Some(Err(tls::Error::Closed | tls::Error::Broken(_))) | None if !has_answer.get() => {
            Err(WebError::Filtered)
        }
        Some(Err(error)) => Err(error.into()),
        None => Err(WebError::Silent),
    }
}

fn poll_shake(
    cx: &mut Context<'_>,
    context: &WebContext,
    socket: &Socket,
    tls: &mut TlsStream,
    has_answer: &Cell<bool>,
) -> Poll<Result<(), tls::Error>> {
    loop {
        while !tls.is_flushed() && socket.poll_writable(cx).is_ready() {
            tls.flush(socket, &mut Rope::default())?;
        }
        if !tls.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        // Nothing can come behind the handshake before our request.
        let mut take = |_: &mut [u8]| Ok::<(), tls::Error>(());
        let read = context
            .scratch
            .with(|buffer| tls.poll_read(cx, socket, buffer, &mut take));
        match read {
            Some(Poll::Ready(read)) => read?,
            Some(Poll::Pending) => return Poll::Pending,
            None => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        has_answer.set(true);
    }
}

impl From<tls::Error> for WebError {
    fn from(error: tls::Error) -> Self {
        match error {
            tls::Error::Closed => Self::Broken(None),
            tls::Error::Broken(error) => Self::Broken(Some(error)),
            tls::Error::Tls(why) | tls::Error::Denied(why) => Self::Tls(why),
        }
    }
}

impl From<UpgradeError> for WebError {
    fn from(error: UpgradeError) -> Self {
        Self::Upgrade(error)
    }
}

impl fmt::Display for WebError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filtered => write!(f, "no answer to the TLS hello (name filtered?)"),
            Self::Certificate(why) => write!(f, "not its certificate ({why}): somebody is between"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Upgrade(error) => write!(f, "it answers with {error}"),
            Self::Silent => write!(f, "no answer in time"),
            Self::Broken(None) => write!(f, "it closes the connection"),
            Self::Broken(Some(error)) => write!(f, "the connection breaks: {error}"),
        }
    }
}
