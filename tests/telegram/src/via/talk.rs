//! One connection before its tunnel: what the client says, read to the byte, and
//! what it is answered.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use smol::io::AsyncWriteExt;
use smol::{Async, Timer};

use super::manners::{Fault, Manners, Step, Then};
use super::{Inner, Target};
use crate::shared::lock;
use crate::socket::{drain, read_some, reset_on_close};

/// No tunnel comes of it.
pub(super) struct Ended;

/// How long it waits before an answer for what should not come before it.
const PATIENCE: Duration = Duration::from_millis(3);
/// Of a request over HTTP.
const MAX_HEAD: usize = 8 << 10;

pub(super) struct Talk<'a> {
    pub inner: &'a Arc<Inner>,
    stream: Async<TcpStream>,
    received: Vec<u8>,
    manners: Manners,
}

impl<'a> Talk<'a> {
    pub fn new(inner: &'a Arc<Inner>, stream: Async<TcpStream>) -> Self {
        Self {
            inner,
            stream,
            received: Vec::new(),
            manners: lock(&inner.manners).clone(),
        }
    }

    pub fn into_stream(self) -> Async<TcpStream> {
        self.stream
    }

    /// Notes what the client did wrong.
    pub fn violation(&self, what: impl Into<String>) -> Ended {
        self.inner.violation(what);
        Ended
    }

    /// The next `length` bytes of `what`.
    pub async fn take(&mut self, length: usize, what: &str) -> Result<Vec<u8>, Ended> {
        while self.received.len() < length {
            self.read(what).await?;
        }
        Ok(self.received.drain(..length).collect())
    }

    /// A head of HTTP, its blank line included.
    pub async fn take_head(&mut self) -> Result<Vec<u8>, Ended> {
        loop {
            let end = self.received.windows(4).position(|at| at == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok(self.received.drain(..end + 4).collect());
            }
            if self.received.len() > MAX_HEAD {
                return Err(self.violation("a head of more than 8 KiB"));
            }
            self.read("a head").await?;
        }
    }

    async fn read(&mut self, what: &str) -> Result<(), Ended> {
        match read_some(&self.stream).await {
            Ok(bytes) if !bytes.is_empty() => self.received.extend(bytes),
            _ if self.received.is_empty() => return Err(Ended),
            _ => {
                let so_far = format!("{:02x?}", self.received);
                return Err(self.violation(format!("it ends inside {what}: {so_far}")));
            }
        }
        Ok(())
    }

    /// Whether the client waits for its answer, as it must.
    async fn look_for_more(&mut self, step: Step) {
        Timer::after(PATIENCE).await;
        let mut more = std::mem::take(&mut self.received);
        let mut peeked = [0; 256];
        match self.stream.get_ref().peek(&mut peeked) {
            Ok(length) => more.extend(&peeked[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        if !more.is_empty() {
            self.violation(format!("before the answer to {step:?}: {more:02x?}"));
        }
    }

    /// Answers in the right words, or does what it was told to do at this step.
    /// `Ok` when the talk goes on.
    pub async fn answer(&mut self, step: Step, right: &[u8]) -> Result<(), Ended> {
        if step != Step::Accepted {
            self.look_for_more(step).await;
        }
        let fault = self.manners.fault.take_if(|(at, _)| *at == step);
        let (says, then) = match fault {
            Some((_, Fault { says, then })) => (says, then),
            None => (right.to_vec(), Then::GoesOn),
        };
        if step == Step::Request {
            Timer::after(self.manners.delay).await;
        }
        let mut bytes = says.clone();
        if step == Step::Request && matches!(then, Then::GoesOn | Then::Swallows) {
            bytes.append(&mut self.manners.first_bytes);
        }
        self.send(&bytes).await?;
        self.go_on(step, then, &says).await
    }

    /// Says no, and ends. A fault of this step comes first.
    pub async fn refuse(&mut self, step: Step, why: &[u8]) -> Ended {
        if self.answer(step, why).await.is_ok() {
            self.end().await;
        }
        Ended
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), Ended> {
        let Some(pause) = self.manners.piecemeal else {
            return (&self.stream).write_all(bytes).await.map_err(|_| Ended);
        };
        for byte in bytes {
            (&self.stream)
                .write_all(&[*byte])
                .await
                .map_err(|_| Ended)?;
            Timer::after(pause).await;
        }
        Ok(())
    }

    async fn go_on(&mut self, step: Step, then: Then, says: &[u8]) -> Result<(), Ended> {
        match then {
            Then::GoesOn => return Ok(()),
            // What it says upon the connection it may have said already.
            Then::Silent if step == Step::Accepted => drain(&self.stream).await,
            Then::Silent => {
                while let Ok(bytes) = read_some(&self.stream).await
                    && !bytes.is_empty()
                {
                    self.violation(format!("without an answer to {step:?}: {bytes:02x?}"));
                }
            }
            Then::Swallows => drain(&self.stream).await,
            Then::Fin => self.end().await,
            Then::Reset => reset_on_close(self.stream.get_ref()),
            Then::Endless => while self.send(says).await.is_ok() {},
        }
        Err(Ended)
    }

    /// FIN, then what the client still says.
    async fn end(&self) {
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        drain(&self.stream).await;
    }

    /// Whether the tunnel that is asked for is going to be used.
    pub fn is_to_connect(&self) -> bool {
        match &self.manners.fault {
            Some((Step::Request, fault)) => fault.then == Then::GoesOn,
            _ => true,
        }
    }

    pub fn note_target(&self, target: &Target) {
        self.inner.see(|seen| seen.targets.push(target.clone()));
    }

    /// A connection to the target; `None`: to nowhere but this machine.
    pub async fn connect(&self, target: &Target) -> Option<std::io::Result<Async<TcpStream>>> {
        let lead = lock(&self.inner.leads).get(&target.to_string()).copied();
        let address = match (lead, target) {
            (Some(address), _) => address,
            (None, Target::Address(address)) => *address,
            (None, Target::Name(name, port)) if name == "localhost" => {
                SocketAddr::from(([127, 0, 0, 1], *port))
            }
            (None, Target::Name(..)) => return None,
        };
        match address.ip().is_loopback() {
            true => Some(Async::<TcpStream>::connect(address).await),
            false => None,
        }
    }
}
