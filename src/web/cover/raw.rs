//! Bytes handed on both ways, whatever they are.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::flow::Flow;
use super::one_answer::OneAnswer;
use super::patience::Patience;
use super::watch::Watch;
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
    /// Of what the client says.
    watch: Option<Watch>,
    /// All that the client is told, if it is not all that the site says.
    answer: Option<OneAnswer>,
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
            watch: None,
            answer: None,
        }
    }

    /// It breaks where `watch` sees something, and ends with `answer`.
    pub(super) fn bounded(self, watch: Option<Watch>, answer: Option<OneAnswer>) -> Self {
        Self {
            watch,
            answer,
            ..self
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
        let (watch, answer) = (&mut self.watch, &mut self.answer);
        // What comes while it is answered is another request.
        if !answer.as_ref().is_some_and(OneAnswer::has_begun) {
            let mut passes = |bytes: &[u8]| {
                let is_seen = watch.as_mut().is_some_and(|watch| watch.sees(bytes));
                match is_seen {
                    true => Err(io::ErrorKind::InvalidData.into()),
                    false => Ok(bytes.len()),
                }
            };
            let _ = self
                .to_site
                .poll(cx, context, (client, site), &mut passes)?;
        }
        // A server that has closed hears nothing any more.
        let mut passes = |bytes: &[u8]| {
            Ok(match answer {
                Some(answer) => answer.measure(bytes),
                None => bytes.len(),
            })
        };
        let told = self
            .to_client
            .poll(cx, context, (site, client), &mut passes)?;
        if told.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if self.answer.as_ref().is_some_and(OneAnswer::is_whole)
            && !std::mem::replace(&mut self.to_client.is_over, true)
        {
            return self.poll(cx);
        }
        let moved = self.to_site.flow.moved() + self.to_client.flow.moved();
        match self.patience.is_over(cx, moved) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

impl Way {
    /// `passes` says how many bytes at the front are handed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &HttpContext,
        (from, to): (&Connection, &Connection),
        passes: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
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
            let mut take = |bytes: &mut [u8]| {
                sent = passes(bytes).and_then(|count| {
                    let bytes = bytes.get(..count).unwrap_or_default();
                    flow.send(to, bytes)
                });
            };
            let length = ready!(context.poll_read(cx, from, &mut take))?;
            sent?;
            self.is_over = length == 0;
        }
        Poll::Ready(Ok(()))
    }
}
