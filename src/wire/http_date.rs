//! The time in HTTP answers (RFC 9110 §5.6.7). The library httpdate would add 6 KiB on
//! MIPS, and the calendar would still be ours.

use super::calendar::{DAY_SECONDS, date, days_since_1970};

const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";

/// From the weekday of 1970-01-01 on.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// The `Date` among an answer's headers, in seconds since 1970.
pub fn in_answer(answer: &str) -> Option<u64> {
    let mut headers = answer.lines().filter_map(|line| line.split_once(':'));
    let (_, date) = headers.find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    parse(date.trim())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110) as seconds since 1970. Servers
/// send neither of the two obsolete forms.
pub fn parse(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = words.as_slice() else {
        return None;
    };
    let month = MONTHS.split(' ').position(|name| name == *month)? as u64 + 1;
    let days = days_since_1970(year.parse().ok()?, month, day.parse().ok()?)?;
    let mut parts = time.split(':');
    let mut part = |limit: u64| -> Option<u64> {
        let part = parts.next()?.parse().ok();
        part.filter(|part| *part < limit)
    };
    // A leap second is the 61st.
    let (hour, minute, second) = (part(24)?, part(60)?, part(61)?);
    let is_whole = parts.next().is_none();
    is_whole.then_some(days * DAY_SECONDS + hour * 3600 + minute * 60 + second)
}

/// Seconds since 1970 as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn format(seconds: u64) -> String {
    let (days, in_day) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let (year, month, day) = date(days);
    let mut weekdays = WEEKDAYS.iter().cycle();
    let weekday = weekdays.nth((days % 7) as usize).unwrap_or(&"");
    let month = month.checked_sub(1).map(|index| index as usize);
    let month = month.and_then(|index| MONTHS.split(' ').nth(index));
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    format!(
        "{weekday}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        month.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        for bad in [
            "",
            "Sun, 06 Nov 1994",
            "a, b c d e GMT",
            "Sun, 06 ovD 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(format(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        for seconds in (0..4_000_000_000).step_by(86_399 * 31) {
            assert_eq!(parse(&format(seconds)), Some(seconds));
        }
        let answer = "HTTP/1.1 301 x\r\nServer: y\r\ndate: Thu, 01 Jan 1970 00:00:09 GMT\r\n\r\n";
        assert_eq!(in_answer(answer), Some(9));
    }
}
