#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::http::{Framing, HeadScan, MAX_FIELDS, MAX_HEAD, RequestHead, Unparsable};

/// The length of the head, and how many bytes had come when that was known.
fn scan(pieces: &[Vec<u8>]) -> (Result<Option<usize>, Unparsable>, usize) {
    let (mut scan, mut received) = (HeadScan::default(), Vec::new());
    for piece in pieces {
        received.extend_from_slice(piece);
        let found = scan.advance(&received);
        if found != Ok(None) {
            return (found, received.len());
        }
    }
    (Ok(None), received.len())
}

// Cutting a head changes nothing. What is a request is so for everybody: its lines end in
// one way, and there is one way to tell where its body ends.
fuzz_target!(|data: &[u8]| {
    let Some((whole, pieces)) = cuts::whole_and_pieces(data) else {
        return;
    };
    let (found, _) = scan(&[whole.clone()]);
    assert_eq!(scan(&pieces).0, found);
    let Ok(Some(len)) = found else {
        return;
    };
    assert!(len <= whole.len() && len <= MAX_HEAD);
    let Ok(request) = RequestHead::parse(&whole[..len]) else {
        return;
    };
    assert_eq!(request.bytes(), &whole[..len]);
    let text: Vec<_> = request.bytes().split(|byte| *byte == b'\n').collect();
    // The last line is empty, and nothing is behind it.
    assert!(
        text[..text.len() - 1]
            .iter()
            .all(|line| line.ends_with(b"\r"))
    );
    assert_eq!(text.len() - 3, request.fields().count());
    assert!(request.fields().count() <= MAX_FIELDS && !request.bytes().contains(&0));
    let first = [request.method(), request.target()].join(&b' ');
    assert!(request.bytes().starts_with(&first));
    assert!(
        request
            .fields()
            .all(|(name, _)| !name.contains(&b' ') && !name.is_empty())
    );
    let count = |name| request.fields().named(name).count();
    match request.framing() {
        Framing::Chunked => {
            assert!(request.is_http_11());
            assert_eq!(
                (count("transfer-encoding"), count("content-length")),
                (1, 0)
            );
        }
        Framing::Length(length) => {
            assert_eq!(count("transfer-encoding"), 0);
            assert!(count("content-length") == 1 || (count("content-length"), length) == (0, 0));
        }
        Framing::UntilClose => panic!("a request has an end"),
    }
    let _ = (request.keeps_alive(), request.expects_continue());
});
