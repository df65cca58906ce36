#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::fake_tls::{RecordError, RecordReader};

fn read(pieces: Vec<Vec<u8>>) -> (Vec<u8>, Option<RecordError>) {
    let (mut reader, mut payload) = (RecordReader::new(), Vec::new());
    for mut piece in pieces {
        let mut input = piece.as_mut_slice();
        loop {
            match reader.next(&mut input) {
                Ok(Some(part)) => payload.extend_from_slice(part),
                Ok(None) => break,
                Err(error) => return (payload, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (payload, None)
}

// Cutting the input changes nothing.
fuzz_target!(|data: &[u8]| {
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        assert_eq!(read(vec![whole]), read(pieces));
    }
});
