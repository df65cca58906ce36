#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::after_flight::{AfterFlight, GivenUp};

fn judge(pieces: Vec<Vec<u8>>) -> Option<GivenUp> {
    let mut server = AfterFlight::default();
    for piece in pieces {
        server.hear(&piece);
    }
    server.given_up()
}

// Cutting the input changes nothing.
fuzz_target!(|data: &[u8]| {
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        assert_eq!(judge(vec![whole]), judge(pieces));
    }
});
