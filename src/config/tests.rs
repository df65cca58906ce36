mod columns;
mod differences;
mod fixed;
mod gone;
mod secrets;
mod web;

use std::path::Path;
use std::time::Duration;

use fake_telegram::harness::TemporaryDirectory;

use super::machine::Machine;
use super::memory::Memory;
use super::*;
use crate::wire::secret::{Secret, SecretForm};

const KEY: &str = "00112233445566778899aabbccddeeff";
const NEW: Secret = Secret([7; 16]);

fn machine() -> Machine {
    Machine {
        memory: Memory {
            machine: 64 << 20,
            group: None,
        },
        descriptors: None,
        max_descriptors: Some(1 << 20),
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

impl Config {
    /// Of these flags, on a machine with 64 MiB; without what files hold.
    pub(crate) fn of(flags: &[(&str, &str)]) -> Self {
        let settings = given(flags, None);
        let flags = settings::parse(&settings).unwrap();
        build::without_files(flags, &settings, &machine()).unwrap()
    }
}

fn config(flags: &[(&str, &str)]) -> Config {
    build(&given(flags, None)).unwrap()
}

/// What a reload makes of these flags, and what it says.
fn reloaded(running: &Config, flags: &[(&str, &str)]) -> (Config, Differences) {
    let new = successor::build(running, given(flags, None), &machine()).unwrap();
    let differences = Differences {
        changed: new.changed,
        need_restart: new.need_restart,
        ..running.differences(&new.config)
    };
    (new.config, differences)
}

fn refused(running: &Config, flags: &[(&str, &str)]) -> String {
    let new = successor::build(running, given(flags, Some("f")), &machine());
    new.err().unwrap().to_string()
}

fn error(flags: &[(&str, &str)]) -> String {
    build(&given(flags, Some("f"))).unwrap_err()
}

#[test]
fn defaults_are_filled_in() {
    let config = config(&[]);
    let addresses: Vec<_> = config
        .doors
        .listeners
        .iter()
        .map(|l| l.addr.to_string())
        .collect();
    assert_eq!(addresses, ["0.0.0.0:443", "[::]:443"]);
    let optional: Vec<_> = config.doors.listeners.iter().map(|l| l.optional).collect();
    assert_eq!(optional, [false, true]);
    assert_eq!(
        (config.process.buffers, config.clients.max_clients),
        (2 << 20, 1024)
    );
    assert_eq!(config.doors.allow, Allow::default());
    assert_eq!(config.telegram.refresh, Duration::from_secs(3600));
    assert!(config.said.notes.is_empty());
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
    assert!(
        (250..500).contains(&config.clients.max_clients),
        "{config:?}"
    );
    let said = config.said.lowered.unwrap();
    for word in ["--max-clients 1000 to", "1024", "LimitNOFILE=", "ulimit"] {
        assert!(said.contains(word), "{said}");
    }
    let enough = said.split("raise it to ").nth(1).unwrap();
    let enough = enough.split(' ').next().unwrap().parse().unwrap();
    let config = build(&[("--max-clients", "1000")], enough);
    assert_eq!(
        (config.clients.max_clients, config.said.lowered),
        (1000, None)
    );
    assert_eq!(config.clients.open_files, None);
    // A default is as many as there is room for.
    let config = build(&[], 1024);
    assert!((250..500).contains(&config.clients.max_clients));
    assert_eq!(
        (config.said.lowered, config.clients.open_files),
        (None, Some(1024))
    );
    let [said] = config.said.notes.as_slice() else {
        panic!("{:?}", config.said.notes);
    };
    let beginning = format!(
        "room for {} clients, not the 1024 of the memory: the limit of open files is 1024; raise \
         it to 2298 (LimitNOFILE= in systemd, ",
        config.clients.max_clients
    );
    assert!(said.starts_with(&beginning), "{said}");
    // More than the system allows any process.
    let said = build(&[("--max-clients", "600000")], 20_000)
        .said
        .lowered
        .unwrap();
    let way_out = "after the system's own, `sysctl fs.nr_open=120";
    assert!(said.contains(way_out), "{said}");
    let flags = [("--max-clients", "100"), ("--max-handshakes", "5000")];
    let config = build(&flags, 65_536);
    assert_eq!(config.guard.max_handshakes, 164);
    let said = config.said.lowered.unwrap();
    assert!(said.contains("--max-handshakes 5000 to 164"), "{said}");
}

#[test]
fn a_control_group_that_allows_less_is_said() {
    let mut machine = machine();
    machine.memory.group = Some((24 << 20, "/sys/fs/cgroup/a/memory.max".to_owned()));
    let flags = settings::parse(&[]).ok().unwrap();
    let config = build::build(flags, &[], &machine).unwrap();
    assert_eq!(
        (config.process.buffers, config.clients.max_clients),
        (1 << 20, 384)
    );
    assert_eq!(
        config.said.notes,
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
    assert_eq!(config.doors.listeners[0].addr.port(), 8443);
    assert!(config.said.notes[0].contains("port 443 needs root"));
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
    let [a, all, _] = config.doors.listeners.as_slice() else {
        panic!("{:?}", config.doors.listeners)
    };
    assert_eq!((a.name.as_str(), a.tag), ("a", "1".repeat(32).parse().ok()));
    assert_eq!(a.secrets[0].name, "a");
    assert_eq!(a.secrets[0].secret.form, SecretForm::Padded);
    assert_eq!(
        (all.name.as_str(), all.tag),
        ("0.0.0.0:2", config.doors.tag)
    );
    let names: Vec<_> = all.secrets.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["secret1", "bob"]);
    assert_eq!(config.doors.tls_domains, ["example.com".parse().unwrap()]);
}

/// Not in the small build.
#[cfg(feature = "tls")]
#[test]
fn the_route_by_another_proxy() {
    let next = format!("h.example:443:{KEY}");
    let ourselves = format!("127.0.0.1:443:{KEY}");
    let (next, ourselves) = (next.as_str(), ourselves.as_str());
    let cases: [(&[(&str, &str)], &str); 4] = [
        (
            &[("--route", "direct,upstream")],
            "f:1: --route: upstream needs --upstream HOST:PORT:SECRET; give it, or leave",
        ),
        (
            &[
                ("--route", "upstream"),
                ("--upstream", next),
                ("--tag", &"1".repeat(32)),
            ],
            "--tag has no effect with --route upstream",
        ),
        (
            &[
                ("--listen", ":443"),
                ("--route", "upstream"),
                ("--upstream", ourselves),
            ],
            "f:3: --upstream: this proxy itself listens on 0.0.0.0:443",
        ),
        (
            &[("--route", "upstream"), ("--upstream", "h:443:00")],
            "f:2: --upstream: a secret has 32 hex digits",
        ),
    ];
    for (flags, expected) in cases {
        let error = error(flags);
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains(KEY), "{error}");
    }
    let telegram = config(&[("--route", "direct,upstream"), ("--upstream", next)]).telegram;
    assert_eq!(telegram.routes.to_string(), "direct,upstream");
    assert_eq!(
        telegram.upstream.unwrap().place.to_string(),
        "h.example:443"
    );
}

#[test]
fn contradictions_are_named_with_their_line() {
    let ee = format!("ee{KEY}6578616d706c652e636f6d");
    let dd = format!("dd{KEY}");
    let cases: [(&[(&str, &str)], &str); 25] = [
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
            &[("--via", "socks5://me:pw@h"), ("--route", "middle")],
            "f:1: --via: --route middle needs middle proxies",
        ),
        (
            &[("--via", "http://h:1"), ("--tag", &"1".repeat(32))],
            "f:1: --via: --tag needs middle proxies",
        ),
        (
            &[
                ("--via", "http://h:1"),
                ("--listen", &format!(":1,tag={}", "1".repeat(32))),
            ],
            "f:1: --via: --tag needs middle proxies",
        ),
        (
            &[("--listen", ":1080"), ("--via", "socks5://localhost")],
            "f:2: --via: this proxy itself listens on 0.0.0.0:1080",
        ),
        (
            &[("--metrics", "9090"), ("--via", "http://127.0.0.1:9090")],
            "f:2: --via: this proxy itself listens on 127.0.0.1:9090",
        ),
        (
            &[
                ("--route", "direct"),
                ("--listen", &format!(":1,tag={KEY}")),
            ],
            "--tag has no effect with --route direct",
        ),
        (
            &[("--route", "direct,direct")],
            "f:1: --route direct,direct: direct stands there twice",
        ),
        (
            &[
                ("--role", "back"),
                ("--link-listen", "10.8.0.1:1"),
                ("--link-psk", "/nowhere"),
                ("--route", "middle"),
            ],
            "f:4: --route middle has no effect on a back",
        ),
        (
            &[
                ("--route", "auto"),
                ("--role", "back"),
                ("--link-listen", "10.8.0.1:1"),
                ("--link-psk", "/nowhere"),
            ],
            "f:1: --route auto has no effect on a back",
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
fn a_back_behind_a_proxy_reaches_no_middle_proxies() {
    let folder = TemporaryDirectory::new();
    let psk = folder.path().join("psk");
    std::fs::write(&psk, KEY).unwrap();
    let back = |via: &[(&'static str, &'static str)]| {
        let own = [
            ("--role", "back"),
            ("--link-listen", "127.0.0.1:1"),
            ("--link-psk", psk.to_str().unwrap()),
            ("--dc-connections", "2"),
        ];
        config(&[&own, via].concat())
    };
    let (straight, via) = (back(&[]), back(&[("--via", "socks5://me:secret@h")]));
    assert!(straight.telegram.uses_middle && straight.said.warnings.is_empty());
    assert_eq!(straight.telegram.pools.dc_connections, 2);
    assert!(!via.telegram.uses_middle);
    assert_eq!(via.telegram.pools.dc_connections, 0);
    let [tags, connections] = &*via.said.warnings else {
        panic!("{:?}", via.said.warnings)
    };
    assert!(tags.contains("no middle proxies") && connections.contains("--dc-connections"));
    let notes = ["Telegram is reached via socks5://h:1080"];
    assert_eq!(via.said.notes, notes);
}

#[cfg(feature = "tls")]
#[test]
fn routes_beside_direct_are_named_at_the_start() {
    let notes = |route: &str| config(&[("--route", route)]).said.notes;
    assert!(notes("auto").is_empty() && notes("direct").is_empty());
    assert_eq!(notes("ws"), ["Telegram is reached by ws"]);
    assert_eq!(
        notes("direct,ws"),
        ["Telegram is reached by direct, then ws"]
    );
}

#[test]
fn one_port_for_ipv4_and_ipv6() {
    let config = config(&[
        ("--listen", "0.0.0.0:1"),
        ("--listen", "[::]:1"),
        ("--listen", "192.0.2.1:2"),
    ]);
    assert_eq!(config.doors.listeners.len(), 3);
    assert!(config.doors.listeners.iter().all(|l| !l.optional));
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
        .doors
        .listeners
        .iter()
        .map(|l| l.addr.to_string())
        .collect();
    assert_eq!(addresses, ["192.0.2.1:3"]);
    assert_eq!(config.doors.route, RouteChoice::Middle);
}

#[test]
fn strangers_see_the_tls_domain_unless_told_otherwise() {
    let choice = |flags: &[(&str, &str)]| config(flags).sites.fronting.choice;
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
    assert!(open.sites.fronting.to_any_site && open.said.notes[0].contains("anybody"));
}

#[test]
fn links_carry_a_name() {
    let named = config(&[("--link-name", "Proxy.Example:444")]);
    let (host, port) = ("proxy.example".to_owned(), Some(444));
    assert_eq!(named.address.link_name, Some(InviteName { host, port }));
    let (_, found) = reloaded(&config(&[]), &[("--link-name", "proxy.example:444")]);
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
    assert_eq!(config.process.data_dir, Path::new("/var/lib/smol-mtproxy"));
    assert_eq!(
        config.process.control,
        Path::new("/var/lib/smol-mtproxy/control")
    );
    assert_eq!(config.doors.listeners[0].addr.port(), 443);
    assert_eq!(config.doors.secrets.len(), 1);
}

#[test]
fn names_that_are_no_site_are_named() {
    let of = |flags: &[(&str, &str)]| config(flags).said.warnings.join("\n");
    assert_eq!(of(&[("--tls-domain", "my-own-domain.com")]), "");
    let example = of(&[("--tls-domain", "www.example.com")]);
    assert!(example.starts_with("www.example.com is an example's name"));
    // `192.0.2.1` in hex.
    let secret = format!("ee{KEY}3139322e302e322e31");
    assert!(of(&[("--secret", &secret)]).starts_with("192.0.2.1 is an address"));
}

#[test]
fn a_domain_that_no_link_looks_like_is_named() {
    let of = |flags: &[(&str, &str)]| {
        let flags = [&[("--tls-domain", "my-own-domain.com")], flags].concat();
        config(&flags).said.warnings.join("\n")
    };
    let padded = format!("dd{KEY}");
    let dd = ("--secret", padded.as_str());
    let way_out = "no link looks like my-own-domain.com: give a --secret without its dd";
    assert_eq!(of(&[dd]), way_out);
    assert!(of(&[dd, ("--allow", "dd")]).contains("add tls to --allow"));
    assert_eq!(
        of(&[dd, ("--secret", "0123456789abcdef0123456789abcdef")]),
        ""
    );
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

#[test]
fn the_routes_of_direct_sessions() {
    use crate::config::{RouteList, RouteName};
    let direct = RouteList::default();
    assert_eq!(direct.as_slice(), [RouteName::Direct]);
    for flags in [&[][..], &[("--route", "middle")], &[("--route", "direct")]] {
        assert_eq!(config(flags).telegram.routes, direct);
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_route_by_cloudflare_has_what_it_leads_to() {
    let zone = ("--cloudflare-zone", "example.com");
    let worker = ("--cloudflare-worker", "w.example.com,key=abc");
    for (flags, expected) in [
        (
            &[("--route", "direct,zone")][..],
            "f:1: --route with zone in it needs --cloudflare-zone ZONE (doc/cloudflare.md has the \
             steps); add that, or leave zone out",
        ),
        (
            &[zone, ("--route", "zone,worker")],
            "f:2: --route with worker in it needs --cloudflare-worker HOST,key=KEY",
        ),
        (
            &[zone, ("--route", "zone"), ("--tag", &"1".repeat(32))],
            "--tag has no effect with --route zone",
        ),
        (&[zone, zone], "--cloudflare-zone is given twice"),
    ] {
        let error = build(&given(flags, Some("f"))).unwrap_err();
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
    for (flags, warning) in [
        (&[zone, worker, ("--route", "ws,worker,zone")][..], None),
        (
            &[zone, worker, ("--route", "zone")],
            Some("--cloudflare-worker has no effect without worker in --route"),
        ),
        (
            &[zone, ("--route", "middle")],
            Some("--cloudflare-zone has no effect without zone in --route"),
        ),
        (&[zone, ("--route", "zone"), ("--ws-ca", "a")], None),
        (
            &[("--ws-ca", "a"), ("--ws-spare", "2")],
            Some("--ws-spare has no effect without ws in --route"),
        ),
    ] {
        let warnings = config(flags).said.warnings;
        match warning {
            Some(warning) => {
                assert!(
                    warnings.len() == 1 && warnings[0].starts_with(warning),
                    "{warnings:?}"
                );
            }
            None => assert!(warnings.is_empty(), "{warnings:?}"),
        }
    }
    let spare = |list, spare| {
        let flags = [zone, worker, ("--route", list), ("--ws-spare", spare)];
        let flags = settings::parse(&given(&flags, Some("f"))).unwrap();
        let list = flags.route.unwrap().list();
        let spare = flags.ws_spare.unwrap().0 as usize;
        let each = list.as_slice().iter().map(|route| spare_of(*route, spare));
        each.sum::<usize>()
    };
    assert_eq!(spare("direct", "3"), 0);
    assert_eq!(spare("direct,ws,zone,worker", "3"), 5);
    assert_eq!(spare("zone,worker", "0"), 0);
}
