//! Bytes handed on both ways, whatever they are.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::flow::Flow;
use super::patience::Patience;
use crate::http::{Connection, HttpContext};
use crate::net::READS_PER_TURN;

/// Two connections, each of which gets what the other one says.
pub(super) struct RawRelay {
    context: Rc<HttpContext>,
    client: Rc<Connection>,
    site: Rc<Connection>,
    to_site: Way,
    to_client: Way,
    patience: Patience,
}

struct Way {
    flow: Flow,
    /// The one who speaks has said its last.
    is_over: bool,
    /// The other one has heard all of it.
    is_done: bool,
}

impl RawRelay {
    /// Each side's flow has what it gets first.
    pub(super) fn new(
        context: &Rc<HttpContext>,
        (client, to_client): (&Rc<Connection>, Flow),
        (site, to_site): (&Rc<Connection>, Flow),
    ) -> Self {
        let way = |flow| Way {
            flow,
            is_over: false,
            is_done: false,
        };
        Self {
            to_site: way(to_site),
            to_client: way(to_client),
            patience: Patience::new(&context.reactor),
            client: client.clone(),
            site: site.clone(),
            context: context.clone(),
        }
    }

    /// Until both have said their last, or one breaks.
    pub(super) async fn run(mut self) {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if ended.is_err() {
            // As it would be without us in between.
            let _ = self.client.socket().set_reset_on_close();
            let _ = self.site.socket().set_reset_on_close();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (context, client, site) = (&self.context, &self.client, &self.site);
        let _ = self.to_site.poll(cx, context, client, site)?;
        // A server that has closed hears nothing any more.
        if self.to_client.poll(cx, context, site, client)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let moved = self.to_site.flow.moved() + self.to_client.flow.moved();
        match self.patience.is_over(cx, moved) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

impl Way {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &HttpContext,
        from: &Connection,
        to: &Connection,
    ) -> Poll<io::Result<()>> {
        let mut reads = 0;
        while !self.is_done {
            ready!(self.flow.poll_flush(cx, to))?;
            if self.is_over {
                to.shut_down_write();
                self.is_done = true;
                break;
            }
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let mut sent = Ok(());
            let flow = &mut self.flow;
            let mut take = |bytes: &mut [u8]| sent = flow.send(to, bytes);
            let length = ready!(context.poll_read(cx, from, &mut take))?;
            sent?;
            self.is_over = length == 0;
        }
        Poll::Ready(Ok(()))
    }
}
