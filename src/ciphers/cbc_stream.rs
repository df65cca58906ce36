use aes::{Aes256Dec, Aes256Enc};
use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

/// Bytes in one AES block.
pub const BLOCK_LEN: usize = 16;

/// AES-256-CBC over a long-lived stream, our side of a middle-proxy connection.
pub struct CbcEncryptor(Box<cbc::Encryptor<Aes256Enc>>);

/// AES-256-CBC over a long-lived stream, Telegram's side.
pub struct CbcDecryptor(Box<cbc::Decryptor<Aes256Dec>>);

impl CbcEncryptor {
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(Box::new(cbc::Encryptor::new(key.into(), iv.into())))
    }

    /// Encrypts the whole blocks of `data` in place and returns their length;
    /// up to 15 bytes at the end stay as they are.
    pub fn apply(&mut self, data: &mut [u8]) -> usize {
        let (blocks, _) = Array::slice_as_chunks_mut(data);
        self.0.encrypt_blocks(blocks);
        blocks.len() * BLOCK_LEN
    }
}

impl CbcDecryptor {
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(Box::new(cbc::Decryptor::new(key.into(), iv.into())))
    }

    /// Decrypts the whole blocks of `data` in place and returns their length;
    /// up to 15 bytes at the end stay as they are.
    pub fn apply(&mut self, data: &mut [u8]) -> usize {
        let (blocks, _) = Array::slice_as_chunks_mut(data);
        self.0.decrypt_blocks(blocks);
        blocks.len() * BLOCK_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_agree_at_every_split() {
        let plain: Vec<u8> = (0..160).collect();
        let mut whole = plain.clone();
        assert_eq!(CbcEncryptor::new(&[1; 32], &[2; 16]).apply(&mut whole), 160);
        for cut in (0..=160).step_by(BLOCK_LEN) {
            let mut data = plain.clone();
            let mut encrypt = CbcEncryptor::new(&[1; 32], &[2; 16]);
            let mut decrypt = CbcDecryptor::new(&[1; 32], &[2; 16]);
            let (head, tail) = data.split_at_mut(cut);
            encrypt.apply(head);
            encrypt.apply(tail);
            assert_eq!(data, whole);
            let (head, tail) = data.split_at_mut(cut);
            decrypt.apply(head);
            decrypt.apply(tail);
            assert_eq!(data, plain);
        }
    }

    #[test]
    fn a_partial_block_is_left_alone() {
        let mut data = [9u8; 31];
        assert_eq!(CbcDecryptor::new(&[1; 32], &[2; 16]).apply(&mut data), 16);
        assert_eq!(data[16..], [9; 15]);
    }
}
