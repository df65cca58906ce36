#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::link::packets::{PacketPart, PacketReader};
use smol_mtproxy_wire::link::{Decoder, Event, Frame, Hello, LinkSide};
use smol_mtproxy_wire::transport::MAX_PACKET;

/// Everything that the decoder and the reader of one stream's packets said, as
/// text; bytes joined.
fn read(is_link: bool, pieces: Vec<Vec<u8>>) -> String {
    let (mut decoder, mut packets) = (Decoder::default(), PacketReader::default());
    let mut heard = String::new();
    let hello = Frame::Hello(Hello {
        side: LinkSide::Front,
        is_keyed: false,
        is_trial: false,
        lacks_middle: false,
        hears_middle: false,
        window: 1,
        random: [0; 32],
    });
    let hello = is_link.then(|| hello.encode().to_vec());
    for mut piece in hello.into_iter().chain(pieces) {
        let mut input = piece.as_mut_slice();
        loop {
            match decoder.next(&mut input) {
                Ok(Some(Event::Frame(frame))) => heard += &format!("[{frame:?}]"),
                Ok(Some(Event::Data { stream, mut bytes })) => {
                    assert!(!bytes.is_empty());
                    let all = bytes.to_vec();
                    let mut parts = String::new();
                    let outcome = loop {
                        match packets.next(&mut bytes, MAX_PACKET) {
                            Ok(Some(PacketPart::Bytes(part))) => assert!(!part.is_empty()),
                            Ok(Some(part)) => parts += &format!("({part:?})"),
                            Ok(None) => break Ok(()),
                            Err(error) => break Err(error),
                        }
                    };
                    // Up to an error, where a cut may have kept back the rest.
                    for byte in &all[..all.len() - bytes.len()] {
                        heard += &format!("{stream}:{byte:02x} ");
                    }
                    heard += &parts;
                    if let Err(error) = outcome {
                        return format!("{heard}{error}");
                    }
                    assert!(bytes.is_empty());
                }
                Ok(None) => break,
                Err(error) => return format!("{heard}{error}"),
            }
        }
        assert!(input.is_empty());
    }
    heard
}

// Cutting the input changes nothing, behind a hello or from the start.
fuzz_target!(|data: &[u8]| {
    let Some((&is_link, data)) = data.split_first() else {
        return;
    };
    let Some((whole, pieces)) = cuts::whole_and_pieces(data) else {
        return;
    };
    let is_link = is_link % 2 == 0;
    // What a packet says may stand before or behind the bytes of its frame, so
    // the words are compared, not their order.
    let words = |text: String| {
        let (mut bytes, mut rest) = (String::new(), String::new());
        let mut inside = false;
        for letter in text.chars() {
            inside |= letter == '(';
            if inside {
                rest.push(letter)
            } else {
                bytes.push(letter)
            }
            inside &= letter != ')';
        }
        (bytes, rest)
    };
    assert_eq!(
        words(read(is_link, vec![whole])),
        words(read(is_link, pieces))
    );
});
