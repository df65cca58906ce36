//! What sites answered as a file: a line each, fields as in
//! `www.example.com 1301 x25519mlkem768 versions-first lengths 4 2841,2840 2853,2851`.
//! Behind the number of records are the latest lengths, and where X25519MLKEM768 makes a
//! difference those without it.

use std::str::Split;

use crate::wire::fake_tls::MAX_RECORD;
use crate::wire::flight_length::{FlightLength, MAX_SAMPLES, SHORTEST, Samples};
use crate::wire::learnt_flight::Learnt;
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

/// Its name in the data directory.
pub(super) const FILE: &str = "sites";

/// What follows is in the form of this version.
const MARK: &str = "lengths";

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// It begins like ours and goes on in another way.
    OtherVersion,
    Damaged,
}

/// The lines that make sense, at most `most` of them, and the worst flaw of the others.
pub(super) fn read(content: &[u8], most: usize) -> (Vec<(Domain, Learnt)>, Option<Flaw>) {
    let text = String::from_utf8_lossy(content);
    let (mut known, mut worst) = (Vec::new(), None);
    for line in text.lines() {
        match read_line(line) {
            Ok(line) if known.len() < most => known.push(line),
            Ok(_) => {}
            Err(flaw) => worst = worst.max(Some(flaw)),
        }
    }
    (known, worst)
}

fn read_line(line: &str) -> Result<(Domain, Learnt), Flaw> {
    let mut words = line.split(' ');
    let (domain, chosen) = read_choice(&mut words).ok_or(Flaw::Damaged)?;
    match words.next() {
        Some(MARK) => {
            let learnt = read_lengths(chosen, &mut words).ok_or(Flaw::Damaged)?;
            Ok((domain, learnt))
        }
        _ => Err(Flaw::OtherVersion),
    }
}

fn read_choice(words: &mut Split<char>) -> Option<(Domain, FlightProfile<()>)> {
    let domain = words.next()?.parse().ok()?;
    let chosen = FlightProfile {
        cipher_suite: u16::from_str_radix(words.next()?, 16).ok()?,
        post_quantum: choice(words.next()?, GROUPS)?,
        versions_first: choice(words.next()?, ORDERS)?,
        records: 0,
        lengths: (),
    };
    let is_sane = (0x1301..=0x1303).contains(&chosen.cipher_suite);
    is_sane.then_some((domain, chosen))
}

fn read_lengths(chosen: FlightProfile<()>, words: &mut Split<char>) -> Option<Learnt> {
    let records = words.next()?.parse().ok().filter(|&count| count > 0)?;
    let usual = read_samples(words.next()?)?;
    let without = match words.next() {
        Some(list) if chosen.post_quantum => read_samples(list)?,
        Some(_) => return None,
        None => Samples::default(),
    };
    let learnt = FlightProfile {
        records,
        ..chosen.with_lengths([usual, without])
    };
    words.next().is_none().then_some(learnt)
}

fn read_samples(list: &str) -> Option<Samples> {
    let mut samples = Samples::default();
    for (at, length) in list.split(',').enumerate() {
        let length: u16 = length.parse().ok()?;
        let is_sane = (SHORTEST..=MAX_RECORD as u16).contains(&length) && at < MAX_SAMPLES;
        samples.add(is_sane.then_some(length)?);
    }
    Some(samples)
}

pub(super) fn write_line(domain: &Domain, learnt: &Learnt) -> String {
    let [suite, group, order] = words(learnt);
    let records = learnt.records;
    let lists = learnt.lengths.each_ref().map(|samples| {
        let lengths = samples.latest().iter().map(u16::to_string);
        lengths.collect::<Vec<_>>().join(",")
    });
    let [usual, without] = lists;
    let space = if without.is_empty() { "" } else { " " };
    format!("{domain} {suite} {group} {order} {MARK} {records} {usual}{space}{without}\n")
}

/// For the log.
pub(super) fn describe(profile: &FlightProfile) -> String {
    let [suite, group, order] = words(profile);
    let records = match profile.records {
        1 => "1 record".to_owned(),
        several => format!("{several} records"),
    };
    let length = describe_length(&profile.lengths.usual);
    let without = match &profile.lengths.without_mlkem {
        Some(without) if *without != profile.lengths.usual => {
            format!(", without ML-KEM {}", describe_length(without))
        }
        _ => String::new(),
    };
    format!("{suite} {group} {order}, {records}, {length}{without}")
}

fn describe_length(length: &FlightLength) -> String {
    match (length, length.range()) {
        (FlightLength::Ecdsa { longest }, _) => {
            format!("up to {longest} bytes with an ECDSA signature")
        }
        (_, (shortest, longest)) if shortest == longest => format!("{longest} bytes"),
        (_, (shortest, longest)) => format!("{shortest} to {longest} bytes"),
    }
}

fn words<L>(profile: &FlightProfile<L>) -> [String; 3] {
    [
        format!("{:04x}", profile.cipher_suite),
        GROUPS[usize::from(profile.post_quantum)].to_owned(),
        ORDERS[usize::from(profile.versions_first)].to_owned(),
    ]
}

const GROUPS: [&str; 2] = ["x25519", "x25519mlkem768"];
const ORDERS: [&str; 2] = ["share-first", "versions-first"];

fn choice(word: &str, [no, yes]: [&str; 2]) -> Option<bool> {
    match word {
        _ if word == yes => Some(true),
        _ if word == no => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::learnt_flight::Question;

    fn learnt(post_quantum: bool) -> Learnt {
        let answer = |lengths| FlightProfile {
            cipher_suite: 0x1302,
            post_quantum,
            versions_first: false,
            records: 4,
            lengths,
        };
        let mut learnt = Learnt::new(&answer(2841));
        learnt.add(Question::Usual, &answer(2839));
        if post_quantum {
            learnt.add(Question::WithoutMlkem, &answer(2853));
        }
        learnt
    }

    #[test]
    fn what_is_written_is_read_and_the_rest_is_not() {
        let domain: Domain = "www.example.com".parse().unwrap();
        let both = [learnt(true), learnt(false)].map(|learnt| (domain.clone(), learnt));
        let text = both
            .each_ref()
            .map(|(_, learnt)| write_line(&domain, learnt));
        let text = text.concat();
        assert_eq!(read(text.as_bytes(), 5), (both.to_vec(), None));
        let [(domain, learnt), _] = both;
        let line = write_line(&domain, &learnt);
        let known = vec![(domain, learnt)];
        let (some, flaw) = read(line.repeat(9).as_bytes(), 5);
        assert_eq!((some.len(), flaw), (5, None));
        assert_eq!(read(b"", 5), (vec![], None));
        let damaged = [line.as_bytes(), b"\0\xff\0\0"].concat();
        assert_eq!(read(&damaged, 5), (known, Some(Flaw::Damaged)));
        let long = format!("4 {}", "2841,".repeat(32));
        for (from, to) in [
            ("1302", "1304"),
            ("2841", "20000"),
            ("2841", "3"),
            ("2841", ""),
            ("2841,", "2841,,"),
            ("2853", "2853 2853"),
            ("4 2841", "0 2841"),
            ("4 2841,", &long),
            ("x25519mlkem768", "x25519"),
            ("x25519mlkem768", "p256"),
            ("www.", "www..."),
        ] {
            let changed = line.replace(from, to);
            let read = read(changed.as_bytes(), 5);
            assert_eq!(read, (vec![], Some(Flaw::Damaged)), "{changed}");
        }
        assert_eq!(read(&[0xff, 0, 1], 5), (vec![], Some(Flaw::Damaged)));
    }

    #[test]
    fn another_version_is_no_damage() {
        let line = "www.example.com 1302 x25519mlkem768 share-first";
        for rest in ["2841 2", "4 2841 2", "manners 4 2841"] {
            let read = read(format!("{line} {rest}\n").as_bytes(), 5);
            assert_eq!(read, (vec![], Some(Flaw::OtherVersion)));
        }
    }

    #[test]
    fn lines_of_the_log() {
        let says = |learnt: &Learnt| describe(&learnt.profile().unwrap());
        let mut site = learnt(true);
        assert_eq!(
            says(&site),
            "1302 x25519mlkem768 share-first, 4 records, 2839 to 2841 bytes, without ML-KEM 2853 bytes"
        );
        let answer = |lengths| site.with_lengths(lengths);
        let answers = [2840, 2841, 2839, 2840].map(answer);
        for answer in answers {
            site.add(Question::Usual, &answer);
        }
        assert!(says(&site).contains("4 records, up to 2841 bytes with an ECDSA signature, "));
        let other = FlightProfile {
            post_quantum: false,
            records: 1,
            ..site.with_lengths(3120)
        };
        site.add(Question::Usual, &other);
        assert_eq!(says(&site), "1302 x25519 share-first, 1 record, 3120 bytes");
    }
}
