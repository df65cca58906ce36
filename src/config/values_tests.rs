use proptest::prelude::*;

use super::*;

#[test]
fn allowed_forms() {
    let allow = "classic,tls".parse::<Allow>().unwrap();
    assert_eq!((allow.classic, allow.dd, allow.tls), (true, false, true));
    let error = "dd,ee".parse::<Allow>().unwrap_err().to_string();
    assert!(error.contains("`ee`: expected classic, dd and tls"));
    assert!("".parse::<Allow>().is_err());
}

#[test]
fn sources() {
    let parse = |text: &str| text.parse::<Source>();
    assert_eq!(parse("/a b"), Ok(Source::File("/a b".into())));
    if cfg!(feature = "tls") {
        assert_eq!(parse("http://h/x"), Ok(Source::Url("http://h/x".into())));
    } else {
        assert!(parse("http://h/x").unwrap_err().0.contains("cannot fetch"));
    }
    assert!(parse("ftp://h/x").unwrap_err().0.contains("ftp://"));
    assert!(parse("").is_err());
}

#[test]
fn dc_overrides() {
    let parse = |text: &str| text.parse::<DcOverride>();
    let media = parse("-4=[2001:db8::1]:80").unwrap();
    assert_eq!(
        media,
        DcOverride(DcId(-4), "[2001:db8::1]:80".parse().unwrap())
    );
    for bad in [
        "2",
        "2=",
        "=1.2.3.4:1",
        "0=1.2.3.4:1",
        "2=1.2.3.4",
        "2=1.2.3.4:0",
        "99999=1.2.3.4:1",
    ] {
        assert!(parse(bad).unwrap_err().0.contains("expected ID=ADDR:PORT"));
    }
}

#[test]
fn sizes() {
    for (text, size) in [
        ("0", Ok(0)),
        ("5", Ok(5)),
        ("5k", Ok(5 << 10)),
        ("50G", Ok(50 << 30)),
        ("7T", Ok(7 << 40)),
        ("18446744073709551615", Ok(u64::MAX)),
        ("18446744073709551616", Err(NoSize::TooLarge)),
        ("18014398509481983K", Ok(u64::MAX - 1023)),
        ("18014398509481984K", Err(NoSize::TooLarge)),
        ("99999999999G", Err(NoSize::TooLarge)),
        ("99999999999999999999T", Err(NoSize::TooLarge)),
        ("", Err(NoSize::Form)),
        ("G", Err(NoSize::Form)),
        ("50X", Err(NoSize::Form)),
        ("1MB", Err(NoSize::Form)),
        ("1KK", Err(NoSize::Form)),
        ("1 M", Err(NoSize::Form)),
        ("M1", Err(NoSize::Form)),
        ("1.5M", Err(NoSize::Form)),
        ("-1", Err(NoSize::Form)),
        ("1м", Err(NoSize::Form)),
    ] {
        assert_eq!(bytes(text), size, "{text}");
    }
}

#[test]
fn sizes_of_buffers() {
    let parse = |text: &str| text.parse::<Size>().map(|size| size.0);
    assert_eq!(parse("1M"), Ok(1 << 20));
    assert_eq!(parse("2048k"), Ok(2 << 20));
    assert_eq!(parse("1048576"), Ok(1 << 20));
    assert_eq!(parse("1g"), Ok(1 << 30));
    for (bad, cause) in [
        ("", "``: expected a size"),
        ("M", "`M`: expected a size"),
        ("-1M", "expected a size such as 2048K, 2M or 1G"),
        ("512K", "is too small: a packet of 1M must fit"),
        ("1048575", "is too small"),
        ("99999999999G", "is more than this machine can address"),
    ] {
        let error = parse(bad).unwrap_err().to_string();
        assert!(error.contains(cause), "{bad}: {error}");
    }
    let more_than_32_bits = parse("4G");
    assert_eq!(more_than_32_bits.is_ok(), usize::BITS > 32);
}

proptest! {
    #[test]
    fn sizes_are_shifted_or_too_large(number: u64, unit in 0..5_usize, is_small: bool) {
        let (unit, shift) = [("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40)][unit];
        let unit = if is_small { unit.to_lowercase() } else { unit.to_owned() };
        let exact = u128::from(number) << shift;
        let wanted = u64::try_from(exact).map_err(|_| NoSize::TooLarge);
        prop_assert_eq!(bytes(&format!("{number}{unit}")), wanted);
    }

    #[test]
    fn any_text_is_a_size_or_none(text in ".{0,8}|[0-9]{0,24}[kKmMgGtT]?") {
        let _ = bytes(&text);
        let _ = text.parse::<Size>();
    }
}

#[test]
fn one_of_some_words() {
    let parse = |text| one_of(text, [("a", 1), ("b-c", 2), ("d", 3)]);
    assert_eq!(
        (parse("a"), parse("b-c"), parse("d")),
        (Ok(1), Ok(2), Ok(3))
    );
    for wrong in ["", "A", "b", "a ", "a,d"] {
        let error = parse(wrong).unwrap_err().to_string();
        assert_eq!(error, "expected a, b-c or d");
    }
}

#[test]
fn yes_or_no() {
    assert_eq!("yes".parse(), Ok(YesNo(true)));
    assert_eq!("no".parse(), Ok(YesNo(false)));
    for bad in ["", "true", "Yes", "yes "] {
        let error = bad.parse::<YesNo>().unwrap_err().to_string();
        assert_eq!(error, "expected yes or no");
    }
}

#[test]
fn whole_numbers_have_bounds() {
    type Small = Integer<1, 5>;
    assert_eq!("5".parse::<Small>(), Ok(Integer(5)));
    for bad in ["0", "6", "x", "", "-1", "1.5"] {
        let error = bad.parse::<Small>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`{bad}`: expected a whole number from 1 to 5")
        );
    }
}
