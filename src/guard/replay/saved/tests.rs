mod model;

use proptest::prelude::*;

use super::*;

const AGE: u32 = 24 * 3600;
const YEAR_2026: u64 = 1_780_000_000;

/// What the writer makes of batches.
#[derive(Clone, Default)]
struct Disk {
    before: Option<Vec<u8>>,
    latest: Option<Vec<u8>>,
    /// Of the latest, what is of use.
    length: usize,
    /// Files that were begun.
    files: usize,
    /// All stands in the latest.
    is_anew: bool,
}

impl Disk {
    fn write(&mut self, batch: &Batch) {
        match batch.place {
            WriteAs::Behind => {
                let latest = self.latest.as_mut().unwrap();
                latest.truncate(self.length);
                latest.extend(&batch.bytes);
            }
            WriteAs::Anew => self.latest = Some(batch.bytes.clone()),
            WriteAs::Next => self.before = self.latest.replace(batch.bytes.clone()),
        }
        self.is_anew |= batch.place == WriteAs::Anew;
        self.files += usize::from(batch.place != WriteAs::Behind);
        self.length = self.latest.as_ref().unwrap().len();
    }

    fn bytes(&self) -> usize {
        let files = [&self.before, &self.latest];
        files.into_iter().flatten().map(Vec::len).sum()
    }

    /// Another run, which begins at 0 of its clock.
    fn restored(&mut self, entries: usize, unix_now: u64) -> ReplayMemory {
        let mut memory = ReplayMemory::new(entries, AGE);
        memory.keep(true);
        let (before, latest) = (self.before.as_deref(), self.latest.as_deref());
        let left = memory.restore(before, latest, 0, unix_now);
        self.length = left.length.unwrap_or(0);
        memory
    }
}

impl ReplayMemory {
    fn knows(&mut self, id: &[u8], now: u64) -> bool {
        let second = self.second(now);
        let entry = self.fingerprint(id) | unit(second);
        let mut generations = self.store.generations.iter_mut().rev();
        let known = generations.find_map(|generation| generation.find(entry, !TIME_MASK).copied());
        let age = known.map(|known| entry.wrapping_sub(known) & TIME_MASK);
        age.is_some_and(|age| age <= u64::from(self.max_age).div_ceil(UNIT))
    }

    fn write(&mut self, disk: &mut Disk, now: u64, unix_now: u64) {
        while let Some(batch) = self.take_news(now, unix_now) {
            disk.write(&batch);
        }
        assert!(!self.has_news());
    }
}

fn kept(entries: usize) -> ReplayMemory {
    let mut memory = ReplayMemory::new(entries, AGE);
    memory.keep(true);
    memory
}

fn id(number: usize) -> [u8; 32] {
    let mut id = [7; 32];
    id[..8].copy_from_slice(&number.to_le_bytes()[..8]);
    id
}

#[test]
fn what_was_remembered_still_is_and_ages_without_a_process() {
    let (mut memory, mut disk) = (kept(4096), Disk::default());
    assert!((0..200).all(|number| memory.remember(&id(number), 7)));
    memory.write(&mut disk, 20, YEAR_2026);
    let day = u64::from(AGE);
    // 13 s of its life are over.
    for (pause, now, known) in [
        (60, 0, 200),
        (60, day - 80, 200),
        (60, day, 0),
        (day + 1, 0, 0),
        (70 * day, 0, 0),
    ] {
        let mut next = disk.clone().restored(4096, YEAR_2026 + pause);
        let found = (0..200).filter(|number| next.knows(&id(*number), now));
        assert_eq!(found.count(), known, "{pause} {now}");
    }
    // A clock that is not set says nothing.
    let mut next = disk.restored(4096, 5);
    assert!((0..200).all(|number| !next.remember(&id(number), 1)));
}

#[test]
fn it_goes_on_from_run_to_run() {
    let mut disk = Disk::default();
    let mut unix = YEAR_2026;
    for run in 0..20 {
        let mut memory = disk.restored(4096, unix);
        for number in 0..=run {
            let is_new = memory.remember(&id(number), 30);
            assert_eq!(is_new, number == run, "{number} in {run}");
        }
        memory.write(&mut disk, 40, unix + 40);
        unix += 1000;
    }
    assert_eq!(disk.files, 1);
    // One a run; who comes again within the hour is not written again.
    assert!(
        disk.bytes() < 40 + 20 * (8 + 24) + 6 * 20 * 16,
        "{}",
        disk.bytes()
    );
}

#[test]
fn another_number_takes_over_the_latest() {
    let (mut memory, mut disk) = (kept(20_000), Disk::default());
    for number in 0..20_000 {
        memory.remember(&id(number), 7);
        if number % 1000 == 0 {
            memory.write(&mut disk, 7, YEAR_2026);
        }
    }
    memory.write(&mut disk, 8, YEAR_2026);
    for entries in [1, 1000, 4000, 20_000, 100_000] {
        let mut next = disk.clone().restored(entries, YEAR_2026 + 9);
        assert!(next.store.len <= entries + entries.div_ceil(8));
        let latest = 20_000 - entries.min(20_000)..20_000;
        assert!(
            latest.clone().all(|number| next.knows(&id(number), 1)),
            "{entries}"
        );
    }
    let next = disk.restored(100_000, YEAR_2026 + 9);
    assert!(next.store.generations.len() <= 8, "all are looked through");
}

#[test]
fn the_disk_has_the_latest_and_a_little_more_than_twice_as_many() {
    const ENTRIES: usize = 5000;
    let (mut memory, mut disk) = (kept(ENTRIES), Disk::default());
    for number in 0..10 * ENTRIES {
        memory.remember(&id(number), 7);
        if number % 100 == 0 {
            memory.write(&mut disk, 7, YEAR_2026);
            assert!(disk.bytes() <= 9 * (ENTRIES + 100) / 4 * 8 + 1000);
            assert!(disk.length as u64 <= memory.longest());
        }
    }
    memory.write(&mut disk, 8, YEAR_2026);
    assert!(disk.files >= 8);
    let mut next = disk.restored(ENTRIES, YEAR_2026);
    assert!((9 * ENTRIES..10 * ENTRIES).all(|number| next.knows(&id(number), 0)));
}

#[test]
fn a_file_is_dropped_when_all_in_it_is_a_day_old() {
    let (mut memory, mut disk) = (kept(100_000), Disk::default());
    for hour in 0..24 * 30 {
        let now = hour as u64 * 3600;
        memory.remember(&id(hour), now);
        memory.write(&mut disk, now, YEAR_2026 + now);
        assert!(disk.bytes() < 2 * 27 * (8 + 24) + 80);
        let mut next = disk.clone().restored(100_000, YEAR_2026 + now + 600);
        assert!(
            (hour.saturating_sub(23)..=hour).all(|hour| next.knows(&id(hour), 0)),
            "{hour}"
        );
    }
}

/// Else one recording, sent again and again, would push all others out of the file.
#[test]
fn who_comes_again_and_again_is_written_once_an_hour() {
    let (mut memory, mut disk) = (kept(4096), Disk::default());
    let mut now = 0;
    for _ in 0..24 * 600 {
        memory.remember(&id(1), now);
        memory.write(&mut disk, now, YEAR_2026 + now);
        now += 6;
    }
    assert!(disk.bytes() < 25 * (16 + 24) + 100, "{}", disk.bytes());
    // It was there within the last hour.
    let mut next = disk.restored(4096, YEAR_2026 + now);
    assert!(!next.remember(&id(1), u64::from(AGE) - 3700));
}

/// Else recordings of half of them, sent every hour, would push the others out of the
/// files.
#[test]
fn those_who_come_again_push_no_others_out() {
    const ENTRIES: usize = 5000;
    let (mut memory, mut disk) = (kept(ENTRIES), Disk::default());
    for number in 0..ENTRIES {
        memory.remember(&id(number), 0);
        if number % 100 == 0 {
            memory.write(&mut disk, 0, YEAR_2026);
        }
    }
    for hour in 1..8 {
        let now = hour * 3600;
        for number in 0..ENTRIES / 2 {
            assert!(!memory.remember(&id(number), now));
            if number % 100 == 0 {
                memory.write(&mut disk, now, YEAR_2026 + now);
                assert!(disk.length as u64 <= memory.longest());
            }
        }
        memory.write(&mut disk, now, YEAR_2026 + now);
        let mut next = disk.clone().restored(ENTRIES, YEAR_2026 + now);
        let known = (0..ENTRIES).filter(|number| next.knows(&id(*number), 0));
        assert_eq!(known.count(), ENTRIES, "in hour {hour}");
    }
    assert!(disk.files < 20, "{}", disk.files);
}

#[test]
fn what_was_there_before_it_was_kept_is_written_too() {
    let mut memory = ReplayMemory::new(10_000, AGE);
    assert!((0..9000).all(|number| memory.remember(&id(number), 5)));
    assert!(!memory.has_news() && memory.take_news(6, YEAR_2026).is_none());
    memory.keep(true);
    let mut disk = Disk::default();
    let first = memory.take_news(80_000, YEAR_2026).unwrap();
    assert!(first.bytes.len() < 9000 * 8, "not all at once");
    disk.write(&first);
    assert!(memory.remember(&id(9000), 80_000));
    memory.write(&mut disk, 80_000, YEAR_2026);
    let mut next = disk.clone().restored(10_000, YEAR_2026);
    assert!((0..=9000).all(|number| next.knows(&id(number), 5)));
    assert!(!next.knows(&id(0), 7000) && next.knows(&id(9000), 7000));
    // Not kept for a while, it is written whole again.
    memory.keep(false);
    assert!(memory.remember(&id(9001), 80_001) && !memory.has_news());
    memory.keep(true);
    memory.write(&mut disk, 80_001, YEAR_2026);
    let mut next = disk.restored(10_000, YEAR_2026);
    assert!((0..=9001).all(|number| next.knows(&id(number), 5)));
}

#[test]
fn a_disk_that_does_not_follow_costs_neither_memory_nor_an_entry() {
    let (mut memory, mut disk) = (kept(100_000), Disk::default());
    memory.remember(&id(0), 5);
    memory.write(&mut disk, 5, YEAR_2026);
    for number in 1..50_000 {
        memory.remember(&id(number), 6);
    }
    let lost = memory.take_news(7, YEAR_2026).unwrap();
    assert!(lost.bytes.len() <= (MAX_PENDING + 10) * WORD);
    memory.begin_anew();
    memory.write(&mut disk, 7, YEAR_2026);
    let mut next = disk.restored(100_000, YEAR_2026);
    assert!((0..50_000).all(|number| next.knows(&id(number), 0)));
}

#[test]
fn what_is_no_file_of_ours_is_told() {
    let (mut memory, mut disk) = (kept(4096), Disk::default());
    memory.remember(&id(1), 5);
    memory.write(&mut disk, 5, YEAR_2026);
    let whole = disk.latest.clone().unwrap();
    let restore = |before: Option<&[u8]>, latest: Option<&[u8]>| {
        let mut memory = kept(4096);
        let left = memory.restore(before, latest, 0, YEAR_2026);
        (left.length, left.is_damaged, memory.knows(&id(1), 0))
    };
    let file = Some(whole.as_slice());
    let zeros = Some(&[0; 64][..]);
    let length = Some(whole.len());
    assert_eq!(restore(None, None), (None, [false, false], false));
    assert_eq!(restore(None, file), (length, [false, false], true));
    assert_eq!(restore(zeros, file), (length, [true, false], true));
    assert_eq!(restore(file, zeros), (None, [false, true], true));
    // Between the two steps of a new file.
    assert_eq!(restore(file, None), (None, [false, false], true));
    // One whose hashes have another key says nothing.
    let mut other = whole.clone();
    other[20] ^= 1;
    let other = Some(other.as_slice());
    assert_eq!(restore(file, other), (None, [false, false], false));
    // What a power cut leaves behind the last write.
    for noise in [&[0; 800][..], &[1; 5], &[0, 0, 0, 0, 0, 0, 0, 1]] {
        let torn = [&whole, noise].concat();
        let (length, is_damaged, knows) = restore(None, Some(&torn));
        assert!(length >= Some(whole.len()) && knows && is_damaged == [false; 2]);
    }
}

#[test]
fn a_clock_that_is_set_while_it_runs_makes_nobody_older() {
    let (mut memory, mut disk) = (kept(4096), Disk::default());
    memory.remember(&id(1), 5);
    memory.write(&mut disk, 5, 60);
    memory.remember(&id(2), 10);
    memory.write(&mut disk, 10, YEAR_2026);
    let mut next = disk.restored(4096, YEAR_2026 + 100);
    assert!(next.knows(&id(1), 0) && next.knows(&id(2), 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn anything_may_be_in_the_files(
        noise in proptest::collection::vec(any::<u8>(), 0..400),
        words in proptest::collection::vec(prop_oneof![0u64..70_000, any::<u64>()], 0..60),
        clocks in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..4),
    ) {
        let key = [5; 32];
        let mut file = head(MAGIC, &key);
        for (second, unix) in clocks {
            file.extend(mark(&key, Clock { second, unix }));
            file.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        }
        file.extend(&noise);
        for (before, latest) in [(&noise, &file), (&file, &noise), (&file, &file)] {
            let mut memory = kept(256);
            memory.restore(Some(before), Some(latest), 5, YEAR_2026);
            memory.remember(&[1; 32], 6);
            prop_assert!(!memory.remember(&[1; 32], 7));
            while memory.take_news(8, YEAR_2026).is_some() {}
        }
    }
}
