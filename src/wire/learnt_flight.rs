//! What a site's answers have told so far, and what is to be asked.

use crate::flight_length::{FlightLength, Samples};
use crate::server_hello::{FlightLengths, FlightProfile};

/// The latest answers to hellos with X25519MLKEM768, and to those without it.
pub type Learnt = FlightProfile<[Samples; 2]>;

/// Which of the two a hello is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Usual,
    WithoutMlkem,
}

/// A site is asked at least so many questions of each kind in one round: of a site that
/// is known they show whether something has changed.
const MIN_QUESTIONS: u8 = 4;

/// And at most so many, if the site is new, has changed or varies in a way of its own.
/// In one case of a thousand these are too few to recognise an ECDSA signature.
const MAX_QUESTIONS: u8 = 24;

impl Learnt {
    pub fn new(answer: &FlightProfile<u16>) -> Self {
        let mut learnt = answer.with_lengths(<[Samples; 2]>::default());
        learnt.add(Question::Usual, answer);
        learnt
    }

    /// An answer to `question`. If the site chooses otherwise than before, what it
    /// sent before tells nothing any more.
    pub fn add(&mut self, question: Question, answer: &FlightProfile<u16>) {
        let [usual, without] = &mut self.lengths;
        if question == Question::WithoutMlkem {
            without.add(answer.lengths);
            return;
        }
        usual.add(answer.lengths);
        let chosen = |of: &FlightProfile<()>| (of.cipher_suite, of.post_quantum, of.versions_first);
        if chosen(&self.with_lengths(())) != chosen(&answer.with_lengths(())) {
            *self = Self::new(answer);
        }
        self.records = answer.records;
    }

    /// `None` before the first answer.
    pub fn profile(&self) -> Option<FlightProfile> {
        let [usual, without] = self.lengths.each_ref().map(length);
        Some(self.with_lengths(FlightLengths {
            usual: usual?,
            without_mlkem: without.filter(|_| self.post_quantum),
        }))
    }

    /// There was no answer yet to a hello that makes a difference to the site.
    pub fn lacks_without_mlkem(&self) -> bool {
        let [_, without] = &self.lengths;
        self.post_quantum && without.latest().is_empty()
    }

    /// What to ask after so many questions of each kind, if anything.
    pub fn next_question(&self, asked: [u8; 2]) -> Option<Question> {
        let [usual, without] = self.lengths.each_ref().map(|samples| {
            let estimate = samples.estimate();
            estimate.is_some_and(|estimate| estimate.is_certain)
        });
        let is_open = |asked: u8, is_certain| {
            asked
                < if is_certain {
                    MIN_QUESTIONS
                } else {
                    MAX_QUESTIONS
                }
        };
        let [usual_asked, without_asked] = asked;
        let usual = is_open(usual_asked, usual);
        let without = self.post_quantum && is_open(without_asked, without);
        match (usual, without) {
            (false, false) => None,
            (true, true) if without_asked < usual_asked => Some(Question::WithoutMlkem),
            (true, _) => Some(Question::Usual),
            (false, true) => Some(Question::WithoutMlkem),
        }
    }
}

fn length(samples: &Samples) -> Option<FlightLength> {
    samples.estimate().map(|estimate| estimate.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: FlightProfile<u16> = FlightProfile {
        cipher_suite: 0x1301,
        post_quantum: true,
        versions_first: true,
        records: 4,
        lengths: 2800,
    };

    /// How often a site is asked each, whose lengths are `usual` and `without`.
    fn questions(learnt: &mut Learnt, usual: &[u16], without: &[u16]) -> [u8; 2] {
        let mut asked = [0; 2];
        while let Some(question) = learnt.next_question(asked) {
            let [usual_asked, without_asked] = &mut asked;
            let (lengths, asked) = match question {
                Question::Usual => (usual, usual_asked),
                Question::WithoutMlkem => (without, without_asked),
            };
            let lengths = lengths[usize::from(*asked) % lengths.len()];
            *asked += 1;
            learnt.add(question, &FlightProfile { lengths, ..ANSWER });
        }
        asked
    }

    #[test]
    fn both_hellos_are_asked_until_they_are_known() {
        let mut learnt = Learnt::new(&ANSWER);
        assert!(learnt.lacks_without_mlkem());
        // One is known of the first.
        assert_eq!(questions(&mut learnt, &[2800], &[2812]), [11, 12]);
        let lengths = learnt.profile().unwrap().lengths;
        assert_eq!(lengths.usual.range(), (2800, 2800));
        assert_eq!(lengths.without_mlkem.unwrap().range(), (2812, 2812));
        assert!(!learnt.lacks_without_mlkem());
        assert_eq!(questions(&mut learnt, &[2800], &[2812]), [MIN_QUESTIONS; 2]);
        // A new certificate: until that is known.
        assert_eq!(questions(&mut learnt, &[2900], &[2912]), [12; 2]);
        let lengths = learnt.profile().unwrap().lengths;
        assert_eq!(lengths.usual.range(), (2900, 2900));
        // Many: no longer than that.
        let many = [3000, 3100, 3200, 3050];
        assert_eq!(
            questions(&mut learnt, &many, &[2912]),
            [MAX_QUESTIONS, MIN_QUESTIONS]
        );
    }

    #[test]
    fn a_site_that_does_no_mlkem_is_asked_one_thing() {
        let answer = FlightProfile {
            post_quantum: false,
            ..ANSWER
        };
        let mut learnt = Learnt::new(&answer);
        assert!(!learnt.lacks_without_mlkem());
        // One is known.
        for asked in 0..11 {
            assert_eq!(learnt.next_question([asked, 0]), Some(Question::Usual));
            learnt.add(Question::Usual, &answer);
        }
        assert_eq!(learnt.next_question([11, 0]), None);
        assert_eq!(learnt.profile().unwrap().lengths.without_mlkem, None);
    }

    #[test]
    fn another_choice_begins_anew() {
        let mut learnt = Learnt::new(&ANSWER);
        questions(&mut learnt, &[2800], &[2812]);
        let more_records = FlightProfile {
            records: 5,
            lengths: 2801,
            ..ANSWER
        };
        learnt.add(Question::Usual, &more_records);
        assert_eq!((learnt.records, learnt.lengths[0].latest().len()), (5, 13));
        let other = FlightProfile {
            cipher_suite: 0x1302,
            ..ANSWER
        };
        learnt.add(Question::Usual, &other);
        assert_eq!(learnt, Learnt::new(&other));
    }
}
