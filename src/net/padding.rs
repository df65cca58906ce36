//! Random bytes that make the length of packets vary.

use std::cell::RefCell;

use super::random::fill_random;

/// Bytes asked of the kernel at a time: enough for 64 packets.
const STOCK: usize = 256;

/// Padding for packets, from a stock of random bytes, so that a packet costs
/// no system call of its own.
pub(crate) struct PaddingSource(RefCell<Stock>);

struct Stock {
    bytes: [u8; STOCK],
    used: usize,
}

impl Default for PaddingSource {
    fn default() -> Self {
        Self(RefCell::new(Stock {
            bytes: [0; STOCK],
            used: STOCK,
        }))
    }
}

impl PaddingSource {
    /// 0 to 3 random bytes, each number as often as the others.
    pub(crate) fn next(&self) -> heapless::Vec<u8, 3, u8> {
        let mut stock = self.0.borrow_mut();
        if stock.used >= STOCK {
            fill_random(&mut stock.bytes);
            stock.used = 0;
        }
        let drawn = stock.bytes.get(stock.used..).and_then(<[u8]>::first_chunk);
        let [length, padding @ ..] = *drawn.unwrap_or(&[0; 4]);
        stock.used += 4;
        let mut padding = heapless::Vec::from_array(padding);
        padding.truncate(usize::from(length % 4));
        padding
    }

    /// 1 to 3 random bytes.
    pub(crate) fn some(&self) -> heapless::Vec<u8, 3, u8> {
        loop {
            let padding = self.next();
            if !padding.is_empty() {
                return padding;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_up() {
        let source = PaddingSource::default();
        let mut seen = [0u32; 4];
        for _ in 0..4096 {
            seen[source.next().len()] += 1;
        }
        // A thousand each expected; five hundred would be 18 sigma off.
        assert!(seen.iter().all(|count| *count > 500), "{seen:?}");
    }
}
