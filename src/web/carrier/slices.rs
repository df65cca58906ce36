//! The first bytes of what is given in several slices.

use std::io::IoSlice;

/// Hands `each` the first `most` bytes of `slices`, and gives how many these are.
pub(super) fn first_of<'a>(
    slices: &'a [IoSlice<'a>],
    mut most: usize,
    mut each: impl FnMut(&'a [u8]),
) -> usize {
    let mut total = 0;
    for slice in slices {
        let part = slice.get(..most).unwrap_or(slice);
        if !part.is_empty() {
            each(part);
        }
        total += part.len();
        most -= part.len();
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_wanted() {
        let slices = [&b"abc"[..], b"", b"defg"].map(IoSlice::new);
        for (most, expected) in [(0, ""), (2, "ab"), (3, "abc"), (5, "abcde"), (9, "abcdefg")] {
            let mut taken = Vec::new();
            let length = first_of(&slices, most, |part| taken.extend_from_slice(part));
            assert_eq!((length, &*taken), (expected.len(), expected.as_bytes()));
        }
    }
}
