use aes::Aes256Enc;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};

/// Key and initial counter of one direction of an obfuscated stream:
/// 32 bytes of AES-256 key, 16 bytes of IV.
#[derive(Clone)]
pub struct StreamKey {
    pub key: [u8; 32],
    pub iv: [u8; 16],
}

/// AES-256-CTR with a big-endian 128-bit counter, encryption and decryption
/// being the same operation.
///
/// The expanded key (up to 1 KiB) exists only between the first byte after a
/// [`hibernate`](Self::hibernate) and the next one: an idle stream keeps the
/// 48 bytes of its key and its position.
pub struct CtrStream {
    key: StreamKey,
    position: u64,
    expanded: Option<Box<Ctr128BE<Aes256Enc>>>,
}

impl CtrStream {
    pub fn new(key: StreamKey) -> Self {
        Self {
            key,
            position: 0,
            expanded: None,
        }
    }

    /// Encrypts or decrypts `data` in place and moves on by its length.
    pub fn apply(&mut self, data: &mut [u8]) {
        let (key, position) = (&self.key, self.position);
        let cipher = self.expanded.get_or_insert_with(|| {
            let mut cipher = Ctr128BE::<Aes256Enc>::new(&key.key.into(), &key.iv.into());
            cipher.seek(position);
            Box::new(cipher)
        });
        cipher.apply_keystream(data);
        self.position = position.wrapping_add(data.len() as u64);
    }

    /// Moves on by `bytes` without touching any data.
    pub fn skip(&mut self, bytes: u64) {
        self.position = self.position.wrapping_add(bytes);
        if let Some(cipher) = &mut self.expanded {
            cipher.seek(self.position);
        }
    }

    /// Bytes that went through so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Drops the expanded key; the next byte rebuilds it.
    pub fn hibernate(&mut self) {
        self.expanded = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> CtrStream {
        CtrStream::new(StreamKey {
            key: [7; 32],
            iv: [0xff; 16],
        })
    }

    // NIST SP 800-38A F.5.5, first block.
    #[test]
    fn known_answer() {
        let key = [
            0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d,
            0x77, 0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3,
            0x09, 0x14, 0xdf, 0xf4,
        ];
        let iv = core::array::from_fn(|i| 0xf0 + i as u8);
        let mut data = [
            0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93,
            0x17, 0x2a,
        ];
        CtrStream::new(StreamKey { key, iv }).apply(&mut data);
        assert_eq!(data[..4], [0x60, 0x1e, 0xc3, 0x13]);
    }

    #[test]
    fn hibernating_and_skipping_keep_the_position() {
        let mut whole = [0u8; 400];
        stream().apply(&mut whole);
        for cut in [1, 15, 16, 17, 399] {
            let mut parts = [0u8; 400];
            let mut cipher = stream();
            let (head, tail) = parts.split_at_mut(cut);
            cipher.apply(head);
            cipher.hibernate();
            cipher.apply(tail);
            assert_eq!(parts, whole);
            assert_eq!(cipher.position(), 400);

            let mut skipped = [0u8; 400];
            let mut cipher = stream();
            cipher.skip(cut as u64);
            cipher.apply(&mut skipped[cut..]);
            assert_eq!(skipped[cut..], whole[cut..]);
        }
    }
}
