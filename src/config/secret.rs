use std::fmt;
use std::str::FromStr;

#[cfg(feature = "ctl")]
use super::values::bytes_text;
use super::values::{BadValue, bad, bytes, check_name, parse_secret, repeated};
use crate::wire::calendar::{DAY_SECONDS, day_text, parse_day};
use crate::wire::secret::SharedSecret;

/// `--secret [NAME=]S[,LIMIT=VALUE…]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretFlag {
    pub(crate) name: Option<String>,
    pub(crate) secret: SharedSecret,
    pub(crate) limits: SecretLimits,
}

impl FromStr for SecretFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut parts = text.split(',');
        let text = parts.next().unwrap_or_default();
        let limits = parse_limits(parts)?;
        // Base64 may end in `=`, so a whole secret is tried first.
        if let Ok(secret) = text.parse() {
            let name = None;
            return Ok(Self {
                name,
                secret,
                limits,
            });
        }
        let (name, secret) = match text.split_once('=') {
            Some((name, secret)) => (Some(check_name(name)?), secret),
            None if text.contains(':') => {
                return bad("a name is joined to its secret by =, as in alice=SECRET");
            }
            None => (None, text),
        };
        let secret = parse_secret(secret)?;
        Ok(Self {
            name,
            secret,
            limits,
        })
    }
}

fn parse_limits<'a>(parts: impl Iterator<Item = &'a str>) -> Result<SecretLimits, BadValue> {
    let mut limits = SecretLimits::default();
    for part in parts {
        let (option, value) = part.split_once('=').unwrap_or((part, ""));
        let set = limits.set(option, value);
        set.map_err(|error| BadValue::new(error.to_string()))?;
    }
    Ok(limits)
}

/// What the owner allows one secret; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecretLimits {
    pub(crate) max_connections: Option<u32>,
    /// Different client addresses at a time.
    pub(crate) max_ips: Option<u32>,
    /// Unix time of the first second after the last valid day (UTC).
    pub(crate) expires: Option<u64>,
    /// Bytes in both directions together, for ever.
    pub(crate) quota: Option<u64>,
    /// Bytes a second in both directions together, over all of its clients.
    pub(crate) rate: Option<u64>,
}

impl SecretLimits {
    /// The last valid day, `YYYY-MM-DD`, if it was before `now`, which is unix time.
    pub(crate) fn expired_on(&self, now: u64) -> Option<String> {
        let end = self.expires.filter(|end| now >= *end)?;
        Some(day_text(end.saturating_sub(1)))
    }

    /// Takes `max-connections`, `max-ips`, `expires`, `quota` or `rate`.
    pub(crate) fn set(&mut self, option: &str, value: &str) -> Result<(), LimitError> {
        let wrong = || LimitError::Value(option.to_owned(), value.to_owned());
        match option {
            "max-connections" => self.max_connections = Some(value.parse().map_err(|_| wrong())?),
            "max-ips" => self.max_ips = Some(value.parse().map_err(|_| wrong())?),
            "expires" => self.expires = Some(end_of_day(value).ok_or_else(wrong)?),
            "quota" => self.quota = Some(bytes(value).map_err(|_| wrong())?),
            "rate" => {
                let rate = bytes(value).ok().filter(|rate| *rate > 0);
                self.rate = Some(rate.ok_or_else(wrong)?);
            }
            _ => return Err(LimitError::Option(option.to_owned())),
        }
        Ok(())
    }
}

/// Limits to set, or to take off, as a person says them; each makes sense.
#[cfg(feature = "ctl")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitChange(Vec<(String, String)>);

#[cfg(feature = "ctl")]
impl LimitChange {
    /// In the place of a value: no limit.
    const NONE: &str = "none";

    pub(crate) fn add(&mut self, option: &str, value: &str) -> Result<(), LimitError> {
        Self::apply(option, value, &mut SecretLimits::default())?;
        self.0.push((option.to_owned(), value.to_owned()));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each option with its value.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, &str)> {
        let words = self.0.iter();
        words.map(|(option, value)| (option.as_str(), value.as_str()))
    }

    pub(super) fn apply_to(&self, limits: &mut SecretLimits) {
        for (option, value) in self.words() {
            let _ = Self::apply(option, value, limits);
        }
    }

    fn apply(option: &str, value: &str, limits: &mut SecretLimits) -> Result<(), LimitError> {
        match (option, value) {
            ("max-connections", Self::NONE) => limits.max_connections = None,
            ("max-ips", Self::NONE) => limits.max_ips = None,
            ("expires", Self::NONE) => limits.expires = None,
            ("quota", Self::NONE) => limits.quota = None,
            ("rate", Self::NONE) => limits.rate = None,
            _ => limits.set(option, value)?,
        }
        Ok(())
    }
}

/// As they stand behind a secret, each with a comma before it.
#[cfg(feature = "ctl")]
impl fmt::Display for SecretLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(most) = self.max_connections {
            write!(f, ",max-connections={most}")?;
        }
        if let Some(most) = self.max_ips {
            write!(f, ",max-ips={most}")?;
        }
        if let Some(end) = self.expires {
            write!(f, ",expires={}", day_text(end.saturating_sub(1)))?;
        }
        if let Some(quota) = self.quota {
            write!(f, ",quota={}", bytes_text(quota))?;
        }
        if let Some(rate) = self.rate {
            write!(f, ",rate={}", bytes_text(rate))?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LimitError {
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

/// Unix time of the end of a day `YYYY-MM-DD` in UTC.
fn end_of_day(text: &str) -> Option<u64> {
    parse_day(text).map(|midnight| midnight + DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn secrets_with_and_without_a_name() {
        let parse = |text: &str| text.parse::<SecretFlag>();
        assert_eq!(parse(KEY).unwrap().name, None);
        let named = parse(&format!("it's=dd{KEY}")).unwrap();
        assert_eq!(named.name.as_deref(), Some("it's"));
        assert_eq!(named.secret.to_string(), format!("dd{KEY}"));
        // 17 bytes 0xdd 0x00 …: with padding, so that it ends in `=`.
        let base64 = "3QARIjNEVWZ3iJmqu8zd7v8=";
        let plain = parse(base64).unwrap();
        assert_eq!(
            (plain.name, plain.secret.to_string()),
            (None, format!("dd{KEY}"))
        );
        let named = parse(&format!("bob={base64}")).unwrap();
        assert_eq!(named.secret.to_string(), format!("dd{KEY}"));
    }

    #[test]
    fn a_bad_secret_is_not_repeated_in_the_error() {
        let typo = format!("alice=dd{}", &KEY[1..]);
        let error = typo.parse::<SecretFlag>().unwrap_err().to_string();
        assert!(!error.contains(&KEY[4..12]), "{error}");
        assert!(format!("=dd{KEY}").parse::<SecretFlag>().is_err());
        assert!(format!("a b=dd{KEY}").parse::<SecretFlag>().is_err());
    }

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

    #[cfg(feature = "ctl")]
    #[test]
    fn limits_are_changed_and_written_as_they_are_read() {
        let mut change = LimitChange::default();
        for (option, value) in [
            ("max-connections", "30"),
            ("max-ips", "3"),
            ("expires", "2027-01-31"),
            ("quota", "1536M"),
            ("rate", "1000"),
        ] {
            change.add(option, value).unwrap();
        }
        let mut limits = SecretLimits::default();
        change.apply_to(&mut limits);
        let text = ",max-connections=30,max-ips=3,expires=2027-01-31,quota=1536M,rate=1000";
        assert_eq!(limits.to_string(), text);
        let read: SecretFlag = format!("a=dd{KEY}{text}").parse().unwrap();
        assert_eq!(read.limits, limits);
        let mut off = LimitChange::default();
        for option in ["max-connections", "max-ips", "expires", "quota", "rate"] {
            off.add(option, "none").unwrap();
        }
        off.apply_to(&mut limits);
        assert_eq!(limits, SecretLimits::default());
        assert!(off.add("speed", "none").is_err() && off.add("quota", "").is_err());
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
