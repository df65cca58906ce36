//! Secrets in the forms that the proxy's `--secret` takes.

use crate::crypto::hex;

/// The key that tests use unless they need another.
pub const KEY: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
];

/// The fake-TLS domain of the tests.
pub const DOMAIN: &str = "example.com";

pub fn classic(key: &[u8; 16]) -> String {
    hex(key)
}

pub fn padded(key: &[u8; 16]) -> String {
    format!("dd{}", hex(key))
}

pub fn fake_tls(key: &[u8; 16], domain: &str) -> String {
    format!("ee{}{}", hex(key), hex(domain.as_bytes()))
}
