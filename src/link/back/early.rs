use std::rc::Rc;

use super::taker::Taker;
use super::tie::Tie;
use crate::link::fault::Fault;
use crate::net::{BufferPool, Rope};

/// So many bytes are kept in memory of just their size, and only more take a chunk: an
/// app's first words have room, and a crowd that comes at once takes little.
const SHORT: usize = 2048;

/// What came for a session that is not open yet.
#[derive(Default)]
pub(super) struct Early {
    short: Vec<u8>,
    rest: Rope,
}

impl Early {
    fn append(&mut self, buffers: &Rc<BufferPool>, bytes: &[u8]) {
        let length = match self.rest.is_empty() {
            true => bytes.len().min(SHORT.saturating_sub(self.short.len())),
            false => 0,
        };
        let (short, rest) = bytes.split_at_checked(length).unwrap_or((&[], bytes));
        self.short.reserve_exact(short.len());
        self.short.extend_from_slice(short);
        self.rest.append_overdrawn(buffers, rest);
    }
}

impl Taker for Early {
    fn take(&mut self, bytes: &mut [u8], _: usize, tie: &Tie) -> Result<(), Fault> {
        self.append(&tie.connection().context.buffers, bytes);
        Ok(())
    }

    fn hand_on(
        mut self: Box<Self>,
        take: &mut dyn FnMut(&mut [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.short.is_empty() {
            take(&mut self.short)?;
        }
        while let Some(chunk) = self.rest.first_mut() {
            let length = chunk.len();
            take(chunk)?;
            self.rest.advance(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn only_what_is_long_takes_chunks() {
        let buffers = BufferPool::new(&Clock::machine(), 1 << 20);
        let data: Vec<u8> = (0..3000u32).map(|number| number as u8).collect();
        for (pieces, has_chunks) in [
            (&[300, 200][..], false),
            (&[SHORT], false),
            (&[300, 200, 1500, 55, 700], true),
            (&[3000], true),
        ] {
            let mut early = Box::new(Early::default());
            let mut end = 0;
            for piece in pieces {
                early.append(&buffers, &data[end..end + piece]);
                end += piece;
            }
            assert_eq!(buffers.used_bytes() > 0, has_chunks, "{pieces:?}");
            let mut out = Vec::new();
            let taken = early.hand_on(&mut |bytes| {
                out.extend_from_slice(bytes);
                Ok(())
            });
            assert!(taken.is_ok());
            assert_eq!(out, data[..end]);
            assert_eq!(buffers.used_bytes(), 0);
        }
    }
}
