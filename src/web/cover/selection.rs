//! What of a file a request wants, by its conditions and its range (RFC 9110 §13, §14).

use std::ops::Range;

use super::files::File;
use crate::wire::http::RequestHead;
use crate::wire::http_date;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Whole,
    Part(Range<usize>),
    /// The client has it.
    Unchanged,
    /// It is not the one that is meant.
    Changed,
    /// There are no such bytes.
    OutOfRange,
}

/// Of its time and its length, as hexadecimal numbers.
pub(super) fn etag_of(file: &File) -> String {
    format!("\"{:x}-{:x}\"", file.modified, file.body.len())
}

impl Selection {
    pub(super) fn of(request: &RequestHead, file: &File) -> Self {
        let text = |name| {
            request
                .fields()
                .only(name)
                .and_then(|value| str::from_utf8(value).ok())
        };
        let etag = etag_of(file);
        let names = |list: &str| {
            list.trim() == "*"
                || list
                    .split(',')
                    .any(|one| one.trim().trim_start_matches("W/") == etag)
        };
        let is_meant = match (text("if-match"), text("if-unmodified-since")) {
            (Some(list), _) => names(list),
            (None, Some(date)) => http_date::parse(date).is_none_or(|date| file.modified <= date),
            (None, None) => true,
        };
        if !is_meant {
            return Self::Changed;
        }
        let is_known = match (text("if-none-match"), text("if-modified-since")) {
            (Some(list), _) => names(list),
            (None, Some(date)) => http_date::parse(date) == Some(file.modified),
            (None, None) => false,
        };
        if is_known {
            return Self::Unchanged;
        }
        let is_of_range = text("if-range")
            .is_none_or(|one| one == etag || http_date::parse(one) == Some(file.modified));
        match text("range").filter(|_| is_of_range) {
            Some(range) => Self::of_range(range, file.body.len()),
            None => Self::Whole,
        }
    }

    /// One range; of several, which nobody has to serve, all of the file is shown.
    fn of_range(range: &str, len: usize) -> Self {
        let Some((first, last)) = range
            .strip_prefix("bytes=")
            .filter(|ranges| !ranges.contains(','))
            .and_then(|range| range.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // One that is too large lies behind every end.
            is_number.then(|| digits.parse().unwrap_or(usize::MAX))
        };
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if last < first => return Self::OutOfRange,
            (Some(first), Some(last)) => first..len.min(last.saturating_add(1)),
            (Some(first), None) if last.is_empty() => first..len,
            (None, Some(count)) if first.is_empty() => len.saturating_sub(count)..len,
            _ => return Self::OutOfRange,
        };
        match range.start < range.end {
            true => Self::Part(range),
            false => Self::OutOfRange,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(fields: &str) -> Selection {
        let file = File {
            body: (0..100).collect(),
            modified: 784_111_777,
            content_type: "text/html",
        };
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        Selection::of(&RequestHead::parse(head.as_bytes()).unwrap(), &file)
    }

    #[test]
    fn conditions() {
        use Selection::{Changed, Unchanged, Whole};

        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sun, 06 Nov 1994 08:49:38 GMT";
        let earlier = "Sun, 06 Nov 1994 08:49:36 GMT";
        let etag = "\"2ebc98a1-64\"";
        for (fields, expected) in [
            (String::new(), Whole),
            (format!("If-None-Match: {etag}\r\n"), Unchanged),
            (format!("If-None-Match: \"x\", W/{etag}\r\n"), Unchanged),
            ("If-None-Match: *\r\n".to_owned(), Unchanged),
            ("If-None-Match: \"x\"\r\n".to_owned(), Whole),
            (format!("If-Modified-Since: {date}\r\n"), Unchanged),
            (format!("If-Modified-Since: {later}\r\n"), Whole),
            ("If-Modified-Since: never\r\n".to_owned(), Whole),
            (
                format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"),
                Whole,
            ),
            (format!("If-Match: {etag}\r\n"), Whole),
            ("If-Match: \"x\"\r\n".to_owned(), Changed),
            (format!("If-Unmodified-Since: {earlier}\r\n"), Changed),
            (format!("If-Unmodified-Since: {date}\r\n"), Whole),
        ] {
            assert_eq!(selection(&fields), expected, "{fields}");
        }
    }

    #[test]
    fn ranges() {
        use Selection::{OutOfRange, Part, Whole};

        for (range, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=10-", Part(10..100)),
            ("bytes=-10", Part(90..100)),
            ("bytes=-1000", Part(0..100)),
            ("bytes=50-1000", Part(50..100)),
            ("bytes=99-99999999999999999999999", Part(99..100)),
            ("bytes=100-", OutOfRange),
            ("bytes=-0", OutOfRange),
            ("bytes=2-1", OutOfRange),
            ("bytes=a-b", OutOfRange),
            ("bytes=-", OutOfRange),
            ("bytes=0-1,3-4", Whole),
            ("lines=0-1", Whole),
        ] {
            let fields = format!("Range: {range}\r\n");
            assert_eq!(selection(&fields), expected, "{range}");
            let other = format!("{fields}If-Range: \"x\"\r\n");
            assert_eq!(selection(&other), Whole);
            let same = format!("{fields}If-Range: \"2ebc98a1-64\"\r\n");
            assert_eq!(selection(&same), selection(&fields));
        }
    }
}
