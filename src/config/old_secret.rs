use crate::wire::secret::SharedSecret;

/// One that a user had before, and that is good for a while beside the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OldSecret {
    pub(crate) name: String,
    pub(crate) secret: SharedSecret,
    /// Unix time of the first second in which it is not.
    pub(crate) until: u64,
}
