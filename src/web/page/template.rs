//! The bridge page's file and its blanks.
//!
//! `bridge.html` is served as it is, but for three blanks, each of which is there once:
//!
//! | blank | what goes there |
//! |---|---|
//! | `{{nonce}}` | what the answer's `script-src 'nonce-…'` says: 1 to 42 characters of base64url, fresh for every page |
//! | `{{token}}` | the bootstrap token, 43 characters of base64url |
//! | `{{carriers}}` | which carriers to try, in their order: see [`Carriers`] |
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

/// Which carriers a bridge page tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriers {
    /// A WebSocket, and HTTPS requests where it does not come up.
    WebSocketFirst,
    /// HTTPS requests alone.
    HttpsOnly,
    /// A WebSocket alone.
    WebSocketOnly,
}

impl Carriers {
    fn words(self) -> &'static str {
        match self {
            Self::WebSocketFirst => "websocket https",
            Self::HttpsOnly => "https",
            Self::WebSocketOnly => "websocket",
        }
    }
}

/// The page's text for one request. `nonce` and `token` are base64url, so there is nothing
/// in them to escape.
pub(super) fn fill(nonce: &str, token: &str, carriers: Carriers) -> String {
    let mut page = String::with_capacity(PAGE.len() + nonce.len() + token.len());
    let mut rest = PAGE;
    for (blank, filling) in [
        ("{{nonce}}", nonce),
        ("{{token}}", token),
        ("{{carriers}}", carriers.words()),
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
    use super::{Carriers, PAGE, fill};

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
        for carriers in [
            Carriers::WebSocketFirst,
            Carriers::HttpsOnly,
            Carriers::WebSocketOnly,
        ] {
            let page = fill(NONCE, TOKEN, carriers);
            assert!(!page.contains("{{"), "{carriers:?}");
            assert_eq!(page.matches(NONCE).count(), 1);
            assert_eq!(page.matches(TOKEN).count(), 1);
            assert!(page.contains(&format!("'{}'.split", carriers.words())));
        }
    }

    #[test]
    fn native_libraries_find_the_token() {
        let page = fill(NONCE, TOKEN, Carriers::WebSocketFirst);
        assert_eq!(first_token(&page), Some(TOKEN));
    }

    #[test]
    fn it_is_small() {
        assert!(PAGE.len() < 12 << 10, "{}", PAGE.len());
    }
}
