use smol_mtproxy_ciphers::hmac_sha256;

/// Bytes that a sieve makes of others.
pub(super) const SIFTED: usize = 4;

/// Words that it takes at most.
const WORDS: usize = 8;

/// Sums that tell nearly all that is not ours by some multiplications: noise is not worth
/// an HMAC, of which a small machine has few. Who does not know its numbers does not know
/// what passes. What passes is ours only if something else says so.
///
/// ```text
/// numbers = HMAC-SHA256(key, "web sieve" ‖ 0) ‖ … ‖ HMAC-SHA256(key, "web sieve" ‖ 2), as u64 BE
/// sieve   = (number 0 + Σ number i × word i mod 2^64) ≫ 32, of words u32 BE from 1 on
/// ```
pub(super) struct Sieve([u64; 1 + WORDS]);

impl Sieve {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let blocks = [0, 1, 2].map(|block| hmac_sha256(key, &[b"web sieve", &[block]]));
        let bytes = blocks.as_flattened();
        let mut numbers = [0; 1 + WORDS];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_be_bytes(*bytes);
        }
        Self(numbers)
    }

    /// Of `parts`, which have words of 4 bytes, 8 together at most.
    pub(super) fn of(&self, parts: &[&[u8]]) -> u32 {
        let [first, others @ ..] = &self.0;
        let words = parts.iter().flat_map(|part| part.as_chunks().0);
        let terms = others.iter().zip(words).map(|(number, word)| {
            let word = u32::from_be_bytes(*word);
            number.wrapping_mul(word.into())
        });
        let sum = terms.fold(*first, u64::wrapping_add);
        (sum >> 32) as u32
    }
}
