//! The first step of a client's key exchange: who answers it is Telegram.

use super::bytes::Reader;

const REQ_PQ_MULTI: u32 = 0xbe7e_8ef1;
const RES_PQ: u32 = 0x0516_2463;

/// Bytes of [`question`].
pub const QUESTION_LEN: usize = 40;

/// So many bytes of an answer are enough for [`Answer::of`].
pub const ANSWER_LEN: usize = 40;

/// `req_pq_multi` as a payload: no key 8, message id 8, length 4, then constructor and
/// nonce. Seconds since 1970 make the message's id.
pub fn question(nonce: &[u8; 16], unix_time: u32) -> [u8; QUESTION_LEN] {
    let mut out = [0; QUESTION_LEN];
    let id = u64::from(unix_time) << 32;
    let parts: [&[u8]; 5] = [
        &[0; 8],
        &id.to_le_bytes(),
        &20u32.to_le_bytes(),
        &REQ_PQ_MULTI.to_le_bytes(),
        nonce,
    ];
    for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    out
}

/// What came for the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `resPQ` to this very question.
    Right,
    /// The transport's error, as −404.
    Refused(i32),
    Other,
}

impl Answer {
    /// `payload` is without its transport's header, and at least the first
    /// [`ANSWER_LEN`] bytes of it if it has so many.
    pub fn of(payload: &[u8], nonce: &[u8; 16]) -> Self {
        if let Ok(code) = <[u8; 4]>::try_from(payload) {
            return Self::Refused(i32::from_le_bytes(code));
        }
        match Self::parse(payload) {
            Some((RES_PQ, answered)) if answered == *nonce => Self::Right,
            _ => Self::Other,
        }
    }

    fn parse(payload: &[u8]) -> Option<(u32, [u8; 16])> {
        let mut reader = Reader(payload);
        let key: [u8; 8] = reader.array()?;
        // The message's id, and how long it is.
        let _: [u8; 12] = reader.array()?;
        let constructor = reader.array().map(u32::from_le_bytes)?;
        let nonce = reader.array()?;
        (key == [0; 8]).then_some((constructor, nonce))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; 16] = *b"0123456789abcdef";

    fn answer() -> Vec<u8> {
        let mut answer = vec![0; 8];
        answer.extend_from_slice(&[1; 8]);
        answer.extend_from_slice(&64u32.to_le_bytes());
        answer.extend_from_slice(&[0x63, 0x24, 0x16, 0x05]);
        answer.extend_from_slice(&NONCE);
        answer.extend_from_slice(&[7; 44]);
        answer
    }

    #[test]
    fn the_question_is_a_clients() {
        let mut expected = vec![0; 12];
        expected.extend_from_slice(&[0x78, 0x56, 0x34, 0x12, 20, 0, 0, 0]);
        expected.extend_from_slice(&[0xf1, 0x8e, 0x7e, 0xbe]);
        expected.extend_from_slice(&NONCE);
        assert_eq!(question(&NONCE, 0x1234_5678).as_slice(), expected);
    }

    #[test]
    fn answers() {
        let right = answer();
        assert_eq!(Answer::of(&right, &NONCE), Answer::Right);
        assert_eq!(Answer::of(&right[..ANSWER_LEN], &NONCE), Answer::Right);
        assert_eq!(Answer::of(&right, &[1; 16]), Answer::Other);
        let code = (-404i32).to_le_bytes();
        assert_eq!(Answer::of(&code, &NONCE), Answer::Refused(-404));
        // What echoes the question is no DC.
        assert_eq!(Answer::of(&question(&NONCE, 1), &NONCE), Answer::Other);
        for at in [0, 20, 24, 39] {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert_eq!(Answer::of(&wrong, &NONCE), Answer::Other, "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_answer_to_a_fresh_question(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            nonce: [u8; 16],
        ) {
            prop_assert_ne!(Answer::of(&bytes, &nonce), Answer::Right);
        }
    }
}
