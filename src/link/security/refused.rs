use std::path::Path;

use super::error::SetupError;
use super::identity::MAX_PEM;
use crate::config::{entry_in, read_text};
use crate::tls::Peer;
use crate::tls::x509::Fingerprints;

/// Certificates that get no link though the CA vouches for them (`--link-refuse`):
/// fingerprints of these or of their keys, sorted.
#[derive(Default)]
pub(crate) struct Refused(Vec<[u8; 32]>);

impl Refused {
    pub(crate) fn read(path: &Path) -> Result<Self, SetupError> {
        let text = read_text(path, MAX_PEM);
        let text = text.map_err(|error| SetupError::Unreadable(path.into(), error))?;
        Self::parse(&text).map_err(|line| {
            SetupError::bad(
                path,
                format_args!(
                    "line {line} is no SHA-256 fingerprint, 64 hex digits as `certs show` prints"
                ),
            )
        })
    }

    /// One a line, in hex, with or without colons; comments begin with `#`. Else the
    /// number of the first line that is wrong.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut all = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let Some(said) = entry_in(line) else {
                continue;
            };
            let digits = said.replace(':', "");
            let mut fingerprint = [0; 32];
            let decoded = base16ct::mixed::decode(&digits, &mut fingerprint);
            if decoded.map_or(0, <[u8]>::len) != 32 {
                return Err(index + 1);
            }
            all.push(fingerprint);
        }
        all.sort_unstable();
        all.dedup();
        Ok(Self(all))
    }

    /// How many of these `before` had not, and how many more it had.
    pub(crate) fn differences(&self, before: &Self) -> (usize, usize) {
        let lacks = |list: &Self, one: &[u8; 32]| list.0.binary_search(one).is_err();
        let more = self.0.iter().filter(|one| lacks(before, one)).count();
        let fewer = before.0.iter().filter(|one| lacks(self, one)).count();
        (more, fewer)
    }

    /// Whether the certificate is in the list, or its key.
    pub(crate) fn holds(&self, fingerprints: &Fingerprints) -> bool {
        let Fingerprints { certificate, key } = fingerprints;
        let mut either = [certificate, key].into_iter();
        either.any(|one| self.0.binary_search(one).is_ok())
    }

    /// The same of a peer. If its certificate cannot be read, any list at all keeps it
    /// out.
    pub(crate) fn has(&self, peer: &Peer) -> bool {
        match &peer.fingerprints {
            Some(fingerprints) => self.holds(fingerprints),
            None => !self.0.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_brings_is_counted() {
        let list = |digits: &[&str]| {
            let lines: String = digits.iter().map(|two| two.repeat(32) + "\n").collect();
            Refused::parse(&lines).unwrap()
        };
        let before = list(&["ab", "cd", "ab"]);
        assert_eq!(list(&["cd", "ab"]).differences(&before), (0, 0));
        assert_eq!(list(&["ef", "ab"]).differences(&before), (1, 1));
        assert_eq!(list(&[]).differences(&before), (0, 2));
    }

    #[test]
    fn fingerprints_as_tools_print_them() {
        let (one, other) = ("ab".repeat(32), ["CD"; 32].join(":"));
        let text = format!("# Lost.\n\n{one} # home\n  {other}\r\n");
        let refused = Refused::parse(&text).unwrap();
        let holds = |list: &Refused, certificate, key| {
            list.holds(&Fingerprints {
                certificate: [certificate; 32],
                key: [key; 32],
            })
        };
        assert!(holds(&refused, 0xab, 0) && holds(&refused, 0, 0xcd));
        assert!(!holds(&refused, 0, 1) && !holds(&Refused::default(), 0, 0));
        for bad in [
            "home",
            "ab",
            &"ab".repeat(31),
            &"ab".repeat(33),
            "home.pem: x",
        ] {
            assert_eq!(
                Refused::parse(&format!("#\n{bad}\n")).err(),
                Some(2),
                "{bad}"
            );
        }
    }
}
