//! Where a request's target leads below a site's directory.

/// A target, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SitePath {
    /// Without slashes at its ends: `a/b.html`, or `""`.
    pub(super) path: String,
    /// It names a directory.
    pub(super) has_slash: bool,
}

impl SitePath {
    /// `None`: it leads nowhere, or out of the directory.
    pub(super) fn of(target: &[u8]) -> Option<Self> {
        let target = without_authority(target)?;
        let path = target.split(|byte| matches!(byte, b'?' | b'#')).next()?;
        let path = String::from_utf8(decode(path)?).ok()?;
        let mut parts = Vec::new();
        let (mut has_slash, inner) = (false, path.strip_prefix('/')?);
        for part in inner.split('/') {
            has_slash = matches!(part, "" | "." | "..");
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        Some(Self {
            path: parts.join("/"),
            has_slash,
        })
    }
}

/// The query of a target with its `?`, or nothing.
pub(super) fn query_of(target: &[u8]) -> &[u8] {
    let at = target.iter().position(|byte| *byte == b'?');
    at.and_then(|at| target.get(at..)).unwrap_or_default()
}

/// The path of a whole URL, as proxies are asked.
fn without_authority(target: &[u8]) -> Option<&[u8]> {
    let rest = match target {
        [b'/', ..] => return Some(target),
        target => target
            .strip_prefix(b"http://")
            .or_else(|| target.strip_prefix(b"https://"))?,
    };
    let slash = rest.iter().position(|byte| *byte == b'/');
    match slash {
        Some(slash) => rest.get(slash..),
        None => Some(b"/"),
    }
}

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => *byte,
        };
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets() {
        for (target, path, has_slash) in [
            ("/", "", true),
            ("/?a=/b", "", true),
            ("/a/b.html", "a/b.html", false),
            ("/a//b/./c/", "a/b/c", true),
            ("/a/../b", "b", false),
            ("/a/..", "", true),
            ("/%61%2Fb%20c", "a/b c", false),
            ("http://h/a", "a", false),
            ("https://h", "", true),
        ] {
            let path = path.to_owned();
            let expected = Some(SitePath { path, has_slash });
            assert_eq!(SitePath::of(target.as_bytes()), expected, "{target}");
        }
        for bad in [
            "", "*", "a", "/..", "/a/../..", "/%2e%2e", "/%", "/%6", "/%00", "/%ff",
        ] {
            assert_eq!(SitePath::of(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(query_of(b"/a?b?c"), b"?b?c");
        assert_eq!(query_of(b"/a"), b"");
    }

    proptest! {
        #[test]
        fn none_leads_out(target in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(found) = SitePath::of(&target) {
                let mut parts = found.path.split('/');
                let is_inside = parts.all(|part| !matches!(part, "" | "." | ".."));
                prop_assert!(found.path.is_empty() || is_inside);
            }
        }
    }
}
