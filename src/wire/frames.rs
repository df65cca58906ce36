//! Where packets begin and end in a stream that comes encrypted for the client.

use smol_mtproxy_ciphers::CtrStream;

use super::bytes::Gather;
use super::transport::QUICK_ACK;

const WORD: usize = 4;

/// Reads the headers of a padded stream, and nothing else of it.
#[derive(Default)]
pub struct Frames {
    header: Gather<WORD>,
    /// Bytes of the packet under way.
    left: u32,
}

impl Frames {
    /// Goes on by `data`, which stands at `cipher`'s position.
    pub fn pass(&mut self, cipher: &mut CtrStream, data: &[u8]) {
        let mut rest = data;
        let mut unread = 0;
        while !rest.is_empty() {
            if self.left > 0 {
                let there = u32::try_from(rest.len()).unwrap_or(u32::MAX);
                let body = self.left.min(there);
                self.left -= body;
                unread += u64::from(body);
                rest = rest.get(body as usize..).unwrap_or_default();
                continue;
            }
            cipher.skip(unread);
            unread = 0;
            let mut word = [0; WORD];
            let missing = self.header.missing(WORD);
            let (piece, behind) = rest.split_at(missing.min(rest.len()));
            for (plain, encrypted) in word.iter_mut().zip(piece) {
                *plain = *encrypted;
            }
            let word = word.get_mut(..piece.len()).unwrap_or_default();
            cipher.apply(word);
            if let Some(word) = self.header.fill(&mut &mut *word) {
                let length = u32::from_le_bytes(word);
                self.left = if length & QUICK_ACK == 0 { length } else { 0 };
            }
            rest = behind;
        }
        cipher.skip(unread);
    }

    /// Bytes that are certain to follow, 0 between packets.
    pub fn to_come(&self) -> usize {
        match self.header.missing(WORD) {
            WORD => self.left as usize,
            missing => missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smol_mtproxy_ciphers::StreamKey;

    use super::*;

    fn cipher() -> CtrStream {
        CtrStream::new(StreamKey {
            key: [3; 32],
            iv: [4; 16],
        })
    }

    proptest! {
        /// Packets and quick-acks, cut anywhere: what is to come is known after
        /// every piece.
        #[test]
        fn any_cut(units in prop::collection::vec((0..60_u32, any::<bool>()), 1..20), cuts in prop::collection::vec(1..50_usize, 1..400)) {
            let mut stream = Vec::new();
            let mut to_come = Vec::new();
            for (length, is_ack) in units {
                let (word, body) = if is_ack { (length | QUICK_ACK, 0) } else { (length, length as usize) };
                stream.extend(word.to_le_bytes());
                stream.extend(vec![0xff; body]);
                to_come.extend([3, 2, 1]);
                to_come.extend((0..=body).rev());
            }
            cipher().apply(&mut stream);
            let (mut frames, mut follower, mut at) = (Frames::default(), cipher(), 0);
            for cut in cuts {
                let end = (at + cut).min(stream.len());
                if end == at {
                    break;
                }
                frames.pass(&mut follower, &stream[at..end]);
                prop_assert_eq!(frames.to_come(), to_come[end - 1]);
                prop_assert_eq!(follower.position(), end as u64);
                at = end;
            }
        }
    }
}
