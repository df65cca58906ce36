//! What a ServerHello's key share must look like to those who know the
//! mathematics but not the keys.

use super::client_hello::MLKEM768_KEY;
use super::curve25519;

/// A public key whose private key nobody knows. Random bytes would not do:
/// half of them are no point of the curve, and that is easily checked.
pub(super) fn x25519_share(fill_random: &mut dyn FnMut(&mut [u8])) -> [u8; 32] {
    curve25519::random_point(fill_random)
}

/// A secret that nobody keeps, encapsulated to the client's `key`: 1088 bytes.
/// Clients whose key is none get what looks like it.
#[cfg(feature = "ml-kem")]
pub(super) fn write_mlkem768_ciphertext(
    out: &mut Vec<u8>,
    key: &[u8; MLKEM768_KEY],
    fill_random: &mut dyn FnMut(&mut [u8]),
) {
    let mut seed = [0; 32];
    fill_random(&mut seed);
    match crate::mlkem768::encapsulate(key, &seed) {
        Some(made) => out.extend_from_slice(&made.ciphertext),
        None => write_like_mlkem768_ciphertext(out, fill_random),
    }
}

/// What only the client could tell from a secret encapsulated to its key: 1088
/// bytes. To decapsulate never fails, it gives another secret.
#[cfg(not(feature = "ml-kem"))]
pub(super) fn write_mlkem768_ciphertext(
    out: &mut Vec<u8>,
    _: &[u8; MLKEM768_KEY],
    fill_random: &mut dyn FnMut(&mut [u8]),
) {
    write_like_mlkem768_ciphertext(out, fill_random);
}

/// What an ML-KEM-768 ciphertext looks like without its key (FIPS 203): 3·256
/// coefficients of 10 bits, 256 of 4 bits, each a uniform number modulo q
/// rounded to that many bits, packed little-endian; 1088 bytes. The rounding
/// prefers some values a little, so random bytes would give us away.
fn write_like_mlkem768_ciphertext(out: &mut Vec<u8>, fill_random: &mut dyn FnMut(&mut [u8])) {
    let mut random = Residues::new(fill_random);
    for _ in 0..3 * 256 / 4 {
        let packed = (0..4).fold(0, |packed, i| packed | random.compressed(10) << (10 * i));
        let [bytes @ .., _, _, _] = packed.to_le_bytes();
        let bytes: [u8; 5] = bytes;
        out.extend_from_slice(&bytes);
    }
    for _ in 0..256 / 2 {
        let packed = random.compressed(4) | random.compressed(4) << 4;
        out.push(packed as u8);
    }
}

/// What an ML-KEM-768 public key looks like: 3·256 numbers modulo q of 12 bits,
/// packed little-endian, then a seed; 1184 bytes. Servers refuse numbers from q
/// on.
pub(super) fn write_mlkem768_key(out: &mut Vec<u8>, fill_random: &mut dyn FnMut(&mut [u8])) {
    let mut random = Residues::new(fill_random);
    for _ in 0..3 * 256 / 2 {
        let [a, b, c, ..] = (random.next() | random.next() << 12).to_le_bytes();
        out.extend_from_slice(&[a, b, c]);
    }
    let mut seed = [0; 32];
    fill_random(&mut seed);
    out.extend_from_slice(&seed);
}

/// Uniform numbers modulo ML-KEM's q.
struct Residues<'a> {
    fill_random: &'a mut dyn FnMut(&mut [u8]),
    block: [u8; 256],
    used: usize,
}

impl<'a> Residues<'a> {
    const Q: u64 = 3329;

    fn new(fill_random: &'a mut dyn FnMut(&mut [u8])) -> Self {
        Self {
            fill_random,
            block: [0; 256],
            used: 256,
        }
    }

    /// The next one, rounded to `bits` bits.
    fn compressed(&mut self, bits: u32) -> u64 {
        let rounded = ((self.next() << bits) + Self::Q / 2) / Self::Q;
        rounded & ((1 << bits) - 1)
    }

    fn next(&mut self) -> u64 {
        if self.used >= self.block.len() {
            (self.fill_random)(&mut self.block);
            self.used = 0;
        }
        let chunk = self.block.get(self.used..).unwrap_or_default();
        let wide = chunk
            .first_chunk()
            .map_or(0, |&chunk| u32::from_le_bytes(chunk));
        self.used += 4;
        // Off from uniform by less than one part in a million.
        u64::from(wide) % Self::Q
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server_hello::tests::counting;

    #[test]
    fn coefficients_are_rounded_as_ml_kem_does() {
        let mut random = counting();
        let mut residues = Residues::new(&mut random);
        let mut seen = [0u32; 1024];
        for _ in 0..200_000 {
            seen[residues.compressed(10) as usize] += 1;
        }
        // 0 stands for 3 or 4 of the 3329 residues, as any other value does.
        let (least, most) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!(*least > 120 && *most < 320, "{least}..{most}");
        // Value 3 is what 9, 10 and 11 round to; 1 what 2, 3 and 4 round to,
        // but 0 what 0, 1, 3328 and 3327 round to.
        assert!(seen[0] > seen[3]);
    }

    #[test]
    #[cfg(feature = "ml-kem")]
    fn the_client_finds_a_secret_in_the_ciphertext() {
        use ml_kem::DecapsulationKey768;
        use ml_kem::kem::{Decapsulate, KeyExport};

        let private = DecapsulationKey768::from_seed([7; 64].into());
        let public: [u8; MLKEM768_KEY] = private.encapsulation_key().to_bytes().into();
        let mut out = Vec::new();
        write_mlkem768_ciphertext(&mut out, &public, &mut counting());
        let mut secret = [0; 32];
        counting()(&mut secret);
        let (_, expected) = private
            .encapsulation_key()
            .encapsulate_deterministic(&secret.into());
        let found = private.decapsulate_slice(&out).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_that_is_none_gets_what_looks_like_a_ciphertext() {
        let mut out = Vec::new();
        write_mlkem768_ciphertext(&mut out, &[0xff; MLKEM768_KEY], &mut counting());
        assert_eq!(out.len(), 1088);
    }

    #[test]
    #[cfg(feature = "ml-kem")]
    fn keys_that_nobody_has_are_valid() {
        let mut random = counting();
        for _ in 0..20 {
            let mut out = Vec::new();
            write_mlkem768_key(&mut out, &mut random);
            let key: [u8; MLKEM768_KEY] = out.try_into().unwrap();
            assert!(ml_kem::EncapsulationKey768::new((&key).into()).is_ok());
        }
    }
}
