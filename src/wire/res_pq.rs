//! The first question of a client that has no key yet, and its answer: that it is
//! Telegram who is there.

/// `req_pq_multi#be7e8ef1 nonce:int128 = ResPQ`
const REQ_PQ_MULTI: u32 = 0xbe7e_8ef1;
/// `resPQ#05162463 nonce:int128 …`
const RES_PQ: u32 = 0x0516_2463;

pub type Nonce = [u8; 16];

/// The key's id, which is 0, the message's, and the length of what follows.
const HEAD: usize = 8 + 8 + 4;
const BODY: usize = 4 + 16;

/// The message, without a transport's framing; `unix_time` is in seconds.
pub fn req_pq_multi(nonce: &Nonce, unix_time: u32) -> [u8; HEAD + BODY] {
    let id = u64::from(unix_time) << 32;
    let head = [0; 8].into_iter().chain(id.to_le_bytes());
    let length = (BODY as u32).to_le_bytes();
    let all = head
        .chain(length)
        .chain(REQ_PQ_MULTI.to_le_bytes())
        .chain(nonce.iter().copied());
    let mut message = [0; HEAD + BODY];
    for (to, from) in message.iter_mut().zip(all) {
        *to = from;
    }
    message
}

/// Bytes of an answer that [`is_res_pq`] looks at.
pub const ANSWER_START: usize = HEAD + BODY;

/// Whether a message that begins with these [`ANSWER_START`] bytes answers the question
/// with that nonce.
pub fn is_res_pq(message: &[u8], nonce: &Nonce) -> bool {
    let expected = RES_PQ
        .to_le_bytes()
        .into_iter()
        .chain(nonce.iter().copied());
    message.starts_with(&[0; 8])
        && message.len() >= ANSWER_START
        && message.iter().skip(HEAD).copied().take(BODY).eq(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_answers() {
        let nonce = std::array::from_fn(|i| i as u8);
        let question = req_pq_multi(&nonce, 0x6500_0000);
        let text: String = question.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected =
            "0000000000000000000000000000006514000000f18e7ebe000102030405060708090a0b0c0d0e0f";
        assert_eq!(text, expected);
        let mut answer = question;
        answer[HEAD..HEAD + 4].copy_from_slice(&RES_PQ.to_le_bytes());
        assert!(is_res_pq(&answer, &nonce));
        assert!(!is_res_pq(&answer[..HEAD + BODY - 1], &nonce));
        assert!(!is_res_pq(&question, &nonce) && !is_res_pq(&answer, &[7; 16]));
        answer[0] = 1;
        assert!(!is_res_pq(&answer, &nonce));
    }
}
