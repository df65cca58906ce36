//! Looks for secrets in bytes that are handed on whatever they are.

use std::rc::Rc;

/// Whether a secret is somewhere in a text.
pub(crate) type IsSecret = Rc<dyn Fn(&[u8]) -> bool>;

/// The longest form of a secret, with each letter escaped, less a byte.
const KEPT: usize = 43 * 3 - 1;

pub(super) struct Watch {
    is_secret: IsSecret,
    /// What has passed last.
    tail: Vec<u8>,
}

impl Watch {
    pub(super) fn new(is_secret: &IsSecret) -> Self {
        Self {
            is_secret: is_secret.clone(),
            tail: Vec::new(),
        }
    }

    /// Whether one ends in `bytes`, which come behind those of the last call.
    pub(super) fn sees(&mut self, bytes: &[u8]) -> bool {
        let front = bytes.get(..KEPT).unwrap_or(bytes);
        self.tail.extend_from_slice(front);
        let is_seen = (self.is_secret)(&self.tail) || (self.is_secret)(bytes);
        if bytes.len() > KEPT {
            self.tail.clear();
            self.tail
                .extend(bytes.last_chunk::<KEPT>().into_iter().flatten());
        }
        let passed = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..passed);
        is_seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_seen_however_it_is_cut() {
        let secret = "s".repeat(43);
        let is_secret: IsSecret = Rc::new(|text| text.windows(43).any(|some| some == [b's'; 43]));
        for before in [0, 100, 500] {
            let text = format!("{}{secret}{}", ".".repeat(before), ".".repeat(300));
            for step in [1, 2, 42, 43, 44, 127, 128, 129, 130, 400, 900] {
                let mut watch = Watch::new(&is_secret);
                let seen = text.as_bytes().chunks(step).any(|some| watch.sees(some));
                assert!(seen, "{before} {step}");
                let mut watch = Watch::new(&is_secret);
                let less = text.replacen('s', "", 1);
                assert!(!less.as_bytes().chunks(step).any(|some| watch.sees(some)));
            }
        }
    }
}
