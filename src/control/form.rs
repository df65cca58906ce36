//! For whom an answer is written.

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    /// For people, and not to be taken apart.
    Lines,
}

/// What `ctl` asks for when it is for a person.
pub(crate) const LINES: &str = "text/plain";

impl Form {
    /// By the `Accept` of a request: JSON, if that says nothing else.
    pub(crate) fn accepted(accept: Option<&[u8]>) -> Self {
        let first = accept.and_then(|accept| accept.get(..LINES.len()));
        match first.is_some_and(|first| first.eq_ignore_ascii_case(LINES.as_bytes())) {
            true => Self::Lines,
            false => Self::Json,
        }
    }
}
