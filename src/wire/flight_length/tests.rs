use proptest::prelude::*;

use super::*;
use crate::server_hello::tests::counting;

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
        asked >= 4 && samples.estimate().unwrap().is_certain
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
        let judged = samples(vec![3120; count]).estimate().unwrap();
        assert_eq!(judged.length.range(), (3120, 3120));
        assert_eq!(judged.is_certain, count >= 12, "{count}");
    }
    assert!(Samples::default().estimate().is_none());
}

/// Once in 512 flights a signature is 3 bytes shorter.
#[test]
fn a_short_signature_changes_nothing() {
    let usual = [2841, 2840, 2839, 2840, 2841, 2839, 2840, 2840, 2841, 2840];
    let lone = usual.into_iter().chain([2838]).chain(usual);
    for end in [10, 11, 12, 16, 21] {
        let judged = samples(lone.clone().take(end)).estimate().unwrap();
        assert_eq!(judged.length.range().1, 2841, "{end}");
        assert_eq!(judged.is_certain, end != 11, "{end}");
    }
}

#[test]
fn a_renewed_certificate_is_noticed_at_once() {
    let usual = [2841, 2840, 2839, 2840, 2841, 2839, 2840, 2840, 2841, 2840];
    let renewed = samples(usual.into_iter().chain([2846]));
    assert_eq!(renewed.estimate().unwrap().length, 2846.into());
    let renewed = samples(usual.into_iter().chain([2846, 2847, 2845, 2846, 2847]));
    let judged = renewed.estimate().unwrap();
    assert_eq!(judged.length, FlightLength::Ecdsa { longest: 2847 });
    assert!(judged.is_certain);
}

#[test]
fn several_certificates_are_drawn_as_they_came() {
    let all = [
        2841, 3002, 2839, 3001, 2500, 2840, 3003, 2841, 2501, 3002, 2840, 2500,
    ];
    let judged = samples(all).estimate().unwrap();
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
            let judged = samples.estimate().unwrap();
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
        let judged = samples(lengths.clone()).estimate().unwrap();
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
            let judged = samples.estimate().unwrap();
            judged.is_certain && match &judged.length {
                FlightLength::Seen(_) => !signs && judged.length.range() == now.range(),
                ecdsa => *ecdsa == now,
            }
        };
        while { ask(&mut samples, &now, &mut random); !right(&samples) } {
            rounds += 1;
            prop_assert!(rounds < 8, "{:?}", samples.estimate().unwrap().length);
        }
    }
}
