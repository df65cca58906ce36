use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

const MAX_MESSAGE: u32 = 2 << 20;

/// A frame as a client writes it.
fn frame(opcode: u8, is_last: bool, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let first = opcode | if is_last { FIN } else { 0 };
    let mut bytes = match payload.len() {
        length @ 0..126 => vec![first, MASKED | length as u8],
        length @ 126..=0xffff => {
            let head = [first, MASKED | LENGTH_16];
            [&head[..], &(length as u16).to_be_bytes()].concat()
        }
        length => [
            &[first, MASKED | LENGTH_64][..],
            &(length as u64).to_be_bytes(),
        ]
        .concat(),
    };
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4]),
    );
    bytes
}

/// What a reader said; payloads in a row are one.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Payload(Vec<u8>),
    End,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>, String),
    Error(FrameError),
}

fn hear(pieces: Vec<&mut [u8]>) -> Vec<Heard> {
    let (mut reader, mut heard) = (ClientFrameReader::new(MAX_MESSAGE), Vec::new());
    for mut input in pieces {
        loop {
            let said = match reader.next(&mut input) {
                Ok(Some(ClientPiece::Payload(bytes))) => {
                    assert!(!bytes.is_empty());
                    assert!(reader.is_in_message());
                    match heard.last_mut() {
                        Some(Heard::Payload(payload)) => {
                            payload.extend_from_slice(bytes);
                            continue;
                        }
                        _ => Heard::Payload(bytes.to_vec()),
                    }
                }
                Ok(Some(ClientPiece::MessageEnd)) => {
                    assert!(!reader.is_in_message());
                    Heard::End
                }
                Ok(Some(ClientPiece::Ping(body))) => Heard::Ping(body.to_vec()),
                Ok(Some(ClientPiece::Pong)) => Heard::Pong,
                Ok(Some(ClientPiece::Close(close))) => Heard::Close(close.code, close.to_string()),
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

#[derive(Clone, Debug)]
struct Fragment {
    mask: [u8; 4],
    length: usize,
    is_last: bool,
    /// Behind it: a ping if true, and how long.
    controls: Vec<(bool, usize)>,
}

fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    let length = prop_oneof![
        20 => 0..300usize,
        1 => prop::sample::select(vec![125, 126, 127, 65_535, 65_536, 70_000]),
    ];
    let controls = vec((any::<bool>(), 0..=MAX_SHORT), 0..3);
    let fragment = (any::<[u8; 4]>(), length, any::<bool>(), controls);
    let fragment = fragment.prop_map(|(mask, length, is_last, controls)| Fragment {
        mask,
        length,
        is_last,
        controls,
    });
    vec(fragment, 0..12)
}

/// Their bytes, and what is to be heard.
fn write(fragments: &[Fragment]) -> (Vec<u8>, Vec<Heard>) {
    let (mut bytes, mut expected) = (Vec::new(), Vec::<Heard>::new());
    let mut opcode = BINARY;
    for (at, fragment) in fragments.iter().enumerate() {
        let payload: Vec<u8> = (0..fragment.length).map(|i| (i * 7 + at) as u8).collect();
        bytes.extend(frame(opcode, fragment.is_last, fragment.mask, &payload));
        match expected.last_mut() {
            _ if payload.is_empty() => {}
            Some(Heard::Payload(all)) => all.extend(payload),
            _ => expected.push(Heard::Payload(payload)),
        }
        if fragment.is_last {
            expected.push(Heard::End);
        }
        opcode = if fragment.is_last {
            BINARY
        } else {
            CONTINUATION
        };
        for &(is_ping, length) in &fragment.controls {
            let body = vec![length as u8 ^ 0x5a; length];
            let kind = if is_ping { PING } else { PONG };
            bytes.extend(frame(kind, true, fragment.mask, &body));
            expected.push(if is_ping {
                Heard::Ping(body)
            } else {
                Heard::Pong
            });
        }
    }
    (bytes, expected)
}

proptest! {
    /// Whatever messages, fragments and control frames inside of them, cut anywhere: each
    /// message comes as it was before the masks, and each ping where it stands.
    #[test]
    fn messages_of_any_arrangement(
        fragments in fragments(),
        cuts in vec(any::<usize>(), 0..20),
        ending in prop::option::of(any::<u16>()),
    ) {
        let (mut bytes, mut expected) = write(&fragments);
        if let Some(code) = ending {
            let body = [&code.to_be_bytes()[..], b"bye"].concat();
            bytes.extend(frame(CLOSE, true, [9, 8, 7, 6], &body));
            // Nobody looks at what comes behind.
            bytes.extend([0xff; 30]);
            expected.push(Heard::Close(Some(code), format!("code {code}, \"bye\"")));
        }
        prop_assert_eq!(hear(pieces(&mut bytes, &cuts)), expected);
    }

    #[test]
    fn small_cuts(fragments in fragments(), size in 1..9usize) {
        let (mut bytes, expected) = write(&fragments);
        prop_assert_eq!(hear(bytes.chunks_mut(size).collect()), expected);
    }

    /// Any bytes are read or refused, the same however they are cut.
    #[test]
    fn garbage(
        mut bytes in vec(prop_oneof![
            prop::sample::select(vec![0x82, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x85, 0xfe, 0xff]),
            any::<u8>(),
        ], 0..400),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let whole = hear(vec![&mut bytes.clone()]);
        prop_assert_eq!(hear(pieces(&mut bytes, &cuts)), whole);
    }

    /// A client reads the length that was meant.
    #[test]
    fn headers_of_ours(length in prop_oneof![
        0..70_000usize,
        prop::sample::select(vec![125, 126, 65_535, 65_536, (1 << 20) + 8]),
    ]) {
        let mut bytes = [&server_header(length)[..], &vec![7; length]].concat();
        let (mut reader, mut input, mut read) = (FrameReader::default(), &mut bytes[..], 0);
        while let Some(piece) = reader.next(&mut input).unwrap() {
            match piece {
                Piece::Payload(bytes) => read += bytes.len(),
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(read, length);
    }
}

/// RFC 6455 §5.7, and an OPEN of a stream as Chromium sent it.
#[test]
fn frames_of_the_specification() {
    for (mut bytes, expected) in [
        (
            b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec(),
            [Heard::Payload(b"Hello".to_vec()), Heard::End],
        ),
        (
            b"\x82\x88\x37\xfa\x21\x3d\x36\xfa\x21\x3c\x37\xfa\x21\x3d".to_vec(),
            [Heard::Payload(b"\x01\0\0\x01\0\0\0\0".to_vec()), Heard::End],
        ),
    ] {
        assert_eq!(hear(vec![&mut bytes]), expected);
    }
    assert_eq!(
        hear(vec![&mut b"\x82\x80\x01\x02\x03\x04".to_vec()]),
        [Heard::End]
    );
    assert_eq!(*server_header(12), *b"\x82\x0c");
    assert_eq!(*server_header(256), *b"\x82\x7e\x01\0");
    assert_eq!(*server_header(65_536), *b"\x82\x7f\0\0\0\0\0\x01\0\0");
    let body = ControlBody::from_slice(b"Hello").unwrap();
    assert_eq!(*server_pong(&body), *b"\x8a\x05Hello");
    assert_eq!(*server_ping(b""), *b"\x89\x00");
    assert_eq!(server_ping(&[1; 200]).len(), 127);
    assert_eq!(*server_close(1009), *b"\x88\x02\x03\xf1");
}

/// Each is refused at the byte that shows it, and not before.
#[test]
fn what_no_client_may_send() {
    use FrameError::*;
    let too_long = u64::from(MAX_MESSAGE) + 1;
    let long_head =
        |first: u8, length: u64| [&[first, 255][..], &length.to_be_bytes(), &[0; 4]].concat();
    let begun = frame(BINARY, false, [1, 2, 3, 4], &[7; 1000]);
    let behind = |head: Vec<u8>| [begun.clone(), head].concat();
    let cases: Vec<(Vec<u8>, FrameError, u16)> = vec![
        (vec![0x82, 0x00], Unmasked, 1002),
        (vec![0x82, 0x7f], Unmasked, 1002),
        (vec![0x89, 0x00], Unmasked, 1002),
        (vec![0x81], Text, 1003),
        (vec![0x01], Text, 1003),
        (vec![0xc2], Reserved, 1002),
        (vec![0xa2], Reserved, 1002),
        (vec![0x92], Reserved, 1002),
        (vec![0xc9], Reserved, 1002),
        (vec![0x83], Opcode(3), 1002),
        (vec![0x8b], Opcode(11), 1002),
        (vec![0x80], NoStart, 1002),
        (vec![0x00], NoStart, 1002),
        (vec![0x82, 0x81, 0, 0, 0, 0, 9, 0x80], NoStart, 1002),
        (behind(vec![0x82]), Interleaved, 1002),
        (vec![0x02, 0x80, 0, 0, 0, 0, 0x02], Interleaved, 1002),
        (vec![0x09], FragmentedControl, 1002),
        (vec![0x08], FragmentedControl, 1002),
        (vec![0x89, 254], LongControl, 1002),
        (vec![0x8a, 255], LongControl, 1002),
        (vec![0x82, 254, 0, 125, 1, 2, 3, 4], LengthForm, 1002),
        (long_head(0x82, 65_535), LengthForm, 1002),
        (long_head(0x82, 0), LengthForm, 1002),
        (long_head(0x82, too_long), TooLong(too_long), 1009),
        (long_head(0x02, too_long), TooLong(too_long), 1009),
        (long_head(0x82, 1 << 63), TooLong(1 << 63), 1009),
        (long_head(0x82, u64::MAX), TooLong(u64::MAX), 1009),
        (
            behind(long_head(0x80, too_long - 1000)),
            TooLong(too_long),
            1009,
        ),
        (behind(long_head(0x80, u64::MAX)), TooLong(u64::MAX), 1009),
        (vec![0x88, 0x81, 0, 0, 0, 0, 3], CloseBody, 1002),
    ];
    for (mut bytes, error, code) in cases {
        let heard = hear(bytes.chunks_mut(1).collect());
        assert_eq!(heard.last(), Some(&Heard::Error(error)), "{bytes:02x?}");
        assert_eq!(error.close_code(), code);
        let mut bytes = bytes.clone();
        let end = bytes.len() - 1;
        let heard = hear(vec![&mut bytes[..end]]);
        assert!(
            !matches!(heard.last(), Some(Heard::Error(_))),
            "{bytes:02x?}"
        );
    }
}

/// A message may be as long as is said, in one frame or in many, and the next one too.
#[test]
fn the_longest_messages() {
    let payload = vec![0x42; MAX_MESSAGE as usize];
    let mask = [0xa5, 0x5a, 0xff, 1];
    let mut bytes = frame(BINARY, true, mask, &payload);
    for (at, part) in payload.chunks(131_000).enumerate() {
        let is_last = (at + 1) * 131_000 >= payload.len();
        let opcode = if at == 0 { BINARY } else { CONTINUATION };
        bytes.extend(frame(opcode, is_last, mask, part));
    }
    let whole = || [Heard::Payload(payload.clone()), Heard::End];
    let expected = [whole(), whole()].concat();
    assert!(hear(bytes.chunks_mut(8191).collect()) == expected);
}
