//! Times, sizes and columns for people, without floating point.

use std::fmt::Write;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// `12 s`, `3 min`, `5 h`, `9 d`: what one looks at an age for.
pub(super) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / MINUTE),
        7200..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

/// `850 µs`, `41 ms`, `2.3 s`.
pub(super) fn round_trip(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros @ 1000..1_000_000 => format!("{} ms", micros / 1000),
        micros => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

/// As flags have it: `512`, `1.2K`, `50G`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
    let (mut unit, mut tenths) = (0, u128::from(bytes) * 10);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        (unit, tenths) = (unit + 1, tenths / 1024);
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    match (tenths / 10, tenths % 10) {
        (whole, part) if part > 0 && whole < 100 && !unit.is_empty() => {
            format!("{whole}.{part}{unit}")
        }
        (whole, _) => format!("{whole}{unit}"),
    }
}

/// Adds a cell of a table, and at least one blank behind it.
pub(super) fn cell(out: &mut String, width: usize, text: &str) {
    let _ = write!(out, "{text:<width$} ");
}

/// Ends a row.
pub(super) fn end(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

/// The first line of a table.
pub(super) fn header(columns: &[(&str, usize)]) -> String {
    let mut line = String::new();
    for (name, width) in columns {
        cell(&mut line, *width, name);
    }
    end(&mut line);
    line
}

/// `1 client`, `2 clients`.
pub(super) fn counted(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_say_it() {
        let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800, 9_000_000];
        let said = ages.map(|seconds| age(Duration::from_secs(seconds)));
        let wanted = [
            "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d", "104 d",
        ];
        assert_eq!(said, wanted);
        let times = [0, 850, 1000, 41_900, 999_999, 2_390_000];
        let said = times.map(|micros| round_trip(Duration::from_micros(micros)));
        assert_eq!(said, ["0 µs", "850 µs", "1 ms", "41 ms", "999 ms", "2.3 s"]);
        let sizes = [0, 1023, 1024, 1300, 150 << 10, 50 << 30, u64::MAX];
        let wanted = ["0", "1023", "1K", "1.2K", "150K", "50G", "16777215T"];
        assert_eq!(sizes.map(size), wanted);
        assert_eq!(
            counted(1, "client") + &counted(2, "client"),
            "1 client2 clients"
        );
        let mut line = String::new();
        cell(&mut line, 3, "abcde");
        cell(&mut line, 3, "f");
        end(&mut line);
        assert_eq!(line, "abcde f\n");
    }
}
