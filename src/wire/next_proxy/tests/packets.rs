use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use crate::transport::{QUICK_ACK, Transport, TransportError};
use Transport::*;

fn pieces<'a>(mut bytes: &'a mut [u8], cuts: &[usize]) -> Vec<&'a mut [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (head, tail) = bytes.split_at_mut(*cut.min(&bytes.len()));
        pieces.push(head);
        bytes = tail;
    }
    pieces.push(bytes);
    pieces
}

fn packet(transport: Transport, payload: &[u8], padding: &[u8], quick_ack: bool) -> Vec<u8> {
    let mut header = transport.write_header(payload.len(), padding.len());
    let flag = if transport == Abridged { 0 } else { 3 };
    header[flag] |= if quick_ack { 0x80 } else { 0 };
    [&header, payload, padding].concat()
}

/// What the proxy gets, and in the end the error.
fn repack(from: Transport, pieces: Vec<&mut [u8]>) -> (Vec<u8>, Option<TransportError>) {
    let (mut core, mut out, mut drawn) = (ToPadded::new(from), Vec::new(), 0);
    let mut draw = || {
        drawn += 1;
        (0..drawn % 4).map(|_| 0xf0 + drawn as u8 % 4).collect()
    };
    for mut input in pieces {
        loop {
            match core.next(&mut input, &mut draw) {
                Ok(Some(piece)) => {
                    let parts = [&piece.header[..], piece.payload, &piece.padding];
                    let before = out.len();
                    out.extend(parts.concat());
                    assert!(out.len() > before);
                }
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (out, None)
}

/// What the client gets, and in the end the error.
fn unpack(to: Transport, pieces: Vec<&mut [u8]>) -> (Vec<u8>, Option<PaddedError>) {
    let (mut core, mut out) = (FromPadded::new(to), Vec::new());
    for piece in pieces {
        let mut space = [&[0xee; HEADROOM][..], piece].concat();
        match core.pass(&mut space) {
            Ok(bytes) => out.extend_from_slice(bytes),
            Err(error) => return (out, Some(error)),
        }
    }
    (out, None)
}

/// What a proxy may send.
#[derive(Clone, Debug)]
enum Answer {
    /// So many blocks.
    Encrypted(usize),
    /// So many words.
    Plain(usize),
    Error(i32),
    QuickAck(u32),
}

fn answers() -> impl Strategy<Value = Vec<(Answer, usize)>> {
    let answer = prop_oneof![
        4 => (1..100usize).prop_map(Answer::Encrypted),
        2 => (1..50usize).prop_map(Answer::Plain),
        1 => prop::sample::select(vec![-404, -429, -444, -1]).prop_map(Answer::Error),
        1 => any::<u32>().prop_map(|token| Answer::QuickAck(token | QUICK_ACK)),
    ];
    vec((answer, 0..16usize), 1..12)
}

fn message(answer: &Answer, at: usize) -> Vec<u8> {
    let filled = |length: usize| (0..length).map(move |i| (i + at) as u8 | 1);
    match answer {
        Answer::Encrypted(blocks) => filled(24 + blocks * 16).collect(),
        Answer::Plain(words) => {
            let head = [[0; 8], [at as u8 | 1; 8]].concat();
            let length = (words * 4) as u32;
            [
                head,
                length.to_le_bytes().to_vec(),
                filled(words * 4).collect(),
            ]
            .concat()
        }
        Answer::Error(code) => code.to_le_bytes().to_vec(),
        Answer::QuickAck(token) => token.to_le_bytes().to_vec(),
    }
}

proptest! {
    #[test]
    fn a_clients_packets_become_padded_ones(
        from in prop::sample::select(vec![Abridged, Intermediate, Padded]),
        packets in vec((1..300usize, any::<bool>(), 0..4usize), 1..12),
        cuts in vec(1..40usize, 0..300),
    ) {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (at, &(words, quick_ack, theirs)) in packets.iter().enumerate() {
            let payload = vec![at as u8; words * 4];
            let theirs = if from == Padded { theirs } else { 0 };
            sent.extend(packet(from, &payload, &vec![0xaa; theirs], quick_ack));
            let ours = (at + 1) % 4;
            expected.extend(packet(Padded, &payload, &vec![0xf0 + ours as u8; ours], quick_ack));
        }
        prop_assert_eq!(repack(from, pieces(&mut sent, &cuts)), (expected, None));
    }

    #[test]
    fn a_client_gets_what_the_proxy_sent_without_the_padding(
        to in prop::sample::select(vec![Abridged, Intermediate, Padded]),
        answers in answers(),
        cuts in vec(1..60usize, 0..300),
    ) {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (at, (answer, padding)) in answers.iter().enumerate() {
            let message = message(answer, at);
            if let Answer::QuickAck(token) = answer {
                sent.extend(&message);
                expected.extend(to.quick_ack(token.to_le_bytes()));
            } else {
                sent.extend(packet(Padded, &message, &vec![0x55; *padding], false));
                expected.extend(packet(to, &message, &[], false));
            }
        }
        prop_assert_eq!(unpack(to, pieces(&mut sent, &cuts)), (expected, None));
    }

    /// Any bytes are passed or refused, the same however they are cut.
    #[test]
    fn garbage(
        transport in prop::sample::select(vec![Abridged, Intermediate, Padded]),
        bytes in vec(prop_oneof![2 => Just(0), 1 => Just(24), 1 => any::<u8>()], 0..300),
        cuts in vec(1..40usize, 0..100),
    ) {
        let (mut whole, mut cut) = (bytes.clone(), bytes);
        let expected = unpack(transport, vec![&mut whole]);
        let got = unpack(transport, pieces(&mut cut, &cuts));
        prop_assert_eq!(got.1, expected.1);
        // With an error a read gives nothing.
        prop_assert!(expected.1.is_some() || got.0 == expected.0);
        let expected = repack(transport, vec![&mut whole]);
        prop_assert_eq!(repack(transport, pieces(&mut cut, &cuts)), expected);
    }
}

#[test]
fn an_error_stays_one() {
    let error = (-404i32).to_le_bytes();
    for padding in 0..16 {
        let mut sent = packet(Padded, &error, &vec![0xff; padding], false);
        let (got, _) = unpack(Abridged, vec![&mut sent]);
        assert_eq!(got, [&[1][..], &error].concat());
    }
}

#[test]
fn a_message_of_another_length_loses_only_what_cannot_be_payload() {
    // Its length says more than there is.
    let message = [&[0; 8][..], &[1; 8], &100u32.to_le_bytes(), &[2; 8]].concat();
    let mut sent = packet(Padded, &message, &[9; 3], false);
    let (got, _) = unpack(Intermediate, vec![&mut sent]);
    assert_eq!(got, packet(Intermediate, &message, &[], false));
}

#[test]
fn lengths_have_bounds() {
    for length in [0, 3, MAX_ANSWER as u32 + 1, QUICK_ACK - 1] {
        let mut sent = length.to_le_bytes();
        let (got, error) = unpack(Intermediate, vec![&mut sent, &mut [0; 4]]);
        assert_eq!((got, error), (vec![], Some(PaddedError(length as usize))));
    }
    // The longest that an abridged client can be told of is longer.
    let mut sent = (MAX_ANSWER as u32).to_le_bytes().to_vec();
    sent.resize(4 + 20, 7);
    let (got, error) = unpack(Abridged, vec![&mut sent]);
    assert_eq!((&got[..4], error), (&[0x7f, 0xfe, 0xff, 0x3f][..], None));
}
