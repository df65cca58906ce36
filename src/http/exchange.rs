//! The server's half of a connection: requests one after another, their bodies, answers.

use std::io;
use std::rc::Rc;

use super::connection::Connection;
use super::context::HttpContext;
use crate::wire::http::{BodyReader, HeadScan, RequestHead};

/// What comes next on a connection.
pub(crate) enum Incoming {
    Request(RequestHead),
    /// What has [`received`](Exchange::received) is no request, or one that could be
    /// taken for two. Nothing more can be read here.
    Unparsable,
    /// The client is gone, or was silent for too long.
    End,
}

/// Why there is no more of a body.
#[derive(Debug)]
pub(crate) enum BodyFailure {
    Broken(io::Error),
    /// The client ended the connection before.
    Truncated,
    /// No chunks, or more framing than anybody sends.
    Malformed,
    /// Longer than wanted.
    TooLong,
    /// Not there in time.
    Late,
}

pub(crate) struct Exchange {
    context: Rc<HttpContext>,
    connection: Rc<Connection>,
    /// Has come and belongs to nothing that was handed out.
    received: Vec<u8>,
    scan: HeadScan,
    body: BodyReader,
}

impl Exchange {
    /// `received`: what has been read of the connection already.
    pub(crate) fn new(
        context: &Rc<HttpContext>,
        connection: Rc<Connection>,
        received: Vec<u8>,
    ) -> Self {
        todo!()
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The next request, once the body of the one before is read; what is left of that is
    /// read and thrown away.
    pub(crate) async fn next(&mut self) -> Incoming {
        todo!()
    }

    /// What has come and belongs to no request.
    pub(crate) fn received(&self) -> &[u8] {
        &self.received
    }

    /// The next piece of the body without framing; `false` when there is no more.
    /// `take` takes all of the piece.
    pub(crate) async fn read_body(
        &mut self,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Result<bool, BodyFailure> {
        todo!()
    }

    /// All of the body, of at most `most` bytes; 30 s at most.
    pub(crate) async fn whole_body(&mut self, most: usize) -> Result<Vec<u8>, BodyFailure> {
        todo!()
    }

    /// Tells a client that waits for it to send the body.
    pub(crate) async fn say_continue(&mut self, request: &RequestHead) -> io::Result<()> {
        todo!()
    }

    /// Answers `request`, with the lengths and, where the connection is to end, a
    /// `Connection: close` added to `fields`. Whether it may serve another request.
    pub(crate) async fn answer(
        &mut self,
        request: &RequestHead,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Next> {
        todo!()
    }

    /// Writes all of `data` as it is.
    pub(crate) async fn write(&self, data: &[u8]) -> io::Result<()> {
        todo!()
    }

    /// The connection and what came behind the head, for another protocol.
    pub(crate) fn into_upgraded(self) -> (Rc<Connection>, Vec<u8>) {
        todo!()
    }

    /// Ends the connection as web servers do: what was answered is not lost though the
    /// client goes on sending for some seconds.
    pub(crate) async fn finish(self) {
        todo!()
    }
}

/// What is to become of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    Close,
}
