use proptest::prelude::*;

use super::super::head_scan::{HeadScan, MAX_FIELDS, MAX_HEAD};
use super::*;

/// What a server makes of what has come, in one piece.
fn read(text: &[u8]) -> Result<Option<RequestHead>, Unparsable> {
    let Some(len) = HeadScan::default().advance(text)? else {
        return Ok(None);
    };
    RequestHead::parse(&text[..len]).map(Some)
}

fn head(text: &str) -> RequestHead {
    read(text.as_bytes()).unwrap().unwrap()
}

#[test]
fn requests() {
    let text = "POST /a?b=%20c HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nX-Y:\r\n\r\n";
    let request = head(&format!("{text}and more"));
    assert_eq!(request.bytes(), text.as_bytes());
    assert_eq!(request.method(), b"POST");
    assert_eq!(request.target(), b"/a?b=%20c");
    assert_eq!(request.fields().only("host"), Some(b"h".as_slice()));
    assert_eq!(request.framing(), Framing::Length(12));
    assert!(request.keeps_alive() && !request.expects_continue() && !request.is_head());
    let request = head("HEAD http://h/ HTTP/1.0\r\n\r\n");
    assert!(request.is_head() && !request.is_http_11() && !request.keeps_alive());
    assert_eq!(request.target(), b"http://h/");
    assert_eq!(request.framing(), Framing::Length(0));
    let request = head("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert!(request.keeps_alive());
    let request = head("GET / HTTP/1.1\r\nConnection: x, Close\r\nExpect: 100-Continue\r\n\r\n");
    assert!(!request.keeps_alive() && request.expects_continue());
    let request = head("OPTIONS * HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_eq!(request.framing(), Framing::Chunked);
}

/// Each is read in one way by some servers and in another by others, or by none.
#[test]
fn what_can_be_read_in_two_ways_is_no_request() {
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let fields = [
        // Two ways to tell the end of the body.
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\ncontent-length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3 4\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding:\r\n",
        // Spaces that hide a name, lines that continue others.
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 3\r\n",
        "X: y\r\n Content-Length: 3\r\n",
        "X: y\r\n\tContent-Length: 3\r\n",
        " X: y\r\n",
        // Ends of lines.
        "X: y\nContent-Length: 3\r\n",
        "X: y\rContent-Length: 3\r\n",
        "X: y\r\r\n",
        "X: y\r\n\n",
        "X: a\0b\r\n",
        "X: a\x01b\r\n",
        // No field.
        "X\r\n",
        ": y\r\n",
        "X Y: z\r\n",
        "X\u{e9}: z\r\n",
    ];
    let firsts = [
        "GET / HTTP/1.1\n\n",
        "GET / HTTP/1.1\r\n\n",
        "GET /\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / http/1.1\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /  HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET /\t HTTP/1.1\r\n\r\n",
        "GET\t/ HTTP/1.1\r\n\r\n",
        " GET / HTTP/1.1\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n\r\n",
        "\nGET / HTTP/1.1\r\n\r\n",
        "get / HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET HTTP/1.1\r\n\r\n",
        "GET\r\n\r\n",
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\x16\x03\x01\x02\0\x01",
        "SSH-2.0-x\r\n",
    ];
    let all = fields
        .into_iter()
        .map(with)
        .chain(firsts.map(str::to_owned));
    for text in all {
        assert_eq!(read(text.as_bytes()), Err(Unparsable), "{text:?}");
    }
}

/// A server says so at once, not at the head's end.
#[test]
fn what_is_wrong_is_found_where_it_is() {
    for (fine, wrong) in [
        ("", "\x16"),
        ("", "g"),
        ("GET", "\r\n"),
        ("GET /", "\n"),
        ("GET / HTTP/1.1\r", "x"),
        ("GET / HTTP/9.9\r", "\n"),
        ("GET / HTTP/1.1\r\nHost", " "),
        ("GET / HTTP/1.1\r\nHost\r", "\n"),
        ("GET / HTTP/1.1\r\nHost: a", "\0"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", " "),
    ] {
        let mut scan = HeadScan::default();
        assert_eq!(scan.advance(fine.as_bytes()), Ok(None), "{fine:?}");
        let both = format!("{fine}{wrong}");
        assert_eq!(scan.advance(both.as_bytes()), Err(Unparsable), "{both:?}");
    }
}

#[test]
fn heads_have_bounds() {
    let with = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
    assert!(read(with(MAX_FIELDS).as_bytes()).unwrap().is_some());
    assert_eq!(read(with(MAX_FIELDS + 1).as_bytes()), Err(Unparsable));
    let long = |len: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(len));
    let around = long(0).len();
    assert!(read(long(MAX_HEAD - around).as_bytes()).unwrap().is_some());
    assert_eq!(
        read(long(MAX_HEAD - around + 1).as_bytes()),
        Err(Unparsable)
    );
}

fn any_head() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("Host: h".to_owned()),
        Just("Content-Length: 3".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        "[A-Za-z-]{0,6}[ :]{0,2}[ -~]{0,8}",
    ];
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\r\n")];
    let lines = prop::collection::vec((line, end), 0..6);
    ("[A-Z]{1,4} /[a-z?]{0,5} HTTP/1.[01]", lines).prop_map(|(first, lines)| {
        let lines: String = lines
            .iter()
            .map(|(line, end)| format!("{line}{end}"))
            .collect();
        format!("{first}\r\n{lines}\r\n")
    })
}

proptest! {
    /// However it is cut, the same comes of it, and nothing behind the head changes it.
    #[test]
    fn cuts_change_nothing(text in any_head(), cuts in prop::collection::vec(0usize..80, 0..6)) {
        let whole = HeadScan::default().advance(text.as_bytes());
        let mut scan = HeadScan::default();
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let in_pieces = cuts
            .into_iter()
            .map(|cut| scan.advance(&text.as_bytes()[..cut]))
            .find(|outcome| *outcome != Ok(None));
        prop_assert_eq!(in_pieces.unwrap_or(Ok(None)), whole);
    }

    /// What is a request to us has lines that nobody can cut in another way.
    #[test]
    fn requests_are_plain(text in any_head()) {
        let Ok(Some(request)) = read(text.as_bytes()) else {
            return Ok(());
        };
        let text = str::from_utf8(request.bytes()).unwrap();
        let inner = text.strip_suffix("\r\n\r\n").unwrap();
        let mut lines = inner.split("\r\n");
        prop_assert_eq!(lines.next().unwrap().split(' ').count(), 3);
        let fields: Vec<_> = request.fields().collect();
        let lines: Vec<_> = lines.collect();
        prop_assert_eq!(fields.len(), lines.len());
        for (line, (name, value)) in lines.iter().zip(fields) {
            let (left, right) = line.split_once(':').unwrap();
            prop_assert_eq!(left.as_bytes(), name);
            prop_assert_eq!(right.trim().as_bytes(), value);
            prop_assert!(!line.contains(['\r', '\n']) && !left.contains(' '));
        }
        let count = |name| request.fields().named(name).count();
        prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
    }

    #[test]
    fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&text);
        let _ = RequestHead::parse(&text);
    }
}
