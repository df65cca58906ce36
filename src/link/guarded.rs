//! For `tests/guard`, which counts the instructions of this pure core: it is no
//! part of the link's interface.

/// A full record a round, sealed and opened again; the bytes that were read.
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
