use super::*;

const KEY: &[u8; 16] = b"the sample nonce";

/// RFC 6455 §1.2 and §1.3.
#[test]
fn the_answer_of_the_specification() {
    let request = request("server.example.com", "/chat", KEY, Some("chat"));
    let expected = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
                    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    assert_eq!(request, expected);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                  Sec-WebSocket-Protocol: chat\r\n\r\n\x02frames";
    let mut input = answer.as_bytes();
    assert_eq!(UpgradeAnswer::new(KEY).take(&mut input), Ok(true));
    assert_eq!(input, b"\x02frames");
}

/// RFC 6455 §5.7.
#[test]
fn frames_of_the_specification() {
    let mut input = [
        &b"\x81\x05Hello\x01\x03Hel\x80\x02lo\x89\x05Hello\x82\x7e\x01\x00"[..],
        &[7; 256],
    ]
    .concat();
    let mut rest = input.as_mut_slice();
    let mut reader = FrameReader::default();
    let (mut payload, mut pings) = (Vec::new(), Vec::new());
    while let Some(piece) = reader.next(&mut rest).unwrap() {
        match piece {
            Piece::Payload(bytes) => payload.extend_from_slice(bytes),
            Piece::Ping(body) => pings.push(body.to_vec()),
            Piece::Close(close) => panic!("{close}"),
        }
    }
    assert_eq!(payload, [b"HelloHello", &[7; 256][..]].concat());
    assert_eq!(pings, [b"Hello"]);
    assert_eq!(
        *message_header(65_536),
        *b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0"
    );
    assert_eq!(*message_header(256), *b"\x82\xfe\x01\0\0\0\0\0");
    assert_eq!(*pong(b"Hello"), *b"\x8a\x85\0\0\0\0Hello");
    assert_eq!(*close(1000), *b"\x88\x82\0\0\0\0\x03\xe8");
}
