//! The lists' copies on disk: each names its source in a line before it, so
//! that another source's copy is not taken for this one's.

use crate::config::Source;

const FROM: &str = "# kept from ";

/// What is written for `list`, which came from `source`.
pub(super) fn to_file(source: &Source, list: &[u8]) -> Vec<u8> {
    let mut file = first_line(source).into_bytes();
    file.extend_from_slice(list);
    file
}

/// The list in `file`, if that is one of `source`.
pub(super) fn from_file<'a>(source: &Source, file: &'a [u8]) -> Option<&'a [u8]> {
    file.strip_prefix(first_line(source).as_bytes())
}

/// No list of whatever source begins like that.
pub(super) fn is_damaged(file: &[u8]) -> bool {
    !file.starts_with(FROM.as_bytes())
}

fn first_line(source: &Source) -> String {
    format!("{FROM}{source}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_of_its_source_only() {
        let source = |text: &str| Source::Url(text.to_owned());
        let file = to_file(&source("https://a/b"), b"\xff\n list");
        let read = |text| from_file(&source(text), &file);
        assert_eq!(read("https://a/b"), Some(&b"\xff\n list"[..]));
        for other in ["https://a/bc", "https://a/", "https://a/b\n"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(from_file(&source("https://a/b"), b"\xff\n list"), None);
        assert!(!is_damaged(&file));
        for damaged in [&b""[..], &[0; 4096], &file[..9], &file[1..]] {
            assert!(is_damaged(damaged));
        }
    }
}
