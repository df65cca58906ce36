//! What is left of a record that was more than there was room for.

/// What is left of a record.
#[derive(Default)]
pub(super) struct Rest {
    bytes: Vec<u8>,
    given: usize,
}

impl Rest {
    /// Only while nothing is here.
    pub(super) fn keep(&mut self, later: &[u8]) {
        if !later.is_empty() {
            self.bytes.reserve_exact(later.len());
            self.bytes.extend_from_slice(later);
        }
    }

    /// Hands on at most `most` bytes: how many.
    pub(super) fn give(&mut self, most: usize, take: &mut dyn FnMut(&mut [u8])) -> usize {
        let rest = self.bytes.get_mut(self.given..).unwrap_or_default();
        let length = rest.len().min(most);
        if length == 0 {
            return 0;
        }
        take(rest.get_mut(..length).unwrap_or_default());
        self.given += length;
        if self.given == self.bytes.len() {
            *self = Self::default();
        }
        length
    }
}

#[cfg(test)]
impl Rest {
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }
}
