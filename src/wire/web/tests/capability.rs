use super::super::*;

const HOST: &str = "proxy.example.com";
const PLAIN: &str = "000102030405060708090a0b0c0d0e0f";

fn key(text: &str) -> WebKey {
    let shared = text.parse().unwrap();
    WebKey::all_of(&shared).last().unwrap()
}

fn capability(secret: &str, host: &str, path: Option<&str>) -> Capability {
    let path = path.map(|path| path.parse().unwrap());
    Capability::of(&key(secret), &host.parse().unwrap(), path.as_ref())
}

#[test]
fn known_capabilities() {
    let padded = format!("dd{PLAIN}");
    let path = Some("dobry-cola-super-app");
    for (secret, host, path, expected) in [
        (
            PLAIN,
            HOST,
            None,
            "MHLEY5PmW1GWqJkSrlmJpvJUiLhBH_QKy6yKg8a0JPk",
        ),
        (
            &padded,
            HOST,
            None,
            "IpJrt3e7sKtzPyoXy6w-Zj6GGEvsvclN66JzQEfPYLA",
        ),
        (
            PLAIN,
            HOST,
            path,
            "hHz99Xs93EN1j91G9gpNepXwGNNt5YdAFkEVk_LlqdQ",
        ),
        (
            &padded,
            HOST,
            path,
            "TGUkZaevsavLbHvlNWipnRoYxgzZ51ioWvbxgGT3wHo",
        ),
        (
            PLAIN,
            "xn--bcher-kva.example",
            None,
            "G8OXpDDRVst4SRakme2Seeeejb1ln7JFeRQUHDLyUoM",
        ),
    ] {
        let capability = capability(secret, host, path);
        assert_eq!(capability.to_string(), expected);
        assert_eq!(Capability::parse(expected.as_bytes()), Some(capability));
    }
    assert_eq!(
        format!("{:?}", capability(PLAIN, HOST, None)),
        "Capability(hidden)"
    );
}

#[test]
fn only_exact_letters_are_a_capability() {
    let letters = capability(PLAIN, HOST, None).to_string();
    for wrong in [
        "",
        &letters[1..],
        &format!("{letters}="),
        &format!("{letters}A"),
        &format!(" {letters}"),
        // The last letter's spare bits: k is 36, l 37, n 39.
        &letters.replace("JPk", "JPl"),
        &letters.replace("JPk", "JPn"),
        &letters.replace('_', "/"),
        &letters.replace('Q', "+"),
        &letters.replace('_', "="),
    ] {
        assert_eq!(Capability::parse(wrong.as_bytes()), None, "{wrong}");
    }
    // Letters of other alphabets are no letters.
    assert_eq!(Capability::parse("ä".repeat(43).as_bytes()), None);
}

#[test]
fn one_of_many_is_found() {
    let padded = format!("dd{PLAIN}");
    let known = [
        capability(PLAIN, HOST, None),
        capability(&padded, HOST, None),
        capability(PLAIN, "other.example.com", None),
    ];
    for (at, one) in known.iter().enumerate() {
        assert_eq!(one.find(&known), Some(at));
        assert_eq!(BridgeId::of(one), BridgeId::of(one));
    }
    assert_eq!(capability(PLAIN, HOST, Some("a")).find(&known), None);
    assert_ne!(BridgeId::of(&known[0]), BridgeId::of(&known[1]));
}

#[test]
fn a_secret_with_dd_opens_no_page_without() {
    let forms = |text: &str| -> Vec<bool> {
        let shared = text.parse().unwrap();
        WebKey::all_of(&shared).map(|key| key.is_padded).collect()
    };
    assert_eq!(forms(PLAIN), [true, false]);
    assert_eq!(forms(&format!("dd{PLAIN}")), [true]);
    assert_eq!(
        forms(&format!("ee{PLAIN}6578616d706c652e636f6d")),
        [true, false]
    );
}

#[test]
fn authentic_letters_are_found_anywhere() {
    let one = capability(PLAIN, HOST, None);
    let letters = one.to_string();
    let is_in = |text: &str| {
        code::candidates(text.as_bytes()).any(|bytes| Capability::from_bytes(bytes) == one)
    };
    for text in [
        letters.clone(),
        format!("/?bridge={letters}"),
        format!("/?bridge={letters}&bridge={letters}"),
        format!("/?x={letters}="),
        format!("/{letters}/b"),
        format!("Bearer {letters}"),
        format!("tproxy-v1.{letters}"),
        format!("x{letters}"),
        format!("{letters}x"),
        letters.replace("JPk", "JPn"),
    ] {
        assert!(is_in(&text), "{text}");
    }
    for text in ["", &letters[1..], &letters.replace('M', "N")] {
        assert!(!is_in(text), "{text}");
    }
    // A text of a mebibyte has few.
    assert!(code::candidates(&[b'A'; 1 << 20]).count() <= 2);
}
