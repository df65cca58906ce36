//! What a client needs of HTTP/1.1 (RFC 9110, RFC 9112): where to ask, and
//! what comes back.

use std::fmt;

/// More than any server sends that lists or addresses come from.
const MAX_HEADERS: usize = 64;

/// Why there is no answer in what was received, or nowhere to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    BadUrl,
    /// Not HTTP, or not the HTTP that was asked for.
    Malformed,
    /// The connection ended first.
    Truncated,
}

/// An `http` or `https` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub is_tls: bool,
    /// A name or an address, IPv6 without its brackets.
    pub host: String,
    pub port: u16,
    /// With the query, without the fragment.
    path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(HttpError::BadUrl),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(HttpError::BadUrl)?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(HttpError::BadUrl)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| HttpError::BadUrl)?,
            None if port.is_empty() => default_port(is_tls),
            None => return Err(HttpError::BadUrl),
        };
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        // Nothing that could end the request line, or be taken for a password.
        let is_fine = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !is_fine(host) || !is_fine(path) {
            return Err(HttpError::BadUrl);
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// Where a `Location` of this page's leads.
    pub fn join(&self, location: &str) -> Result<Self, HttpError> {
        let scheme = if self.is_tls { "https" } else { "http" };
        if location.contains("://") {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let directory = match self.path.split('?').next().unwrap_or_default() {
            _ if location.starts_with('/') => "",
            path => path.rsplit_once('/').map_or("", |(directory, _)| directory),
        };
        let slash = if location.starts_with('/') { "" } else { "/" };
        let authority = self.authority();
        Self::parse(&format!(
            "{scheme}://{authority}{directory}{slash}{location}"
        ))
    }

    /// A request after which the server closes.
    pub fn request(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: smol-mtproxy\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
            self.path,
            self.authority()
        )
    }

    fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port {
            port if port == default_port(self.is_tls) => host,
            port => format!("{host}:{port}"),
        }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

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

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadUrl => "not a URL that can be asked: http://host[:port]/path or https://…",
            Self::Malformed => "the server does not speak HTTP/1.1",
            Self::Truncated => "the server closed before its answer was complete",
        })
    }
}

impl std::error::Error for HttpError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(url: &str) -> String {
        Url::parse(url).unwrap().request()
    }

    #[test]
    fn urls() {
        let url = Url::parse("https://core.telegram.org/getProxySecret").unwrap();
        assert_eq!((url.is_tls, url.port), (true, 443));
        assert_eq!(url.host, "core.telegram.org");
        let text = url.request();
        assert!(text.starts_with("GET /getProxySecret HTTP/1.1\r\nHost: core.telegram.org\r\n"));
        assert!(request("http://h").starts_with("GET / HTTP/1.1\r\nHost: h\r\n"));
        assert!(request("http://h:81?a=b#c").starts_with("GET /?a=b HTTP/1.1\r\nHost: h:81\r\n"));
        let url = Url::parse("http://[::1]:8080/x").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 8080));
        assert!(url.request().contains("Host: [::1]:8080\r\n"));
        for bad in [
            "",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:x/",
            "http://h:99999/",
            "http://[::1/",
            "http://[::1]x/",
            "http://me:secret@h/",
            "http://h/a b",
            "http://h/a\r\nX: y",
            "http://h ost/",
        ] {
            assert_eq!(Url::parse(bad), Err(HttpError::BadUrl), "{bad}");
        }
    }

    #[test]
    fn redirects() {
        let url = Url::parse("https://h:444/a/b?c").unwrap();
        for (location, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x", "https://h:444/x"),
            ("x?y", "https://h:444/a/x?y"),
        ] {
            assert_eq!(url.join(location), Url::parse(expected), "{location}");
        }
        assert_eq!(url.join("mailto://x"), Err(HttpError::BadUrl));
    }

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

        #[test]
        fn any_url(text in "http://\\PC{0,40}", location in "\\PC{0,40}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(url.request().lines().count(), 6);
                let _ = url.join(&location);
            }
        }
    }
}
