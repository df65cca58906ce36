//! ML-KEM-768 (FIPS 203) as whoever answers a key uses it.

/// Bytes of the key that a secret is encapsulated to.
pub const KEY_LEN: usize = 1184;

/// Bytes of an encapsulated secret.
pub const CIPHERTEXT_LEN: usize = 1088;

/// A secret, and what the owner of a key finds it in.
pub struct Encapsulated {
    pub ciphertext: [u8; CIPHERTEXT_LEN],
    pub secret: [u8; 32],
}

/// A secret made of the random bytes in `seed`, encapsulated to `key`; `None` if that is
/// no key, as one of its numbers is not below the modulus.
pub fn encapsulate(key: &[u8; KEY_LEN], seed: &[u8; 32]) -> Option<Encapsulated> {
    let key = ml_kem::EncapsulationKey768::new(key.into()).ok()?;
    let (ciphertext, secret) = key.encapsulate_deterministic(&(*seed).into());
    Some(Encapsulated {
        ciphertext: ciphertext.into(),
        secret: secret.into(),
    })
}
