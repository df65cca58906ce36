//! Some of the remembered handshakes, in a hash table that never grows.

/// Places of one allocation: with the allocator's few bytes they fill a page of
/// memory, where 4096 bytes would take two in the router builds.
const PAGE: usize = 508;

/// Entries that a page of places has, at the most.
pub(super) const ENTRIES_PER_PAGE: usize = PAGE / 4 * 3;

/// Entries that came one after another, in a hash table of a size that is fixed
/// from the first: so nothing is ever moved to a larger one, and all of it is
/// dropped at once.
///
/// An entry stands at the place that its upper 32 bits name or in the next free
/// one behind. Three quarters of the places are filled at most.
pub(super) struct Generation {
    /// Made when the first of their places is filled: not every allocator's zeroed
    /// memory is free until it is touched.
    pages: Vec<Option<Box<[u64; PAGE]>>>,
    places: usize,
    capacity: usize,
    len: usize,
    /// When the last of its entries was seen, in seconds.
    pub(crate) last_seen: u64,
    /// All of it stands in the file, or is on its way there.
    pub(crate) is_kept: bool,
}

impl Generation {
    pub(crate) fn new(capacity: usize) -> Self {
        let places = (capacity * 4).div_ceil(3);
        let pages = places.div_ceil(PAGE);
        Self {
            pages: std::iter::repeat_with(|| None).take(pages).collect(),
            places,
            capacity,
            len: 0,
            last_seen: 0,
            is_kept: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Has it no room, or as many entries as one may have?
    pub(crate) fn is_full(&self, most: usize) -> bool {
        self.len >= self.capacity.min(most)
    }

    /// The entry that has the bits of `mask` in common with `entry`.
    pub(crate) fn find(&mut self, entry: u64, mask: u64) -> Option<&mut u64> {
        let place = self.probe(entry, |known| known & mask == entry & mask)?;
        let page = self.pages.get_mut(place / PAGE)?.as_mut()?;
        page.get_mut(place % PAGE).filter(|known| **known != 0)
    }

    /// Adds `entry`, which is not 0, where it is not [full](Self::is_full).
    pub(crate) fn add(&mut self, entry: u64, seen: u64) {
        let place = self.probe(entry, |_| false);
        if let Some(place) = place.and_then(|place| self.place_mut(place)) {
            *place = entry;
            self.len += 1;
            self.last_seen = self.last_seen.max(seen);
        }
    }

    /// All entries, in no particular order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = u64> {
        let places = self.pages.iter().flatten().flat_map(|page| page.iter());
        places.copied().filter(|entry| *entry != 0)
    }

    /// The first place, from that of `entry` on, that is free or whose entry is
    /// wanted.
    fn probe(&self, entry: u64, is_wanted: impl Fn(u64) -> bool) -> Option<usize> {
        let first = (((entry >> 32) * self.places as u64) >> 32) as usize;
        let mut places = (first..self.places).chain(0..first);
        places.find(|place| {
            let page = self.pages.get(place / PAGE).and_then(Option::as_ref);
            let known = page.and_then(|page| page.get(place % PAGE));
            known.is_none_or(|known| *known == 0 || is_wanted(*known))
        })
    }

    fn place_mut(&mut self, place: usize) -> Option<&mut u64> {
        let page = self.pages.get_mut(place / PAGE)?;
        let page = page.get_or_insert_with(|| Box::new([0; PAGE]));
        page.get_mut(place % PAGE)
    }

    /// Bytes of memory that are taken.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let taken = self.pages.iter().flatten().count();
        taken * size_of::<[u64; PAGE]>() + self.pages.capacity() * size_of::<usize>()
    }
}
