use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::line::Line;
use super::trial::Trial;
use crate::net::{BufferPool, Socket};

/// A line that tells how its route fares, as long as there is something to learn.
pub(crate) struct OnTrial {
    line: Line,
    trial: Option<Rc<Trial>>,
}

impl OnTrial {
    pub(crate) fn new(line: Line, trial: Option<Rc<Trial>>) -> Self {
        Self { line, trial }
    }

    /// See [`Line::as_socket`]. Who reads from it tells what [`came`](Self::came).
    pub(crate) fn as_socket(&self) -> Option<&Socket> {
        self.line.as_socket()
    }

    /// See [`Line::send`].
    pub(crate) fn send(&mut self, buffers: &Rc<BufferPool>, data: &mut [u8]) -> io::Result<usize> {
        if let Some(trial) = &self.trial {
            trial.sent();
        }
        self.line.send(buffers, data)
    }

    /// See [`Line::flush`].
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        self.line.flush(cx)
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.line.is_flushed()
    }

    /// See [`Line::poll_read`].
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        space: &mut [u8],
        most: usize,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let length = ready!(self.line.poll_read(cx, space, most, take))?;
        self.came(length);
        Poll::Ready(Ok(length))
    }

    /// So many bytes came from the DC, 0 at the end.
    pub(crate) fn came(&mut self, length: usize) {
        if let Some(trial) = &self.trial {
            trial.came(length);
        }
        self.trial.take_if(|trial| trial.is_settled());
    }

    /// See [`Trial::poll_over`].
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.trial {
            Some(trial) => trial.poll_over(cx),
            None => Poll::Pending,
        }
    }

    /// It is time that the line's task asks [`poll_over`](Self::poll_over).
    pub(crate) fn is_to_be_asked(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.is_unlisted())
    }

    /// See [`Line::hibernate`].
    pub(crate) fn hibernate(&mut self) {
        self.line.hibernate();
    }
}
