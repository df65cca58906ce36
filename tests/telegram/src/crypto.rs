//! The primitives, straight from their crates.

use aes::{Aes256Dec, Aes256Enc};
use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt};
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub struct Ctr(Box<ctr::Ctr128BE<Aes256Enc>>);

impl Ctr {
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(Box::new(ctr::Ctr128BE::new(key.into(), iv.into())))
    }

    pub fn apply(&mut self, data: &mut [u8]) {
        self.0.apply_keystream(data);
    }
}

pub struct CbcEncrypt(Box<cbc::Encryptor<Aes256Enc>>);

impl CbcEncrypt {
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(Box::new(cbc::Encryptor::new(key.into(), iv.into())))
    }

    /// `data` must be whole blocks of 16 bytes.
    pub fn apply(&mut self, data: &mut [u8]) {
        let (blocks, rest) = Array::slice_as_chunks_mut(data);
        assert!(rest.is_empty(), "only whole blocks can be encrypted");
        self.0.encrypt_blocks(blocks);
    }
}

pub struct CbcDecrypt(Box<cbc::Decryptor<Aes256Dec>>);

impl CbcDecrypt {
    pub fn new(key: &[u8; 32], iv: &[u8; 16]) -> Self {
        Self(Box::new(cbc::Decryptor::new(key.into(), iv.into())))
    }

    /// `data` must be whole blocks of 16 bytes.
    pub fn apply(&mut self, data: &mut [u8]) {
        let (blocks, rest) = Array::slice_as_chunks_mut(data);
        assert!(rest.is_empty(), "only whole blocks can be decrypted");
        self.0.decrypt_blocks(blocks);
    }
}

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub fn sha1(data: &[u8]) -> [u8; 20] {
    sha1::Sha1::digest(data).into()
}

pub fn md5(data: &[u8]) -> [u8; 16] {
    md5::Md5::digest(data).into()
}

pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any key length will do");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel gives random bytes");
}

/// A random number below `limit`, good enough for padding and jitter.
pub fn random_below(limit: usize) -> usize {
    u32::from_le_bytes(random()) as usize % limit.max(1)
}

pub fn unix_time() -> u32 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| age.as_secs() as u32)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}
