use proptest::prelude::*;

use super::*;

#[test]
fn a_changed_flag_is_named_and_no_other() {
    let folder = TemporaryDirectory::new();
    let key = folder.path().join("key");
    std::fs::write(&key, [b'x'; 40]).unwrap();
    let key = key.to_str().unwrap();
    let secret = format!("a={},quota=1G", KEY.replace('0', "2"));
    let fake_tls = format!(
        "b=ee{}7777772e6578616d706c652e636f6d",
        KEY.replace('0', "1")
    );
    let both = [("--secret", KEY), ("--listen", "192.0.2.1:1")];
    let front = [
        ("--role", "front"),
        ("--link", "192.0.2.9:1"),
        ("--link-psk", key),
        ("--link-plain-on-public", "yes"),
    ];
    let back = [
        ("--role", "back"),
        ("--link-listen", "10.0.0.1:1"),
        ("--link-psk", key),
    ];
    for (base, flag, value) in [
        (&both[..], "--secret", &*secret),
        (&both, "--secret", &fake_tls),
        (&both, "--listen", "192.0.2.1:2,name=x"),
        (&both, "--tag", KEY),
        (&both, "--tls-domain", "www.example.com"),
        (&both, "--fronting-to-any-site", "yes"),
        (&both, "--max-clients", "10"),
        (&both, "--policy", "max-connections:secret:3"),
        (&both, "--table", "a=/nowhere"),
        (&both, "--refresh", "77"),
        (&front, "--link", "192.0.2.8:1"),
        (&front, "--link-wait", "9"),
        (&front, "--link-connections", "2"),
        (&back, "--link-listen", "10.0.0.2:1,late"),
        (&back, "--dc-connections", "2"),
    ] {
        let more = [base, &[(flag, value)]].concat();
        for (from, to) in [(base, &*more), (&*more, base)] {
            let (_, found) = reloaded(&config(from), to);
            assert_eq!(found.changed, [flag], "{flag} {value}");
            assert!(found.need_restart.is_empty());
        }
        let (_, found) = reloaded(&config(base), base);
        assert_eq!(found, Differences::default());
    }
}

#[cfg(feature = "tls")]
#[test]
fn flags_of_the_link_are_not_taken_for_each_other() {
    let flags = [
        ("--role", "front"),
        ("--link", "192.0.2.9:1"),
        ("--link-ca", "/a"),
        ("--link-cert", "/b"),
        ("--link-key", "/c"),
        ("--link-sni", "a.example"),
        ("--link-alpn", "h2"),
    ];
    let old = config(&flags);
    for (changed, (flag, _)) in flags.iter().enumerate().skip(2) {
        let mut flags = flags;
        flags[changed].1 = "b.example";
        let (_, found) = reloaded(&old, &flags);
        assert_eq!(found.changed, [*flag]);
    }
}

#[test]
fn what_needs_a_restart_is_told_until_it_comes() {
    let with = |running: &Config, flags: &[(&str, &str)]| {
        reloaded(running, &[&[("--secret", KEY)], flags].concat())
    };
    let running = config(&[("--secret", KEY)]);
    let (new, found) = with(
        &running,
        &[
            ("--buffers", "8M"),
            ("--refresh", "77"),
            ("--data-dir", "/a"),
        ],
    );
    assert_eq!(found.changed, ["--refresh"]);
    assert_eq!(found.need_restart, ["--buffers", "--data-dir"]);
    assert_eq!(
        (new.process.buffers, &new.process.control),
        (running.process.buffers, &running.process.control)
    );
    // The next reload tells it again, and no more once it is set back.
    let (_, found) = with(&new, &[("--buffers", "8192K"), ("--refresh", "77")]);
    assert!(found.changed.is_empty());
    assert_eq!(found.need_restart, ["--buffers"]);
    let (_, found) = with(&new, &[("--refresh", "77"), ("--buffers", "2M")]);
    assert_eq!(found, Differences::default());
    let other = [
        ("--role", "both"),
        ("--control", "/b"),
        ("--metrics", "9"),
        ("--user", "x"),
        ("--refresh", "77"),
    ];
    let other = &other[usize::from(!cfg!(feature = "ctl")) * 2..];
    let found = with(&new, other).1.need_restart;
    let of_ctl: &[&str] = if cfg!(feature = "ctl") {
        &["--control"]
    } else {
        &[]
    };
    assert_eq!(found, [&["--user"], of_ctl, &["--metrics"]].concat());
}

#[test]
fn the_same_in_other_words_is_not_named() {
    let key = |digit: char| KEY.replace('0', &digit.to_string());
    let secret = |name: &str, digit| format!("{name}={}", key(digit));
    let (a, b) = (secret("a", '1'), secret("b", '2'));
    let file = |name: &str| format!("{name}=/nowhere/{name}");
    let (one, two) = (file("one"), file("two"));
    for (before, after) in [
        (
            &[("--metrics", "9090")][..],
            &[("--metrics", "127.0.0.1:9090")][..],
        ),
        (&[], &[("--idle-timeout", "1800"), ("--allow", "tls,dd")]),
        (&[], &[("--listen", ":443"), ("--max-clients", "1024")]),
        (&[], &[("--listen", "*:443"), ("--flood-limit", "50,500")]),
        (&[("--listen", ":1")], &[("--listen", "1")]),
        (&[("--tag", &KEY.to_uppercase())], &[("--tag", KEY)]),
        (
            &[("--secret", &a), ("--secret", &b)],
            &[("--secret", &b), ("--secret", &a)],
        ),
        (
            &[
                ("--listen", "192.0.2.1:1"),
                ("--listen", "192.0.2.2:1,late"),
            ],
            &[
                ("--listen", "192.0.2.2:1,late"),
                ("--listen", "192.0.2.1:1"),
            ],
        ),
        (
            &[("--table", &one), ("--table", &two)],
            &[("--table", &two), ("--table", &one)],
        ),
        (
            &[("--proxy-protocol", "127.0.0.1,10.0.0.0/8")],
            &[("--proxy-protocol", "10.1.0.0/8,127.0.0.1/32")],
        ),
        (
            &[("--dc", "1=192.0.2.1:1"), ("--dc", "2=192.0.2.2:1")],
            &[("--dc", "2=192.0.2.2:1"), ("--dc", "1=192.0.2.1:1")],
        ),
    ] {
        for (from, to) in [(before, after), (after, before)] {
            let (_, found) = reloaded(&config(from), to);
            assert_eq!(found, Differences::default(), "{from:?} {to:?}");
        }
    }
}

#[test]
fn another_order_is_named_where_it_says_something() {
    let (one, two) = (KEY.replace('0', "1"), KEY.replace('0', "2"));
    let (padded, bare) = (format!("a=dd{KEY}"), format!("b={KEY}"));
    let door = |port, site: &str| {
        let site: String = site.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("192.0.2.1:{port},secret=ee{KEY}{site}")
    };
    let (a, b) = (door(1, "a.example.net"), door(2, "b.example.net"));
    for (flag, first, second) in [
        ("--tls-domain", "a.example.net", "b.example.net"),
        // Strangers see the first site that a secret names.
        ("--listen", &a, &b),
        // They are called after their places.
        ("--secret", &one, &two),
        // The first of one key is who they all are.
        ("--secret", &padded, &bare),
        ("--dc", "1=192.0.2.1:1", "1=192.0.2.2:1"),
        (
            "--policy",
            "max-connections:secret:3",
            "max-connections:listener:9",
        ),
    ] {
        let running = config(&[(flag, first), (flag, second)]);
        let (_, found) = reloaded(&running, &[(flag, second), (flag, first)]);
        assert_eq!(found.changed, [flag], "{first}");
    }
}

const SOME_FLAGS: &[(&str, &str)] = &[
    ("--listen", "192.0.2.1:1"),
    ("--listen", "192.0.2.1:1,late"),
    (
        "--listen",
        "192.0.2.2:2,secret=ee11112233445566778899aabbccddeeff612e6e6574",
    ),
    (
        "--listen",
        "192.0.2.3:3,secret=ee22112233445566778899aabbccddeeff622e6e6574",
    ),
    (
        "--listen",
        "192.0.2.3:3,secret=dd22112233445566778899aabbccddeeff",
    ),
    ("--secret", "a=dd33112233445566778899aabbccddeeff"),
    ("--secret", "b=ee44112233445566778899aabbccddeeff632e6e6574"),
    ("--secret", "55112233445566778899aabbccddeeff"),
    ("--secret", "66112233445566778899aabbccddeeff"),
    ("--tls-domain", "a.net"),
    ("--tls-domain", "d.net"),
    ("--allow", "tls,dd"),
    ("--allow", "dd,tls,classic"),
    ("--fronting", "off"),
    ("--fronting", "sni"),
    ("--tag", KEY),
    ("--route", "auto"),
    ("--max-clients", "1024"),
    ("--max-handshakes", "512"),
    ("--flood-limit", "50,500"),
    ("--data-dir", "/x"),
    ("--control", "/x/control"),
    ("--buffers", "8M"),
    ("--log-level", "debug"),
    ("--log-format", "json"),
    ("--log-addresses", "masked"),
];

fn some_flags() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::sample::subsequence(SOME_FLAGS, 0..9).prop_shuffle()
}

/// Of those that may be repeated.
fn some_in_a_list() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let lists = ["--listen", "--secret", "--tls-domain"];
    let flags = SOME_FLAGS.iter().filter(|(flag, _)| lists.contains(flag));
    prop::sample::subsequence(flags.copied().collect::<Vec<_>>(), 2..7).prop_shuffle()
}

/// Without what nobody goes by.
fn bare(mut config: Config) -> Config {
    config.doors.listeners.sort_by_key(|one| one.addr);
    let lists = config
        .doors
        .listeners
        .iter_mut()
        .map(|one| &mut one.secrets);
    for list in lists.chain([&mut config.doors.secrets]) {
        list.sort_by(|one, other| one.name.cmp(&other.name));
    }
    Config {
        said: Default::default(),
        given: Default::default(),
        ..config
    }
}

proptest! {
    #[test]
    fn what_is_not_named_changes_nothing(before in some_flags(), after in some_flags()) {
        let (Ok(old), Ok(wanted)) = (build(&given(&before, None)), build(&given(&after, None)))
        else {
            return Ok(());
        };
        let new = successor::build(&old, given(&after, None), &machine());
        let Ok(new) = new else { return Ok(()) };
        let mut process = new.config.process.clone();
        process.log = old.process.log;
        prop_assert_eq!(&process, &old.process);
        let (old, found, wanted) = (bare(old), bare(new.config), bare(wanted));
        prop_assert!(!new.changed.is_empty() || found == old);
        prop_assert!(!new.need_restart.is_empty() || found == wanted);
    }

    #[test]
    fn the_same_flags_in_another_order_are_named_if_they_say_another_thing(
        (before, after) in some_in_a_list().prop_flat_map(|flags| {
            (Just(flags.clone()), Just(flags).prop_shuffle())
        }),
    ) {
        let Ok(old) = build(&given(&before, None)) else {
            return Ok(());
        };
        let new = successor::build(&old, given(&after, None), &machine()).ok().unwrap();
        prop_assert_eq!(new.changed.is_empty(), bare(new.config) == bare(old));
    }
}

#[test]
fn of_many_flags_the_last_are_compared_as_text() {
    let defaults = [
        ("--allow", "dd,tls"),
        ("--fronting", "off"),
        ("--fronting-to-any-site", "no"),
        ("--fronting-proxy-protocol", "no"),
        ("--time-skew", "1200,600"),
        ("--tls-records", "auto"),
        ("--answer-time", "auto"),
        ("--handshake-timeout", "10"),
        ("--idle-timeout", "1800"),
        ("--send-timeout", "60"),
        ("--route", "auto"),
        ("--refresh", "3600"),
        ("--dc-connections", "0"),
        ("--clients-per-connection", "300"),
        ("--filter-server-errors", "first"),
        ("--reset", "never"),
        ("--hibernate", "60"),
        ("--log-level", "info"),
        // Those that need a restart are not among them.
        ("--role", "both"),
        ("--buffers", "2M"),
    ];
    let (_, found) = reloaded(&config(&[]), &defaults);
    assert_eq!(found.changed, ["--hibernate", "--log-level"]);
    assert!(found.need_restart.is_empty());
}
