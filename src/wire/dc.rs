use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

const TEST_OFFSET: u16 = 10_000;

/// A data centre as a client names it (`doc/protocol.md` §2): 1..5, 203 for the
/// CDN, negative for the media servers of that DC, 10000 further from zero for
/// the test DCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DcId(pub i16);

impl DcId {
    pub fn is_media(self) -> bool {
        self.0 < 0
    }

    pub fn is_test(self) -> bool {
        self.0.unsigned_abs() > TEST_OFFSET
    }

    /// Which DC it is, media and test told apart by the other two questions.
    pub fn number(self) -> u16 {
        let id = self.0.unsigned_abs();
        if self.is_test() { id - TEST_OFFSET } else { id }
    }
}

impl fmt::Display for DcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DcId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_and_test_are_told_from_the_number() {
        for (id, number, media, test) in [
            (2, 2, false, false),
            (-4, 4, true, false),
            (203, 203, false, false),
            (10_003, 3, false, true),
            (-10_001, 1, true, true),
            (10_000, 10_000, false, false),
            (i16::MIN, 22_768, true, true),
        ] {
            let dc = DcId(id);
            assert_eq!(
                (dc.number(), dc.is_media(), dc.is_test()),
                (number, media, test)
            );
            assert_eq!(dc.to_string().parse(), Ok(dc));
        }
    }
}
