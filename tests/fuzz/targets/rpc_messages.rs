#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::full::{FrameEncoder, block_padding};
use smol_mtproxy_wire::rpc::{RpcDecoder, RpcEvent};

/// Everything that the decoder said, as text; payloads joined.
fn read(pieces: Vec<Vec<u8>>) -> String {
    let (mut decoder, mut heard) = (RpcDecoder::new(), String::new());
    for mut piece in pieces {
        let mut input = piece.as_mut_slice();
        loop {
            match decoder.next(&mut input) {
                Ok(Some(RpcEvent::AnswerBytes(part))) => {
                    part.iter().for_each(|byte| heard += &format!("{byte:02x}"));
                }
                Ok(Some(event)) => heard += &format!("[{event:?}]"),
                Ok(None) => break,
                Err(error) => return format!("{heard}{error}"),
            }
        }
        assert!(input.is_empty());
    }
    heard
}

/// The input as the bodies of right frames, each behind its length in words.
fn framed(mut bodies: &[u8]) -> Vec<u8> {
    let (mut encoder, mut out) = (FrameEncoder::new(), Vec::new());
    while let Some((&words, rest)) = bodies.split_first() {
        let (body, behind) = rest.split_at(rest.len().min(usize::from(words) * 4) & !3);
        encoder.encode_into(&mut out, &[body]);
        out.extend_from_slice(block_padding(out.len()));
        bodies = behind;
    }
    out
}

// Cutting the input changes nothing, be the frames right or not: a checksum is
// nothing that a fuzzer guesses.
fuzz_target!(|data: &[u8]| {
    let Some((&right, data)) = data.split_first() else {
        return;
    };
    let Some((whole, pieces)) = cuts::whole_and_pieces(data) else {
        return;
    };
    if right % 2 == 0 {
        assert_eq!(read(vec![whole]), read(pieces));
        return;
    }
    let whole = framed(&whole);
    let at = pieces[0].len().min(whole.len());
    let (head, tail) = whole.split_at(at);
    assert_eq!(
        read(vec![whole.clone()]),
        read(vec![head.to_vec(), tail.to_vec()])
    );
});
