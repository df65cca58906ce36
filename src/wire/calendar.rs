//! Days and dates of the Gregorian calendar, in UTC.

pub const DAY_SECONDS: u64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: u64 = 719_468;
/// Days in 400 years.
const DAYS_PER_ERA: u64 = 146_097;

/// Year, month and day of a day since 1970-01-01. Counted in years that begin
/// in March, so that a leap day is a year's last.
pub fn date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Days from 1970-01-01 to a day of the years 1970 to 9999; `None` if there is no
/// such day.
pub fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let from_march = year - u64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let leap_days = from_march / 4 - from_march / 100 + from_march / 400;
    let days = 365 * from_march + leap_days + (153 * month_from_march + 2) / 5 + day - 1;
    let days = days - DAYS_TO_EPOCH;
    // The 31st of a shorter month would be a day of the next.
    (date(days) == (year, month, day)).then_some(days)
}

/// `YYYY-MM-DD` of a time in seconds since 1970.
pub fn day_text(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY_SECONDS);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `YYYY-MM-DDTHH:MM:SSZ` of a time in seconds since 1970.
pub fn time_text(seconds: u64) -> String {
    let (day, in_day) = (day_text(seconds), seconds % DAY_SECONDS);
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Seconds since 1970 of a time as [`time_text`] writes it.
pub fn parse_time(text: &str) -> Option<u64> {
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut seconds = 0;
    let mut parts = time.splitn(3, ':');
    for most in [23, 59, 59] {
        let part = parts.next()?;
        let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = part.parse().ok().filter(|_| is_number)?;
        seconds = seconds * 60 + Some(number).filter(|number| *number <= most)?;
    }
    Some(parse_day(day)? + seconds)
}

/// The first second of a day `YYYY-MM-DD`, since 1970.
pub fn parse_day(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits| -> Option<u64> {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.parse().ok()
    };
    let days = days_since_1970(number(4)?, number(2)?, number(2)?)?;
    Some(days * DAY_SECONDS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_leap(year: u64) -> bool {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    }

    /// Every day of 400 years and more, counted one by one.
    #[test]
    fn days_in_a_row() {
        let mut expected = 0;
        for year in 1970..2400 {
            let february = if is_leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    assert_eq!(days_since_1970(year, month, day), Some(expected));
                    assert_eq!(date(expected), (year, month, day));
                    expected += 1;
                }
                assert_eq!(days_since_1970(year, month, length + 1), None);
                assert_eq!(days_since_1970(year, month, 0), None);
            }
        }
    }

    // From `date -u -d @N`.
    #[test]
    fn known_days() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_528_329_600, "2018-06-07"),
            (4_107_542_400, "2100-03-01"),
            (253_402_214_400, "9999-12-31"),
        ] {
            assert_eq!(day_text(seconds), text);
            assert_eq!(day_text(seconds + DAY_SECONDS - 1), text);
            assert_eq!(parse_day(text), Some(seconds));
        }
        for wrong in [
            "",
            "tomorrow",
            "2023-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-01",
            "2027-01-00",
            "2027-04-31",
            "27-01-01",
            "2027-1-01",
            "2027-01-01-",
            "1969-12-31",
            "0000-00-00",
        ] {
            assert_eq!(parse_day(wrong), None, "{wrong}");
        }
    }

    // From `date -u -d @N`.
    #[test]
    fn known_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_528_396_015, "2018-06-07T18:26:55Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time_text(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn there_and_back(seconds in 0..253_402_300_800_u64) {
            let midnight = seconds - seconds % DAY_SECONDS;
            prop_assert_eq!(parse_day(&day_text(seconds)), Some(midnight));
        }

        #[test]
        fn only_leap_years_have_a_29th_of_february(year in 1970..10_000_u64) {
            prop_assert_eq!(days_since_1970(year, 2, 29).is_some(), is_leap(year));
        }

        #[test]
        fn numbers_that_are_no_day(year: u64, month: u64, day: u64) {
            prop_assert_eq!(days_since_1970(year, month | 16, day), None);
            prop_assert_eq!(days_since_1970(year, month, day | 32), None);
            let _ = days_since_1970(year, month, day);
        }

        #[test]
        fn any_text(text in "[0-9+-]{0,12}|.{0,12}") {
            if let Some(seconds) = parse_day(&text) {
                prop_assert_eq!(seconds % DAY_SECONDS, 0);
            }
        }
    }
}
