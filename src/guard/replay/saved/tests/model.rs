//! What a process remembers whose disk may refuse, whose clock may be set and which may
//! die at any time, beside a model of it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    New(usize),
    /// Who came so many before the last.
    Again(usize),
    Write,
    /// The disk refuses it.
    Fail,
    Pause(u64),
    /// Somebody sets this machine's clock; the next one is written.
    SetClock(i64),
    /// The process dies, and of the file the last bytes, as many of a thousand.
    Die {
        cut: usize,
        pause: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1usize..50).prop_map(Step::New),
        2 => (1usize..2500).prop_map(Step::New),
        2 => (0usize..3000).prop_map(Step::Again),
        6 => Just(Step::Write),
        1 => Just(Step::Fail),
        2 => (0u64..20_000).prop_map(Step::Pause),
        1 => (-100_000i64..100_000).prop_map(Step::SetClock),
        3 => (0usize..400, 0u64..20_000).prop_map(|(cut, pause)| Step::Die { cut, pause }),
    ];
    proptest::collection::vec(step, 1..25)
}

/// When who was last seen, of whom a file has word: in which file, up to which byte,
/// how many came before.
#[derive(Clone, Copy, Default)]
struct Seen {
    at: u64,
    file: usize,
    end: usize,
    order: usize,
}

#[derive(Default)]
struct Model {
    /// Seconds since the beginning, and since the process began.
    time: u64,
    run: u64,
    clock: i64,
    clock_set: Seen,
    latest: usize,
    came: usize,
    /// How many had come when each was let in.
    order: HashMap<usize, usize>,
    unwritten: HashMap<usize, (u64, usize)>,
    written: HashMap<usize, Seen>,
}

impl Model {
    fn unix(&self) -> u64 {
        (YEAR_2026 + self.time).wrapping_add_signed(self.clock)
    }

    fn come(&mut self, memory: &mut ReplayMemory, number: usize) {
        let is_new = memory.remember(&id(number), self.run);
        self.came += 1;
        let order = match self.order.get(&number) {
            Some(order) if !is_new => *order,
            _ => self.came,
        };
        self.order.insert(number, order);
        self.unwritten.insert(number, (self.time, order));
    }

    fn write(&mut self, memory: &mut ReplayMemory, disk: &mut Disk) {
        memory.write(disk, self.run, self.unix());
        let (file, end) = (disk.files, disk.length);
        if std::mem::take(&mut disk.is_anew) {
            // In which order a generation's came is not written.
            let unordered = memory.wanted.div_ceil(PART_OF_ALL).max(ENTRIES_PER_PAGE);
            for seen in self.written.values_mut() {
                (seen.file, seen.end) = (file, end);
                seen.order = seen.order.saturating_sub(unordered);
            }
            for (_, order) in self.unwritten.values_mut() {
                *order = order.saturating_sub(unordered);
            }
        }
        for (number, (at, order)) in self.unwritten.drain() {
            self.written.insert(
                number,
                Seen {
                    at,
                    file,
                    end,
                    order,
                },
            );
        }
    }

    fn check(&self, memory: &mut ReplayMemory) {
        for (number, seen) in &self.written {
            let (age, later) = (self.time - seen.at, self.came - seen.order);
            // The file may have the one before, of up to an hour ago; clocks of two
            // runs and two files are a few seconds apart.
            let is_young = age + 3700 < u64::from(AGE);
            if is_young && later < memory.wanted {
                assert!(
                    memory.knows(&id(*number), self.run),
                    "{number}: {age} s, {later} later"
                );
            }
        }
        let strangers = self.latest + 1..self.latest + 50;
        assert!(
            strangers
                .into_iter()
                .all(|number| !memory.knows(&id(number), self.run))
        );
    }
}

/// An eighth of a file that was begun anew is in no order: of what another run takes over,
/// the oldest go an eighth at a time.
#[test]
fn a_file_that_was_begun_anew_is_taken_over_but_for_an_eighth() {
    let entries = 4605;
    for _ in 0..20 {
        let (mut model, mut disk) = (Model::default(), Disk::default());
        let mut memory = kept(entries);
        for number in 1..=3662 {
            model.come(&mut memory, number);
        }
        memory.take_news(model.run, model.unix());
        memory.begin_anew();
        model.write(&mut memory, &mut disk);
        for number in 3663..=5181 {
            model.come(&mut memory, number);
        }
        model.latest = 5181;
        model.write(&mut memory, &mut disk);
        let mut next = disk.restored(entries, model.unix());
        model.check(&mut next);
        let known = (1..=5181).filter(|number| next.knows(&id(*number), 0));
        assert!(known.count() >= entries);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However often the process dies, and wherever the file is cut: what stands
    /// before the cut is known, the latest and young of it.
    #[test]
    fn what_was_written_is_never_forgotten(entries in 1usize..6000, steps in steps()) {
        let (mut model, mut disk) = (Model::default(), Disk::default());
        let mut memory = kept(entries);
        for step in steps {
            match step {
                Step::New(count) => for _ in 0..count {
                    model.latest += 1;
                    model.come(&mut memory, model.latest);
                },
                Step::Again(before) => {
                    let number = model.latest.saturating_sub(before);
                    model.come(&mut memory, number);
                }
                Step::Write => model.write(&mut memory, &mut disk),
                Step::Fail => {
                    memory.take_news(model.run, model.unix());
                    memory.begin_anew();
                }
                Step::Pause(seconds) => {
                    model.time += seconds;
                    model.run += seconds;
                }
                Step::SetClock(by) => {
                    model.clock += by;
                    model.latest += 1;
                    model.come(&mut memory, model.latest);
                    model.write(&mut memory, &mut disk);
                    model.clock_set = model.written[&model.latest];
                }
                Step::Die { cut, pause } => {
                    if let Some(latest) = &mut disk.latest {
                        let length = disk.length - disk.length * cut / 1000;
                        latest.truncate(length);
                        let file = disk.files;
                        let is_left = |seen: &Seen| seen.file < file || seen.end <= length;
                        // Without word of that it would seem that much time has passed.
                        let is_told = is_left(&model.clock_set);
                        model.written.retain(|_, seen| is_told && is_left(seen));
                    }
                    model.unwritten.clear();
                    model.time += pause;
                    model.run = 0;
                    memory = disk.restored(entries, model.unix());
                    model.check(&mut memory);
                }
            }
            prop_assert!(memory.store.len <= entries + entries.div_ceil(8));
        }
        model.write(&mut memory, &mut disk);
        let mut next = disk.restored(entries, model.unix());
        model.run = 0;
        model.check(&mut next);
    }
}
