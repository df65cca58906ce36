use super::HttpError;

/// More than any server sends that lists or addresses come from.
const MAX_HEADERS: usize = 64;

/// A whole answer to a GET.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub date: Option<String>,
    /// Where a redirect leads.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// `None`: not all of it is there yet. `is_closed`: nothing follows.
    pub fn parse(received: &[u8], is_closed: bool) -> Result<Option<Self>, HttpError> {
        let incomplete = || match is_closed {
            true => Err(HttpError::Truncated),
            false => Ok(None),
        };
        let mut received = received;
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Response::new(&mut headers);
            let length = match head.parse(received) {
                Ok(httparse::Status::Complete(length)) => length,
                Ok(httparse::Status::Partial) => return incomplete(),
                Err(_) => return Err(HttpError::Malformed),
            };
            received = received.get(length..).unwrap_or_default();
            let status = head.code.unwrap_or_default();
            // A word in advance; the answer follows.
            if (100..200).contains(&status) {
                continue;
            }
            let Some(body) = Framing::of(&head)?.body(received, is_closed)? else {
                return incomplete();
            };
            let text = |name| header(&head, name).map(str::to_owned);
            return Ok(Some(Self {
                status,
                date: text("date"),
                location: text("location"),
                body,
            }));
        }
    }
}

fn header<'a>(head: &httparse::Response<'_, 'a>, name: &str) -> Option<&'a str> {
    let mut headers = head.headers.iter();
    let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
    Some(str::from_utf8(found.value).ok()?.trim())
}

/// How the end of a body is told (RFC 9112 §6.3).
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(head: &httparse::Response<'_, '_>) -> Result<Self, HttpError> {
        match header(head, "transfer-encoding") {
            Some(coding) if coding.eq_ignore_ascii_case("chunked") => return Ok(Self::Chunked),
            Some(_) => return Err(HttpError::Malformed),
            None => {}
        }
        match header(head, "content-length") {
            Some(length) => length
                .parse()
                .map(Self::Length)
                .map_err(|_| HttpError::Malformed),
            None => Ok(Self::UntilClose),
        }
    }

    fn body(&self, received: &[u8], is_closed: bool) -> Result<Option<Vec<u8>>, HttpError> {
        match self {
            Self::Length(length) => Ok(received.get(..*length).map(<[u8]>::to_vec)),
            Self::UntilClose => Ok(is_closed.then(|| received.to_vec())),
            Self::Chunked => unchunk(received),
        }
    }
}

fn unchunk(mut received: &[u8]) -> Result<Option<Vec<u8>>, HttpError> {
    let mut chunks = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(received).map_err(|_| HttpError::Malformed)?;
        let httparse::Status::Complete((head, size)) = size else {
            return Ok(None);
        };
        // Trailers say nothing that is asked for.
        if size == 0 {
            return Ok(Some(chunks.concat()));
        }
        let size = usize::try_from(size).map_err(|_| HttpError::Malformed)?;
        let rest = received.get(head..).unwrap_or_default();
        let Some((chunk, rest)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        chunks.push(chunk);
        received = match rest {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Ok(None),
            _ => return Err(HttpError::Malformed),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each answer, and whether the server may have closed by then.
    #[test]
    fn answers() {
        let head = "HTTP/1.1 200 OK\r\nDate: today\r\n";
        for (rest, body) in [
            ("Content-Length: 3\r\n\r\nabc", "abc"),
            ("content-length: 0\r\n\r\n", ""),
            ("\r\nabc", "abc"),
            (
                "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                "abc",
            ),
        ] {
            for before in ["", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"] {
                let text = format!("{before}{head}{rest}");
                let answer = Answer::parse(text.as_bytes(), true).unwrap().unwrap();
                assert_eq!(answer.body, body.as_bytes(), "{text}");
                assert_eq!(answer.date.as_deref(), Some("today"));
                let ends_itself = !rest.starts_with('\r');
                let early = Answer::parse(text.as_bytes(), false).unwrap();
                assert_eq!(early.is_some(), ends_itself, "{text}");
            }
        }
        let moved = b"HTTP/1.1 302 x\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n";
        let moved = Answer::parse(moved, false).unwrap().unwrap();
        assert_eq!(moved.location.as_deref(), Some("/y"));
    }

    #[test]
    fn answers_that_are_none() {
        let parse = |text: &str| Answer::parse(text.as_bytes(), true);
        for truncated in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert_eq!(parse(truncated), Err(HttpError::Truncated), "{truncated}");
        }
        for malformed in [
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        ] {
            assert_eq!(parse(malformed), Err(HttpError::Malformed), "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(received in prop::collection::vec(any::<u8>(), 0..300), is_closed: bool) {
            let _ = Answer::parse(&received, is_closed);
        }

        #[test]
        fn any_end(cut in 0..200_usize, is_closed: bool) {
            let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
            let whole = Answer::parse(text, true).unwrap();
            let cut = text.get(..cut).unwrap_or(text);
            if let Ok(Some(answer)) = Answer::parse(cut, is_closed) {
                prop_assert_eq!(Some(answer), whole);
            }
        }
    }
}
