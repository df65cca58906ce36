//! A response's head. It comes from a server that is trusted to mean what it says, so
//! that old habits pass: lines that end with LF, lines that continue others.

use super::body::Framing;
use super::error::HttpError;
use super::fields::{Fields, has_token};
use super::head_scan::{MAX_FIELDS, MAX_HEAD};

/// What a relay has to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Bytes of the head, with the empty line at its end.
    pub len: usize,
    pub status: u16,
    pub framing: Framing,
    /// The connection may serve another request behind it.
    pub keeps_alive: bool,
}

impl ResponseHead {
    /// `None`: not all of it is there. `to_head`: it answers a HEAD.
    pub fn parse(received: &[u8], to_head: bool) -> Result<Option<Self>, HttpError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = httparse::ParserConfig::default();
        config
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .ignore_invalid_headers_in_responses(true);
        let len = match config.parse_response(&mut response, received) {
            Ok(httparse::Status::Complete(len)) if len <= MAX_HEAD => len,
            Ok(httparse::Status::Partial) if received.len() < MAX_HEAD => return Ok(None),
            _ => return Err(HttpError::Malformed),
        };
        let status = response.code.unwrap_or_default();
        let head = received.get(..len).unwrap_or_default();
        let framing = Framing::of_response(Fields::of(head), status, to_head)?;
        let has = |token| {
            let mut values = Fields::of(head).named("connection");
            values.any(|value| has_token(value, token))
        };
        let is_kept = match response.version {
            Some(1) => !has("close"),
            _ => has("keep-alive"),
        };
        Ok(Some(Self {
            len,
            status,
            framing,
            keeps_alive: is_kept && framing != Framing::UntilClose,
        }))
    }

    /// A word in advance; the answer follows.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != SWITCHING
    }

    /// What follows is another protocol.
    pub fn switches(&self) -> bool {
        self.status == SWITCHING
    }
}

const SWITCHING: u16 = 101;
