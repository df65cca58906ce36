#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::websocket::{
    ClientFrameReader, ClientPiece, FrameReader, Piece, server_close, server_header, server_pong,
};

const MAX_MESSAGE: u32 = 1000;

/// Everything that the reader said, a message's payloads joined.
fn read(pieces: Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut reader = ClientFrameReader::new(MAX_MESSAGE);
    let (mut messages, mut said) = (vec![vec![]], Vec::new());
    for mut piece in pieces {
        let mut input = piece.as_mut_slice();
        loop {
            match reader.next(&mut input) {
                Ok(Some(ClientPiece::Payload(bytes))) => {
                    assert!(!bytes.is_empty() && reader.is_in_message());
                    let message = messages.last_mut().unwrap();
                    message.extend_from_slice(bytes);
                    assert!(message.len() <= MAX_MESSAGE as usize);
                }
                Ok(Some(ClientPiece::MessageEnd)) => {
                    assert!(!reader.is_in_message());
                    messages.push(Vec::new());
                }
                Ok(Some(ClientPiece::Ping(body))) => {
                    assert_eq!(server_pong(&body).len(), 2 + body.len());
                    said.push(format!("{}: ping {body:?}", messages.len()));
                }
                Ok(Some(ClientPiece::Pong)) => said.push(format!("{}: pong", messages.len())),
                Ok(Some(ClientPiece::Close(last))) => {
                    assert!(last.to_string().len() < 600);
                    server_close(last.code.unwrap_or(1000));
                    said.push(last.to_string());
                }
                Ok(None) => break,
                Err(error) => {
                    assert!((1002..=1009).contains(&error.close_code()));
                    said.push(error.to_string());
                    return (messages, said);
                }
            }
        }
        assert!(input.is_empty());
    }
    (messages, said)
}

// Cutting the input changes nothing, and a client reads a message of ours as it is.
fuzz_target!(|data: &[u8]| {
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        let mut message = [&server_header(whole.len())[..], &whole].concat();
        let mut input = message.as_mut_slice();
        let mut reader = FrameReader::default();
        match reader.next(&mut input) {
            Ok(Some(Piece::Payload(payload))) => assert_eq!(payload, whole),
            other => assert!(matches!(other, Ok(None)) && whole.is_empty()),
        }
        assert!(input.is_empty());
        assert_eq!(read(vec![whole]), read(pieces));
    }
});
