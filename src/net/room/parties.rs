//! Whose packets there are, and where they go.

/// Whose packet it is: those who wait take turns, and each gets the same, however
/// many packets it has. On a front clients by where they are, on a back fronts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct User(pub(crate) u64);

/// Those of a user who take turns as one: the senders that have finished a packet before,
/// or the others. So who is known to be good does not wait behind who is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Party {
    pub(crate) user: User,
    pub(crate) has_finished: bool,
}

/// Where packets go, a DC: those that it does not take wait here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destination(pub(crate) i16);

/// A number for each destination, 0 where none was set: a handful, as there are DCs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Vec<(Destination, usize)>);

impl Counts {
    pub(crate) fn get(&self, to: Destination) -> usize {
        let known = self.0.iter().find(|(known, _)| *known == to);
        known.map_or(0, |(_, count)| *count)
    }

    pub(crate) fn set(&mut self, to: Destination, count: usize) {
        self.0.retain(|(known, _)| *known != to);
        if count > 0 {
            self.0.push((to, count));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Destination, usize)> {
        self.0.iter().copied()
    }
}
