use proptest::collection::vec;
use proptest::prelude::*;

use super::packets::{PacketPart, PacketReader, packet_header};
use super::*;
use crate::bytes::take_up_to;
use crate::dc::DcId;
use crate::secret::AdTag;
use crate::transport::{MAX_PACKET, Transport};

fn hello() -> Hello {
    Hello {
        side: LinkSide::Front,
        is_keyed: true,
        is_trial: false,
        lacks_middle: false,
        hears_middle: false,
        window: 0x1_0000,
        random: [7; RANDOM_LEN],
    }
}

fn open(route: OpenRoute) -> Frame {
    let open = Box::new(Open {
        route,
        dc: DcId(-2),
        transport: Transport::Padded,
        client: "198.51.100.7:1025".parse().unwrap(),
        local: "[2001:db8::1]:443".parse().unwrap(),
        tag: Some(AdTag([9; 16])),
    });
    Frame::Open { stream: 5, open }
}

fn frames() -> Vec<Frame> {
    let material = AnswerKey {
        key: [1; 32],
        iv: [2; 16],
    };
    let mut frames = vec![
        Frame::Hello(hello()),
        Frame::Proof([3; PROOF_LEN]),
        open(OpenRoute::Middle),
        open(OpenRoute::Direct(material)),
        Frame::Credit {
            stream: 1,
            bytes: 2,
        },
        Frame::QuickAck {
            stream: 1,
            token: [1, 2, 3, 4],
        },
        Frame::Ping(1 << 40),
        Frame::Pong(u64::MAX),
    ];
    frames.extend(
        EndReason::ALL
            .iter()
            .map(|&reason| Frame::End { stream: 3, reason }),
    );
    frames.extend(Refusal::ALL.iter().map(|&refusal| Frame::Close(refusal)));
    frames.extend([true, false].map(|is_reached| Frame::Middle { is_reached }));
    frames
}

/// Everything in `bytes`, the data of a stream joined.
fn decode(pieces: &mut [Vec<u8>]) -> Result<(Vec<Frame>, Vec<u8>), LinkError> {
    let (mut decoder, mut frames, mut data) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        let mut input = piece.as_mut_slice();
        while let Some(event) = decoder.next(&mut input)? {
            match event {
                Event::Frame(frame) => frames.push(frame),
                Event::Data { bytes, .. } => data.extend_from_slice(bytes),
            }
        }
        assert!(input.is_empty());
    }
    Ok((frames, data))
}

#[test]
fn frames_come_back_however_they_are_cut() {
    let mut bytes: Vec<u8> = frames().iter().flat_map(Frame::encode).collect();
    bytes.extend(data_header(5, 3).iter().chain(b"abc"));
    bytes.extend(data_header(5, 0));
    bytes.extend(data_header(5, 2).iter().chain(b"de"));
    for size in [1, 2, 7, 50, bytes.len()] {
        let mut pieces: Vec<_> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
        let expected = (frames(), b"abcde".to_vec());
        assert_eq!(decode(&mut pieces), Ok(expected), "{size}");
    }
}

#[test]
fn frames_of_one_stream_come_together() {
    let mut bytes: Vec<u8> = Frame::Hello(hello()).encode().to_vec();
    for (stream, text) in [
        (5, "ab"),
        (5, ""),
        (5, "cde"),
        (6, "f"),
        (6, "g"),
        (5, "hi"),
    ] {
        bytes.extend(data_header(stream, text.len()));
        bytes.extend_from_slice(text.as_bytes());
    }
    let mut decoder = Decoder::default();
    let mut input = bytes.as_mut_slice();
    let mut found = Vec::new();
    while let Some(event) = decoder.next(&mut input).unwrap() {
        if let Event::Data { stream, bytes } = event {
            found.push((stream, String::from_utf8(bytes.to_vec()).unwrap()));
        }
    }
    let expected = [(5, "abcde"), (6, "fg"), (5, "hi")];
    assert_eq!(
        found,
        expected.map(|(stream, text)| (stream, text.to_owned()))
    );
}

proptest! {
    #[test]
    fn joined_frames_lose_nothing(
        frames in vec((0..3u32, vec(any::<u8>(), 0..60), any::<bool>()), 1..20),
        cuts in vec(1..80usize, 1..40),
    ) {
        let mut sent = Frame::Hello(hello()).encode().to_vec();
        let mut expected: [Vec<u8>; 3] = Default::default();
        for (stream, body, ping) in &frames {
            sent.extend(data_header(*stream, body.len()));
            sent.extend_from_slice(body);
            expected[*stream as usize].extend_from_slice(body);
            if *ping {
                sent.extend(Frame::Ping(1).encode());
            }
        }
        let mut decoder = Decoder::default();
        let (mut found, mut pings): ([Vec<u8>; 3], _) = (Default::default(), 0);
        let mut rest = sent.as_mut_slice();
        for cut in cuts.iter().cycle() {
            let mut input = take_up_to(&mut rest, *cut);
            if input.is_empty() {
                break;
            }
            while let Some(event) = decoder.next(&mut input).unwrap() {
                match event {
                    Event::Data { stream, bytes } => {
                        prop_assert!(!bytes.is_empty());
                        found[stream as usize].extend_from_slice(bytes);
                    }
                    Event::Frame(frame) => pings += usize::from(frame == Frame::Ping(1)),
                }
            }
            prop_assert!(input.is_empty());
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(pings, frames.iter().filter(|frame| frame.2).count());
    }
}

#[test]
fn known_answers() {
    let expected = "0000003101000000\
        0073 6d4c4b 0001 01 01 00010000 ";
    let hex: String = Frame::Hello(hello()).encode()[..21]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, expected.replace(char::is_whitespace, ""));
    let end = Frame::End {
        stream: 0x01020304,
        reason: EndReason::UnknownDc,
    };
    assert_eq!(end.encode()[..], [0, 0, 0, 6, 7, 1, 2, 3, 4, 18]);
    assert_eq!(data_header(2, 0x3000), [0, 0, 0x30, 5, 4, 0, 0, 0, 2]);
    assert_eq!(packet_header(8, true), [0x80, 0, 0, 8]);
}

#[test]
fn strangers_and_other_versions_are_told_apart() {
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 32], &[0xff; 32]] {
        assert_eq!(decode(&mut [garbage.to_vec()]), Err(LinkError::NotALink));
    }
    let mut other = Frame::Hello(hello()).encode().to_vec();
    other[14] = 9;
    assert_eq!(decode(&mut [other.clone()]), Err(LinkError::Version(9)));
    other[9] = b'x';
    assert_eq!(decode(&mut [other]), Err(LinkError::NotALink));
    let hello = Frame::Hello(hello()).encode().to_vec();
    for (behind, error) in [
        (
            vec![0xff, 0, 0, 0, 4, 0, 0, 0, 0],
            LinkError::Length(0xff00_0000),
        ),
        (vec![0, 0, 0, 4, 4, 0, 0, 0, 0], LinkError::Length(4)),
        (vec![0, 0, 0, 5, 77, 0, 0, 0, 0], LinkError::Type(77)),
        (vec![0, 0, 0, 5, 7, 0, 0, 0, 0], LinkError::Body(7)),
        (vec![0, 0, 0, 6, 7, 0, 0, 0, 0, 99], LinkError::Body(7)),
    ] {
        assert_eq!(decode(&mut [hello.clone(), behind]), Err(error));
    }
}

#[test]
fn a_proof_is_good_for_one_role_and_one_pair_of_hellos() {
    let (front, mut back) = (hello(), hello());
    back.side = LinkSide::Back;
    let proof = |key: &[u8], side, back: &Hello| super::proof(key, side, &front, back);
    let right = proof(b"key", LinkSide::Front, &back);
    assert_eq!(right, proof(b"key", LinkSide::Front, &back));
    assert_ne!(right, proof(b"kez", LinkSide::Front, &back));
    assert_ne!(right, proof(b"key", LinkSide::Back, &back));
    let mut fresh = back.clone();
    fresh.random[31] ^= 1;
    assert_ne!(right, proof(b"key", LinkSide::Front, &fresh));
    // Who does not know trials proves the same.
    let mut trial = front.clone();
    trial.is_trial = true;
    trial.hears_middle = true;
    assert_eq!(right, super::proof(b"key", LinkSide::Front, &trial, &back));
}

#[test]
fn packets_of_a_stream() {
    let mut reader = PacketReader::default();
    let mut bytes = packet_header(8, true).to_vec();
    bytes.extend_from_slice(b"12345678");
    bytes.extend_from_slice(&packet_header(0, false));
    let mut input = bytes.as_mut_slice();
    let mut next = || {
        let part = reader.next(&mut input, MAX_PACKET).unwrap()?;
        Some(match part {
            PacketPart::Begin { len, quick_ack } => format!("{len} {quick_ack}"),
            PacketPart::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            PacketPart::End => "end".to_owned(),
        })
    };
    let parts: Vec<_> = std::iter::from_fn(&mut next).collect();
    assert_eq!(parts, ["8 true", "12345678", "end", "0 false", "end"]);
    let mut long = packet_header(MAX_PACKET + 4, false);
    let error = reader.next(&mut long.as_mut_slice(), MAX_PACKET);
    assert_eq!(error, Err(LinkError::Packet(MAX_PACKET + 4)));
}
