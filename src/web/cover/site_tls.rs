//! TLS to a site: as a client that trusts public authorities, or whoever is on this
//! machine.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, Error, RootCertStore};

use super::site_failure::SiteFailure;
use crate::http::{Connection, HttpContext};
use crate::net::{Rope, Socket};
use crate::tls::{
    self, Batch, Judge, Named, Peer, Shown, TlsContext, TlsStream, Trust, in_short, web_client,
};

/// For the whole handshake.
const SHAKE_LIMIT: Duration = Duration::from_secs(5);

/// Sites whose last connections' tickets are kept.
const TICKETS_OF: usize = 8;

/// What TLS to sites is made with, once there is one: certificates of authorities and a
/// buffer are some 100 KiB.
#[derive(Default)]
pub(crate) struct SiteTls(OnceCell<Made>);

struct Made {
    batch: Batch,
    /// For who has a certificate of the name.
    named: Arc<ClientConfig>,
    /// For whoever has any.
    local: Arc<ClientConfig>,
    judge: Rc<dyn Judge>,
}

impl SiteTls {
    /// Sites that one of `roots` vouches for; by default Mozilla's authorities.
    #[cfg(test)]
    pub(crate) fn new(batch: Batch, roots: Arc<RootCertStore>) -> Result<Self, Error> {
        Ok(Self(OnceCell::from(Made::new(batch, roots)?)))
    }

    fn get(&self) -> Result<&Made, Error> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let made = Made::new(Batch::default(), tls::public_roots())?;
        Ok(self.0.get_or_init(|| made))
    }
}

impl Made {
    fn new(batch: Batch, roots: Arc<RootCertStore>) -> Result<Self, Error> {
        let tickets = || Resumption::in_memory_sessions(TICKETS_OF);
        Ok(Self {
            batch,
            named: web_client(Named::new(roots)?, tickets())?,
            local: web_client(Anybody, tickets())?,
            judge: Rc::new(Plainly),
        })
    }
}

/// Shakes hands with the site of `name` on `socket`. `is_local`: what speaks there is on
/// this machine, so that its certificate may be of its own making.
pub(super) async fn shake(
    context: &HttpContext,
    tls: &SiteTls,
    socket: Socket,
    name: &str,
    is_local: bool,
) -> Result<Connection, SiteFailure> {
    let site = tls.get();
    let site = site.map_err(|error| SiteFailure::Tls(error.to_string()))?;
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| SiteFailure::Tls(format!("{name} is not a name for a certificate")))?;
    let parts = TlsContext {
        batch: site.batch.clone(),
        buffers: context.buffers.clone(),
        judge: site.judge.clone(),
    };
    let config = match is_local {
        true => &site.local,
        false => &site.named,
    };
    let mut stream = TlsStream::connect(parts, config, name).map_err(failure)?;
    let shaking = poll_fn(|cx| poll_shake(cx, context, &socket, &mut stream));
    let shaken = context.reactor.timeout(SHAKE_LIMIT, shaking).await;
    shaken.unwrap_or(Err(SiteFailure::Silent))?;
    Connection::tls(socket, stream).ok_or(SiteFailure::Silent)
}

fn poll_shake(
    cx: &mut Context<'_>,
    context: &HttpContext,
    socket: &Socket,
    stream: &mut TlsStream,
) -> Poll<Result<(), SiteFailure>> {
    loop {
        while !stream.is_flushed() {
            ready!(socket.poll_writable(cx));
            stream
                .flush(socket, &mut Rope::default())
                .map_err(failure)?;
        }
        if !stream.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        // A server of HTTP says nothing before it is asked.
        let mut take = |_: &mut [u8]| Ok::<(), tls::Error>(());
        let read = context
            .scratch
            .with(|buffer| stream.poll_read(cx, socket, buffer, &mut take));
        match read {
            Some(read) => ready!(read).map_err(failure)?,
            None => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

fn failure(error: tls::Error) -> SiteFailure {
    match error {
        tls::Error::Closed => SiteFailure::Tls("it closes the connection".to_owned()),
        tls::Error::Broken(error) => SiteFailure::Connect(error),
        tls::Error::Tls(why) | tls::Error::Denied(why) => SiteFailure::Tls(why),
    }
}

/// Says what rustls says, in short.
struct Plainly;

impl Judge for Plainly {
    fn denies(&self, _: &Peer) -> Option<String> {
        None
    }

    fn explain(&self, error: &Error) -> String {
        in_short(error)
    }
}

/// Trusts whoever has a certificate.
#[derive(Debug)]
struct Anybody;

impl Trust for Anybody {
    fn judge(&self, _: &Shown<'_>, _: &ServerName<'_>, _: UnixTime) -> Result<(), Error> {
        Ok(())
    }
}
