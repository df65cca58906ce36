use std::fmt;
use std::str::FromStr;

/// In bytes.
const MAX: usize = 128;

/// The path below which a page and its API are, when it is not the host's root: segments
/// `[A-Za-z0-9][A-Za-z0-9_-]*` with a `/` between them, none at the ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BasePath(Box<str>);

/// Why apps do not take a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    Empty,
    /// In bytes.
    TooLong(usize),
    Segment,
}

impl BasePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BasePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX {
            return Err(PathError::TooLong(text.len()));
        }
        match text.split('/').all(is_segment) {
            true => Ok(Self(text.into())),
            false => Err(PathError::Segment),
        }
    }
}

fn is_segment(segment: &str) -> bool {
    segment.starts_with(|first: char| first.is_ascii_alphanumeric())
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the path is empty; leave out the / behind the host name"),
            Self::TooLong(length) => {
                write!(f, "a path of {length} bytes; apps take {MAX} at most")
            }
            Self::Segment => write!(
                f,
                "a path that apps refuse: letters, digits, _ and - between single slashes, a letter \
                 or a digit first, no slash at the end"
            ),
        }
    }
}

impl std::error::Error for PathError {}
