//! A request's head.

use std::ops::Range;

use super::body::Framing;
use super::fields::{Fields, has_token};
use super::head_scan::{MAX_FIELDS, Unparsable};

/// A head as it was received, which everybody reads in the same way: lines that end with
/// CRLF, one way to tell the body's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    bytes: Vec<u8>,
    method_len: usize,
    target: Range<usize>,
    is_http_11: bool,
    framing: Framing,
}

impl RequestHead {
    /// Of a whole head, whose end [`HeadScan`](super::HeadScan) has found.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unparsable> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            _ => return Err(Unparsable),
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(Unparsable);
        };
        // What the answer to CONNECT means only the two ends of it know.
        if method == "CONNECT" {
            return Err(Unparsable);
        }
        // One space each: then the target is where it is taken to be.
        let start = method.len() + 1;
        let target_len = target.len();
        let line_len = start + target_len + " HTTP/1.1".len();
        let is_plain = bytes.get(line_len..line_len + 2) == Some(b"\r\n")
            && bytes.get(start..start + target_len) == Some(target.as_bytes());
        if !is_plain {
            return Err(Unparsable);
        }
        let method_len = method.len();
        let is_http_11 = version == 1;
        Ok(Self {
            method_len,
            target: start..start + target_len,
            is_http_11,
            framing: Framing::of_request(Fields::of(bytes), is_http_11)?,
            bytes: bytes.to_vec(),
        })
    }

    /// As it was received, with the empty line at its end.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn method(&self) -> &[u8] {
        self.bytes.get(..self.method_len).unwrap_or_default()
    }

    /// As it stands in the first line: a path with its query, or a whole URL, or `*`.
    pub fn target(&self) -> &[u8] {
        self.bytes.get(self.target.clone()).unwrap_or_default()
    }

    pub fn fields(&self) -> Fields<'_> {
        Fields::of(&self.bytes)
    }

    /// HTTP/1.1, not 1.0.
    pub fn is_http_11(&self) -> bool {
        self.is_http_11
    }

    pub fn framing(&self) -> Framing {
        self.framing
    }

    pub fn is_head(&self) -> bool {
        self.method() == b"HEAD"
    }

    /// The client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        let mut values = self.fields().named("expect");
        let is_it = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        self.is_http_11 && values.any(is_it)
    }

    /// The connection may serve another request behind this one.
    pub fn keeps_alive(&self) -> bool {
        let has = |token| {
            let mut values = self.fields().named("connection");
            values.any(|value| has_token(value, token))
        };
        match self.is_http_11 {
            true => !has("close"),
            false => has("keep-alive") && !has("close"),
        }
    }
}

#[cfg(test)]
mod tests;
