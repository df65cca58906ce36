use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use super::relays::payload;
use crate::backend::Body;
use crate::client::inlet::Inlet;
use crate::client::unframe::Unframer;
use crate::clock::Clock;
use crate::net::{BufferPool, Destination, User};
use crate::wire::fake_tls::{RecordReader, record_header};
use crate::wire::packet_meter::PacketMeter;
use crate::wire::transport::Transport;

fn cipher() -> CtrStream {
    CtrStream::new(StreamKey {
        key: [1; 32],
        iv: [2; 16],
    })
}

fn transports() -> impl Strategy<Value = Transport> {
    prop_oneof![
        Just(Transport::Abridged),
        Just(Transport::Intermediate),
        Just(Transport::Padded),
    ]
}

/// What a client sends: packets of `words` words each, encrypted, in records
/// of these lengths if there are any.
fn sent(transport: Transport, words: &[usize], records: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (seed, words) in words.iter().enumerate() {
        let padding = if transport == Transport::Padded {
            seed % 4
        } else {
            0
        };
        stream.extend(transport.write_header(words * 4, padding));
        stream.extend(payload(words * 4, seed));
        stream.extend(payload(padding, 99));
    }
    cipher().apply(&mut stream);
    if records.is_empty() {
        return stream;
    }
    let mut wrapped = vec![0x14, 3, 3, 0, 1, 1];
    let mut rest = &stream[..];
    for length in records.iter().cycle() {
        let (record, behind) = rest.split_at(rest.len().min(*length));
        wrapped.extend(record_header(record.len()));
        wrapped.extend(record);
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    wrapped
}

/// What comes out when the bytes arrive in these pieces.
fn received(
    transport: Transport,
    wrapped: bool,
    mut bytes: Vec<u8>,
    cuts: &[usize],
) -> (Vec<Vec<u8>>, u64) {
    let buffers = BufferPool::new(&Clock::machine(), 16 << 20);
    let mut inlet = Inlet::new(cipher(), wrapped.then(RecordReader::new));
    let (mut unframer, mut meter) = (
        Unframer::new(transport, User(1), Destination(2)),
        PacketMeter::new(transport),
    );
    let (mut packets, mut metered) = (Vec::new(), 0);
    let mut rest = &mut bytes[..];
    for cut in cuts.iter().cycle() {
        let (piece, behind) = rest.split_at_mut(rest.len().min(*cut));
        rest = behind;
        let plain = inlet.open(piece).unwrap();
        metered += meter.pass(plain).unwrap();
        unframe(&mut unframer, plain, &buffers, &mut packets);
        if rest.is_empty() {
            break;
        }
    }
    assert!(!unframer.is_collecting());
    assert_eq!(buffers.free_bytes(), buffers.total_bytes());
    (packets, metered)
}

fn unframe(
    unframer: &mut Unframer,
    plain: &[u8],
    buffers: &Rc<BufferPool>,
    packets: &mut Vec<Vec<u8>>,
) {
    let mut input = plain;
    while let Some(packet) = unframer.next(&mut input, buffers).unwrap() {
        packets.push(match packet.body {
            Body::Slice(slice) => slice.to_vec(),
            Body::Rope(rope) => rope.slices().flatten().copied().collect(),
        });
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_packets(
        transport in transports(),
        words in vec(1usize..3000, 1..8),
        records in vec(1usize..5000, 0..4),
        cuts in vec(1usize..20_000, 1..20),
    ) {
        let bytes = sent(transport, &words, &records);
        let wrapped = !records.is_empty();
        let (packets, metered) = received(transport, wrapped, bytes, &cuts);
        let expected: Vec<_> = words.iter().enumerate().map(|(seed, words)| payload(words * 4, seed)).collect();
        prop_assert_eq!(metered, expected.len() as u64);
        prop_assert!(packets == expected);
    }

    #[test]
    fn small_packets_come_through_small_cuts(
        transport in transports(),
        words in vec(1usize..200, 1..20),
        records in vec(1usize..40, 0..4),
        cuts in vec(1usize..12, 1..20),
    ) {
        let bytes = sent(transport, &words, &records);
        let (packets, _) = received(transport, !records.is_empty(), bytes, &cuts);
        let expected: Vec<_> = words.iter().enumerate().map(|(seed, words)| payload(words * 4, seed)).collect();
        prop_assert!(packets == expected);
    }

    #[test]
    fn garbage_is_an_error_or_nothing(
        transport in transports(),
        wrapped in any::<bool>(),
        mut bytes in vec(any::<u8>(), 0..3000),
    ) {
        let buffers = BufferPool::new(&Clock::machine(), 4 << 20);
        let mut inlet = Inlet::new(cipher(), wrapped.then(RecordReader::new));
        let mut unframer = Unframer::new(transport, User(1), Destination(2));
        if let Ok(plain) = inlet.open(&mut bytes) {
            let mut input = &plain[..];
            while let Ok(Some(_)) = unframer.next(&mut input, &buffers) {}
        }
    }
}
