#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::next_proxy::{
    FromPadded, GreetingError, HEADROOM, PaddedError, ProxyAnswer, ToPadded,
};
use smol_mtproxy_wire::secret::Secret;
use smol_mtproxy_wire::transport::{Transport, TransportError};

/// Whether an answer to a hello is whole, and how many bytes were taken for it.
fn judge(pieces: &[Vec<u8>]) -> Result<(bool, usize), GreetingError> {
    let mut answer = ProxyAnswer::new(&Secret([9; 16]), [8; 32]);
    let mut taken = 0;
    for piece in pieces {
        let mut input = piece.as_slice();
        let is_whole = answer.take(&mut input)?;
        taken += piece.len() - input.len();
        if is_whole {
            return Ok((true, taken));
        }
        assert!(input.is_empty());
    }
    Ok((false, taken))
}

/// What the client gets; with an error, a read gives nothing.
fn from_padded(to: Transport, pieces: &[Vec<u8>]) -> Result<Vec<u8>, PaddedError> {
    let (mut core, mut out) = (FromPadded::new(to), Vec::new());
    for piece in pieces {
        let mut space = [&[0; HEADROOM][..], piece].concat();
        let got = core.pass(&mut space)?;
        assert!(got.len() < piece.len() + HEADROOM);
        out.extend_from_slice(got);
    }
    Ok(out)
}

/// What the proxy gets, and the error behind it.
fn to_padded(from: Transport, pieces: &[Vec<u8>]) -> (Vec<u8>, Option<TransportError>) {
    let (mut core, mut out) = (ToPadded::new(from), Vec::new());
    for piece in pieces {
        let mut piece = piece.clone();
        let mut input = piece.as_mut_slice();
        loop {
            match core.next(&mut input, &mut || [1, 2].into_iter().collect()) {
                Ok(Some(piece)) => {
                    let parts = [&piece.header[..], piece.payload, &piece.padding].concat();
                    assert!(!parts.is_empty());
                    out.extend(parts);
                }
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
        assert!(input.is_empty());
    }
    (out, None)
}

// Cutting what a proxy sends, or what a client sends to one, changes nothing.
fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let Some((whole, pieces)) = cuts::whole_and_pieces(data) else {
        return;
    };
    let whole = [whole];
    let transport = match choice % 3 {
        0 => Transport::Abridged,
        1 => Transport::Intermediate,
        _ => Transport::Padded,
    };
    match choice / 3 % 8 {
        0 => assert_eq!(judge(&whole), judge(&pieces)),
        1..4 => assert_eq!(
            from_padded(transport, &whole),
            from_padded(transport, &pieces)
        ),
        _ => assert_eq!(to_padded(transport, &whole), to_padded(transport, &pieces)),
    }
});
