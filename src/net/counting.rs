use std::cell::Cell;

/// One that is counted for as long as this is there.
pub(crate) struct Counting<'a>(&'a Cell<usize>);

impl<'a> Counting<'a> {
    pub(crate) fn one(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_until_they_go() {
        let count = Cell::new(0);
        let first = Counting::one(&count);
        {
            let _second = Counting::one(&count);
            assert_eq!(count.get(), 2);
        }
        assert_eq!(count.get(), 1);
        drop(first);
        assert_eq!(count.get(), 0);
    }
}
