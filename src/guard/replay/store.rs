use std::collections::VecDeque;

use super::generation::{ENTRIES_PER_PAGE, Generation};
use super::journal::Journal;

/// A generation has room for this part of the entries that there are when it is begun.
const PART_SO_FAR: usize = 2;

/// Entries, and what of them a file does not have yet.
#[derive(Default)]
pub(super) struct Store {
    /// Oldest first.
    pub(crate) generations: VecDeque<Generation>,
    /// Entries in all of them.
    pub(crate) len: usize,
    /// Where they are kept from one run to the next.
    pub(crate) journal: Option<Journal>,
}

impl Store {
    /// Adds `entry`, which is not 0 and not there, to a generation that has room for at
    /// most `most` in all.
    pub(crate) fn add(&mut self, entry: u64, seen: u64, most: usize) {
        let mut latest = self.generations.back_mut();
        if latest.as_ref().is_none_or(|latest| latest.is_full(most)) {
            let capacity = (self.len / PART_SO_FAR).max(ENTRIES_PER_PAGE).min(most);
            let mut next = Generation::new(capacity);
            // Not before those that came earlier.
            next.is_kept = self.journal.is_some() && latest.is_none_or(|latest| latest.is_kept);
            self.generations.push_back(next);
            latest = self.generations.back_mut();
        }
        if let Some(latest) = latest {
            latest.add(entry, seen);
            self.len += 1;
            if let Some(journal) = &mut self.journal
                && latest.is_kept
            {
                latest.is_kept = journal.add(entry);
            }
        }
    }

    /// Is what is remembered to be kept? What is remembered already is kept too.
    pub(crate) fn keep(&mut self, wanted: bool) {
        match (wanted, &self.journal) {
            (true, None) => self.journal = Some(Journal::default()),
            (false, Some(_)) => self.journal = None,
            _ => return,
        }
        self.begin_anew();
    }

    /// Lets the next batch begin a file: what was written is gone, or could not be.
    pub(crate) fn begin_anew(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.begin_anew();
        }
        self.set_kept(false);
    }

    /// Does a file have what is in all generations?
    pub(crate) fn set_kept(&mut self, is_kept: bool) {
        for generation in &mut self.generations {
            generation.is_kept = is_kept;
        }
    }

    /// Is there something to be written?
    pub(crate) fn has_news(&self) -> bool {
        let is_kept = |generation: &Generation| generation.is_kept;
        let journal = self.journal.as_ref();
        journal.is_some_and(|j| !j.is_empty() || !self.generations.iter().all(is_kept))
    }

    /// One that no file has as a whole; it is on its way there then.
    pub(crate) fn take_unkept(&mut self) -> Option<&Generation> {
        let unkept = |generation: &&mut Generation| !generation.is_kept;
        let generation = self.generations.iter_mut().find(unkept)?;
        generation.is_kept = true;
        Some(generation)
    }
}
