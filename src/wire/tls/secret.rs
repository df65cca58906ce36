use ring::aead::NONCE_LEN;
use ring::hkdf::{HKDF_SHA256, HKDF_SHA384, KeyType, Prk};

use super::TlsError;
use super::record::{Cipher, Key};

/// As long as the longest hash that goes with a [`Cipher`].
const MAX_SECRET: usize = 48;

/// What the keys of one direction are made of, the present one and those that follow
/// (RFC 8446 §7.2 and §7.3).
pub struct TrafficSecret {
    cipher: Cipher,
    bytes: heapless::Vec<u8, MAX_SECRET, u8>,
}

/// The length of what is made.
#[derive(Clone, Copy)]
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl TrafficSecret {
    /// `bytes`: 32 of them or 48, as the cipher's hash has it.
    pub fn new(cipher: Cipher, bytes: &[u8]) -> Result<Self, TlsError> {
        let bytes = heapless::Vec::from_slice(bytes).map_err(|_| TlsError::NoKey)?;
        Ok(Self { cipher, bytes })
    }

    /// Whether that key and IV are made of it.
    pub fn makes(&self, key: &[u8], iv: &[u8]) -> bool {
        let made = self.make();
        made.is_ok_and(|(made, length, made_iv)| made.get(..length) == Some(key) && made_iv == iv)
    }

    /// Goes on to the next one, and makes its key.
    pub fn advance(&mut self) -> Result<Key, TlsError> {
        let mut next = self.bytes.clone();
        self.expand(b"traffic upd", &mut next)?;
        self.bytes = next;
        let (key, length, iv) = self.make()?;
        Key::new(self.cipher, key.get(..length).unwrap_or_default(), &iv, 0)
    }

    /// The key, its length and the IV.
    fn make(&self) -> Result<([u8; 32], usize, [u8; NONCE_LEN]), TlsError> {
        let length = match self.cipher {
            Cipher::Aes128Gcm => 16,
            Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305 => 32,
        };
        let (mut key, mut iv) = ([0; 32], [0; NONCE_LEN]);
        self.expand(b"key", key.get_mut(..length).unwrap_or_default())?;
        self.expand(b"iv", &mut iv)?;
        Ok((key, length, iv))
    }

    /// HKDF-Expand-Label without a context.
    fn expand(&self, label: &[u8], out: &mut [u8]) -> Result<(), TlsError> {
        let hash = match self.bytes.len() {
            32 => HKDF_SHA256,
            48 => HKDF_SHA384,
            _ => return Err(TlsError::NoKey),
        };
        const PREFIX: &[u8] = b"tls13 ";
        let lengths = [0, out.len() as u8, (PREFIX.len() + label.len()) as u8];
        let info = [&lengths, PREFIX, label, &[0]];
        let made = Prk::new_less_safe(hash, &self.bytes);
        let made = made.expand(&info, Length(out.len()));
        let made = made.and_then(|made| made.fill(out));
        made.map_err(|_| TlsError::NoKey)
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER_PERMISSIVE;

    use super::*;

    /// RFC 8448 §3: the client's first secret, its key and IV.
    #[test]
    fn the_key_of_a_secret() {
        let bytes = |hex: &str| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).unwrap();
        let secret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
        let key = bytes("17422dda596ed5d9acd890e3c63f5051");
        let iv = bytes("5b78923dee08579033e523d9");
        let mut secret = TrafficSecret::new(Cipher::Aes128Gcm, &bytes(secret)).unwrap();
        assert!(secret.makes(&key, &iv));
        assert!(!secret.makes(&iv, &iv));
        assert!(secret.advance().is_ok());
        assert!(!secret.makes(&key, &iv));
    }

    #[test]
    fn no_secret_of_another_length() {
        let secret = |length| TrafficSecret::new(Cipher::Aes128Gcm, &vec![1; length]);
        assert!(secret(49).is_err());
        assert!(secret(33).is_ok_and(|mut secret| secret.advance().is_err()));
        assert!(secret(48).is_ok_and(|mut secret| secret.advance().is_ok()));
    }
}
