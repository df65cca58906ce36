use super::record::{HEADER_LEN, MAX_RECORD};

/// The beginning of a record whose rest has not come yet: shorter than [`MAX_RECORD`].
#[derive(Default)]
pub struct Partial(Vec<u8>);

impl From<Vec<u8>> for Partial {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Partial {
    /// So many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// A record that is under way ends, all in all, after so many bytes at most; of one
    /// whose length is not known that is where its header ends.
    pub fn needed(&self) -> usize {
        match self.0.first_chunk::<HEADER_LEN>() {
            Some([_, _, _, high, low]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                (HEADER_LEN + length).clamp(self.0.len() + 1, MAX_RECORD)
            }
            None => HEADER_LEN,
        }
    }

    /// Moves what is here to the front of `buffer`; how long it is.
    pub fn put(&mut self, buffer: &mut [u8]) -> usize {
        let known = self.0.len();
        if let Some(start) = buffer.get_mut(..known) {
            start.copy_from_slice(&self.0);
        }
        self.0.clear();
        known
    }

    /// Only while nothing is here.
    pub fn keep(&mut self, rest: &[u8]) {
        self.0.reserve_exact(rest.len());
        self.0.extend_from_slice(rest);
    }

    /// Drops what the next byte can make again.
    pub fn hibernate(&mut self) {
        self.0.shrink_to_fit();
    }
}
