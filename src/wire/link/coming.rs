use crate::dc::DcId;

/// Large packets of one link that get buffers of their own and have not come whole, as
/// bytes by DC.
#[derive(Default)]
pub struct Coming(Vec<(DcId, usize)>);

impl Coming {
    /// Whether one more may come: the first always, others as long as all take no
    /// more than `limit`, and those to one DC two thirds of it: a DC that stops
    /// reading gets all that are under way.
    pub fn may_come(&self, to: DcId, len: usize, limit: usize) -> bool {
        let all: usize = self.0.iter().map(|(_, bytes)| bytes).sum();
        let there = self.0.iter().find(|(dc, _)| *dc == to);
        let there = there.map_or(0, |(_, bytes)| *bytes);
        let fits = |taken, limit| taken == 0 || taken + len <= limit;
        fits(all, limit) && fits(there, limit / 3 * 2)
    }

    pub fn comes(&mut self, to: DcId, len: usize) {
        match self.0.iter_mut().find(|(dc, _)| *dc == to) {
            Some((_, bytes)) => *bytes += len,
            None => self.0.push((to, len)),
        }
    }

    /// It is here, or does not come any more.
    pub fn has_come(&mut self, to: DcId, len: usize) {
        self.0.retain_mut(|(dc, bytes)| {
            if *dc == to {
                *bytes = bytes.saturating_sub(len);
            }
            *bytes > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_under_way_are_bounded_in_all_and_to_each_dc() {
        let share = 3 << 17;
        let (here, there) = (DcId(2), DcId(4));
        let mut coming = Coming::default();
        // The first, whatever its length.
        assert!(coming.may_come(here, 1 << 20, share));
        coming.comes(here, 1 << 20);
        assert!(!coming.may_come(here, 4, share) && !coming.may_come(there, 4, share));
        coming.has_come(here, 1 << 20);
        coming.comes(here, share / 3);
        assert!(coming.may_come(here, share / 3, share));
        assert!(!coming.may_come(here, share / 3 + 1, share));
        // And more to other DCs.
        assert!(coming.may_come(there, share / 3 * 2, share));
        assert!(!coming.may_come(there, share / 3 * 2 + 1, share));
        coming.has_come(here, share / 3);
        assert!(coming.0.is_empty());
    }
}
