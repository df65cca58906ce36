//! Profiles of sites as a file: a line each, fields as in
//! `www.example.com 1301 x25519mlkem768 versions-first 4 2841 2`.

use crate::wire::fake_tls::MAX_RECORD;
use crate::wire::secret::Domain;
use crate::wire::server_hello::FlightProfile;

/// Its name in the data directory.
pub(super) const FILE: &str = "sites";

/// What no flight falls below: a Finished alone has 53 bytes.
const SHORTEST: usize = 53;

const WIDEST_SPREAD: usize = 64;

/// The lines that make sense, at most `most` of them, and whether all do.
pub(super) fn read(content: &[u8], most: usize) -> (Vec<(Domain, FlightProfile)>, bool) {
    let text = String::from_utf8_lossy(content);
    let lines = text.lines();
    let known: Vec<_> = lines.filter_map(read_line).collect();
    let is_whole = known.len() == text.lines().count();
    (known.into_iter().take(most).collect(), is_whole)
}

fn read_line(line: &str) -> Option<(Domain, FlightProfile)> {
    let mut words = line.split(' ');
    let mut word = || words.next();
    let domain = word()?.parse().ok()?;
    let profile = FlightProfile {
        cipher_suite: u16::from_str_radix(word()?, 16).ok()?,
        post_quantum: choice(word()?, GROUPS)?,
        versions_first: choice(word()?, ORDERS)?,
        records: word()?.parse().ok().filter(|&count| count > 0)?,
        encrypted_len: word()?.parse().ok()?,
        spread: word()?.parse().ok()?,
    };
    let is_sane = (0x1301..=0x1303).contains(&profile.cipher_suite)
        && (SHORTEST..=MAX_RECORD).contains(&profile.encrypted_len)
        && profile.spread <= WIDEST_SPREAD;
    (is_sane && words.next().is_none()).then_some((domain, profile))
}

pub(super) fn write_line(domain: &Domain, profile: &FlightProfile) -> String {
    format!("{domain} {}\n", describe(profile))
}

/// For the file and for the log.
pub(super) fn describe(profile: &FlightProfile) -> String {
    let FlightProfile {
        cipher_suite,
        post_quantum,
        versions_first,
        records,
        encrypted_len,
        spread,
    } = *profile;
    let [group, order] = [
        GROUPS[usize::from(post_quantum)],
        ORDERS[usize::from(versions_first)],
    ];
    format!("{cipher_suite:04x} {group} {order} {records} {encrypted_len} {spread}")
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

    #[test]
    fn what_is_written_is_read_and_the_rest_is_not() {
        let domain: Domain = "www.example.com".parse().unwrap();
        let profile = FlightProfile {
            cipher_suite: 0x1302,
            post_quantum: true,
            versions_first: false,
            records: 4,
            encrypted_len: 2841,
            spread: 2,
        };
        let line = write_line(&domain, &profile);
        let known = vec![(domain.clone(), profile.clone())];
        assert_eq!(read(line.as_bytes(), 5), (known.clone(), true));
        let (some, is_whole) = read(line.repeat(9).as_bytes(), 5);
        assert_eq!((some.len(), is_whole), (5, true));
        assert_eq!(read(b"", 5), (vec![], true));
        let damaged = [line.as_bytes(), b"\0\xff\0\0"].concat();
        assert_eq!(read(&damaged, 5), (known, false));
        for (from, to) in [
            ("1302", "1304"),
            ("2841", "20000"),
            ("2841", "3"),
            ("2841 2", "2841"),
            ("2841 2", "2841 99"),
            ("2841 2", "2841 2 2"),
            ("4 2841", "0 2841"),
            ("4 2841", "2841"),
            ("x25519mlkem768", "p256"),
            ("www.", "www..."),
        ] {
            let changed = line.replace(from, to);
            assert_eq!(read(changed.as_bytes(), 5), (vec![], false), "{changed}");
        }
        assert_eq!(read(&[0xff, 0, 1], 5), (vec![], false));
    }
}
