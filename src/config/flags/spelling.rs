use super::FLAGS;

/// Longer than any flag.
const MAX_LEN: usize = 40;

/// The flag that was probably meant.
pub(super) fn nearest(flag: &str) -> Option<&'static str> {
    // A line of another file may have megabytes.
    if flag.len() > MAX_LEN {
        return None;
    }
    let known = FLAGS
        .iter()
        .map(|known| (distance(flag, known.name), known.name));
    let (distance, name) = known.min()?;
    // Of two letters nearly any two others are near.
    let letters = flag.trim_start_matches('-').len();
    (distance <= 2 && distance * 2 < letters).then_some(name)
}

/// Letters to insert, remove or replace to make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (b, above) in other.bytes().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(a != b))
                .min(left + 1)
                .min(*above + 1);
            diagonal = *above;
            *above = here;
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_is_too_long_to_be_meant() {
        assert!(FLAGS.iter().all(|flag| flag.name.len() < MAX_LEN));
    }

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("abc", "abd", 1),
            ("abc", "ac", 1),
            ("ac", "abc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
