//! 32 bytes as 43 letters of base64url without padding, as capabilities and tokens are
//! written.

use base64ct::{Base64UrlUnpadded, Encoding};

/// In letters.
pub const LEN: usize = 43;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// In constant time.
pub(super) fn encode(bytes: &[u8; 32]) -> [u8; LEN] {
    let mut letters = [b'A'; LEN];
    // 32 bytes are 43 letters.
    let _ = Base64UrlUnpadded::encode(bytes, &mut letters);
    letters
}

/// Takes exactly what [`encode`] gives: the last letter's two spare bits are zero.
pub(super) fn decode(letters: &[u8]) -> Option<[u8; 32]> {
    let letters: &[u8; LEN] = letters.try_into().ok()?;
    let mut bytes = [0; 32];
    Base64UrlUnpadded::decode(letters, &mut bytes).ok()?;
    // The decoder may look at them or not.
    (encode(&bytes) == *letters).then_some(bytes)
}

/// What may be a code of ours anywhere in `text`: the first and the last 43 letters of
/// each run of letters that is so long, their spare bits taken for zero. For those who
/// must not hand an authentic one on.
pub fn candidates(text: &[u8]) -> impl Iterator<Item = [u8; 32]> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let runs = text.split(move |byte| !is_letter(byte));
    runs.flat_map(|run| {
        let last = run.last_chunk().filter(|_| run.len() > LEN);
        run.first_chunk().into_iter().chain(last)
    })
    .map(decode_loosely)
}

/// By a table: what is nobody's secret need not be decoded in constant time, and one that
/// is was shown in a wrong place.
fn decode_loosely(letters: &[u8; LEN]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let mut to = bytes.iter_mut();
    let (mut bits, mut count) = (0u32, 0);
    for letter in letters {
        // Letters stand for 6 bits, of which 4 are of use at the end.
        bits = bits << 6 | u32::from(value(*letter));
        count += 6;
        if count >= 8 {
            count -= 8;
            if let Some(to) = to.next() {
                *to = (bits >> count) as u8;
            }
        }
    }
    bytes
}

/// Of a letter of the alphabet.
fn value(letter: u8) -> u8 {
    const VALUES: [u8; 256] = {
        let (mut values, mut at) = ([0; 256], 0);
        while at < ALPHABET.len() {
            values[ALPHABET[at] as usize] = at as u8;
            at += 1;
        }
        values
    };
    VALUES.get(usize::from(letter)).copied().unwrap_or_default()
}
