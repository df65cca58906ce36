use std::collections::HashMap;

use proptest::prelude::*;

use super::generation::ENTRIES_PER_PAGE;
use super::*;

impl ReplayMemory {
    fn bytes(&self) -> usize {
        self.store.generations.iter().map(Generation::bytes).sum()
    }
}

fn id(number: u32) -> [u8; 48] {
    let mut id = [7; 48];
    id[..4].copy_from_slice(&number.to_le_bytes());
    id
}

#[test]
fn it_forgets_none_of_the_latest() {
    const ENTRIES: u32 = 8_000;
    let mut memory = ReplayMemory::new(ENTRIES as usize, 1000);
    for number in 0..3 * ENTRIES {
        assert!(memory.remember(&id(number), 5), "{number} has never come");
        let oldest = (number + 1).saturating_sub(ENTRIES);
        assert!(!memory.remember(&id(oldest), 5), "{oldest} at {number}");
        let largest = ENTRIES.div_ceil(PART_OF_ALL as u32);
        assert!(memory.store.len <= (ENTRIES + largest) as usize);
    }
}

#[test]
fn it_takes_memory_in_steps_as_it_fills_and_gives_it_back() {
    const ENTRIES: usize = 1 << 15;
    let page = size_of::<[u64; 508]>();
    let mut memory = ReplayMemory::new(ENTRIES, 1000);
    assert_eq!(memory.bytes(), 0);
    for number in 0..2 * ENTRIES {
        let before = memory.bytes();
        memory.remember(&id(number as u32), 5);
        let after = memory.bytes();
        // A page, and now and then a list of pages.
        let list = ENTRIES / PART_OF_ALL / ENTRIES_PER_PAGE * 16;
        assert!(after <= before + page + list, "{before} and then {after}");
        if number % 1000 == 0 {
            let enough = 17 * (number + 1) + 2 * page;
            assert!(after <= enough.min(14 * ENTRIES), "{after} for {number}");
        }
    }
    // Nobody comes for long: with each who does then goes a generation, but for
    // the one that he is in.
    for number in 0..30 {
        memory.remember(&id(number), 5000);
    }
    assert_eq!(memory.store.generations.len(), 1);
    let largest = 13 * ENTRIES / PART_OF_ALL + page;
    assert!(memory.bytes() <= largest, "{}", memory.bytes());
}

#[test]
fn another_number_keeps_what_fits() {
    let mut memory = ReplayMemory::new(10_000, 1000);
    assert!((0..10_000).all(|number| memory.remember(&id(number), 5)));
    memory.resize(20_000);
    assert!((0..10_000).all(|number| !memory.remember(&id(number), 5)));
    assert!((10_000..20_000).all(|number| memory.remember(&id(number), 5)));
    assert!((0..20_000).all(|number| !memory.remember(&id(number), 5)));
    memory.resize(1000);
    assert!((19_000..20_000).all(|number| !memory.remember(&id(number), 5)));
    for number in 20_000..22_000 {
        assert!(memory.remember(&id(number), 5));
        assert!(!memory.remember(&id(number - 999), 5), "{number}");
    }
    assert!(memory.store.len <= 1125, "{}", memory.store.len);
}

#[test]
fn who_comes_again_and_again_pushes_nobody_out() {
    let mut memory = ReplayMemory::new(100, 1000);
    assert!((0..100).all(|number| memory.remember(&id(number), 5)));
    for _ in 0..10_000 {
        assert!(!memory.remember(&id(3), 6));
    }
    assert!((0..100).all(|number| !memory.remember(&id(number), 7)));
}

#[derive(Clone, Debug)]
enum Step {
    /// So many who were never here.
    New(u32),
    /// Who came so many before the last.
    Again(u32),
    Pause(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1u32..400).prop_map(Step::New),
        (0u32..3000).prop_map(Step::Again),
        (0u64..40).prop_map(Step::Pause),
    ];
    proptest::collection::vec(step, 1..100)
}

/// When each was last seen, and which of those that were let in it was.
#[derive(Default)]
struct Model {
    seen: HashMap<u32, (u64, usize)>,
    admitted: usize,
}

impl Model {
    fn check(&mut self, memory: &mut ReplayMemory, number: u32, now: u64) {
        let is_new = memory.remember(&id(number), now);
        let known = self.seen.get(&number).copied();
        match known {
            None => assert!(is_new, "{number} was never here"),
            Some((seen, order)) => {
                let (age, later) = (now - seen, self.admitted - order);
                let max_age = u64::from(memory.max_age);
                assert!(
                    !is_new || age > max_age || later >= memory.wanted,
                    "{number} was here {age} s ago, {later} before the last"
                );
                assert!(is_new || age < max_age + 8, "{number} was here {age} s ago");
            }
        }
        let order = match (is_new, known) {
            (false, Some((_, order))) => order,
            _ => {
                self.admitted += 1;
                self.admitted
            }
        };
        self.seen.insert(number, (now, order));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The latest are refused, as many as there is room for, until they are too
    /// old; nobody else is.
    #[test]
    fn it_does_as_the_model_does(entries in 1usize..3000, max_age in 1u32..200, steps in steps()) {
        let mut memory = ReplayMemory::new(entries, max_age);
        let mut model = Model::default();
        let (mut latest, mut now) = (0, 1_000_000);
        for step in steps {
            match step {
                Step::New(count) => for _ in 0..count {
                    latest += 1;
                    model.check(&mut memory, latest, now);
                },
                Step::Again(before) => {
                    model.check(&mut memory, latest.saturating_sub(before), now);
                }
                Step::Pause(seconds) => now += seconds,
            }
            let surplus = entries.div_ceil(PART_OF_ALL);
            prop_assert!(memory.store.len <= entries + surplus);
            prop_assert_eq!(memory.store.len, memory.store.generations.iter().map(Generation::len).sum::<usize>());
            prop_assert!(memory.bytes() <= 17 * memory.store.len + 12 * 4096);
        }
    }

    /// Whatever the hashes, a generation finds all that it has and nothing else.
    #[test]
    fn a_generation_finds_its_entries(
        capacity in 1usize..1000,
        hashes in proptest::collection::hash_set(1u64..1 << 48, 1..1000),
        crowded in any::<bool>(),
    ) {
        // All at the last places, or anywhere.
        let entry = |hash: u64| if crowded { hash | 0xffff_ffff << 32 } else { hash << 16 };
        let mut generation = Generation::new(capacity);
        let entries: std::collections::HashSet<_> = hashes.into_iter().map(entry).collect();
        let entries: Vec<_> = entries.into_iter().collect();
        let fitting = entries.len().min(capacity);
        for entry in &entries[..fitting] {
            prop_assert!(!generation.is_full(usize::MAX));
            prop_assert!(generation.find(*entry, !0).is_none());
            generation.add(*entry, 5);
        }
        for (number, entry) in entries.iter().enumerate() {
            prop_assert_eq!(generation.find(*entry, !0).is_some(), number < fitting);
        }
        prop_assert_eq!(generation.entries().count(), fitting);
    }

    #[test]
    fn time_may_wrap(number in any::<u32>(), late in 0u64..1 << 40) {
        let mut memory = ReplayMemory::new(100, 50);
        memory.remember(&[0; 32], 3);
        prop_assert!(memory.remember(&id(number), 3 + late));
        prop_assert!(!memory.remember(&id(number), 3 + late + 49));
        prop_assert!(memory.remember(&id(number), 3 + late + 49 + 60));
    }
}
