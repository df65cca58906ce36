//! Where a site's answer to a request ends that was none to us.

use crate::wire::http::{BodyReader, Framing, ResponseHead};

/// Follows what a site says. A web server in front of us sends the requests of many clients
/// on one connection: what follows the answer would be another client's.
pub(super) struct OneAnswer {
    state: State,
    to_head: bool,
}

enum State {
    Head(Vec<u8>),
    Body(BodyReader),
    Whole,
    /// What follows is no HTTP, or not the web server's for others.
    Free,
}

impl OneAnswer {
    /// To what begins with `asked`.
    pub(super) fn new(asked: &[u8]) -> Self {
        Self {
            state: State::Head(Vec::new()),
            to_head: asked.starts_with(b"HEAD "),
        }
    }

    /// How many bytes of `said`, which is what comes next, are of it.
    pub(super) fn measure(&mut self, said: &[u8]) -> usize {
        match &mut self.state {
            State::Free => said.len(),
            State::Whole => 0,
            State::Body(body) => {
                let fine = body.measure(said).unwrap_or_else(|(fine, _)| fine);
                if body.is_done() {
                    self.state = State::Whole;
                }
                fine
            }
            State::Head(head) => {
                let mut received = std::mem::take(head);
                received.extend_from_slice(said);
                let behind = match ResponseHead::parse(&received, self.to_head) {
                    Ok(None) => {
                        self.state = State::Head(received);
                        return said.len();
                    }
                    Ok(Some(head)) => {
                        self.state = if head.switches() {
                            State::Free
                        } else if head.is_interim() {
                            State::Head(Vec::new())
                        } else {
                            match BodyReader::new(head.framing) {
                                body if body.is_done() => State::Whole,
                                body => State::Body(body),
                            }
                        };
                        received.split_off(head.len)
                    }
                    // Whatever it is, it ends with the connection.
                    Err(_) => {
                        self.state = State::Body(BodyReader::new(Framing::UntilClose));
                        return said.len();
                    }
                };
                // All of it has come just now, or the head would have been whole before.
                let of_head = said.len().saturating_sub(behind.len());
                of_head + self.measure(&behind)
            }
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Whole)
    }

    /// Some of it has come, so that what the client says now is another request.
    pub(super) fn has_begun(&self) -> bool {
        match &self.state {
            State::Head(head) => !head.is_empty(),
            State::Body(_) | State::Whole => true,
            State::Free => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much is of one answer, in pieces of every length, and whether that is all of it.
    #[track_caller]
    fn check(asked: &str, said: &str, expected: usize, is_whole: bool) {
        for step in 1..=said.len() {
            let mut answer = OneAnswer::new(asked.as_bytes());
            let measured: usize = said
                .as_bytes()
                .chunks(step)
                .map(|piece| answer.measure(piece))
                .sum();
            assert_eq!(
                (measured, answer.is_whole()),
                (expected, is_whole),
                "{step}"
            );
        }
    }

    #[test]
    fn an_answer_ends_where_its_head_says() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        check("get /", &format!("{length}HTTP"), length.len(), true);
        check(
            "get /",
            &length[..length.len() - 1],
            length.len() - 1,
            false,
        );
        let head = length.len() - 3;
        check("HEAD /", length, head, true);
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        check("get /", &format!("{chunks}more"), chunks.len(), true);
        let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{length}");
        check("get /", &format!("{interim}x"), interim.len(), true);
        for open in [
            "HTTP/1.1 200 OK\r\n\r\nabc",
            "HTTP/1.1 101 Switching Protocols\r\n\r\nabc",
            "what else\r\n\r\n",
        ] {
            check("get /", open, open.len(), false);
        }
    }
}
