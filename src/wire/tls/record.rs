use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce,
    UnboundKey,
};

use super::TlsError;

/// Type, version and length.
pub const HEADER_LEN: usize = 5;

/// What a record that is sealed here has behind its content: the type and the
/// cipher's tag.
pub const TAIL_LEN: usize = 1 + TAG_LEN;

/// The longest record that is sealed here, all in all.
pub const RECORD_LEN: usize = 16 * 1024;

/// The longest content in one of another maker.
pub const MAX_CONTENT: usize = 1 << 14;

/// What may be added to that.
const MAX_EXPANSION: usize = 256;

/// The longest record of another maker, all in all.
pub const MAX_RECORD: usize = HEADER_LEN + MAX_CONTENT + MAX_EXPANSION;

const TAG_LEN: usize = 16;

/// What is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Alert, Self::Handshake, Self::Data]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What the records of a connection are sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

/// The key of one direction, and how many records it has been used for.
pub struct Key {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    records: u64,
}

impl Key {
    /// `key` is as long as `cipher` has it, `iv` 12 bytes; it has been used for so
    /// many `records`.
    pub fn new(cipher: Cipher, key: &[u8], iv: &[u8], records: u64) -> Result<Self, TlsError> {
        let algorithm: &'static Algorithm = match cipher {
            Cipher::Aes128Gcm => &AES_128_GCM,
            Cipher::Aes256Gcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| TlsError::NoKey)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv: iv.try_into().map_err(|_| TlsError::NoKey)?,
            records,
        })
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// Another one for each record: the number of the record, xored into the IV.
    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        let number = self.records.to_be_bytes();
        for (byte, number) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *byte ^= number;
        }
        self.records += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    /// Makes a record of `record`, whose content stands between the places for
    /// its header and its tail.
    pub fn seal(&mut self, record: &mut [u8], kind: Kind) -> Result<(), TlsError> {
        let (header, body) = record
            .split_first_chunk_mut::<HEADER_LEN>()
            .ok_or(TlsError::Seal)?;
        let [high, low] = u16::try_from(body.len())
            .map_err(|_| TlsError::Seal)?
            .to_be_bytes();
        // To who looks on, all of it is data of TLS 1.2.
        *header = [Kind::Data as u8, 3, 3, high, low];
        let (inner, tag) = body
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(TlsError::Seal)?;
        *inner.last_mut().ok_or(TlsError::Seal)? = kind as u8;
        let nonce = self.next_nonce();
        let made = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(*header), inner)
            .map_err(|_| TlsError::Seal)?;
        tag.copy_from_slice(made.as_ref());
        Ok(())
    }

    /// Opens the record with that header whose body stands at the end of
    /// `space`, from `body` on. The content is moved to the front of `space`;
    /// returns what and how long it is.
    pub fn open(
        &mut self,
        header: [u8; HEADER_LEN],
        space: &mut [u8],
        body: usize,
    ) -> Result<(Kind, usize), TlsError> {
        let nonce = self.next_nonce();
        let inner = self
            .key
            .open_within(nonce, Aad::from(header), space, body..)
            .map_err(|_| TlsError::Open)?;
        // Behind the content come its type and any number of zeros.
        let last = inner.iter().rposition(|byte| *byte != 0);
        let (length, kind) = last
            .and_then(|last| Some((last, Kind::from_byte(*inner.get(last)?)?)))
            .ok_or(TlsError::ContentType)?;
        if inner.len() > MAX_CONTENT + 1 {
            return Err(TlsError::RecordTooLong);
        }
        Ok((kind, length))
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE;

    use super::*;

    fn key() -> Key {
        Key::new(Cipher::ChaCha20Poly1305, &[7; 32], &[9; NONCE_LEN], 0).unwrap()
    }

    /// A record with `zeros` behind its type.
    fn padded(key: &mut Key, content: &[u8], kind: u8, zeros: usize) -> Vec<u8> {
        let length = content.len() + 1 + zeros + TAG_LEN;
        let [high, low] = (length as u16).to_be_bytes();
        let header = [23, 3, 3, high, low];
        let mut inner = [content, &[kind], &vec![0; zeros]].concat();
        let nonce = key.next_nonce();
        let tag = key
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut inner)
            .unwrap();
        [&header, inner.as_slice(), tag.as_ref()].concat()
    }

    fn open(key: &mut Key, record: &[u8], before: usize) -> Result<(Kind, Vec<u8>), TlsError> {
        let header = *record.first_chunk().unwrap();
        let mut space = [&vec![1; before], record].concat();
        let (kind, length) = key.open(header, &mut space, before + HEADER_LEN)?;
        Ok((kind, space[..length].to_vec()))
    }

    /// RFC 8448 §3: the client's first record of data.
    #[test]
    fn a_record_of_the_specification() {
        let hex = |text: &str| {
            let digits = text.replace([' ', '\n'], "");
            HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap()
        };
        let key = || {
            let key = hex("17 42 2d da 59 6e d5 d9 ac d8 90 e3 c6 3f 50 51");
            let iv = hex("5b 78 92 3d ee 08 57 90 33 e5 23 d9");
            Key::new(Cipher::Aes128Gcm, &key, &iv, 0).unwrap()
        };
        let content: Vec<u8> = (0..50).collect();
        let expected = hex(
            "17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea 42 f9 14 aa \
             66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b 62 97 4e 1f 5a 62 92 a2 \
             97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4",
        );
        let mut record = [&[0; HEADER_LEN], &content[..], &[0; TAIL_LEN]].concat();
        key().seal(&mut record, Kind::Data).unwrap();
        assert_eq!(record, expected);
        assert_eq!(open(&mut key(), &expected, 0), Ok((Kind::Data, content)));
    }

    #[test]
    fn a_key_has_the_length_of_its_cipher() {
        use Cipher::*;
        for (cipher, length) in [(Aes128Gcm, 16), (Aes256Gcm, 32), (ChaCha20Poly1305, 32)] {
            for given in 0..40 {
                let key = Key::new(cipher, &vec![1; given], &[2; NONCE_LEN], 0);
                assert_eq!(key.is_ok(), given == length, "{cipher:?} {given}");
            }
            assert!(Key::new(cipher, &vec![1; length], &[2; NONCE_LEN - 1], 0).is_err());
        }
    }

    #[test]
    fn records_of_other_makers_are_read() {
        let (mut ours, mut theirs) = (key(), key());
        for (content, zeros) in [(0, 0), (1, 0), (5, 200), (0, 16_384), (16_384, 0)] {
            for before in [0, 1, 40, 30_000] {
                let content: Vec<u8> = (0..content).map(|i| i as u8).collect();
                let record = padded(&mut theirs, &content, 23, zeros);
                assert!(record.len() <= MAX_RECORD);
                let opened = open(&mut ours, &record, before).unwrap();
                assert_eq!(opened, (Kind::Data, content), "{zeros} {before}");
            }
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let (mut ours, mut theirs) = (key(), key());
        for (content, kind, zeros) in [
            (&[1; 16_385][..], 23, 0),
            (&[1; 16_384], 23, 1),
            (&[], 0, 20),
            (b"a", 20, 0),
            (b"a", 24, 3),
        ] {
            let record = padded(&mut theirs, content, kind, zeros);
            assert!(open(&mut ours, &record, 0).is_err(), "{kind} {zeros}");
        }
        for length in 0..TAG_LEN {
            let record = vec![23; HEADER_LEN + length];
            assert!(open(&mut ours, &record, 3).is_err(), "{length}");
        }
    }

    #[test]
    fn every_byte_and_the_order_of_records_are_protected() {
        let mut theirs = key();
        let mut record = |text: &[u8]| {
            let mut record = [&[0; HEADER_LEN], text, &[0; TAIL_LEN]].concat();
            theirs.seal(&mut record, Kind::Data).unwrap();
            record
        };
        let (first, second) = (record(b"first"), record(b"second"));
        assert!(open(&mut key(), &second, 0).is_err());
        for place in 0..first.len() {
            let mut changed = first.clone();
            changed[place] ^= 0x10;
            assert!(open(&mut key(), &changed, 0).is_err(), "{place}");
        }
        let mut ours = key();
        assert_eq!(open(&mut ours, &first, 0).unwrap().1, b"first");
        assert!(open(&mut ours, &first, 0).is_err());
    }
}
