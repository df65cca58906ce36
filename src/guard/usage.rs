//! What secrets have used of their quotas, as text.

/// What a text says that [`write_line`] made lines of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage<'a> {
    /// Bytes and whose they are.
    pub(crate) used: Vec<(u64, &'a str)>,
    /// Lines that say nothing of the kind.
    pub(crate) damaged: usize,
}

impl<'a> Usage<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let mut usage = Self::default();
        for line in text.lines() {
            match read_line(line) {
                Some(used) => usage.used.push(used),
                None => usage.damaged += 1,
            }
        }
        usage
    }
}

fn read_line(line: &str) -> Option<(u64, &str)> {
    let (bytes, name) = line.split_once(' ')?;
    // What is not UTF-8 was read as the replacement character.
    let is_noise = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    let is_name = !name.is_empty() && !name.contains(is_noise);
    let is_number = bytes.bytes().all(|byte| byte.is_ascii_digit());
    Some((bytes.parse().ok()?, name)).filter(|_| is_name && is_number)
}

/// `BYTES NAME` and the end of the line.
pub(crate) fn write_line(text: &mut String, used: u64, name: &str) {
    text.push_str(&format!("{used} {name}\n"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_without_sense_are_counted() {
        let usage = Usage::read("7 alice\n\0\0\0\nbob\n-1 carol\n+1 dave\n5 \n100 bob of x");
        assert_eq!(usage.used, [(7, "alice"), (100, "bob of x")]);
        assert_eq!(usage.damaged, 5);
        assert_eq!(Usage::read(""), Usage::default());
        assert_eq!(Usage::read(&"\0".repeat(4096)).damaged, 1);
        let noise = String::from_utf8_lossy(b"5 al\xffce\n6 bob\n");
        let usage = Usage::read(&noise);
        assert_eq!((usage.used, usage.damaged), (vec![(6, "bob")], 1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in proptest::collection::vec((any::<u64>(), "[!-~]{1,20}( [!-~]{1,9})?"), 0..20),
        ) {
            let mut text = String::new();
            for (used, name) in &entries {
                write_line(&mut text, *used, name);
            }
            let usage = Usage::read(&text);
            prop_assert_eq!(usage.damaged, 0);
            let read: Vec<_> = usage.used.iter().map(|(used, name)| (*used, (*name).to_owned())).collect();
            prop_assert_eq!(read, entries);
        }

        /// However much is cut or zeroed, every line is one or the other.
        #[test]
        fn no_line_is_lost_in_silence(
            text in "([0-9]{1,25} ?[a-z\0]{0,5}\n){0,9}",
            at in any::<proptest::sample::Index>(),
        ) {
            let cut = &text[..at.index(text.len() + 1)];
            let usage = Usage::read(cut);
            prop_assert_eq!(usage.used.len() + usage.damaged, cut.lines().count());
        }
    }
}
