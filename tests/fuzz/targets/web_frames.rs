#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::web::{
    CreditFromApp, CreditToApp, FIRST_CREDIT, FrameReader, Piece, Streams,
};

/// A session as far as there is one without sockets: everything that was read, in words,
/// payloads joined; up to the first fault.
fn read(mut reader: FrameReader, pieces: Vec<Vec<u8>>) -> (String, Vec<u8>) {
    let (mut said, mut payloads) = (String::new(), Vec::new());
    let mut streams = Streams::<(CreditFromApp, CreditToApp)>::default();
    for mut piece in pieces {
        let mut input = piece.as_mut_slice();
        loop {
            let outcome = match reader.next(&mut input) {
                Ok(None) => break,
                Err(fault) => Err(fault.to_string()),
                Ok(Some(Piece::Data { stream, bytes })) => {
                    assert!(!bytes.is_empty());
                    payloads.extend_from_slice(bytes);
                    if let Ok(Some((credit, _))) = streams.get_mut(stream) {
                        let granted = credit.left(bytes.len()).or_else(|| credit.idle());
                        assert_eq!(granted, Some(bytes.len() as u32));
                    }
                    continue;
                }
                Ok(Some(piece)) => {
                    said += &format!("{piece:?}\n");
                    match piece {
                        Piece::Open(stream) if streams.len() < 4 => {
                            streams.open(stream, Default::default())
                        }
                        Piece::Open(stream) => streams.refuse(stream),
                        Piece::Close(stream) => streams.close(stream).map(|_| ()),
                        Piece::DataBegins { stream, length } => {
                            streams.get_mut(stream).map(|one| {
                                if let Some((credit, _)) = one {
                                    // All that came before has left.
                                    assert_eq!(credit.receive(length), Ok(()));
                                }
                            })
                        }
                        Piece::Window { stream, credit } => streams.get_mut(stream).map(|one| {
                            if let Some((_, to_app)) = one {
                                to_app.add(credit);
                                assert!(to_app.available() > FIRST_CREDIT as usize);
                            }
                        }),
                        Piece::Hello | Piece::Pong | Piece::Data { .. } => Ok(()),
                    }
                    .map_err(|fault| fault.to_string())
                }
            };
            if let Err(fault) = outcome {
                return (said + &fault, payloads);
            }
        }
        assert!(input.is_empty());
    }
    said += &format!("{:?}", reader.end_batch());
    (said, payloads)
}

// Cutting the input changes nothing, behind a HELLO or from there on.
fuzz_target!(|data: &[u8]| {
    let Some((&is_first, data)) = data.split_first() else {
        return;
    };
    let reader = || match is_first % 2 == 0 {
        true => FrameReader::expecting_hello(),
        false => FrameReader::default(),
    };
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        assert_eq!(read(reader(), vec![whole]), read(reader(), pieces));
    }
});
