//! Secrets of links, and what is shown of them.

use crate::crypto::{hex, hmac_sha256};
use crate::web_front::request::base64;

/// 16 bytes, or `dd` before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub key: [u8; 16],
    pub is_padded: bool,
}

impl Secret {
    pub fn plain(key: [u8; 16]) -> Self {
        Self {
            key,
            is_padded: false,
        }
    }

    pub fn padded(key: [u8; 16]) -> Self {
        Self {
            key,
            is_padded: true,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.key.to_vec();
        if self.is_padded {
            bytes.insert(0, 0xdd);
        }
        bytes
    }
}

/// What the page of (secret, host, base path) is asked for with.
pub fn capability(secret: &Secret, host: &str, path: Option<&str>) -> String {
    let text = match path {
        None => format!("tdesktop-web-proxy-bridge-v1\n{host}"),
        Some(path) => format!("tdesktop-web-proxy-bridge-v2\n{host}\n{path}"),
    };
    unpadded(&hmac_sha256(&secret.bytes(), &[text.as_bytes()]))
}

/// The links that an app takes for it: tg:// and https://.
pub fn invites(secret: &Secret, host: &str, path: Option<&str>) -> [String; 2] {
    let (server, secret) = match path {
        None => (host.to_owned(), hex(&secret.bytes())),
        Some(path) => (
            format!("{host}%2F{}", path.replace('/', "%2F")),
            unpadded(&[&[0x70][..], &secret.bytes()].concat()),
        ),
    };
    ["tg://webproxy", "https://t.me/webproxy"]
        .map(|start| format!("{start}?server={server}&secret={secret}"))
}

/// Base64 as in URLs, without padding.
pub fn unpadded(bytes: &[u8]) -> String {
    let text = base64(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::from_hex;

    #[test]
    fn capabilities_are_those_of_the_vectors() {
        let key = std::array::from_fn(|at| at as u8);
        let (plain, padded) = (Secret::plain(key), Secret::padded(key));
        let host = "proxy.example.com";
        let path = Some("dobry-cola-super-app");
        for (secret, host, path, expected) in [
            (
                &plain,
                host,
                None,
                "MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk",
            ),
            (
                &padded,
                host,
                None,
                "IpJrt3e7sKtzPyoXy6w-Zj6GGEvsvclN66JzQEfPYLA",
            ),
            (
                &plain,
                host,
                path,
                "hHz99Xs93EN1j91G9gpNepXwGNNt5YdAFkEVk_LlqdQ",
            ),
            (
                &padded,
                host,
                path,
                "TGUkZaevsavLbHvlNWipnRoYxgzZ51ioWvbxgGT3wHo",
            ),
            (
                &plain,
                "xn--bcher-kva.example",
                None,
                "G8OXpDDRVst4SRakme2Seeeejb1ln7JFeRQUHDLyUoM",
            ),
        ] {
            assert_eq!(capability(secret, host, path), expected);
        }
    }

    #[test]
    fn a_secret_with_a_path_is_marked() {
        let key = from_hex("8561944064fc730cbfa4473562d8ec59").unwrap();
        let secret = Secret::plain(key.try_into().unwrap());
        let [tg, me] = invites(&secret, "proxy.example.com", Some("a/b"));
        let rest = "webproxy?server=proxy.example.com%2Fa%2Fb&secret=cIVhlEBk_HMMv6RHNWLY7Fk";
        assert_eq!(tg, format!("tg://{rest}"));
        assert_eq!(me, format!("https://t.me/{rest}"));
    }
}
