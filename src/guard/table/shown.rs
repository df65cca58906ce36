use std::path::Path;

use super::Snapshot;

impl Snapshot {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}
