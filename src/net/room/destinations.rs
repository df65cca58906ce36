//! Where packets go, and a number for each of these places.

/// Where packets go, a DC: those that it does not take wait here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination(pub i16);

/// Numbers by destination, 0 where nothing was said: a handful, as there are DCs.
#[derive(Clone, Debug, Default)]
pub struct Counts(Vec<(Destination, usize)>);

impl Counts {
    pub fn get(&self, to: Destination) -> usize {
        let known = self.0.iter().find(|(known, _)| *known == to);
        known.map_or(0, |(_, count)| *count)
    }

    pub fn set(&mut self, to: Destination, count: usize) {
        self.0.retain(|(known, _)| *known != to);
        if count > 0 {
            self.0.push((to, count));
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Destination, usize)> {
        self.0.iter().copied()
    }
}
