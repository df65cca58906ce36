use super::super::*;

const KEY: &[u8; KEY_LEN] = b"the sample nonce";

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                      Sec-WebSocket-Protocol: chat\r\n\r\n";

/// What comes of an answer that arrives in pieces of `size` bytes, and what is left of it.
fn read(answer: &[u8], size: usize) -> (Result<bool, UpgradeError>, Vec<u8>) {
    let mut reader = UpgradeAnswer::new(KEY);
    let mut taken = 0;
    for piece in answer.chunks(size) {
        let mut input = piece;
        let outcome = reader.take(&mut input);
        taken += piece.len() - input.len();
        if outcome != Ok(false) {
            return (outcome, answer[taken..].to_vec());
        }
        assert!(input.is_empty());
    }
    (Ok(false), Vec::new())
}

#[track_caller]
fn expect(answer: &str, expected: Result<bool, UpgradeError>) {
    for size in [answer.len(), 1, 7] {
        assert_eq!(read(answer.as_bytes(), size).0, expected, "{answer}");
    }
}

/// RFC 6455 §1.2 and §1.3.
#[test]
fn the_talk_of_the_specification() {
    let request = request("server.example.com", "/chat?a=b", KEY, Some("chat"));
    let expected = "GET /chat?a=b HTTP/1.1\r\nHost: server.example.com\r\n\
                    Upgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    assert_eq!(request, expected);
    expect(ANSWER, Ok(true));
}

#[test]
fn a_request_without_a_sub_protocol() {
    let request = request("h", "/", KEY, None);
    assert!(request.ends_with("Sec-WebSocket-Version: 13\r\n\r\n"));
}

#[test]
fn frames_behind_the_answer_are_left() {
    let answer = [ANSWER.as_bytes(), b"\x82\x02\r\n\r\n"].concat();
    for size in 1..=answer.len() {
        let (outcome, rest) = read(&answer, size);
        assert_eq!(outcome, Ok(true));
        assert_eq!(rest, b"\x82\x02\r\n\r\n", "{size}");
    }
}

#[test]
fn what_servers_write_otherwise() {
    expect(&ANSWER.replace("\r\n", "\n"), Ok(true));
    expect(
        &ANSWER.replace("Sec-WebSocket-Protocol: chat\r\n", ""),
        Ok(true),
    );
    expect(
        &ANSWER.replace("Upgrade: websocket", "UPGRADE:  WebSocket"),
        Ok(true),
    );
    expect(
        &ANSWER.replace("Connection: Upgrade", "connection: keep-alive, upgrade"),
        Ok(true),
    );
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    expect(&[hints, ANSWER].concat(), Ok(true));
}

#[test]
fn what_is_no_upgrade_says_why() {
    use UpgradeError::*;
    let moved = |status: u16, location: &str| {
        let location = location.to_owned();
        Err(Redirect { status, location })
    };
    for status in [301, 302, 303, 307, 308] {
        let answer =
            format!("HTTP/1.1 {status} Moved\r\nLocation: https://core.telegram.org/\r\n\r\n");
        expect(&answer, moved(status, "https://core.telegram.org/"));
    }
    expect("HTTP/1.1 302 Found\r\n\r\n", moved(302, ""));
    expect(
        "HTTP/1.1 302 Found\r\nLocation: a\x1bb \u{434}c\r\n\r\n"
            .replace('\x1b', "\t")
            .as_str(),
        moved(302, "abc"),
    );
    let long = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n",
        "x".repeat(4000)
    );
    expect(&long, moved(302, &"x".repeat(200)));
    for status in [200, 304, 400, 403, 404, 426, 429, 503, 522] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 5\r\n\r\nhello");
        expect(&answer, Err(Status(status)));
    }
    for (from, to) in [
        ("s3pP", "s3pp"),
        ("Sec-WebSocket-Accept", "Sec-WebSocket-Other"),
    ] {
        expect(&ANSWER.replace(from, to), Err(BadAccept));
    }
    let twice = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    expect(
        &ANSWER.replace("Upgrade: web", &[twice, "Upgrade: web"].concat()),
        Err(BadAccept),
    );
    for (from, to) in [
        ("Upgrade: websocket\r\n", ""),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Connection: Upgrade", "Connection: close"),
        (
            "Upgrade: w",
            "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: w",
        ),
    ] {
        expect(&ANSWER.replace(from, to), Err(BadUpgrade));
    }
    for answer in [
        "\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/2 101\r\n\r\n",
        "\x15\x03\x03\0\x02\n\n",
    ] {
        expect(answer, Err(Malformed));
    }
}

#[test]
fn an_answer_has_a_bound() {
    let padding = MAX_HEAD - ANSWER.len() - "X: \r\n".len();
    let padded = |more: usize| {
        let field = format!("X: {}\r\nUpgrade: web", "x".repeat(padding + more));
        ANSWER.replace("Upgrade: web", &field)
    };
    expect(&padded(0), Ok(true));
    expect(&padded(1), Err(UpgradeError::TooLong));
    expect(
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(400),
        Err(UpgradeError::TooLong),
    );
    expect(&"x".repeat(MAX_HEAD), Ok(false));
    expect(&"x".repeat(MAX_HEAD + 1), Err(UpgradeError::TooLong));
}
