//! How long the encrypted part of a site's flight is, learnt from its answers.
//!
//! All of it has a fixed length but an ECDSA signature, whose two numbers are
//! written in DER (X.690 §8.3): as short as their value allows, with a byte more
//! where the top bit is set. RSA signatures have one length. So there are three
//! explanations of what a site sends: a length that is always the same, one that
//! varies by such a signature, and servers with several certificates, which are
//! imitated by what they sent. A renewed certificate begins another explanation.

/// What makes sense, in bytes: a Finished alone has 53, and clients take one record.
pub const SHORTEST: u16 = 53;
pub const LONGEST: u16 = super::fake_tls::MAX_RECORD as u16;

/// Samples that count, the latest.
pub const MOST_SAMPLES: usize = 32;

type Latest = heapless::Vec<u16, MOST_SAMPLES>;

/// Bytes of one encrypted flight, as the next one may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlightLength {
    /// Of a flight with an ECDSA signature (P-256, P-384) whose two numbers are as
    /// long as they get. Most are shorter.
    Ecdsa { longest: u16 },
    /// One of these, by chance.
    Seen(Latest),
}

/// Lengths of a site's flights in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples(Latest);

/// What becomes of samples.
pub struct Judgement {
    pub length: FlightLength,
    /// More samples would hardly change it.
    pub is_certain: bool,
}

impl FlightLength {
    /// By the odds with which a site draws it.
    pub fn draw(&self, fill_random: &mut dyn FnMut(&mut [u8])) -> usize {
        let mut random = [[0; 4]; 2];
        random.iter_mut().for_each(|part| fill_random(part));
        let random = random.map(u32::from_le_bytes);
        match self {
            Self::Ecdsa { longest } => {
                // A zero bit on top saves the sign's byte, eight more a byte each.
                let saved = random.map(|number| number.leading_zeros().div_ceil(8) as usize);
                usize::from(*longest).saturating_sub(saved.iter().sum())
            }
            Self::Seen(lengths) => {
                let at = random[0] as usize % lengths.len().max(1);
                lengths.get(at).copied().map_or(0, usize::from)
            }
        }
    }

    /// The shortest and the longest that are likely.
    pub fn range(&self) -> (u16, u16) {
        match self {
            Self::Ecdsa { longest } => (longest.saturating_sub(2), *longest),
            Self::Seen(lengths) => (
                lengths.iter().copied().min().unwrap_or(0),
                lengths.iter().copied().max().unwrap_or(0),
            ),
        }
    }
}

/// A length that was seen once.
impl From<u16> for FlightLength {
    fn from(length: u16) -> Self {
        Self::Seen([length].into_iter().collect())
    }
}

impl Samples {
    pub fn add(&mut self, length: u16) {
        if self.0.is_full() {
            self.0.remove(0);
        }
        // There is room.
        let _ = self.0.push(length.clamp(SHORTEST, LONGEST));
    }

    /// The oldest first.
    pub fn latest(&self) -> &[u16] {
        &self.0
    }

    /// `None`: there are none.
    pub fn judge(&self) -> Option<Judgement> {
        let samples = &*self.0;
        // The least that each beginning of them costs.
        let mut costs = [0; MOST_SAMPLES + 1];
        let mut newest = [Explained::NONE; KINDS];
        for end in 1..=samples.len() {
            newest = explain(samples.get(..end)?, &costs);
            *costs.get_mut(end)? = newest.iter().map(|kind| kind.cost).min()?;
        }
        let best = (0..KINDS).min_by_key(|&kind| newest[kind].cost)?;
        let Explained { cost, start } = newest[best];
        let others = (0..KINDS).filter(|&kind| kind != best);
        let second = others.map(|kind| newest[kind].cost).min()?;
        let mixed = mixed_cost(samples);
        let is_certain = second.min(mixed).saturating_sub(cost) >= CERTAIN;
        let length = match best {
            _ if samples.is_empty() => return None,
            // What was not seen may never come.
            _ if !is_certain || best == ALWAYS => {
                let start = if mixed < cost { 0 } else { start };
                FlightLength::Seen(samples.get(start..)?.iter().copied().collect())
            }
            shorter => FlightLength::Ecdsa {
                longest: samples.last()? + shorter as u16,
            },
        };
        Some(Judgement { length, is_certain })
    }
}

/// Sixteenths of a bit that a signature costs which is so many bytes shorter than
/// the longest: `log2` of one in how many is. A shorter one is a mistake of ours.
const SHORTER: [u32; 5] = [32, 16, 32, 144, 264];
const IMPOSSIBLE: u32 = 1 << 20;

/// Explanations of the newest sample: an ECDSA signature, by what it lacks of the
/// longest, or one length for all.
const KINDS: usize = SHORTER.len() + 1;
const ALWAYS: usize = SHORTER.len();

/// The cost of beginning another explanation. It outweighs one signature of 3 bytes
/// less, which come one in 512.
const CHANGE: u32 = 10 * 16;

/// That of a length without variation: what 5 equal signatures cost, so that 12
/// make it certain.
const FIXED: u32 = 5 * 16;

/// That of each length which has no explanation but that it was seen.
const UNEXPLAINED: u32 = 8 * 16;

/// One in 128 is not so.
const CERTAIN: u32 = 7 * 16;

/// How the newest of some samples may be explained.
#[derive(Clone, Copy)]
struct Explained {
    /// Of this and of what came before.
    cost: u32,
    /// The first sample that it explains.
    start: usize,
}

impl Explained {
    const NONE: Self = Self {
        cost: u32::MAX,
        start: 0,
    };
}

/// The best way for each kind to explain the newest of `samples`, together with those
/// before it, back to some change; `before` has what the beginnings cost.
fn explain(samples: &[u16], before: &[u32]) -> [Explained; KINDS] {
    let mut kinds = [Explained::NONE; KINDS];
    let newest = samples.last().copied().unwrap_or(0);
    let mut costs = [0; KINDS];
    costs[ALWAYS] = FIXED;
    for (start, (&length, before)) in samples.iter().zip(before).enumerate().rev() {
        for (kind, (cost, best)) in costs.iter_mut().zip(&mut kinds).enumerate() {
            *cost += match kind {
                ALWAYS if length == newest => 0,
                ALWAYS => IMPOSSIBLE,
                shorter => {
                    let lacks = (newest + shorter as u16).checked_sub(length);
                    let odds = lacks.and_then(|lacks| SHORTER.get(usize::from(lacks)));
                    odds.copied().unwrap_or(IMPOSSIBLE)
                }
            };
            let cost = before + CHANGE + *cost;
            if cost <= best.cost {
                *best = Explained { cost, start };
            }
        }
    }
    kinds
}

/// What `samples` cost that have no order: each length, and how often it came.
fn mixed_cost(samples: &[u16]) -> u32 {
    /// Sixteenths of `log2`, from 1 on.
    const LOG2: [u8; MOST_SAMPLES] = [
        0, 16, 25, 32, 37, 41, 45, 48, 51, 53, 55, 57, 59, 61, 63, 64, 65, 67, 68, 69, 70, 71, 72,
        73, 74, 75, 76, 77, 78, 79, 79, 80,
    ];
    let log2 = |count: usize| {
        LOG2.get(count.saturating_sub(1))
            .map_or(0, |&log2| log2.into())
    };
    let (mut cost, mut different) = (CHANGE, 0);
    for (at, length) in samples.iter().enumerate() {
        let alike = samples.iter().filter(|other| *other == length).count();
        cost += log2(samples.len()) - log2(alike);
        let is_first = samples.iter().position(|other| other == length) == Some(at);
        different += u32::from(is_first);
    }
    match different {
        // That explains itself.
        0 | 1 => IMPOSSIBLE,
        different => cost + different * UNEXPLAINED,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::server_hello::tests::counting;

    /// What a site sends: `None` is RSA.
    fn site(longest: u16, signs: bool) -> FlightLength {
        match signs {
            true => FlightLength::Ecdsa { longest },
            false => longest.into(),
        }
    }

    fn seeded(seed: u64) -> impl FnMut(&mut [u8]) {
        let mut random = counting();
        let mut key = seed | 1;
        move |out| {
            random(out);
            for byte in out {
                key ^= key << 13;
                key ^= key >> 7;
                key ^= key << 17;
                *byte ^= (key >> 32) as u8;
            }
        }
    }

    fn samples(lengths: impl IntoIterator<Item = u16>) -> Samples {
        let mut samples = Samples::default();
        lengths.into_iter().for_each(|length| samples.add(length));
        samples
    }

    /// Asks `site` as often as it takes, at least 4 times; whether that was enough.
    fn ask(samples: &mut Samples, site: &FlightLength, random: &mut dyn FnMut(&mut [u8])) -> bool {
        (1..=24).any(|asked| {
            samples.add(site.draw(random) as u16);
            asked >= 4 && samples.judge().unwrap().is_certain
        })
    }

    #[test]
    fn signatures_are_as_long_as_odds_have_it() {
        let mut counts = [0u32; 6];
        let mut random = seeded(7);
        let length = FlightLength::Ecdsa { longest: 1000 };
        for _ in 0..512_000 {
            counts[1000 - length.draw(&mut random)] += 1;
        }
        for (count, expected) in counts.into_iter().zip([128_000, 255_000, 128_000, 1000]) {
            assert!(count.abs_diff(expected) < expected / 7, "{counts:?}");
        }
        // The two numbers, and nothing else of the random, decide.
        for (numbers, shorter) in [
            ([u32::MAX; 2], 0),
            ([0x8000_0000, 0x7fff_ffff], 1),
            ([0x0080_0000, 0x8000_0000], 1),
            ([0x007f_ffff, 0x0100_0000], 3),
            ([0, 0], 8),
        ] {
            let mut numbers = numbers.into_iter();
            let mut random =
                |out: &mut [u8]| out.copy_from_slice(&numbers.next().unwrap().to_le_bytes());
            assert_eq!(length.draw(&mut random), 1000 - shorter);
        }
    }

    #[test]
    fn the_logarithms_are_right() {
        let entropy = |counts: &[u32]| {
            let all = f64::from(counts.iter().sum::<u32>());
            let bits = |&count: &u32| f64::from(count) * (all / f64::from(count)).log2();
            16.0 * counts.iter().map(bits).sum::<f64>()
        };
        for counts in [&[1, 1][..], &[3, 5, 7], &[31, 1], &[16, 16], &[20, 9, 2, 1]] {
            let all = (0..).zip(counts);
            let samples = all.flat_map(|(at, &count)| vec![100 + at; count as usize]);
            let cost = mixed_cost(&samples.collect::<Vec<_>>());
            let expected = entropy(counts) + f64::from(CHANGE + UNEXPLAINED * counts.len() as u32);
            assert!(
                (f64::from(cost) - expected).abs() < 17.0,
                "{counts:?}: {cost} {expected}"
            );
        }
    }

    #[test]
    fn twelve_alike_are_all_alike() {
        for count in 1..=32 {
            let judged = samples(vec![3120; count]).judge().unwrap();
            assert_eq!(judged.length.range(), (3120, 3120));
            assert_eq!(judged.is_certain, count >= 12, "{count}");
        }
        assert!(Samples::default().judge().is_none());
    }

    /// Once in 512 flights a signature is 3 bytes shorter.
    #[test]
    fn a_short_signature_changes_nothing() {
        let usual = [2841, 2840, 2839, 2840, 2841, 2839, 2840, 2840, 2841, 2840];
        let lone = usual.into_iter().chain([2838]).chain(usual);
        for end in [10, 11, 12, 16, 21] {
            let judged = samples(lone.clone().take(end)).judge().unwrap();
            assert_eq!(judged.length.range().1, 2841, "{end}");
            assert_eq!(judged.is_certain, end != 11, "{end}");
        }
    }

    #[test]
    fn a_renewed_certificate_is_noticed_at_once() {
        let usual = [2841, 2840, 2839, 2840, 2841, 2839, 2840, 2840, 2841, 2840];
        let renewed = samples(usual.into_iter().chain([2846]));
        assert_eq!(renewed.judge().unwrap().length, 2846.into());
        let renewed = samples(usual.into_iter().chain([2846, 2847, 2845, 2846, 2847]));
        let judged = renewed.judge().unwrap();
        assert_eq!(judged.length, FlightLength::Ecdsa { longest: 2847 });
        assert!(judged.is_certain);
    }

    #[test]
    fn several_certificates_are_drawn_as_they_came() {
        let all = [
            2841, 3002, 2839, 3001, 2500, 2840, 3003, 2841, 2501, 3002, 2840, 2500,
        ];
        let judged = samples(all).judge().unwrap();
        assert_eq!(judged.length, FlightLength::Seen(all.into_iter().collect()));
        assert!(!judged.is_certain);
        let mut random = seeded(3);
        for _ in 0..100 {
            assert!(all.contains(&(judged.length.draw(&mut random) as u16)));
        }
    }

    /// One in a few hundred takes a signature of 3 bytes less for the end of another
    /// length. What is drawn until then was seen.
    #[test]
    fn fresh_starts_learn_what_the_site_does() {
        let (mut right, mut drawn, mut impossible) = (0, 0, 0);
        for start in 0..1000 {
            let mut random = seeded(start);
            let site = site(3000, true);
            let mut samples = Samples::default();
            for asked in 1..=24 {
                samples.add(site.draw(&mut random) as u16);
                let judged = samples.judge().unwrap();
                drawn += 1;
                impossible += u32::from(!(2994..=3000).contains(&judged.length.draw(&mut random)));
                if asked >= 4 && judged.is_certain {
                    right += u32::from(judged.length == site);
                    break;
                }
            }
        }
        let good = right > 985 && impossible * 300 < drawn;
        assert!(good, "{right} right, of {drawn} {impossible} impossible");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

        /// Whatever comes, only what was seen or what a signature allows is drawn.
        #[test]
        fn nothing_is_drawn_far_from_what_came(lengths in proptest::collection::vec(0..=u16::MAX, 1..80)) {
            let judged = samples(lengths.clone()).judge().unwrap();
            let mut random = seeded(1);
            for _ in 0..20 {
                let drawn = judged.length.draw(&mut random) as u16;
                let near = |&length: &u16| length.clamp(SHORTEST, LONGEST).abs_diff(drawn) <= 8;
                prop_assert!(lengths.iter().any(near));
            }
        }

        /// A certificate is renewed at any time, by one of a like length or of another
        /// key: what was before is forgotten within a few rounds of questions.
        #[test]
        fn what_a_site_does_today_is_learnt(
            seed: u64, rounds in 1..12u32, by in -6i16..=6, signed: bool, signs: bool
        ) {
            let mut random = seeded(seed);
            let mut samples = Samples::default();
            let before = site(3000, signed);
            for _ in 0..rounds {
                ask(&mut samples, &before, &mut random);
            }
            let now = site(3000u16.saturating_add_signed(by), signs);
            let mut rounds = 0;
            let right = |samples: &Samples| {
                let judged = samples.judge().unwrap();
                judged.is_certain && match &judged.length {
                    FlightLength::Seen(_) => !signs && judged.length.range() == now.range(),
                    ecdsa => *ecdsa == now,
                }
            };
            while { ask(&mut samples, &now, &mut random); !right(&samples) } {
                rounds += 1;
                prop_assert!(rounds < 8, "{:?}", samples.judge().unwrap().length);
            }
        }
    }
}
