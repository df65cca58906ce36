#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::websocket::{MAX_HEAD, UpgradeAnswer, UpgradeError};

/// What comes of it, and how many bytes the head took.
fn read(pieces: Vec<Vec<u8>>) -> (Result<bool, UpgradeError>, usize) {
    let mut answer = UpgradeAnswer::new(b"the sample nonce");
    let mut taken = 0;
    for piece in pieces {
        let mut input = piece.as_slice();
        let outcome = answer.take(&mut input);
        taken += piece.len() - input.len();
        if outcome != Ok(false) {
            return (outcome, taken);
        }
        assert!(input.is_empty());
    }
    (Ok(false), taken)
}

// Cutting the input changes nothing; what a log gets is short and printable.
fuzz_target!(|data: &[u8]| {
    let Some((whole, pieces)) = cuts::whole_and_pieces(data) else {
        return;
    };
    let (outcome, taken) = read(vec![whole.clone()]);
    assert!(taken <= MAX_HEAD);
    if outcome == Ok(true) {
        let head = &whole[..taken];
        assert!(head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n"));
        assert!(
            head.windows(28)
                .any(|part| part == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
    }
    if let Err(error) = &outcome {
        let words = error.to_string();
        assert!(words.len() < 300 && words.bytes().all(|b| (b' '..0x7f).contains(&b)));
    }
    assert_eq!((outcome, taken), read(pieces));
});
