#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::after_flight::{Judge, Verdict};

fn judge(pieces: Vec<Vec<u8>>) -> Option<Verdict> {
    let mut judge = Judge::default();
    for piece in pieces {
        judge.hear(&piece);
    }
    judge.verdict()
}

// Cutting the input changes nothing.
fuzz_target!(|data: &[u8]| {
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        assert_eq!(judge(vec![whole]), judge(pieces));
    }
});
