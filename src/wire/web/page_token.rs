use super::code;

/// The bootstrap token in a bridge page, as native clients look for it: the first word
/// between quotes that looks like one.
pub fn token_in_page(page: &[u8]) -> Option<&str> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut words = page.split(|byte| *byte == b'"');
    let token = words.find(|word| word.len() == code::LEN && word.iter().all(is_letter))?;
    str::from_utf8(token).ok()
}
