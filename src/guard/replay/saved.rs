//! The memory from one run to the next, in two files: the one that grows, and the
//! one before it.

use super::generation::{ENTRIES_PER_PAGE, Generation};
use super::journal::{
    AGAIN, Batch, Clock, Item, Items, MAX_PENDING, WORD, WriteAs, Written, as_again, head, mark,
};
use super::{PART_OF_ALL, ReplayMemory, TIME_MASK, UNIT, unit};

const MAGIC: &[u8; WORD] = b"replays3";

/// The clock is noted at least once in so many seconds.
const MARK_PERIOD: u64 = 3600;

/// It is also noted when this machine's clock has been set by more seconds than that.
const CLOCK_SET: u64 = 60;

/// A file up to this length, in bytes, is read even if there is room for less.
const USUAL_LENGTH: u64 = 80 << 20;

/// What an earlier run has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// What comes next goes behind so many bytes of the latest file; `None`: one is
    /// begun.
    pub(crate) length: Option<usize>,
    /// The file before and the latest: is it of no use?
    pub(crate) is_damaged: [bool; 2],
}

impl ReplayMemory {
    /// See [`Store::keep`](super::store::Store::keep), and so on.
    pub(crate) fn keep(&mut self, wanted: bool) {
        self.store.keep(wanted);
    }

    pub(crate) fn begin_anew(&mut self) {
        self.store.begin_anew();
    }

    pub(crate) fn has_news(&self) -> bool {
        self.store.has_news()
    }

    /// What is to be written next, at `now`, which is `unix_now` in seconds since
    /// 1970.
    pub(crate) fn take_news(&mut self, now: u64, unix_now: u64) -> Option<Batch> {
        if !self.has_news() {
            return None;
        }
        let second = self.second(now);
        let journal = self.store.journal.as_mut()?;
        let (mut words, before) = (journal.take(), journal.written);
        let is_old = |since: u64| second.saturating_sub(since) > u64::from(self.max_age);
        let place = match before {
            None => WriteAs::Anew,
            Some(file) if is_old(file.since) => WriteAs::Next,
            Some(file) if file.entries >= max_entries(self.wanted) => {
                // The one before it goes. Where many only came again, this one has too
                // few others.
                if file.entries - file.again < self.wanted {
                    self.store.set_kept(false);
                }
                WriteAs::Next
            }
            Some(_) => WriteAs::Behind,
        };
        let again = words.iter().filter(|word| **word == AGAIN).count();
        if words.is_empty() {
            let generation = self.store.take_unkept()?;
            let max_units = u64::from(self.max_age).div_ceil(UNIT);
            let is_young = |entry: &u64| unit(second).wrapping_sub(*entry) & TIME_MASK <= max_units;
            let entries = generation.entries().filter(is_young);
            match before {
                None => words.extend(entries),
                // The disk did not follow: a file may have some of them.
                Some(_) => words.extend(entries.flat_map(as_again)),
            }
        }
        let clock = Clock {
            second,
            unix: unix_now,
        };
        let (mut written, mut bytes, is_new) = match (before, place) {
            (Some(written), WriteAs::Behind) => (written, Vec::new(), false),
            _ => (Written::since(clock), head(MAGIC, &self.key), true),
        };
        if is_new || needs_mark(written.marked, clock) {
            written.marked = clock;
            bytes.extend(mark(&self.key, clock));
        }
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        written.entries += words.iter().filter(|word| **word > TIME_MASK).count();
        written.again += again;
        if let Some(journal) = &mut self.store.journal {
            journal.written = Some(written);
        }
        Some(Batch { place, bytes })
    }

    /// The longest that a file can be, in bytes.
    pub(crate) fn longest(&self) -> u64 {
        let own = (self.wanted as u64 * 5 / 2 + 4 * MAX_PENDING as u64) * WORD as u64;
        own.max(USUAL_LENGTH)
    }

    /// Takes over what an earlier run has left, at its beginning: of the file that it
    /// appended to, if there is one, and of the one before. The latest where they have
    /// more than there is room for.
    pub(crate) fn restore(
        &mut self,
        before: Option<&[u8]>,
        latest: Option<&[u8]>,
        now: u64,
        unix_now: u64,
    ) -> Left {
        let [before, latest] = [before, latest].map(|file| Some(Items::read(MAGIC, file?)));
        let is_damaged = [&before, &latest].map(|file| matches!(file, Some(None)));
        let (before, latest) = (before.flatten(), latest.flatten());
        if let Some(key) = latest.as_ref().or(before.as_ref()).map(|items| items.key) {
            self.key = key;
            let before = before.filter(|before| before.key == key);
            self.take_over(before, latest.clone(), now, unix_now);
        }
        let length = latest.and_then(|latest| self.go_on(latest));
        if length.is_none() {
            self.begin_anew();
        }
        Left { length, is_damaged }
    }

    fn take_over(&mut self, before: Option<Items>, latest: Option<Items>, now: u64, unix_now: u64) {
        let items = || {
            let files = [before.clone(), latest.clone()];
            files.into_iter().flatten().flatten()
        };
        let mut times = Times::default();
        let last = items().map(|item| times.next(item)).max().unwrap_or(0);
        let since_mark = last.saturating_sub(times.clock.second);
        // A clock that went back tells nothing: then no time has passed.
        let pause = unix_now.saturating_sub(times.clock.unix.saturating_add(since_mark));
        let second = last.saturating_add(pause);
        self.ahead = second.wrapping_sub(now);
        // Few large ones: each that came again is looked for in all.
        let most = self.wanted.div_ceil(PART_OF_ALL).max(ENTRIES_PER_PAGE);
        let capacity = (items().count() / PART_OF_ALL).clamp(ENTRIES_PER_PAGE, most);
        self.store.generations = [Generation::new(capacity)].into();
        self.store.len = 0;
        let journal = self.store.journal.take();
        let mut times = Times::default();
        for item in items() {
            let seen = times.next(item);
            let age = second.saturating_sub(seen);
            if age > u64::from(self.max_age) + UNIT {
                continue;
            }
            match item {
                Item::Entry(entry) => self.add(entry, seen),
                Item::Again(entry) => self.renew(entry, seen),
                Item::Mark(_) => {}
            }
        }
        self.store
            .generations
            .retain(|generation| generation.len() > 0);
        self.store.journal = journal;
    }

    /// Seen again at another time.
    fn renew(&mut self, entry: u64, seen: u64) {
        for generation in self.store.generations.iter_mut().rev() {
            if let Some(known) = generation.find(entry, !TIME_MASK) {
                *known = entry;
                generation.last_seen = generation.last_seen.max(seen);
                return;
            }
        }
        self.add(entry, seen);
    }

    /// The bytes of the latest file behind which the next ones go.
    fn go_on(&mut self, mut latest: Items) -> Option<usize> {
        let journal = self.store.journal.as_mut()?;
        let mut written: Option<Written> = None;
        for item in latest.by_ref() {
            match (&mut written, item) {
                (None, Item::Mark(clock)) => written = Some(Written::since(clock)),
                (None, _) => return None,
                (Some(written), Item::Mark(clock)) => written.marked = clock,
                (Some(written), item) => {
                    written.entries += 1;
                    written.again += usize::from(matches!(item, Item::Again(_)));
                }
            }
        }
        journal.written = Some(written?);
        self.store.set_kept(true);
        Some(latest.sound())
    }
}

/// Entries of a file that is full: a few of them may have come again.
fn max_entries(wanted: usize) -> usize {
    (wanted + wanted / PART_OF_ALL).max(MAX_PENDING)
}

fn needs_mark(marked: Clock, clock: Clock) -> bool {
    let ahead = |clock: Clock| clock.unix.wrapping_sub(clock.second) as i64;
    let set_by = ahead(clock).wrapping_sub(ahead(marked)).unsigned_abs();
    clock.second.saturating_sub(marked.second) >= MARK_PERIOD || set_by > CLOCK_SET
}

/// When items were seen, on the memory's clock.
#[derive(Default)]
struct Times {
    clock: Clock,
}

impl Times {
    fn next(&mut self, item: Item) -> u64 {
        let marked = self.clock.second;
        match item {
            Item::Mark(clock) => {
                self.clock = clock;
                clock.second
            }
            // Up to a day before the mark, or not much more than a period behind it.
            Item::Entry(entry) | Item::Again(entry) => {
                let later = (entry.wrapping_sub(unit(marked)) & TIME_MASK) * UNIT;
                let start = marked / UNIT * UNIT;
                match later <= 2 * MARK_PERIOD {
                    true => start.saturating_add(later),
                    false => start.saturating_sub((TIME_MASK + 1) * UNIT - later),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
