use super::super::*;

/// RFC 6455 §1.3.
#[test]
fn the_key_of_the_specification() {
    let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept.as_ref(), Some(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[test]
fn keys_that_are_none() {
    for key in [
        &b""[..],
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZQ= ",
        b"dGhlIHNhbXBsZSBub25j",
        b"dGhlIHNhbXBsZSBub25jZWVl",
        b"dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        b"dGhl-HNhbXBsZSBub25jZQ==",
    ] {
        assert_eq!(accept_key(key), None, "{}", key.escape_ascii());
    }
}
