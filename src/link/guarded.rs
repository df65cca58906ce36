//! For `tests/guard`, which counts the instructions of these pure cores: they are
//! no part of the link's interface.

use super::window::{Limits, Pace, Sizes, Whole, Window};

const SIZES: Sizes = Sizes {
    first: 64 << 10,
    largest: 1 << 20,
};

/// Of each of eight fronts a frame a round, from its coming to its credit; the
/// bytes of credit that were given.
pub fn windows(rounds: u32) -> u64 {
    const FRONTS: usize = 8;
    const FRAME: usize = 16 << 10;
    let mut whole = Whole::new(Limits {
        buffers: 16 << 20,
        links: 2 * FRONTS,
        streams: 1 << 10,
        lines: 1 << 10,
    });
    let users: Vec<usize> = (0..FRONTS).map(|_| whole.enter()).collect();
    let mut streams = [Window::new(SIZES.first, SIZES); FRONTS];
    let mut given = 0;
    for round in 0..rounds {
        for (user, stream) in users.iter().zip(&mut streams) {
            let pace = [Pace::Quick, Pace::Steady, Pace::Slow][round as usize % 3];
            let held = stream.receive(FRAME).unwrap_or_default();
            whole.hold(*user, held);
            if whole.is_crowded() || whole.hold_room() < FRAME {
                given += whole.heaviest().map_or(0, |_| 1);
            }
            whole.unhold(*user, held);
            let credit = stream.settle(held, pace, SIZES);
            stream.add_credit(credit);
            stream.spend(FRAME.min(stream.credit()));
            given += u64::from(credit);
        }
    }
    given
}

/// A full record a round, sealed and opened again; the bytes that were read.
#[cfg(feature = "tls")]
pub fn tls_records(rounds: u32) -> u64 {
    use rustls::ConnectionTrafficSecrets::Aes256Gcm;
    use rustls::crypto::cipher::{AeadKey, Iv};

    use super::tls::record::{HEADER_LEN, Key, Kind, RECORD_LEN};

    let key = || {
        let secrets = Aes256Gcm {
            key: AeadKey::from([7; 32]),
            iv: Iv::from([9; 12]),
        };
        Key::new((0, secrets))
    };
    let (Ok(mut ours), Ok(mut theirs)) = (key(), key()) else {
        return 0;
    };
    let mut record = vec![1; RECORD_LEN];
    let mut read = 0;
    for _ in 0..rounds {
        if ours.seal(&mut record, Kind::Data).is_err() {
            return 0;
        }
        let Some(header) = record.first_chunk().copied() else {
            return 0;
        };
        match theirs.open(header, &mut record, HEADER_LEN) {
            Ok((_, length)) => read += length as u64,
            Err(_) => return 0,
        }
    }
    read
}
