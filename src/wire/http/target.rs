//! A request's target as an API takes it: names between slashes, then `name=value`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// What stands for itself everywhere in a target (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// More than any call has.
const MAX_PARTS: usize = 16;

/// A path and its query, with all escapes undone.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// What is between the slashes.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
}

impl Target {
    /// `None`: no path, no text, or more parts than anybody means.
    pub fn parse(target: &[u8]) -> Option<Self> {
        let (path, query) = match target.iter().position(|byte| *byte == b'?') {
            Some(at) => (target.get(..at)?, target.get(at + 1..)?),
            None => (target, &[][..]),
        };
        let path = path.strip_prefix(b"/")?;
        let names = path.split(|byte| *byte == b'/').take(MAX_PARTS + 1);
        let path: Vec<String> = names.map(text).collect::<Option<_>>()?;
        let mut pairs = Vec::new();
        for pair in query.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (pair.get(..at)?, pair.get(at + 1..)?),
                None => (pair, &[][..]),
            };
            pairs.push((text(name)?, text(value)?));
            if pairs.len() > MAX_PARTS {
                return None;
            }
        }
        (path.len() <= MAX_PARTS).then_some(Self { path, query: pairs })
    }
}

/// No letter of it moves a cursor or ends a line.
fn text(escaped: &[u8]) -> Option<String> {
    let text = percent_decode(escaped).decode_utf8().ok()?;
    (!text.contains(|c: char| c.is_control())).then(|| text.into_owned())
}

/// `name` as one part of a target.
pub fn escaped(name: &str) -> String {
    utf8_percent_encode(name, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_between_slashes_then_values() {
        let target = Target::parse(b"/v1/tables/a%2Fb/?limit=5&x&=&secret=%C3%A9%3D").unwrap();
        assert_eq!(target.path, ["v1", "tables", "a/b", ""]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let wanted = [
            pair("limit", "5"),
            pair("x", ""),
            pair("", ""),
            pair("secret", "é="),
        ];
        assert_eq!(target.query, wanted);
        for wrong in [&b"*"[..], b"", b"http://h/", b"/%ff", b"/a%0Ab", b"/?a=%00"] {
            assert_eq!(Target::parse(wrong), None, "{wrong:?}");
        }
        let long = "/a".repeat(MAX_PARTS);
        assert!(Target::parse(long.as_bytes()).is_some());
        assert_eq!(Target::parse((long + "/a").as_bytes()), None);
        let many = format!("/?{}", "a&".repeat(MAX_PARTS + 1));
        assert_eq!(Target::parse(many.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "\\PC{0,40}") {
            let target = format!("/v1/{}?a={0}", escaped(&name));
            let target = Target::parse(target.as_bytes()).unwrap();
            prop_assert_eq!(&target.path, &["v1".to_owned(), name.clone()]);
            prop_assert_eq!(&target.query, &[("a".to_owned(), name)]);
        }

        #[test]
        fn nothing_is_too_odd(target: Vec<u8>) {
            let _ = Target::parse(&target);
        }
    }
}
