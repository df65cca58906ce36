use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

/// What stands before a payload of a server's.
fn server_header(opcode: u8, is_last: bool, length: usize) -> Vec<u8> {
    let first = opcode | if is_last { FIN } else { 0 };
    match length {
        0..126 => vec![first, length as u8],
        126..=0xffff => [&[first, LENGTH_16][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, LENGTH_64][..], &(length as u64).to_be_bytes()].concat(),
    }
}

/// A frame as a server writes it.
fn frame(opcode: u8, is_last: bool, payload: &[u8]) -> Vec<u8> {
    [&server_header(opcode, is_last, payload.len()), payload].concat()
}

/// What a reader said; payloads in a row are one.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Payload(Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<u16>, String),
    Error(FrameError),
}

fn hear(pieces: Vec<&mut [u8]>) -> Vec<Heard> {
    let (mut reader, mut heard) = (FrameReader::default(), Vec::new());
    for mut input in pieces {
        loop {
            let said = match reader.next(&mut input) {
                Ok(Some(Piece::Payload(bytes))) => {
                    assert!(!bytes.is_empty());
                    match heard.last_mut() {
                        Some(Heard::Payload(payload)) => {
                            payload.extend_from_slice(bytes);
                            continue;
                        }
                        _ => Heard::Payload(bytes.to_vec()),
                    }
                }
                Ok(Some(Piece::Ping(body))) => Heard::Ping(body.to_vec()),
                Ok(Some(Piece::Close(close))) => Heard::Close(close.code, close.to_string()),
                Ok(None) => break,
                Err(error) => {
                    heard.push(Heard::Error(error));
                    return heard;
                }
            };
            heard.push(said);
        }
        assert!(input.is_empty());
    }
    heard
}

fn pieces<'a>(mut bytes: &'a mut [u8], cuts: &[usize]) -> Vec<&'a mut [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (head, tail) = bytes.split_at_mut(cut % (bytes.len() + 1));
        pieces.push(head);
        bytes = tail;
    }
    pieces.push(bytes);
    pieces
}

/// A fragment of this many bytes, whether it ends its message, and the control frames
/// behind it.
type Fragment = (usize, bool, Vec<(bool, usize)>);

fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    let length = prop_oneof![
        20 => 0..300usize,
        1 => prop::sample::select(vec![125, 126, 127, 65_535, 65_536, 70_000]),
    ];
    let controls = vec((any::<bool>(), 0..=MAX_SHORT), 0..3);
    vec((length, any::<bool>(), controls), 0..12)
}

/// Their bytes, and what is to be heard.
fn write(fragments: &[Fragment], is_text: bool) -> (Vec<u8>, Vec<Heard>) {
    let (mut bytes, mut expected) = (Vec::new(), Vec::<Heard>::new());
    let mut opcode = if is_text { TEXT } else { BINARY };
    for (at, (length, is_last, controls)) in fragments.iter().enumerate() {
        let payload: Vec<u8> = (0..*length).map(|i| (i * 7 + at) as u8).collect();
        bytes.extend(frame(opcode, *is_last, &payload));
        opcode = match (is_last, is_text) {
            (false, _) => CONTINUATION,
            (true, true) => TEXT,
            (true, false) => BINARY,
        };
        match expected.last_mut() {
            _ if payload.is_empty() => {}
            Some(Heard::Payload(all)) => all.extend(payload),
            _ => expected.push(Heard::Payload(payload)),
        }
        for &(is_ping, length) in controls {
            let body = vec![length as u8 ^ 0x5a; length];
            if is_ping {
                bytes.extend(frame(PING, true, &body));
                expected.push(Heard::Ping(body));
            } else {
                bytes.extend(frame(PONG, true, &body));
            }
        }
    }
    (bytes, expected)
}

proptest! {
    /// Whatever messages, fragments and control frames between them, cut anywhere: the
    /// payloads are one stream, and each ping is heard where it stands.
    #[test]
    fn payloads_of_any_arrangement(
        fragments in fragments(),
        is_text in any::<bool>(),
        cuts in vec(any::<usize>(), 0..20),
        ending in prop::option::of(any::<u16>()),
    ) {
        let (mut bytes, mut expected) = write(&fragments, is_text);
        if let Some(code) = ending {
            let body = [&code.to_be_bytes()[..], b"404"].concat();
            bytes.extend(frame(CLOSE, true, &body));
            // Nobody looks at what comes behind.
            bytes.extend([0xff; 30]);
            expected.push(Heard::Close(Some(code), format!("code {code}, \"404\"")));
        }
        let cuts = pieces(&mut bytes, &cuts);
        prop_assert_eq!(hear(cuts), expected);
    }

    #[test]
    fn small_cuts(fragments in fragments(), size in 1..4usize) {
        let (mut bytes, expected) = write(&fragments, false);
        prop_assert_eq!(hear(bytes.chunks_mut(size).collect()), expected);
    }

    /// Any bytes are read or refused, the same however they are cut.
    #[test]
    fn garbage(
        mut bytes in vec(prop_oneof![
            prop::sample::select(vec![0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x05, 0x7e, 0x7f]),
            any::<u8>(),
        ], 0..400),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let whole = hear(vec![&mut bytes.clone()]);
        prop_assert_eq!(hear(pieces(&mut bytes, &cuts)), whole);
    }

    /// A server reads the length that was meant, and our bytes as they are.
    #[test]
    fn headers_of_ours(length in prop_oneof![
        0..70_000usize,
        prop::sample::select(vec![125, 126, 65_535, 65_536, (1 << 20) + 4]),
    ]) {
        let header = message_header(length);
        let unmasked = [&[BINARY | FIN, header[1] & !MASKED], &header[2..header.len() - 4]].concat();
        prop_assert_eq!(unmasked, server_header(BINARY, true, length));
        prop_assert_eq!(header[1] & MASKED, MASKED);
        prop_assert_eq!(&header[header.len() - 4..], &[0; 4]);
    }
}

/// RFC 6455 §5.7.
#[test]
fn frames_of_the_specification() {
    let hello = || Heard::Payload(b"Hello".to_vec());
    let long = |length: usize| Heard::Payload(vec![7; length]);
    let with_payload = |head: &[u8], length| [head, &vec![7; length][..]].concat();
    for (mut bytes, expected) in [
        (b"\x81\x05Hello".to_vec(), hello()),
        (b"\x01\x03Hel\x80\x02lo".to_vec(), hello()),
        (b"\x89\x05Hello".to_vec(), Heard::Ping(b"Hello".to_vec())),
        (with_payload(b"\x82\x7e\x01\x00", 256), long(256)),
        (
            with_payload(b"\x82\x7f\0\0\0\0\0\x01\0\0", 65_536),
            long(65_536),
        ),
    ] {
        assert_eq!(hear(vec![&mut bytes]), [expected]);
    }
    let mut masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
    assert_eq!(hear(vec![&mut masked]), [Heard::Error(FrameError::Masked)]);
    assert_eq!(
        *message_header(65_536),
        *b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0"
    );
    assert_eq!(*message_header(256), *b"\x82\xfe\x01\0\0\0\0\0");
    assert_eq!(*pong(b"Hello"), *b"\x8a\x85\0\0\0\0Hello");
    assert_eq!(pong(&[1; 125])[..6], *b"\x8a\xfd\0\0\0\0");
    assert_eq!(pong(&[1; 125]).len(), 131);
    assert_eq!(*close(1000), *b"\x88\x82\0\0\0\0\x03\xe8");
}

/// Each is refused at the byte that shows it, and not before.
#[test]
fn what_no_server_may_send() {
    use FrameError::*;
    let too_long = MAX_FRAME as u64 + 1;
    let long_head = |length: u64| [&[0x82, 127][..], &length.to_be_bytes()].concat();
    let cases: Vec<(Vec<u8>, FrameError)> = vec![
        (vec![0x82, 0x80], Masked),
        (vec![0xc2], Reserved),
        (vec![0xa2], Reserved),
        (vec![0x92], Reserved),
        (vec![0x83], Opcode(3)),
        (vec![0x8b], Opcode(11)),
        (vec![0x80], NoStart),
        (vec![0x00], NoStart),
        (vec![0x82, 0x01, 9, 0x80], NoStart),
        (vec![0x02, 0x01, 9, 0x82], Interleaved),
        (vec![0x02, 0x00, 0x80, 0x00, 0x00], NoStart),
        (vec![0x01, 0x00, 0x89, 0x00, 0x01], Interleaved),
        (vec![0x09], FragmentedControl),
        (vec![0x08], FragmentedControl),
        (vec![0x89, 126], LongControl),
        (vec![0x8a, 127], LongControl),
        (vec![0x82, 126, 0, 125], LengthForm),
        (long_head(65_535), LengthForm),
        (long_head(0), LengthForm),
        (long_head(too_long), TooLong(too_long)),
        (long_head(1 << 63), TooLong(1 << 63)),
        (long_head(u64::MAX), TooLong(u64::MAX)),
        (vec![0x88, 1, 3], CloseBody),
    ];
    for (mut bytes, error) in cases {
        let heard = hear(bytes.chunks_mut(1).collect());
        assert_eq!(heard.last(), Some(&Heard::Error(error)), "{bytes:02x?}");
        let end = bytes.len() - 1;
        let heard = hear(vec![&mut bytes[..end]]);
        assert!(
            !matches!(heard.last(), Some(Heard::Error(_))),
            "{bytes:02x?}"
        );
    }
    assert!(hear(vec![&mut long_head(MAX_FRAME as u64)]).is_empty());
}

#[test]
fn last_words() {
    for (body, code, words) in [
        (&b""[..], None, "no code"),
        (b"\x03\xe8", Some(1000), "code 1000"),
        (b"\x03\xe8404", Some(1000), "code 1000, \"404\""),
        (
            b"\x10\x00a\x1b\n\"\xd0",
            Some(4096),
            "code 4096, \"a\\x1b\\n\\\"\\xd0\"",
        ),
    ] {
        let expected = [Heard::Close(code, words.to_owned())];
        assert_eq!(hear(vec![&mut frame(CLOSE, true, body)]), expected);
    }
}
