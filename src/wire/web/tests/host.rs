use super::super::*;

#[test]
fn names_that_apps_take() {
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{}", &label[..61]);
    assert_eq!(long.len(), 253);
    for name in [
        "proxy.example.com",
        "a.b",
        "1.2.3.4a",
        "xn--bcher-kva.example",
        "0x1g.0x1g",
        "a--b.c",
        &long,
    ] {
        assert_eq!(name.parse::<HostName>().unwrap().as_str(), name);
    }
    let upper: HostName = "Proxy.Example.COM".parse().unwrap();
    assert_eq!(upper.as_str(), "proxy.example.com");
}

#[test]
fn names_that_they_refuse() {
    use HostError::*;
    let label = "a".repeat(63);
    let long = format!("{label}.{label}.{label}.{}", &label[..62]);
    for (name, error) in [
        ("", Empty),
        (&long, TooLong(254)),
        (&format!("a{label}.b"), Label),
        ("bücher.example", Unicode),
        ("a..b", Label),
        (".a.b", Label),
        (".", Label),
        ("a.b.", LastDot),
        ("-a.b", Label),
        ("a-.b", Label),
        ("a_b.c", Label),
        ("a.b:443", Label),
        ("https://a.b", Label),
        ("a b.c", Label),
        ("localhost", NoDot),
        ("192.0.2.1", Address),
        ("192.0.2.0x1f", Address),
        ("192.0.2.0X1F", Address),
        ("a.0x", Address),
        ("a.1", Address),
        ("16843009", Address),
        ("[2001:db8::1]", Address),
        ("::1", Address),
    ] {
        assert_eq!(name.parse::<HostName>(), Err(error), "{name}");
    }
}

#[test]
fn what_names_a_host() {
    let host: HostName = "proxy.example.com".parse().unwrap();
    for header in [
        "proxy.example.com",
        "proxy.example.com:443",
        "Proxy.Example.Com",
    ] {
        assert!(host.is_host(header.as_bytes()), "{header}");
    }
    for header in [
        "",
        ":443",
        "proxy.example.com:80",
        "proxy.example.com:443:443",
        "proxy.example.com.",
        "xproxy.example.com",
        "proxy.example.com:0443",
    ] {
        assert!(!host.is_host(header.as_bytes()), "{header}");
    }
    assert!(!host.is_name(b"proxy.example.com:443"));
}

#[test]
fn paths() {
    let long = "a".repeat(128);
    for path in ["a", "dobry-cola-super-app", "A/b_c/0-", &long] {
        assert_eq!(path.parse::<BasePath>().unwrap().as_str(), path);
    }
    for (path, error) in [
        ("", PathError::Empty),
        (&format!("{long}a"), PathError::TooLong(129)),
        ("/a", PathError::Segment),
        ("a/", PathError::Segment),
        ("a//b", PathError::Segment),
        ("-a", PathError::Segment),
        ("_a", PathError::Segment),
        ("a.b", PathError::Segment),
        ("a%2Fb", PathError::Segment),
        ("ä", PathError::Segment),
    ] {
        assert_eq!(path.parse::<BasePath>(), Err(error), "{path}");
    }
}
