use super::StreamId;

/// Closed ids that are remembered at the least; twice as many at the most.
pub(super) const REMEMBERED: usize = 4096;

/// The most ids that one run stands for.
const MAX_RUN: u32 = 256;

/// The ids of streams that were closed lately. Apps number their streams one after the
/// other, so neighbours stand together: four bytes for up to 256 of them, 16 KiB for the
/// worst that an app can do, twice.
#[derive(Default)]
pub(super) struct Closed {
    young: Generation,
    /// What was young before; always [`REMEMBERED`] ids, or none.
    old: Generation,
}

#[derive(Default)]
struct Generation {
    /// In ascending order, apart from each other.
    runs: Vec<Run>,
    ids: u16,
}

/// Ids one after the other: the first one, shifted by 8, and how many follow it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run(u32);

impl Run {
    fn new(first: u32, count: u32) -> Self {
        Self(first << 8 | (count - 1))
    }

    fn first(self) -> u32 {
        self.0 >> 8
    }

    fn count(self) -> u32 {
        (self.0 & 0xff) + 1
    }

    /// The id behind its last.
    fn end(self) -> u32 {
        self.first() + self.count()
    }
}

impl Closed {
    pub(super) fn contains(&self, stream: StreamId) -> bool {
        self.young.contains(stream.get()) || self.old.contains(stream.get())
    }

    /// Remembers an id that is not remembered yet.
    pub(super) fn add(&mut self, stream: StreamId) {
        self.young.add(stream.get());
        if usize::from(self.young.ids) == REMEMBERED {
            self.old = std::mem::take(&mut self.young);
            self.old.runs.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        let room = self.young.runs.capacity() + self.old.runs.capacity();
        room * size_of::<Run>()
    }
}

impl Generation {
    /// How many runs begin at `id` or before it.
    fn begun(&self, id: u32) -> usize {
        self.runs.partition_point(|run| run.first() <= id)
    }

    fn contains(&self, id: u32) -> bool {
        let before = self.begun(id).checked_sub(1);
        before
            .and_then(|at| self.runs.get(at))
            .is_some_and(|run| id < run.end())
    }

    fn add(&mut self, id: u32) {
        self.ids += 1;
        let at = self.begun(id);
        let next = self
            .runs
            .get(at)
            .copied()
            .filter(|run| run.first() == id + 1);
        let before = at.checked_sub(1).and_then(|at| self.runs.get_mut(at));
        let before = before.filter(|run| run.end() == id && run.count() < MAX_RUN);
        match (before, next) {
            (Some(before), Some(next)) if before.count() + next.count() < MAX_RUN => {
                *before = Run::new(before.first(), before.count() + 1 + next.count());
                self.runs.remove(at);
            }
            (Some(before), _) => *before = Run::new(before.first(), before.count() + 1),
            (None, Some(next)) if next.count() < MAX_RUN => {
                if let Some(run) = self.runs.get_mut(at) {
                    *run = Run::new(id, next.count() + 1);
                }
            }
            _ => self.runs.insert(at, Run::new(id, 1)),
        }
    }
}
