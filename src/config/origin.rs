use std::path::Path;
use std::sync::Arc;

/// Where a flag was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    /// Lines are counted from 1.
    File {
        path: Arc<Path>,
        line: usize,
    },
}
