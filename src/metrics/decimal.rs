use std::fmt;
use std::time::Duration;

/// A fraction whose last digit is `10^-places`, shown as short as it goes.
/// Numbers with a floating point cost 18 KiB on MIPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(crate) value: u64,
    pub(crate) places: u32,
}

/// Of a time in seconds that is counted in microseconds.
pub(super) const MICROS: u32 = 6;

impl Decimal {
    pub(crate) fn whole(value: u64) -> Self {
        Self { value, places: 0 }
    }

    pub(crate) fn seconds(time: Duration) -> Self {
        Self {
            value: time.as_micros() as u64,
            places: MICROS,
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10u64.pow(self.places);
        write!(f, "{}", self.value / one)?;
        let (mut part, mut width) = (self.value % one, self.places as usize);
        if part == 0 {
            return Ok(());
        }
        while part % 10 == 0 {
            part /= 10;
            width -= 1;
        }
        write!(f, ".{part:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_short_as_it_goes() {
        for (value, places, shown) in [
            (0, 6, "0"),
            (1, 6, "0.000001"),
            (1_500_000, 6, "1.5"),
            (20_000_000, 6, "20"),
            (1_020_300, 6, "1.0203"),
            (1000, 0, "1000"),
        ] {
            assert_eq!(Decimal { value, places }.to_string(), shown);
        }
        let time = Duration::from_millis(2050);
        assert_eq!(Decimal::seconds(time).to_string(), "2.05");
    }
}
