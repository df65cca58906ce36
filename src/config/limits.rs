use std::fmt;

use super::discreet::repeated;
use crate::log;

const DAY_SECONDS: u64 = 86_400;

/// What the owner allows one secret; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretLimits {
    pub max_connections: Option<u32>,
    /// Different client addresses at a time.
    pub max_ips: Option<u32>,
    /// Unix time of the first second after the last valid day (UTC).
    pub expires: Option<u64>,
    /// Bytes in both directions together, for ever.
    pub quota: Option<u64>,
    /// Bytes a second in both directions together, over all of its clients.
    pub rate: Option<u64>,
}

impl SecretLimits {
    /// The last valid day, `YYYY-MM-DD`, if it was before `now`, which is unix time.
    pub fn expired_on(&self, now: u64) -> Option<String> {
        let end = self.expires.filter(|end| now >= *end)?;
        Some(log::day(end.saturating_sub(1)))
    }

    /// Takes `max-connections`, `max-ips`, `expires`, `quota` or `rate`.
    pub fn set(&mut self, option: &str, value: &str) -> Result<(), LimitError> {
        let wrong = || LimitError::Value(option.to_owned(), value.to_owned());
        match option {
            "max-connections" => self.max_connections = Some(value.parse().map_err(|_| wrong())?),
            "max-ips" => self.max_ips = Some(value.parse().map_err(|_| wrong())?),
            "expires" => self.expires = Some(end_of_day(value).ok_or_else(wrong)?),
            "quota" => self.quota = Some(bytes(value).ok_or_else(wrong)?),
            "rate" => {
                let rate = bytes(value).filter(|rate| *rate > 0);
                self.rate = Some(rate.ok_or_else(wrong)?);
            }
            _ => return Err(LimitError::Option(option.to_owned())),
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitError {
    Option(String),
    Value(String, String),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(option) => write!(
                f,
                "unknown limit {:?}: use max-connections, max-ips, expires, quota or rate",
                repeated(option)
            ),
            Self::Value(option, value) => {
                let form = match option.as_str() {
                    "expires" => "a date, YYYY-MM-DD",
                    "quota" | "rate" => "a size like 500K, 2M or 50G",
                    _ => "a number",
                };
                write!(f, "{option} is {form}, not {value:?}")
            }
        }
    }
}

impl std::error::Error for LimitError {}

/// Bytes: a number, with K, M, G or T for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (text.get(..text.len() - 1)?, 10),
        b'M' | b'm' => (text.get(..text.len() - 1)?, 20),
        b'G' | b'g' => (text.get(..text.len() - 1)?, 30),
        b'T' | b't' => (text.get(..text.len() - 1)?, 40),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Unix time of the end of a day `YYYY-MM-DD` in UTC.
fn end_of_day(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let year: u64 = parts.next().filter(|part| part.len() == 4)?.parse().ok()?;
    let month: u64 = parts.next().filter(|part| part.len() == 2)?.parse().ok()?;
    let day: u64 = parts.next().filter(|part| part.len() == 2)?.parse().ok()?;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let days_of = |month| match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_of(month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(|year| 365 + u64::from(leap(year))).sum();
    let months: u64 = (1..month).map(days_of).sum();
    Some((years + months + day) * DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(options: &[(&str, &str)]) -> Result<SecretLimits, LimitError> {
        let mut limits = SecretLimits::default();
        for (option, value) in options {
            limits.set(option, value)?;
        }
        Ok(limits)
    }

    #[test]
    fn text() {
        let all = limits(&[
            ("max-connections", "30"),
            ("max-ips", "3"),
            ("expires", "2027-01-31"),
            ("quota", "50G"),
            ("rate", "2M"),
        ]);
        let wanted = SecretLimits {
            max_connections: Some(30),
            max_ips: Some(3),
            expires: Some(1_801_440_000),
            quota: Some(50 << 30),
            rate: Some(2 << 20),
        };
        assert_eq!(all, Ok(wanted));
        assert_eq!(end_of_day("1970-01-01"), Some(86_400));
        assert_eq!(end_of_day("2024-02-29"), Some(1_709_251_200));
        for (option, wrong) in [
            ("expires", "2023-02-29"),
            ("expires", "2027-13-01"),
            ("expires", "27-01-01"),
            ("expires", "2027-01-00"),
            ("expires", "tomorrow"),
            ("quota", "50X"),
            ("quota", "G"),
            ("quota", ""),
            ("quota", "99999999999G"),
            ("rate", "0"),
            ("max-ips", "-1"),
            ("speed", "1"),
            ("", ""),
        ] {
            assert!(limits(&[(option, wrong)]).is_err(), "{option}={wrong}");
        }
    }

    #[test]
    fn the_last_day_is_the_one_that_was_given() {
        for day in ["2027-01-31", "2024-02-29", "1970-01-01", "9999-12-31"] {
            let limits = limits(&[("expires", day)]).unwrap();
            let end = limits.expires.unwrap();
            assert_eq!(limits.expired_on(end).as_deref(), Some(day));
            assert_eq!(limits.expired_on(end - 1), None);
        }
        assert_eq!(SecretLimits::default().expired_on(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn options_never_panic(option in "[a-z-]{0,16}|expires|quota|rate|max-ips", value in any::<String>()) {
            let _ = limits(&[(&option, &value)]);
        }
    }
}
