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

#[cfg(test)]
mod tests {
    use smol_mtproxy_ciphers::sha256;

    use super::*;

    /// OpenSSL 4.0 makes this key of the seed 0, 1 … 63 and finds this secret in that.
    #[test]
    fn openssl_finds_the_secret() {
        use ml_kem::DecapsulationKey768;
        use ml_kem::kem::KeyExport;

        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let seed: [u8; 64] = std::array::from_fn(|i| i as u8);
        let private = DecapsulationKey768::from_seed(seed.into());
        let key: [u8; KEY_LEN] = private.encapsulation_key().to_bytes().into();
        assert_eq!(
            hex(&sha256(&[&key])),
            "0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9"
        );
        let made = encapsulate(&key, &std::array::from_fn(|i| 64 + i as u8)).unwrap();
        assert_eq!(
            hex(&sha256(&[&made.ciphertext])),
            "dbf4e9aa48b078ad46ec1c9c47bda8c2d2fec9d0e7a21bd48d2238a2abedb856"
        );
        assert_eq!(
            hex(&made.secret),
            "9cddd089ffe70e3996e76f7c8d06746df34d07e8657bc0fcf2bb0e1c3084aea1"
        );
    }

    #[test]
    fn what_is_no_key_gets_nothing() {
        assert!(encapsulate(&[0xff; KEY_LEN], &[1; 32]).is_none());
    }
}
