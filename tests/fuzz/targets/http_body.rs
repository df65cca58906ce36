#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::http::{BodyError, BodyReader, Framing, ResponseHead};

/// The data, and how many bytes were the body's.
fn read(framing: Framing, pieces: Vec<Vec<u8>>) -> (Result<bool, BodyError>, Vec<u8>, usize) {
    let (mut body, mut data, mut used) = (BodyReader::new(framing), Vec::new(), 0);
    for mut piece in pieces {
        let len = piece.len();
        let mut input = piece.as_mut_slice();
        loop {
            match body.next(&mut input) {
                Ok(Some(part)) => data.extend_from_slice(part),
                Ok(None) => break,
                Err(error) => return (Err(error), data, used),
            }
        }
        assert!(input.is_empty() || body.is_done());
        used += len - input.len();
    }
    (Ok(body.is_done()), data, used)
}

// Cutting a body changes nothing; with its framing it ends where it ends without.
fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let Some((whole, pieces)) = cuts::whole_and_pieces(data) else {
        return;
    };
    let framing = match first {
        0 => Framing::UntilClose,
        1..128 => Framing::Chunked,
        length => Framing::Length(u64::from(length) - 128),
    };
    let (outcome, data, used) = read(framing, vec![whole.clone()]);
    assert!(data.len() <= used || outcome.is_err());
    assert_eq!(read(framing, pieces.clone()).0, outcome);
    let mut body = BodyReader::new(framing);
    let mut measured = 0;
    for piece in &pieces {
        match body.measure(piece) {
            Ok(len) => measured += len,
            Err((len, error)) => {
                assert!(len <= piece.len());
                assert_eq!(outcome, Err(error));
                return;
            }
        }
    }
    assert_eq!((Ok(body.is_done()), measured), (outcome, used));
    // The head in front of one, as a site sends it.
    if let Ok(Some(head)) = ResponseHead::parse(&whole, first % 2 == 0) {
        assert!(head.len <= whole.len());
    }
});
