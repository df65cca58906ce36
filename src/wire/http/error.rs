use std::fmt;

/// Why there is no answer in what was received, or nowhere to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpError {
    BadUrl,
    /// Not HTTP, or not the HTTP that was asked for.
    Malformed,
    /// The connection ended first.
    Truncated,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadUrl => "not a URL that can be asked: http://host[:port]/path or https://…",
            Self::Malformed => "the server does not speak HTTP/1.1",
            Self::Truncated => "the server closed before its answer was complete",
        })
    }
}

impl std::error::Error for HttpError {}
