use std::path::Path;

use fake_telegram::harness::TemporaryDirectory;

use super::machine::Machine;
use super::memory::Memory;
use super::*;
use crate::wire::secret::SecretForm;

const KEY: &str = "00112233445566778899aabbccddeeff";
const NEW: Secret = Secret([7; 16]);

fn machine() -> Machine {
    Machine {
        memory: Memory {
            machine: 64 << 20,
            group: None,
        },
        descriptors: None,
        most_descriptors: Some(1 << 20),
        is_root: true,
        may_bind_443: true,
        state_home: None,
    }
}

fn given(flags: &[(&str, &str)], file: Option<&str>) -> Vec<Setting> {
    let path: std::sync::Arc<Path> = Path::new(file.unwrap_or_default()).into();
    let at = |line| match file {
        Some(_) => Origin::File {
            path: path.clone(),
            line,
        },
        None => Origin::CommandLine,
    };
    let settings = flags
        .iter()
        .enumerate()
        .map(|(index, (flag, value))| Setting {
            flag: (*flag).to_owned(),
            value: (*value).to_owned(),
            origin: at(index + 1),
        });
    settings.collect()
}

fn build(settings: &[Setting]) -> Result<Config, String> {
    settings::parse(settings)
        .and_then(|flags| build::build(flags, settings, &machine()))
        .map_err(|error| error.to_string())
}

fn config(flags: &[(&str, &str)]) -> Config {
    build(&given(flags, None)).unwrap()
}

fn error(flags: &[(&str, &str)]) -> String {
    build(&given(flags, Some("f"))).unwrap_err()
}

#[test]
fn defaults_are_filled_in() {
    let config = config(&[]);
    let addresses: Vec<_> = config
        .listeners
        .iter()
        .map(|l| l.addr.to_string())
        .collect();
    assert_eq!(addresses, ["0.0.0.0:443", "[::]:443"]);
    let optional: Vec<_> = config.listeners.iter().map(|l| l.optional).collect();
    assert_eq!(optional, [false, true]);
    assert_eq!((config.buffers, config.max_clients), (2 << 20, 1024));
    assert_eq!(config.allow, Allow::default());
    assert_eq!(config.refresh, Duration::from_secs(3600));
    assert!(config.notes.is_empty());
}

#[test]
fn limits_that_contradict_each_other_are_lowered_and_said() {
    let build = |flags: &[(&str, &str)], descriptors| {
        let mut machine = machine();
        machine.descriptors = Some(descriptors);
        let flags = settings::parse(&given(flags, None)).ok().unwrap();
        build::build(flags, &[], &machine).unwrap()
    };
    let config = build(&[("--max-clients", "1000")], 1024);
    assert!((250..500).contains(&config.max_clients), "{config:?}");
    let said = config.lowered.unwrap();
    for word in ["--max-clients 1000 to", "1024", "LimitNOFILE=", "ulimit"] {
        assert!(said.contains(word), "{said}");
    }
    let enough = said.split("raise it to ").nth(1).unwrap();
    let enough = enough.split(' ').next().unwrap().parse().unwrap();
    let config = build(&[("--max-clients", "1000")], enough);
    assert_eq!((config.max_clients, config.lowered), (1000, None));
    assert_eq!(config.open_files, None);
    // A default is as many as there is room for.
    let config = build(&[], 1024);
    assert!((250..500).contains(&config.max_clients));
    assert_eq!((config.lowered, config.open_files), (None, Some(1024)));
    let [said] = config.notes.as_slice() else {
        panic!("{:?}", config.notes);
    };
    let beginning = format!(
        "room for {} clients, not the 1024 of the memory: the limit of open files is 1024; raise \
         it to 2298 (LimitNOFILE= in systemd, ",
        config.max_clients
    );
    assert!(said.starts_with(&beginning), "{said}");
    // More than the system allows any process.
    let said = build(&[("--max-clients", "600000")], 20_000)
        .lowered
        .unwrap();
    let way_out = "after the system's own, `sysctl fs.nr_open=120";
    assert!(said.contains(way_out), "{said}");
    let flags = [("--max-clients", "100"), ("--max-handshakes", "5000")];
    let config = build(&flags, 65_536);
    assert_eq!(config.guard.max_handshakes, 164);
    let said = config.lowered.unwrap();
    assert!(said.contains("--max-handshakes 5000 to 164"), "{said}");
}

#[test]
fn a_control_group_that_allows_less_is_said() {
    let mut machine = machine();
    machine.memory.group = Some((24 << 20, "/sys/fs/cgroup/a/memory.max".to_owned()));
    let flags = settings::parse(&[]).ok().unwrap();
    let config = build::build(flags, &[], &machine).unwrap();
    assert_eq!((config.buffers, config.max_clients), (1 << 20, 384));
    assert_eq!(
        config.notes,
        [
            "24 MiB of the machine's 64 MiB of memory are allowed by /sys/fs/cgroup/a/memory.max: \
             what no flag says follows that; for more raise that (MemoryMax= or \
             MemoryHigh= in systemd, --memory of a container)"
        ]
    );
}

#[test]
fn without_root_the_port_is_another_and_the_log_says_so() {
    let mut machine = machine();
    machine.may_bind_443 = false;
    let flags = settings::parse(&[]).ok().unwrap();
    let config = build::build(flags, &[], &machine).unwrap();
    assert_eq!(config.listeners[0].addr.port(), 8443);
    assert!(config.notes[0].contains("port 443 needs root"));
}

#[test]
fn listeners_have_their_own_secrets_and_tag_or_the_common_ones() {
    let own = format!("192.0.2.1:1,name=a,secret=dd{KEY},tag={}", "1".repeat(32));
    let config = config(&[
        ("--listen", &own),
        ("--listen", ":2"),
        ("--secret", KEY),
        (
            "--secret",
            "bob=eeffeeddccbbaa998877665544332211006578616d706c652e636f6d",
        ),
        ("--tag", &"2".repeat(32)),
    ]);
    let [a, all, _] = config.listeners.as_slice() else {
        panic!("{:?}", config.listeners)
    };
    assert_eq!((a.name.as_str(), a.tag), ("a", "1".repeat(32).parse().ok()));
    assert_eq!(a.secrets[0].name, "a");
    assert_eq!(a.secrets[0].secret.form, SecretForm::Padded);
    assert_eq!((all.name.as_str(), all.tag), ("0.0.0.0:2", config.tag));
    let names: Vec<_> = all.secrets.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["secret1", "bob"]);
    assert_eq!(config.tls_domains, ["example.com".parse().unwrap()]);
}

#[test]
fn contradictions_are_named_with_their_line() {
    let ee = format!("ee{KEY}6578616d706c652e636f6d");
    let dd = format!("dd{KEY}");
    let cases: [(&[(&str, &str)], &str); 16] = [
        (
            &[("--tag", "1")],
            "f:1: --tag: expected exactly 32 hex digits (16 bytes)",
        ),
        (
            &[("--route", "auto"), ("--route", "direct")],
            "f:2: --route is given twice (first in line 1); keep one",
        ),
        (
            &[("--route", "auto"), ("--tag", "x"), ("--route", "auto")],
            "f:2: --tag: ",
        ),
        (
            &[("--listen", ":1"), ("--listen", "0.0.0.0:1")],
            "f:2: --listen: 0.0.0.0:1 is there already (first in line 1)",
        ),
        (
            &[("--route", "auto"), ("--listen", ":1"), ("--listen", ":1")],
            "f:3: --listen: 0.0.0.0:1 is there already (first in line 2)",
        ),
        (
            &[("--listen", "192.0.2.1:1"), ("--listen", ":1")],
            "f:2: --listen: 0.0.0.0:1 and 192.0.2.1:1 share a port",
        ),
        (
            &[("--secret", KEY), ("--secret", KEY)],
            "f:2: --secret: secret2 and secret1 are the same secret",
        ),
        (
            &[
                ("--secret", &format!("a={KEY}")),
                ("--secret", &format!("a=dd{KEY}")),
            ],
            "f:2: --secret: two secrets are called a",
        ),
        (
            &[
                ("--secret", &format!("a={KEY},quota=1G")),
                ("--listen", &format!(":1,name=a,secret=dd{KEY}")),
            ],
            "f:2: --listen: its own secret would be called a, as a --secret is",
        ),
        (
            &[("--listen", &format!(":1,{dd}"))],
            "f:1: --listen: `what stands there (perhaps a secret",
        ),
        (
            &[("--secret", &format!("{KEY},{dd}"))],
            "f:1: --secret: unknown limit \"what stands there",
        ),
        (
            &[("--secret", &ee), ("--allow", "dd")],
            "the secret secret1 is for tls clients",
        ),
        (
            &[("--secret", &dd), ("--allow", "tls,classic")],
            "the secret secret1 is for dd clients",
        ),
        (
            &[("--secret", KEY), ("--allow", "tls")],
            "--allow tls with a bare secret needs a site",
        ),
        (
            &[("--route", "direct"), ("--tag", &"1".repeat(32))],
            "--tag has no effect with --route direct",
        ),
        (
            &[("--buffers", "10K")],
            "f:1: --buffers: `10K` is too small",
        ),
    ];
    for (flags, expected) in cases {
        let error = error(flags);
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains('\n'));
    }
}

#[test]
fn one_port_for_ipv4_and_ipv6() {
    let config = config(&[
        ("--listen", "0.0.0.0:1"),
        ("--listen", "[::]:1"),
        ("--listen", "192.0.2.1:2"),
    ]);
    assert_eq!(config.listeners.len(), 3);
    assert!(config.listeners.iter().all(|l| !l.optional));
}

#[test]
fn the_command_line_replaces_what_the_file_says() {
    let file = given(
        &[
            ("--listen", ":1"),
            ("--route", "middle"),
            ("--listen", ":2"),
        ],
        Some("f"),
    );
    let line = given(&[("--listen", "192.0.2.1:3")], None);
    let config = build(&settings::overlay(file, &line)).unwrap();
    let addresses: Vec<_> = config
        .listeners
        .iter()
        .map(|l| l.addr.to_string())
        .collect();
    assert_eq!(addresses, ["192.0.2.1:3"]);
    assert_eq!(config.route, RouteChoice::Middle);
}

#[test]
fn secrets_stay_out_of_debug_and_of_errors() {
    let settings = given(
        &[("--secret", &format!("a=dd{KEY}")), ("--refresh", "x")],
        None,
    );
    assert!(!format!("{settings:?}").contains(&KEY[8..16]));
    assert!(!build(&settings).unwrap_err().contains(&KEY[8..16]));
    let config = config(&[("--secret", &format!("a=dd{KEY}"))]);
    assert!(!format!("{config:?}").contains(&KEY[8..16]));
}

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
        let (old, new) = (config(base), config(&[base, &[(flag, value)]].concat()));
        for (from, to) in [(&old, &new), (&new, &old)] {
            let found = from.differences(to);
            assert_eq!(found.changed, [flag], "{flag} {value}");
            assert!(found.need_restart.is_empty());
        }
        assert_eq!(old.differences(&old.clone()), Differences::default());
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
        let found = old.differences(&config(&flags));
        assert_eq!(found.changed, [*flag]);
    }
}

#[test]
fn what_needs_a_restart_is_told_until_it_comes() {
    let with = |flags: &[(&str, &str)]| config(&[&[("--secret", KEY)], flags].concat());
    let running = with(&[]);
    let mut new = with(&[
        ("--buffers", "8M"),
        ("--refresh", "77"),
        ("--data-dir", "/a"),
    ]);
    let found = running.differences(&new);
    assert_eq!(found.changed, ["--refresh"]);
    assert_eq!(found.need_restart, ["--buffers", "--data-dir"]);
    new.keep_fixed(&running);
    assert_eq!(
        (new.buffers, &new.control),
        (running.buffers, &running.control)
    );
    // The next reload tells it again, and no more once it is set back.
    let again = with(&[("--buffers", "8192K"), ("--refresh", "77")]);
    let found = new.differences(&again);
    assert!(found.changed.is_empty());
    assert_eq!(found.need_restart, ["--buffers"]);
    let back = with(&[("--refresh", "77"), ("--buffers", "2M")]);
    assert_eq!(new.differences(&back), Differences::default());
    let other = with(&[
        ("--role", "both"),
        ("--control", "/b"),
        ("--metrics", "9"),
        ("--user", "x"),
    ]);
    let found = new.differences(&other).need_restart;
    assert_eq!(found, ["--metrics", "--user", "--control"]);
}

#[test]
fn a_secret_is_gone_when_its_key_is() {
    let key = |digit: char| KEY.replace('0', &digit.to_string());
    let changes = |old: &[(&str, String)], new: &[(&str, String)]| {
        let with = |flags: &[(&str, String)]| {
            let flags: Vec<_> = flags
                .iter()
                .map(|(flag, value)| (*flag, &**value))
                .collect();
            config(&flags)
        };
        let found = with(old).differences(&with(new));
        (found.renamed, found.removed)
    };
    let secret = |name: &str, digit| ("--secret", format!("{name}={}", key(digit)));
    let own = |port, digit| {
        (
            "--listen",
            format!("192.0.2.1:{port},secret={}", key(digit)),
        )
    };
    let renamed = |from: &str, to: &str| vec![(from.to_owned(), to.to_owned())];
    let (a, b, c) = (secret("a", '1'), secret("b", '2'), secret("c", '1'));
    let both = [a.clone(), b.clone()];
    assert_eq!(
        changes(&both, std::slice::from_ref(&b)),
        (vec![], vec!["a".to_owned()])
    );
    assert_eq!(changes(&both, &[b.clone(), a.clone()]), (vec![], vec![]));
    assert_eq!(changes(&both, &[c, b.clone()]), (renamed("a", "c"), vec![]));
    // A name with another key.
    assert_eq!(
        changes(&both, &[secret("a", '3'), b.clone()]),
        (vec![], vec!["a".to_owned()])
    );
    // Two names change places.
    let swapped = [secret("a", '2'), secret("b", '1')];
    assert_eq!(changes(&both, &swapped), (vec![], vec![]));
    // To a listener and away from it.
    let of_listener = [own(1, '1'), b.clone()];
    assert_eq!(
        changes(&both, &of_listener),
        (renamed("a", "192.0.2.1:1"), vec![])
    );
    let elsewhere = [own(2, '1'), b.clone()];
    let moved = renamed("192.0.2.1:1", "192.0.2.1:2");
    assert_eq!(changes(&of_listener, &elsewhere), (moved, vec![]));
    let gone = vec!["192.0.2.1:1".to_owned()];
    assert_eq!(changes(&of_listener, &[b]), (vec![], gone));
}

#[test]
fn domains_that_links_may_name_no_more() {
    let lost = |old: &[&str], new: &[&str]| {
        let with = |domains: &[&str]| {
            let flags: Vec<_> = domains
                .iter()
                .map(|domain| ("--tls-domain", *domain))
                .collect();
            config(&[&[("--secret", KEY)], &flags[..]].concat())
        };
        let found = with(old).differences(&with(new));
        let lost: Vec<_> = found.lost_domains.iter().map(Domain::to_string).collect();
        (lost.join(" "), found.lost_other_domains)
    };
    let told = |text: &str, others| (text.to_owned(), others);
    assert_eq!(
        lost(&["a.example"], &["b.example"]),
        told("a.example", false)
    );
    assert_eq!(
        lost(&["a.example"], &["b.example", "a.example"]),
        told("", false)
    );
    assert_eq!(lost(&["a.example"], &[]), told("", false));
    assert_eq!(lost(&[], &["a.example"]), told("", true));
    assert_eq!(lost(&[], &[]), told("", false));
}

#[test]
fn a_limit_of_none_is_named() {
    let with = |limit| format!("anna={KEY},{limit}");
    let warnings = |limit| config(&[("--secret", &with(limit))]).warnings;
    let said = &warnings("max-ips=0")[0];
    assert!(
        said.starts_with("max-ips=0 lets nobody in with the secret anna"),
        "{said}"
    );
    assert_eq!(warnings("max-connections=1,max-ips=1"), [""; 0]);
}

#[test]
fn forms_of_links_that_work_no_more() {
    let with = |flags: &[(&str, &str)]| config(&[&[("--secret", KEY)], flags].concat());
    let all = [("--allow", "classic,dd,tls"), ("--tls-domain", "a.example")];
    let lost = |old: &[_], new: &[_]| with(old).differences(&with(new)).lost_forms;
    assert_eq!(lost(&all, &[all[1]]), ["classic"]);
    assert_eq!(lost(&all, &[("--allow", "classic")]), ["dd", "tls (ee…)"]);
    assert!(lost(&all[..1], &[]).ends_with(&["classic"]));
    assert!(lost(&[], &[("--allow", "dd")]).is_empty(), "without a site");
    assert!(lost(&[all[1]], &all).is_empty());
    let salted = [all[1], ("--sni-salt", "a")];
    let other_salt = |old: &[_], new: &[_]| with(old).differences(&with(new)).other_salt;
    assert!(other_salt(&all, &salted) && other_salt(&salted, &[all[1]]));
    assert!(!other_salt(&salted, &salted));
}

#[test]
fn a_made_secret_is_kept_and_found_again() {
    let folder = TemporaryDirectory::new();
    let data_dir = folder.path().join("a/b");
    let line = given(&[("--data-dir", data_dir.to_str().unwrap())], None);
    let load = |missing, running| ConfigSource::new(line.clone(), missing).load(running);
    assert!(load(MissingSecret::Leave, None).unwrap().secrets.is_empty());
    assert!(!data_dir.exists());
    let made = load(MissingSecret::Make(NEW), None).unwrap();
    assert_eq!(made.listeners[0].secrets, made.secrets);
    assert!(made.notes.iter().any(|note| note.contains("kept it in")));
    for missing in [MissingSecret::Make(NEW), MissingSecret::Leave] {
        let again = load(missing, None).unwrap();
        assert_eq!(again.secrets, made.secrets);
        assert!(!again.notes.iter().any(|note| note.contains("kept it in")));
    }
    let file = data_dir.join("secret");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&file, "abc").unwrap();
    let error = load(MissingSecret::Make(NEW), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("remove it to have a new secret, and a new link, made"),
        "{error}"
    );
    assert_eq!(
        load(MissingSecret::Make(NEW), made.made_secret())
            .unwrap()
            .secrets,
        made.secrets
    );
}

#[test]
fn a_secret_that_cannot_be_kept_outlives_a_reload() {
    let line = given(&[("--data-dir", "/proc/none")], None);
    let source = ConfigSource::new(line, MissingSecret::Make(NEW));
    let first = source.load(None).unwrap();
    assert!(
        first
            .warnings
            .iter()
            .any(|warning| warning.contains("for this run only"))
    );
    let second = source.load(first.made_secret()).unwrap();
    assert_eq!(second.secrets, first.secrets);
}

#[test]
fn strangers_see_the_tls_domain_unless_told_otherwise() {
    let choice = |flags: &[(&str, &str)]| config(flags).fronting.choice;
    let domain = ("--tls-domain", "www.example.com");
    let site = SitePlace::Host {
        name: "127.0.0.1".to_owned(),
        port: 8443,
    };
    assert_eq!(choice(&[]), FrontingChoice::Off);
    assert_eq!(choice(&[domain]), FrontingChoice::ByName);
    assert_eq!(
        choice(&[domain, ("--fronting", "off")]),
        FrontingChoice::Off
    );
    assert_eq!(
        choice(&[("--fronting", "127.0.0.1:8443")]),
        FrontingChoice::Site(site)
    );
    let secret = format!("ee{KEY}7777772e6578616d706c652e636f6d");
    assert_eq!(choice(&[("--secret", &secret)]), FrontingChoice::ByName);
    let error = error(&[("--fronting", "sni")]);
    assert!(error.contains("needs a --tls-domain"), "{error}");
    let open = config(&[("--fronting", "sni"), ("--fronting-to-any-site", "yes")]);
    assert!(open.fronting.to_any_site && open.notes[0].contains("anybody"));
}

#[test]
fn one_key_in_two_forms_is_said() {
    let flag = |name: &str, form: &str| format!("{name}={form}{KEY}");
    let both = config(&[
        ("--secret", &flag("a", "")),
        ("--secret", &format!("b={}", KEY.replace("00", "99"))),
        ("--secret", &flag("c", "dd")),
        (
            "--listen",
            &format!(":1,name=x,secret={KEY},secret=dd{KEY}"),
        ),
        ("--listen", ":2"),
    ]);
    let [common, own] = both.warnings.as_slice() else {
        panic!("{:?}", both.warnings)
    };
    assert!(common.starts_with("the secrets a and c are one key"));
    assert!(common.contains("clients with either count as a,"));
    assert!(own.contains("x/1 and x/2"), "{own}");
    // A listener's own secrets are apart from the others.
    let apart = config(&[
        ("--secret", &flag("a", "")),
        ("--listen", &format!(":1,secret=dd{KEY}")),
    ]);
    assert!(apart.warnings.is_empty(), "{:?}", apart.warnings);
}

#[test]
fn links_carry_a_name() {
    let named = config(&[("--link-name", "Proxy.Example:444")]);
    let (host, port) = ("proxy.example".to_owned(), Some(444));
    assert_eq!(named.link_name, Some(LinkName { host, port }));
    let found = config(&[]).differences(&named);
    assert_eq!(found.changed, ["--link-name"]);
    assert!(found.need_restart.is_empty());
    let error = error(&[("--external-ip", "proxy.example")]);
    assert!(error.starts_with("f:1: --external-ip: `proxy.example` is a name"));
    assert!(error.ends_with("--link-name proxy.example"), "{error}");
}

#[test]
fn a_service_has_the_systems_places_whoever_asks() {
    let folder = TemporaryDirectory::new();
    let file = folder.path().join("conf");
    std::fs::write(&file, format!("--secret {KEY}\n")).unwrap();
    let config = ConfigSource::of_service(&file).load(None).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/smol-mtproxy"));
    assert_eq!(config.control, Path::new("/var/lib/smol-mtproxy/control"));
    assert_eq!(config.listeners[0].addr.port(), 443);
    assert_eq!(config.secrets.len(), 1);
}

#[test]
fn names_that_are_no_site_are_named() {
    let of = |flags: &[(&str, &str)]| config(flags).warnings.join("\n");
    assert_eq!(of(&[("--tls-domain", "my-own-domain.com")]), "");
    let example = of(&[("--tls-domain", "www.example.com")]);
    assert!(example.starts_with("www.example.com is an example's name"));
    // `192.0.2.1` in hex.
    let secret = format!("ee{KEY}3139322e302e322e31");
    assert!(of(&[("--secret", &secret)]).starts_with("192.0.2.1 is an address"));
}

#[test]
fn secrets_that_every_user_may_read_are_named() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TemporaryDirectory::new();
    let (file, key) = (folder.path().join("conf"), folder.path().join("psk"));
    let text = format!(
        "role front\nlink 127.0.0.1:1\nlisten :8443\nlink-psk psk\ndata-dir .\nsecret {KEY}\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(&key, KEY).unwrap();
    let line = given(&[("--config", file.to_str().unwrap())], None);
    let load = || ConfigSource::new(line.clone(), MissingSecret::Leave).load(None);
    for (mode, warned) in [(0o640, 0), (0o644, 2)] {
        for path in [&file, &key] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let warnings = load().unwrap().warnings;
        assert_eq!(warnings.len(), warned, "{warnings:?}");
        for warning in warnings {
            assert!(warning.contains("lets every user read it: chmod 640"));
        }
    }
}

#[test]
fn a_table_in_the_data_directory_may_lack_its_folder() {
    let flags = [
        ("--data-dir", "/nowhere/data"),
        ("--table", "a=/nowhere/data/a"),
        ("--table", "b=/nowhere/b"),
    ];
    let ours: Vec<_> = config(&flags)
        .guard
        .tables
        .iter()
        .map(|t| t.is_ours)
        .collect();
    assert_eq!(ours, [true, false]);
}

#[test]
fn metrics_are_not_in_the_way_of_clients() {
    let with = |metrics| error(&[("--listen", ":9090"), ("--metrics", metrics)]);
    let said = with("9090");
    assert!(
        said.starts_with("f:2: --metrics: 127.0.0.1:9090 and 0.0.0.0:9090"),
        "{said}"
    );
    config(&[
        ("--listen", "127.0.0.1:9090"),
        ("--metrics", "127.0.0.2:9090"),
    ]);
}
