use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

/// What a reader said; the pieces of a DATA frame joined.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Hello,
    Open(u32),
    Data(u32, u32, Vec<u8>),
    Close(u32),
    Window(u32, u32),
    Pong,
    Fault(FrameFault),
}

fn hear_with(mut reader: FrameReader, pieces: Vec<&mut [u8]>) -> Vec<Heard> {
    let mut heard = Vec::new();
    for mut input in pieces {
        loop {
            let said = match reader.next(&mut input) {
                Ok(Some(Piece::Hello)) => Heard::Hello,
                Ok(Some(Piece::Open(stream))) => Heard::Open(stream.get()),
                Ok(Some(Piece::DataBegins { stream, length })) => {
                    Heard::Data(stream.get(), length, Vec::new())
                }
                Ok(Some(Piece::Data { stream, bytes })) => {
                    assert!(!bytes.is_empty());
                    match heard.last_mut() {
                        Some(Heard::Data(of, length, payload)) => {
                            assert_eq!(*of, stream.get());
                            payload.extend_from_slice(bytes);
                            assert!(payload.len() <= *length as usize);
                        }
                        other => panic!("data behind {other:?}"),
                    }
                    continue;
                }
                Ok(Some(Piece::Close(stream))) => Heard::Close(stream.get()),
                Ok(Some(Piece::Window { stream, credit })) => Heard::Window(stream.get(), credit),
                Ok(Some(Piece::Pong)) => Heard::Pong,
                Ok(None) => break,
                Err(fault) => {
                    heard.push(Heard::Fault(fault));
                    return heard;
                }
            };
            heard.push(said);
        }
        assert!(input.is_empty());
    }
    if let Err(fault) = reader.end_batch() {
        heard.push(Heard::Fault(fault));
    }
    heard
}

fn hear(pieces: Vec<&mut [u8]>) -> Vec<Heard> {
    hear_with(FrameReader::default(), pieces)
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.replace(' ', "");
    data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()
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

/// A batch read by somebody who has all of it, frame by frame, with the words of the
/// document.
fn naive(bytes: &[u8], mut expects_hello: bool) -> Vec<Heard> {
    let (mut heard, mut rest, mut count) = (Vec::new(), bytes, 0);
    loop {
        let fault = |mut heard: Vec<Heard>, fault| {
            heard.push(Heard::Fault(fault));
            heard
        };
        if rest.is_empty() && count > 0 {
            return heard;
        }
        if rest.len() < 8 {
            let missing = if rest.is_empty() {
                FrameFault::EmptyBatch
            } else {
                FrameFault::CutFrame
            };
            return fault(heard, missing);
        }
        let (kind, id) = (rest[0], u32::from_be_bytes([0, rest[1], rest[2], rest[3]]));
        let length = u32::from_be_bytes([rest[4], rest[5], rest[6], rest[7]]);
        let body = &rest[8..rest.len().min(8usize.saturating_add(length as usize))];
        let is_whole = body.len() == length as usize;
        count += 1;
        if count > 4096 {
            return fault(heard, FrameFault::TooManyFrames);
        }
        if expects_hello && kind != 0x10 {
            return fault(heard, FrameFault::NoHello);
        }
        if !expects_hello && kind == 0x10 {
            return fault(heard, FrameFault::HelloAgain);
        }
        expects_hello = false;
        let known = [1, 2, 3, 4, 6, 0x10].contains(&kind);
        if !known && [5, 0x11, 0x1f].contains(&kind) {
            return fault(heard, FrameFault::NotOfApp(kind));
        } else if !known {
            return fault(heard, FrameFault::Type(kind));
        }
        if kind <= 4 && id == 0 {
            return fault(heard, FrameFault::NoStream(kind));
        } else if kind > 4 && id != 0 {
            return fault(heard, FrameFault::OfStream(kind));
        }
        let is_fine = match kind {
            1 | 3 => length == 0,
            2 if length == 0 => return fault(heard, FrameFault::EmptyData),
            2 => length <= 1 << 20,
            4 => length == 4,
            6 => length <= 64,
            _ => length == 1,
        };
        if !is_fine {
            return fault(heard, FrameFault::Length { kind, length });
        }
        if kind == 2 {
            heard.push(Heard::Data(id, length, body.to_vec()));
        }
        if !is_whole {
            return fault(heard, FrameFault::CutFrame);
        }
        match kind {
            1 => heard.push(Heard::Open(id)),
            3 => heard.push(Heard::Close(id)),
            4 if body == [0; 4] => return fault(heard, FrameFault::ZeroWindow),
            4 => heard.push(Heard::Window(
                id,
                u32::from_be_bytes(body.try_into().unwrap()),
            )),
            6 => heard.push(Heard::Pong),
            0x10 if body == [1] => heard.push(Heard::Hello),
            0x10 => return fault(heard, FrameFault::Version),
            _ => {}
        }
        rest = &rest[8 + body.len()..];
    }
}

/// One frame as an app writes it, most of them good.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let id = || prop_oneof![8 => 1..=5u32, 2 => 1..=0xff_ffffu32, 1 => Just(0)];
    let raw = |kind: u8, id: u32, body: Vec<u8>| {
        let length = (body.len() as u32).to_be_bytes();
        [&[kind], &id.to_be_bytes()[1..], &length, &body].concat()
    };
    prop_oneof![
        10 => id().prop_map(move |id| raw(1, id, vec![])),
        20 => (id(), vec(any::<u8>(), 1..300)).prop_map(move |(id, body)| raw(2, id, body)),
        1 => (id(), 1..70_000usize).prop_map(move |(id, length)| raw(2, id, vec![9; length])),
        10 => id().prop_map(move |id| raw(3, id, vec![])),
        10 => (id(), any::<u32>()).prop_map(move |(id, credit)| {
            raw(4, id, credit.to_be_bytes().to_vec())
        }),
        4 => vec(any::<u8>(), 0..=64).prop_map(move |body| raw(6, 0, body)),
        1 => (0..0x20u8, id(), vec(any::<u8>(), 0..80)).prop_map(move |(kind, id, body)| {
            raw(kind, id, body)
        }),
        1 => vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    /// Cut anywhere, the reader says what one says who has the whole batch.
    #[test]
    fn any_frames(
        frames in vec(any_frame(), 0..30),
        is_first in any::<bool>(),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let hello = if is_first { &HELLO[..] } else { &[] };
        let mut bytes = [hello, &frames.concat()].concat();
        let reader = if is_first { FrameReader::expecting_hello() } else { FrameReader::default() };
        let expected = naive(&bytes, is_first);
        prop_assert_eq!(hear_with(reader, pieces(&mut bytes, &cuts)), expected);
    }

    #[test]
    fn small_cuts(frames in vec(any_frame(), 0..10), size in 1..9usize) {
        let mut bytes = frames.concat();
        let expected = naive(&bytes, false);
        // Of a batch without a byte there is no piece.
        prop_assert_eq!(hear(bytes.chunks_mut(size).collect()), expected);
    }

    #[test]
    fn garbage(mut bytes in vec(0..8u8, 0..200), cuts in vec(any::<usize>(), 0..20)) {
        let expected = naive(&bytes, false);
        prop_assert_eq!(hear(pieces(&mut bytes, &cuts)), expected);
    }
}

#[test]
fn known_frames_of_apps() {
    for (text, expected) in [
        ("0100000100000000", Heard::Open(1)),
        ("01ffffff00000000", Heard::Open(0xff_ffff)),
        ("0200000200000003616263", Heard::Data(2, 3, b"abc".to_vec())),
        ("040000010000000400040000", Heard::Window(1, 262_144)),
        ("0301020300000000", Heard::Close(0x01_0203)),
        ("0600000000000004deadbeef", Heard::Pong),
    ] {
        for size in [100, 1, 5] {
            let mut bytes = hex(text);
            assert_eq!(
                hear(bytes.chunks_mut(size).collect()),
                std::slice::from_ref(&expected)
            );
        }
    }
    let mut hello = hex("100000000000000101");
    assert!(is_hello(&hello));
    let reader = FrameReader::expecting_hello();
    assert_eq!(hear_with(reader, vec![&mut hello]), [Heard::Hello]);
}

#[test]
fn known_frames_of_ours() {
    let id = |id| StreamId::new(id).unwrap();
    assert_eq!(HELLO[..], hex("100000000000000101"));
    assert_eq!(WELCOME[..], hex("1100000000000000"));
    assert_eq!(data_header(id(2), 3)[..], hex("0200000200000003"));
    assert_eq!(data_header(id(1), MAX_PAYLOAD)[..], hex("0200000100100000"));
    assert_eq!(window(id(1), 262_144)[..], hex("040000010000000400040000"));
    assert_eq!(window(id(1), 105)[..], hex("040000010000000400000069"));
    assert_eq!(close(id(0x01_0203))[..], hex("0301020300000000"));
    assert_eq!(StreamId::new(0), None);
    assert_eq!(StreamId::new(0x100_0000), None);
}

/// The first body of a known session: OPEN and a client's header with its first packet.
#[test]
fn a_known_upload() {
    let header = "030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce3eaf1f8ff060d14\
                  1b222930373e454c535a61686f767d84db3b9332566cf594";
    let packet =
        "1804d1dd04cda30cd01aed19023f437fde29a9c664fa2cef890f75fc649f2af324504822bbc94805f4";
    let contents = hex(&[header, packet].concat());
    let mut bytes = [hex("01000001000000000200000100000069"), contents.clone()].concat();
    let expected = [Heard::Open(1), Heard::Data(1, 105, contents)];
    assert_eq!(hear(bytes.chunks_mut(10).collect()), expected);
}

/// Each is refused at the byte that shows it, and not before.
#[test]
fn what_no_app_may_send() {
    use FrameFault::*;
    for (text, fault) in [
        ("0200000500000000", EmptyData),
        ("0700000100000000", Type(7)),
        ("1200000000000000", Type(0x12)),
        ("1300000100000000", Type(0x13)),
        ("0000000000000000", Type(0)),
        ("0500000000000004", NotOfApp(5)),
        ("1100000000000000", NotOfApp(0x11)),
        ("1f00000000000000", NotOfApp(0x1f)),
        ("040000010000000400000000", ZeroWindow),
        ("0400000100000003", Length { kind: 4, length: 3 }),
        ("0400000100000005", Length { kind: 4, length: 5 }),
        ("0100000100000001", Length { kind: 1, length: 1 }),
        ("0300000100000001", Length { kind: 3, length: 1 }),
        (
            "0200000100100001",
            Length {
                kind: 2,
                length: 1_048_577,
            },
        ),
        (
            "02000001ffffffff",
            Length {
                kind: 2,
                length: u32::MAX,
            },
        ),
        (
            "0600000000000041",
            Length {
                kind: 6,
                length: 65,
            },
        ),
        ("0100000000000000", NoStream(1)),
        ("0200000000000001", NoStream(2)),
        ("0300000000000000", NoStream(3)),
        ("0400000000000004", NoStream(4)),
        ("0600000100000000", OfStream(6)),
        ("1000000000000001", HelloAgain),
    ] {
        let mut bytes = hex(text);
        let heard = hear(bytes.chunks_mut(1).collect());
        assert_eq!(heard, [Heard::Fault(fault)], "{text}");
        let end = bytes.len() - 1;
        assert_eq!(hear(vec![&mut bytes[..end]]), [Heard::Fault(CutFrame)]);
    }
    for (text, fault) in [
        ("0100000100000000", NoHello),
        ("0600000000000000", NoHello),
        ("1100000000000000", NoHello),
        ("1000000100000001", OfStream(0x10)),
        (
            "1000000000000000",
            Length {
                kind: 0x10,
                length: 0,
            },
        ),
        (
            "1000000000000002",
            Length {
                kind: 0x10,
                length: 2,
            },
        ),
        ("100000000000000102", Version),
    ] {
        let reader = FrameReader::expecting_hello();
        let mut bytes = hex(text);
        assert_eq!(
            hear_with(reader, vec![&mut bytes]),
            [Heard::Fault(fault)],
            "{text}"
        );
    }
    let mut twice = [HELLO, HELLO].concat();
    let heard = hear_with(FrameReader::expecting_hello(), vec![&mut twice]);
    assert_eq!(heard, [Heard::Hello, Heard::Fault(HelloAgain)]);
}

#[test]
fn batches_are_of_whole_frames() {
    let mut cut = hex("02000001000000036162");
    let heard = hear(vec![&mut cut]);
    let data = Heard::Data(1, 3, b"ab".to_vec());
    assert_eq!(heard, [data, Heard::Fault(FrameFault::CutFrame)]);
    assert_eq!(hear(vec![]), [Heard::Fault(FrameFault::EmptyBatch)]);

    let open = hex("0100000100000000");
    let mut most = open.repeat(MAX_FRAMES);
    let heard = hear(vec![&mut most]);
    assert_eq!(heard, vec![Heard::Open(1); MAX_FRAMES]);
    let mut more = open.repeat(MAX_FRAMES + 1);
    let heard = hear(vec![&mut more]);
    assert_eq!(heard.last(), Some(&Heard::Fault(FrameFault::TooManyFrames)));

    // They are counted anew in each.
    let mut reader = FrameReader::default();
    for _ in 0..3 {
        let mut bytes = open.repeat(MAX_FRAMES);
        let mut input = &mut bytes[..];
        while reader.next(&mut input).unwrap().is_some() {}
        assert_eq!(reader.end_batch(), Ok(()));
        assert_eq!(reader.end_batch(), Err(FrameFault::EmptyBatch));
    }
}

/// What a session keeps while nothing comes.
#[test]
fn a_reader_is_small() {
    assert!(
        size_of::<FrameReader>() <= 112,
        "{}",
        size_of::<FrameReader>()
    );
}
