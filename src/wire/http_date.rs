//! The time in HTTP answers (RFC 9110 §5.6.7). The library httpdate would add 6 KiB on
//! MIPS, and the calendar would still be ours.

use super::calendar::{DAY_SECONDS, days_since_1970};

/// The `Date` among an answer's headers, in seconds since 1970.
pub fn in_answer(answer: &str) -> Option<u64> {
    let mut headers = answer.lines().filter_map(|line| line.split_once(':'));
    let (_, date) = headers.find(|(name, _)| name.eq_ignore_ascii_case("date"))?;
    parse(date.trim())
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110) as seconds since 1970. Servers
/// send neither of the two obsolete forms.
pub fn parse(text: &str) -> Option<u64> {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
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
        let answer = "HTTP/1.1 301 x\r\nServer: y\r\ndate: Thu, 01 Jan 1970 00:00:09 GMT\r\n\r\n";
        assert_eq!(in_answer(answer), Some(9));
    }
}
