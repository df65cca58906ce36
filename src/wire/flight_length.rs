//! How long the encrypted part of a site's flight is, learnt from its answers.
//!
//! All of it has a fixed length but an ECDSA signature, whose two numbers are
//! written in DER (X.690 §8.3): as short as their value allows, with a byte more
//! where the top bit is set. RSA signatures have one length. So there are three
//! explanations of what a site sends: a length that is always the same, one that
//! varies by such a signature, and servers with several certificates, which are
//! imitated by what they sent. A renewed certificate begins another explanation.

/// Lengths that make sense, in bytes: a Finished alone has 53, and clients take one
/// record.
pub const SHORTEST: u16 = 53;
pub const LONGEST: u16 = super::fake_tls::MAX_RECORD as u16;

/// Samples that count, the latest.
pub const MAX_SAMPLES: usize = 32;

type Latest = heapless::Vec<u16, MAX_SAMPLES>;

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
pub struct Estimate {
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
    pub fn estimate(&self) -> Option<Estimate> {
        let samples = &*self.0;
        let latest = *samples.last()?;
        // The least that each beginning of them costs.
        let mut costs = [0; MAX_SAMPLES + 1];
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
            // What was not seen may never come.
            _ if !is_certain || best == ALWAYS => {
                let start = if mixed < cost { 0 } else { start };
                FlightLength::Seen(samples.get(start..)?.iter().copied().collect())
            }
            shorter => FlightLength::Ecdsa {
                longest: latest + shorter as u16,
            },
        };
        Some(Estimate { length, is_certain })
    }
}

/// Sixteenths of a bit that a signature costs which is so many bytes shorter than
/// the longest: `log2` of one in how many is. An even shorter one is taken for a change.
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
    const LOG2: [u8; MAX_SAMPLES] = [
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
mod tests;
