//! The bridge page's file and its blanks.
//!
//! `bridge.html` is served as it is, but for three blanks, each of which is there once:
//!
//! | blank | what goes there |
//! |---|---|
//! | `{{nonce}}` | what the answer's `script-src 'nonce-…'` says: 1 to 42 characters of base64url, fresh for every page |
//! | `{{token}}` | the bootstrap token, 43 characters of base64url |
//! | `{{carriers}}` | which carriers to try, in their order, as words: [`CARRIERS`]; the page's tests fill in others |
//!
//! Native libraries do not run the page: they take its first double-quoted string of 43
//! characters for the bootstrap token. So the nonce, which comes before it, is never 43
//! characters long, and the page's script quotes nothing else so.
//!
//! There is no blank for the base path: the page stands at it, and asks for `api/v1/…` below
//! the path that it was opened at, which is where apps expect it to stay.
//!
//! What the page needs from who serves it, besides the interface in `api/v1`:
//! - `connect-src 'self' wss://HOST` in the answer's Content-Security-Policy;
//! - a web session whose WebSocket never carried a message goes on over `up` and `down`: the
//!   page changes to them where the socket does not come up within 5 s, and cannot know
//!   whether its request has arrived.

const PAGE: &str = include_str!("bridge.html");

/// A WebSocket, and HTTPS requests where it does not come up.
const CARRIERS: &str = "websocket https";

/// The page's text for one request. `nonce` and `token` are base64url, so there is nothing
/// in them to escape.
pub(super) fn fill(nonce: &str, token: &str) -> String {
    let mut page = String::with_capacity(PAGE.len() + nonce.len() + token.len());
    let mut rest = PAGE;
    for (blank, filling) in [
        ("{{nonce}}", nonce),
        ("{{token}}", token),
        ("{{carriers}}", CARRIERS),
    ] {
        let Some((before, after)) = rest.split_once(blank) else {
            continue;
        };
        page.push_str(before);
        page.push_str(filling);
        rest = after;
    }
    page.push_str(rest);
    page
}

#[cfg(test)]
mod tests {
    use super::{CARRIERS, PAGE, fill};

    const NONCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    const TOKEN: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    /// As native libraries do it.
    fn first_token(page: &str) -> Option<&str> {
        let of_a_token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        page.split('"')
            .find(|text| text.len() == 43 && text.chars().all(of_a_token))
    }

    #[test]
    fn every_blank_is_filled_once() {
        for blank in ["{{nonce}}", "{{token}}", "{{carriers}}"] {
            assert_eq!(PAGE.matches(blank).count(), 1, "{blank}");
        }
        let page = fill(NONCE, TOKEN);
        assert!(!page.contains("{{"));
        for filling in [NONCE, TOKEN, CARRIERS] {
            assert_eq!(page.matches(filling).count(), 1, "{filling}");
        }
    }

    #[test]
    fn native_libraries_find_the_token() {
        let page = fill(NONCE, TOKEN);
        assert_eq!(first_token(&page), Some(TOKEN));
    }

    #[test]
    fn it_is_small() {
        assert!(PAGE.len() < 12 << 10, "{}", PAGE.len());
    }
}
