//! The bridge page: what its headers must say, and the token in it.

use std::io;

use super::http::{Answer, Request};
use super::options::Options;
use crate::client::invalid;

/// Characters of a token, and of a capability.
const TOKEN: usize = 43;

pub struct Page {
    pub answer: Answer,
    token: String,
}

impl Page {
    /// Opens it as an app does; an error says what an app would not take.
    pub async fn open(options: &Options) -> io::Result<Self> {
        let answer = options.connect().await?.ask(&request(options)).await?;
        let complaints = complaints(&answer, options);
        if !complaints.is_empty() {
            return Err(invalid(format!("the page: {}", complaints.join("; "))));
        }
        let text = String::from_utf8_lossy(&answer.body);
        let token = token(&text).ok_or_else(|| invalid("a page without a token".to_owned()))?;
        Ok(Self { token, answer })
    }

    /// Its bootstrap token.
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// The request for the page.
pub(super) fn request(options: &Options) -> Request {
    let target = options.target(&format!("?bridge={}", options.capability()));
    Request::new(options, "GET", &target)
        .field("User-Agent", "Mozilla/5.0")
        .field("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
        .field("Sec-Fetch-Mode", "navigate")
}

/// As native clients find it: behind `Bearer`, or the first in double quotes.
fn token(text: &str) -> Option<String> {
    let is_token = |word: &&str| word.len() == TOKEN && word.bytes().all(is_digit);
    let mut shown = text.split("Bearer ").skip(1);
    let shown = shown.find_map(|rest| rest.get(..TOKEN).filter(is_token));
    let quoted = || text.split('"').skip(1).find(is_token);
    shown.or_else(quoted).map(str::to_owned)
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn complaints(answer: &Answer, options: &Options) -> Vec<String> {
    let mut complaints = Vec::new();
    if answer.status != 200 {
        complaints.push(format!("status {}", answer.status));
        return complaints;
    }
    for (name, expected) in [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-DNS-Prefetch-Control", "off"),
    ] {
        let value = answer.field(name).unwrap_or_default();
        if !value.eq_ignore_ascii_case(expected) {
            complaints.push(format!("{name} is {value:?}, not {expected:?}"));
        }
    }
    for name in [
        "X-Frame-Options",
        "Cross-Origin-Opener-Policy",
        "Cross-Origin-Embedder-Policy",
        "Set-Cookie",
    ] {
        if answer.has(name) {
            complaints.push(format!("there is {name}"));
        }
    }
    if !answer.has("Permissions-Policy") {
        complaints.push("there is no Permissions-Policy".to_owned());
    }
    let policy = answer.field("Content-Security-Policy").unwrap_or_default();
    complaints.extend(of_policy(policy, answer, options));
    complaints
}

/// Of the Content-Security-Policy.
fn of_policy(policy: &str, answer: &Answer, options: &Options) -> Vec<String> {
    let directives: Vec<Vec<&str>> = policy
        .split(';')
        .map(|directive| directive.split_whitespace().collect())
        .collect();
    let words = |name: &str| {
        let mut all = directives.iter().filter(|one| one.first() == Some(&name));
        let found = all.next().map(|words| words[1..].to_vec());
        found.filter(|_| all.next().is_none())
    };
    let mut complaints = Vec::new();
    let socket = format!("wss://{}", options.host);
    for (name, expected) in [
        ("default-src", &["'none'"][..]),
        ("connect-src", &["'self'", &socket]),
        ("frame-ancestors", &["http://127.0.0.1:*"]),
        ("base-uri", &["'none'"]),
        ("form-action", &["'none'"]),
        ("sandbox", &["allow-same-origin", "allow-scripts"]),
    ] {
        let mut found = words(name).unwrap_or_default();
        found.sort_unstable();
        if found != expected {
            complaints.push(format!("{name} is {found:?}"));
        }
    }
    let script = words("script-src").unwrap_or_default();
    let nonce = match script.as_slice() {
        [word] => word
            .strip_prefix("'nonce-")
            .and_then(|word| word.strip_suffix('\'')),
        _ => None,
    };
    let body = String::from_utf8_lossy(&answer.body);
    if !nonce.is_some_and(|nonce| body.contains(&format!("nonce=\"{nonce}\""))) {
        complaints.push(format!("script-src is {script:?}"));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_is_found() {
        let (first, second) = ("a".repeat(43), "B".repeat(43));
        let text = format!(
            "<a x=\"no\" t=\"{}\" b=\"{first}\" c=\"{second}\">",
            "c".repeat(44)
        );
        assert_eq!(token(&text), Some(first));
        assert_eq!(token(&format!("'Bearer {second}'")), Some(second));
        assert_eq!(token("\"short\""), None);
    }
}
