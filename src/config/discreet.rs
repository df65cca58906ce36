use crate::wire::secret::SharedSecret;

/// A word for a message, unless it may be a secret in the wrong place: messages
/// go to logs.
pub(super) fn repeated(word: &str) -> &str {
    const LONGEST: usize = 30;
    let bare = word.trim_start_matches('-');
    if bare.len() > LONGEST || bare.parse::<SharedSecret>().is_ok() {
        "what stands there (perhaps a secret, so it is not repeated)"
    } else {
        word
    }
}
