//! The frames of a link, and the packets inside its streams.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use smol_mtproxy_wire::dc::DcId;
use smol_mtproxy_wire::link::packets::{
    PACKET_HEADER_LEN, PacketPart, PacketReader, packet_header,
};
use smol_mtproxy_wire::link::{
    AnswerKey, Decoder, EndReason, Event, Frame, HEADER_LEN, Hello, LinkError, LinkSide, MAX_BODY,
    MAX_CONTROL, Open, OpenRoute, Refusal, data_header,
};
use smol_mtproxy_wire::secret::AdTag;
use smol_mtproxy_wire::transport::MAX_PACKET;

use super::{Heard, hear, pieces, transport};

fn hello() -> impl Strategy<Value = Hello> {
    let side = prop_oneof![Just(LinkSide::Front), Just(LinkSide::Back)];
    let flags = any::<[bool; 4]>();
    (side, flags, any::<u32>(), any::<[u8; 32]>()).prop_map(
        |(side, [is_keyed, is_trial, lacks_middle, hears_middle], window, random)| Hello {
            side,
            is_keyed,
            is_trial,
            lacks_middle,
            hears_middle,
            window,
            random,
        },
    )
}

/// Addresses as they go over the wire: without flow label and scope.
fn address() -> impl Strategy<Value = SocketAddr> {
    any::<SocketAddr>().prop_map(|address| (address.ip(), address.port()).into())
}

fn open() -> impl Strategy<Value = Open> {
    let route = prop_oneof![
        Just(OpenRoute::Middle),
        (any::<[u8; 32]>(), any::<[u8; 16]>())
            .prop_map(|(key, iv)| OpenRoute::Direct(AnswerKey { key, iv })),
    ];
    let tag = proptest::option::of(any::<[u8; 16]>());
    (route, any::<i16>(), transport(), address(), address(), tag).prop_map(
        |(route, dc, transport, client, local, tag)| Open {
            route,
            dc: DcId(dc),
            transport,
            client,
            local,
            tag: tag.map(AdTag),
        },
    )
}

/// Every kind of frame but data.
fn frame() -> impl Strategy<Value = Frame> {
    let stream = any::<u32>();
    prop_oneof![
        hello().prop_map(Frame::Hello),
        any::<[u8; 32]>().prop_map(Frame::Proof),
        (stream, open()).prop_map(|(stream, open)| Frame::Open {
            stream,
            open: Box::new(open)
        }),
        (stream, any::<u32>()).prop_map(|(stream, bytes)| Frame::Credit { stream, bytes }),
        (stream, any::<[u8; 4]>()).prop_map(|(stream, token)| Frame::QuickAck { stream, token }),
        (stream, proptest::sample::select(EndReason::ALL))
            .prop_map(|(stream, reason)| Frame::End { stream, reason }),
        any::<u64>().prop_map(Frame::Ping),
        any::<u64>().prop_map(Frame::Pong),
        proptest::sample::select(Refusal::ALL).prop_map(Frame::Close),
        any::<bool>().prop_map(|is_reached| Frame::Middle { is_reached }),
    ]
}

#[derive(Clone, Debug)]
enum Sent {
    Frame(Frame),
    Data { stream: u32, bytes: Vec<u8> },
}

fn sent() -> impl Strategy<Value = Sent> {
    let data = |sizes| {
        (any::<u32>(), vec(any::<u8>(), sizes))
            .prop_map(|(stream, bytes)| Sent::Data { stream, bytes })
    };
    prop_oneof![
        6 => frame().prop_map(Sent::Frame),
        4 => data(0..200),
        1 => data(MAX_BODY - 2..MAX_BODY + 1),
    ]
}

fn encode(sent: &[Sent]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for one in sent {
        match one {
            Sent::Frame(frame) => bytes.extend_from_slice(&frame.encode()),
            Sent::Data {
                stream,
                bytes: data,
            } => {
                bytes.extend_from_slice(&data_header(*stream, data.len()));
                bytes.extend_from_slice(data);
            }
        }
    }
    bytes
}

/// What `sent` is to be heard as; neighbouring data of one stream is one.
fn expected(sent: &[Sent]) -> Vec<(u32, Heard)> {
    let mut heard = Vec::new();
    for one in sent {
        match one {
            Sent::Frame(frame) => heard.push((0, Heard::Event(format!("{frame:?}")))),
            Sent::Data { stream, bytes } => hear_data(&mut heard, *stream, bytes),
        }
    }
    heard
}

fn hear_data(heard: &mut Vec<(u32, Heard)>, stream: u32, bytes: &[u8]) {
    match heard.last_mut() {
        _ if bytes.is_empty() => {}
        Some((known, Heard::Payload(payload))) if *known == stream => {
            payload.extend_from_slice(bytes);
        }
        _ => heard.push((stream, Heard::Payload(bytes.to_vec()))),
    }
}

/// Everything that a decoder says, up to an error; and whether it left bytes of
/// a piece alone that it was given.
fn decode(pieces: Vec<&mut [u8]>) -> (Vec<(u32, Heard)>, Option<LinkError>) {
    let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
    for mut piece in pieces {
        loop {
            let left = piece.len();
            match decoder.next(&mut piece) {
                Ok(Some(Event::Frame(frame))) => {
                    heard.push((0, Heard::Event(format!("{frame:?}"))))
                }
                Ok(Some(Event::Data { stream, bytes })) => {
                    assert!(!bytes.is_empty() && bytes.len() <= left.min(MAX_BODY));
                    hear_data(&mut heard, stream, bytes);
                }
                Ok(None) => break,
                Err(error) => return (heard, Some(error)),
            }
            assert!(piece.len() <= left);
        }
        assert!(piece.is_empty());
    }
    (heard, None)
}

fn packets(pieces: Vec<&mut [u8]>) -> (Vec<Heard>, Option<LinkError>) {
    let (mut reader, mut heard) = (PacketReader::default(), Vec::new());
    for mut piece in pieces {
        loop {
            let left = piece.len();
            match reader.next(&mut piece, MAX_PACKET) {
                Ok(Some(PacketPart::Bytes(bytes))) => {
                    assert!(!bytes.is_empty() && bytes.len() <= left);
                    hear(&mut heard, bytes);
                }
                Ok(Some(part)) => heard.push(Heard::Event(format!("{part:?}"))),
                Ok(None) => break,
                Err(error) => return (heard, Some(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (heard, None)
}

proptest! {
    #[test]
    fn a_frame_is_as_long_as_it_says_and_no_longer_than_it_may_be(frame in frame()) {
        let bytes = frame.encode();
        prop_assert!(bytes.len() <= HEADER_LEN + MAX_CONTROL);
        let length = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        prop_assert_eq!(length as usize + 4, bytes.len());
    }

    #[test]
    fn frames_read_back_however_cut(
        first in hello(),
        mut sent in vec(sent(), 0..12),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        sent.insert(0, Sent::Frame(Frame::Hello(first)));
        let mut bytes = encode(&sent);
        let heard = decode(pieces(&mut bytes, &cuts));
        prop_assert_eq!(heard, (expected(&sent), None));
    }

    #[test]
    fn a_broken_stream_of_frames_reads_the_same_however_cut(
        first in hello(),
        mut sent in vec(sent(), 0..8),
        at: usize,
        flip in 1..=255u8,
        cuts in vec(any::<usize>(), 0..20),
    ) {
        sent.insert(0, Sent::Frame(Frame::Hello(first)));
        let mut bytes = encode(&sent);
        let len = bytes.len();
        bytes[at % len] ^= flip;
        let whole = decode(vec![&mut bytes.clone()]);
        prop_assert_eq!(decode(pieces(&mut bytes, &cuts)), whole);
    }

    #[test]
    fn a_frame_that_was_cut_off_is_not_there_yet(frame in frame(), cut: usize) {
        let first = Frame::Hello(Hello {
            side: LinkSide::Front,
            is_keyed: true,
            is_trial: false,
            lacks_middle: false,
            hears_middle: false,
            window: 1,
            random: [0; 32],
        });
        let bytes = frame.encode();
        let kept = &bytes[..cut % bytes.len()];
        let mut bytes = [&first.encode()[..], kept].concat();
        let (heard, error) = decode(vec![&mut bytes]);
        prop_assert_eq!((heard.len(), error), (1, None));
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(
        first in proptest::option::of(hello()),
        garbage in vec(any::<u8>(), 0..300),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let hello = first.map(|hello| Frame::Hello(hello).encode().to_vec());
        let is_link = hello.is_some();
        let mut bytes = [hello.unwrap_or_default(), garbage].concat();
        let (heard, error) = decode(vec![&mut bytes.clone()]);
        if !is_link && !heard.is_empty() {
            prop_assert_eq!(&bytes[9..13], b"smLK");
        }
        prop_assert_eq!(decode(pieces(&mut bytes, &cuts)), (heard, error));
    }

    #[test]
    fn no_frame_may_be_longer_than_its_kind(
        first in hello(),
        kind: u8,
        stream: u32,
        length in prop_oneof![any::<u32>(), 0..(MAX_BODY as u32 + 100)],
    ) {
        let mut bytes = Frame::Hello(first).encode().to_vec();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(&stream.to_be_bytes());
        let limit = if kind == 4 { MAX_BODY } else { MAX_CONTROL };
        let is_fine = (5..=5 + limit as u64).contains(&u64::from(length));
        let (_, error) = decode(vec![&mut bytes]);
        prop_assert_eq!(error == Some(LinkError::Length(length)), !is_fine);
    }

    #[test]
    fn packets_of_a_stream_read_back_however_cut(
        sent in vec((vec(any::<u8>(), 0..300), any::<bool>()), 0..6),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (body, quick_ack) in &sent {
            bytes.extend_from_slice(&packet_header(body.len(), *quick_ack));
            bytes.extend_from_slice(body);
            let begin: PacketPart<'_> = PacketPart::Begin {
                len: body.len(),
                quick_ack: *quick_ack,
            };
            expected.push(Heard::Event(format!("{begin:?}")));
            if !body.is_empty() {
                expected.push(Heard::Payload(body.clone()));
            }
            expected.push(Heard::Event("End".to_owned()));
        }
        prop_assert_eq!(packets(pieces(&mut bytes, &cuts)), (expected, None));
    }

    #[test]
    fn any_bytes_are_packets_or_an_error(
        mut bytes in vec(any::<u8>(), 0..300),
        short: bool,
        cuts in vec(any::<usize>(), 0..20),
    ) {
        if short {
            bytes.iter_mut().take(PACKET_HEADER_LEN - 1).for_each(|byte| *byte = 0);
        }
        let whole = packets(vec![&mut bytes.clone()]);
        if let Some(LinkError::Packet(len)) = whole.1 {
            prop_assert!(len > MAX_PACKET);
        }
        prop_assert_eq!(packets(pieces(&mut bytes, &cuts)), whole);
    }
}
