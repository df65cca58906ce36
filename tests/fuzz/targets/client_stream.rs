#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::obfuscated2::{HEADER_LEN, accept};
use smol_mtproxy_wire::packet_meter::PacketCutter;
use smol_mtproxy_wire::secret::Secret;
use smol_mtproxy_wire::transport::{MAX_PACKET, Transport};

// Any header is tried; then the packets behind it, in the clear, as the first
// byte says: no random input would decrypt to some.
fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    if let Some(header) = data.first_chunk::<HEADER_LEN>() {
        let _ = accept(header, &Secret([7; 16]));
    }
    let transport = match choice % 3 {
        0 => Transport::Abridged,
        1 => Transport::Intermediate,
        _ => Transport::Padded,
    };
    let mut lengths = Vec::new();
    let mut rest = data;
    while let Ok(Some(header)) = transport.parse_header(rest) {
        assert!((4..=MAX_PACKET).contains(&header.payload_len));
        assert!(header.payload_len % 4 == 0 && header.payload_len <= header.body_len);
        let packet_len = header.header_len + header.body_len;
        lengths.push(packet_len);
        rest = &rest[packet_len.min(rest.len())..];
    }
    // The same packets, when they are cut off a stream that comes in pieces.
    let (mut cutter, mut begun, mut bytes) =
        (PacketCutter::new(transport), Vec::new(), data.to_vec());
    'stream: for mut piece in bytes.chunks_mut(usize::from(choice / 3) + 1) {
        loop {
            match cutter.next(&mut piece) {
                Ok(Some(piece)) => begun.extend(piece.start.map(|start| start.length)),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    assert_eq!(begun, lengths);
});
