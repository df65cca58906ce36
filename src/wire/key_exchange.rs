//! The first step of a client's key exchange: who answers it is Telegram.

use super::bytes::Reader;
use super::transport::Transport;

const REQ_PQ_MULTI: u32 = 0xbe7e_8ef1;
const RES_PQ: u32 = 0x0516_2463;

/// Bytes of [`question`].
pub const QUESTION_LEN: usize = 40;

/// So many bytes of an answer are enough for [`Answer::of`].
pub const ANSWER_LEN: usize = 40;

/// Of what comes on a transport, so many are enough for [`Answer::in_stream`].
pub const STREAM_LEN: usize = MAX_HEADER + ANSWER_LEN;

/// Before a packet, of whichever transport.
const MAX_HEADER: usize = 4;

/// What is shorter is no message, but the number of an error, below 0, and padding.
const LEAST_MESSAGE: usize = 20;

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

/// The question as the first packet of a connection, without padding.
pub fn packet(transport: Transport, nonce: &[u8; 16], unix_time: u32) -> Vec<u8> {
    let mut packet = transport.write_header(QUESTION_LEN, 0).to_vec();
    packet.extend(question(nonce, unix_time));
    packet
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
        let code = payload.first_chunk().map(|code| i32::from_le_bytes(*code));
        if let Some(code) = code
            && (payload.len() == 4 || payload.len() < LEAST_MESSAGE && code < 0)
        {
            return Self::Refused(code);
        }
        match Self::parse(payload) {
            Some((RES_PQ, answered)) if answered == *nonce => Self::Right,
            _ => Self::Other,
        }
    }

    /// What the first packet of `came` is, once enough of it is there.
    pub fn in_stream(transport: Transport, came: &[u8], nonce: &[u8; 16]) -> Option<Self> {
        let Ok(header) = transport.parse_header(came) else {
            // Nothing that Telegram says.
            return Some(Self::Other);
        };
        let header = header?;
        let payload = came.get(header.header_len..).unwrap_or_default();
        let payload = payload.get(..header.payload_len.min(ANSWER_LEN))?;
        Some(Self::of(payload, nonce))
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

    #[test]
    fn answers_in_a_stream_come_in_any_pieces() {
        use Transport::*;
        for transport in [Abridged, Intermediate, Padded] {
            let asked = packet(transport, &NONCE, 7);
            let header = transport.parse_header(&asked).unwrap().unwrap();
            assert_eq!(header.payload_len, QUESTION_LEN);
            assert_eq!(asked[header.header_len..], question(&NONCE, 7));

            let mut came = transport.write_header(answer().len(), 0).to_vec();
            let enough = came.len() + ANSWER_LEN;
            assert!(enough <= STREAM_LEN);
            came.extend(answer());
            let in_stream = |came: &[u8]| Answer::in_stream(transport, came, &NONCE);
            for length in 0..enough {
                assert_eq!(in_stream(&came[..length]), None, "{length}");
            }
            assert_eq!(in_stream(&came[..enough]), Some(Answer::Right));
        }
        // As Telegram refuses, with padding.
        let mut refused = Padded.write_header(4, 7).to_vec();
        refused.extend((-404i32).to_le_bytes());
        refused.extend([9; 7]);
        let refused = Answer::in_stream(Padded, &refused, &NONCE);
        assert_eq!(refused, Some(Answer::Refused(-404)));
        let noise = Answer::in_stream(Padded, &[0xff; 8], &NONCE);
        assert_eq!(noise, Some(Answer::Other));
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
