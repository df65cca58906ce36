use super::*;

#[test]
fn a_row_is_called_as_its_field() {
    for (flag, more) in FLAGS.iter().zip(MORE) {
        assert_eq!(flag.name, format!("--{}", more.field.replace('_', "-")));
    }
    let first = |flag: &Flag| FLAGS.iter().position(|other| other.name == flag.name);
    for (at, flag) in FLAGS.iter().enumerate() {
        assert_eq!(first(flag), Some(at), "{} stands there twice", flag.name);
    }
}

#[test]
fn every_flag_fills_its_own_field() {
    let mut flags = Flags::default();
    flags.slot("--refresh").unwrap().fill("12").unwrap();
    flags.slot("--idle-timeout").unwrap().fill("34").unwrap();
    flags.slot("--metrics").unwrap().fill("9000").unwrap();
    assert_eq!(flags.refresh.unwrap().0, 12);
    assert_eq!(flags.idle_timeout.unwrap().0, 34);
    assert!(flags.metrics.is_some() && flags.send_timeout.is_none());
    assert!(flags.slot("--help").is_none() && flags.slot("refresh").is_none());
}

#[test]
fn what_a_build_has_can_be_filled_and_is_explained() {
    for flag in FLAGS {
        assert_eq!(Flags::default().slot(flag.name).is_some(), flag.is_here());
        assert_eq!(!flag.help.is_empty(), flag.is_explained());
    }
}

#[test]
fn headings_are_together() {
    let mut headings: Vec<_> = FLAGS.iter().map(|flag| flag.heading).collect();
    headings.dedup();
    assert_eq!(headings.len(), 7);
}

#[test]
fn a_slip_is_recognised() {
    let say = |flag: &str| unknown_flag(flag.to_owned()).to_string();
    assert!(say("--lisen").ends_with("did you mean --listen?"));
    assert!(say("--tlsdomain").ends_with("did you mean --tls-domain?"));
    assert!(say("--qr").ends_with("see smol-mtproxy --help"));
    assert!(say("--colour").ends_with("see smol-mtproxy --help"));
    assert!(say("--colour").starts_with("--colour "));
    assert_eq!(flag_of_word("listen"), Some("--listen"));
    assert_eq!(flag_of_word("lisen"), None);
}

#[test]
fn names_of_files_are_made_whole() {
    for (flag, value, whole) in [
        ("--link-psk", "link.psk", "/etc/x/link.psk"),
        ("--data-dir", "../data", "/etc/x/../data"),
        ("--data-dir", "/data", "/data"),
        ("--table", "banned=b=1", "banned=/etc/x/b=1"),
        ("--table", "banned=/b", "banned=/b"),
        ("--table", "banned=", "banned="),
        ("--table", "banned", "banned"),
        ("--telegram-secret", "s", "/etc/x/s"),
        (
            "--telegram-config",
            "https://a.example/b",
            "https://a.example/b",
        ),
        ("--web-site", "www", "/etc/x/www"),
        ("--web-site", "a.example=www=1", "a.example=/etc/x/www=1"),
        ("--web-site", "./a=b", "/etc/x/./a=b"),
        ("--web-site", "a.example=http://b", "a.example=http://b"),
        (
            "--web",
            "a.example/b,secret=c,cert=d=1,key=/e",
            "a.example/b,secret=c,cert=/etc/x/d=1,key=/e",
        ),
        ("--web", "a.example,cert=,key", "a.example,cert=,key"),
        ("--tag", "x", "x"),
    ] {
        let flag = find(flag).unwrap();
        let made = flag.within(Path::new("/etc/x"), value.to_owned());
        assert_eq!(made, whole, "{} {value}", flag.name);
    }
}
