//! How long our sites take to answer, and how they end connections.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::answer_times::AnswerTimes;
use super::manners::Manners;
use crate::config::SitePlace;

/// Domains whose sites are asked how they answer.
pub(super) const MAX_MODELS: usize = 16;

/// What is known of the sites of our domains, beside the shape of their answers.
#[derive(Default)]
pub(super) struct Book {
    entries: RefCell<Vec<Entry>>,
    /// Of a site that nobody has looked at.
    unknown: Rc<Manners>,
}

struct Entry {
    place: SitePlace,
    times: AnswerTimes,
    manners: Rc<Manners>,
    /// Unix time of the last look at its manners.
    #[cfg(feature = "check")]
    asked: Option<u64>,
}

impl Book {
    /// The site has answered us, who asked it because it is ours.
    pub(crate) fn asked(&self, place: &SitePlace, time: Duration) {
        self.with(place, |entry| entry.times.add(time));
    }

    /// It has answered a stranger, who may have chosen it.
    pub(crate) fn visited(&self, place: &SitePlace, time: Duration) {
        let mut entries = self.entries.borrow_mut();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.place == *place) {
            entry.times.add(time);
        }
    }

    /// How long a stranger would wait for its answer; `None`: not to speak of.
    pub(crate) fn answer_time(&self, place: &SitePlace, random: u32) -> Option<Duration> {
        let entries = self.entries.borrow();
        let known = entries.iter().find(|entry| entry.place == *place);
        known?.times.draw(random)
    }

    /// How it ends connections.
    pub(crate) fn manners(&self, place: &SitePlace) -> Rc<Manners> {
        let entries = self.entries.borrow();
        let known = entries.iter().find(|entry| entry.place == *place);
        known.map_or(&self.unknown, |entry| &entry.manners).clone()
    }

    /// Forgets all but these.
    pub(crate) fn retain(&self, is_ours: impl Fn(&SitePlace) -> bool) {
        let mut entries = self.entries.borrow_mut();
        entries.retain(|entry| is_ours(&entry.place));
    }

    /// The entry of a site of ours, which is made if there is room.
    fn with(&self, place: &SitePlace, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.borrow_mut();
        let known = entries.iter().position(|entry| entry.place == *place);
        let at = known.unwrap_or(entries.len());
        if at == entries.len() && at < MAX_MODELS {
            entries.push(Entry {
                place: place.clone(),
                times: AnswerTimes::default(),
                manners: self.unknown.clone(),
                #[cfg(feature = "check")]
                asked: None,
            });
        }
        if let Some(entry) = entries.get_mut(at) {
            change(entry);
        }
    }
}

#[cfg(feature = "check")]
impl Book {
    /// It has, to us or to a stranger, since the start.
    pub(crate) fn has_answered(&self, place: &SitePlace) -> bool {
        let entries = self.entries.borrow();
        let known = entries.iter().find(|entry| entry.place == *place);
        known.is_some_and(|entry| !entry.times.is_empty())
    }

    /// When somebody looked at its manners last, in Unix time.
    pub(crate) fn asked_at(&self, place: &SitePlace) -> Option<u64> {
        let entries = self.entries.borrow();
        entries.iter().find(|entry| entry.place == *place)?.asked
    }

    pub(crate) fn behaves(&self, place: &SitePlace, manners: Manners, asked: u64) {
        self.with(place, |entry| {
            entry.manners = Rc::new(manners);
            entry.asked = Some(asked);
        });
    }

    /// What an earlier run kept, of places that are ours; whether all of it makes
    /// sense.
    pub(crate) fn read(&self, content: &[u8], is_ours: impl Fn(&SitePlace) -> bool) -> bool {
        let text = String::from_utf8_lossy(content);
        let mut is_whole = true;
        for line in text.lines() {
            match super::manners::read_line(line) {
                Some((asked, manners, place)) if is_ours(&place) => {
                    self.behaves(&place, manners, asked);
                }
                Some(_) => {}
                None => is_whole = false,
            }
        }
        is_whole
    }

    /// For the file.
    pub(crate) fn write(&self) -> String {
        let entries = self.entries.borrow();
        let line = |entry: &Entry| {
            let asked = entry.asked?;
            Some(entry.manners.write_line(asked, &entry.place))
        };
        entries.iter().filter_map(line).collect()
    }
}

#[cfg(all(test, feature = "check"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_known_again_unless_it_is_damaged_or_of_another() {
        let place = |name: &str| -> SitePlace { format!("{name}:443").parse().unwrap() };
        let line = "17 60050f 60051f 60050f 60055f 0+19f a.example:443";
        let book = Book::default();
        let content = format!("{line}\nnonsense\n{}\n", line.replace("a.", "b."));
        let is_whole = book.read(content.as_bytes(), |ours| *ours == place("a.example"));
        assert!(!is_whole);
        assert!(!book.has_answered(&place("a.example")));
        assert_eq!(book.write(), format!("{line}\n"));
        let silent = book.manners(&place("a.example")).silent.unwrap();
        assert_eq!(silent.after.as_millis(), 60_050);
        assert_eq!(*book.manners(&place("b.example")), Manners::default());
        assert_eq!(book.asked_at(&place("a.example")), Some(17));
        book.retain(|_| false);
        assert_eq!(book.write(), "");
        assert!(book.read(b"", |_| true));
        assert!(!book.read(b"\xff\0", |_| true));
    }

    #[test]
    fn strangers_make_no_entries_and_there_are_only_so_many() {
        let book = Book::default();
        let place = |n: usize| -> SitePlace { format!("10.0.0.{n}:443").parse().unwrap() };
        let slow = Duration::from_millis(60);
        book.visited(&place(1), slow);
        assert_eq!(book.answer_time(&place(1), 0), None);
        (0..=MAX_MODELS).for_each(|n| book.asked(&place(n), slow));
        assert!(book.has_answered(&place(1)));
        assert_eq!(book.answer_time(&place(1), 0), Some(slow));
        assert_eq!(book.answer_time(&place(MAX_MODELS), 0), None);
    }
}
