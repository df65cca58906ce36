#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::websocket::{FrameReader, Piece, close, message_header, pong};

/// Everything that the reader said, payloads in a row joined.
fn read(pieces: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<String>) {
    let (mut reader, mut payloads, mut said) = (FrameReader::default(), vec![vec![]], Vec::new());
    for mut piece in pieces {
        let mut input = piece.as_mut_slice();
        loop {
            match reader.next(&mut input) {
                Ok(Some(Piece::Payload(bytes))) => {
                    assert!(!bytes.is_empty());
                    payloads.last_mut().unwrap().extend_from_slice(bytes);
                    continue;
                }
                Ok(Some(Piece::Ping(body))) => {
                    assert_eq!(pong(&body).len(), 6 + body.len());
                    said.push(format!("{body:?}"));
                }
                Ok(Some(Piece::Close(last))) => {
                    assert!(last.to_string().len() < 600);
                    close(last.code.unwrap_or(1000));
                    said.push(last.to_string());
                }
                Ok(None) => break,
                Err(error) => {
                    said.push(error.to_string());
                    return (payloads, said);
                }
            }
            payloads.push(Vec::new());
        }
        assert!(input.is_empty());
    }
    (payloads, said)
}

// Cutting the input changes nothing, and a message of ours is as long as it says.
fuzz_target!(|data: &[u8]| {
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        let header = message_header(whole.len());
        let mut unmasked = [&header[..header.len() - 4], &whole].concat();
        unmasked[1] &= 0x7f;
        let payload = read(vec![unmasked]).0.concat();
        assert_eq!(payload, whole);
        assert_eq!(read(vec![whole]), read(pieces));
    }
});
