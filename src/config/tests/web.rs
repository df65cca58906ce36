//! What the flags of the WEB proxy are together.

use super::*;

const HOST: (&str, &str) = ("--web", "proxy.example.com");
const DOOR: (&str, &str) = ("--web-listen", "127.0.0.1:8080");
const SITE: (&str, &str) = ("--web-site", "/srv/www");

fn with(flags: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(flag, value): &(&str, &str)| ((*flag).to_owned(), (*value).to_owned());
    [HOST, DOOR, SITE].iter().chain(flags).map(own).collect()
}

fn strs(flags: &[(String, String)]) -> Vec<(&str, &str)> {
    let flags = flags.iter();
    flags.map(|(flag, value)| (&**flag, &**value)).collect()
}

#[test]
fn there_is_none_without_a_host() {
    let config = config(&[]);
    assert_eq!(config.web, WebConfig::default());
    assert!(!config.web.is_on());
    assert_eq!(
        (config.descriptors.web, config.descriptors.web_guests),
        (0, 0)
    );
}

#[test]
fn a_host_behind_a_web_server_leaves_port_443_to_it() {
    let config = config(&[HOST, DOOR, SITE, ("--secret", KEY)]);
    assert!(config.doors.listeners.is_empty());
    let places = config.listen_addresses();
    assert_eq!(places.len(), 1);
    assert_eq!(config.listen_flag(places[0].address), "--web-listen");
    let web = &config.web;
    assert_eq!(web.hosts[0].secrets, config.doors.secrets);
    assert_eq!(web.hosts[0].files, None);
    let source = CoverSource::Directory("/srv/www".into());
    for name in [None, Some("proxy.example.com"), Some("other.example.com")] {
        let name = name.map(|name| name.parse().unwrap());
        assert_eq!(web.site_of(name.as_ref()), Some(&source));
    }
    assert!(config.descriptors.web >= 64 && config.descriptors.web_guests >= 32);
    // Who wants clients on a port too says so.
    let config = super::config(&strs(&with(&[("--listen", "8443")])));
    assert_eq!(config.doors.listeners.len(), 2);
}

#[cfg(feature = "tls")]
#[test]
fn a_certificate_is_of_all_paths_of_its_name() {
    let config = config(&[
        ("--web", "proxy.example.com/one"),
        ("--web", "proxy.example.com,cert=/c,key=/k"),
        ("--web", "other.example.com,cert=/d,key=/k"),
        SITE,
    ]);
    let files = |index: usize| config.web.hosts[index].files.as_ref().unwrap();
    assert_eq!(files(0), files(1));
    assert_eq!(files(2).chain.to_str(), Some("/d"));
    // Their TLS is on the listeners.
    assert_eq!(config.doors.listeners.len(), 2);
}

#[test]
fn secrets_are_chosen_by_name() {
    let (a, b) = (format!("a={KEY}"), format!("b=dd{}", KEY.replace('0', "1")));
    let host = ("--web", "proxy.example.com/x,secret=b");
    let config = config(&[HOST, host, DOOR, SITE, ("--secret", &a), ("--secret", &b)]);
    let names = |index: usize| {
        let secrets = config.web.hosts[index].secrets.iter();
        secrets.map(|one| &*one.name).collect::<Vec<_>>()
    };
    assert_eq!((names(0), names(1)), (vec!["a", "b"], vec!["b"]));
}

#[test]
fn sites_are_those_of_hosts_and_one_for_all() {
    let flags = [
        HOST,
        ("--web", "b.example"),
        DOOR,
        ("--web-site", "b.example=/b"),
        ("--web-site", "http://127.0.0.1:81"),
    ];
    let web = config(&flags).web;
    let shown = |name: &str| format!("{:?}", web.site_of(Some(&name.parse().unwrap())));
    assert!(shown("b.example").contains("Directory"));
    assert!(shown("proxy.example.com").contains("Origin"));
    assert!(shown("c.example").contains("Origin"));
    // With none for all, others see the first host's.
    let web = config(&[HOST, DOOR, ("--web-site", "proxy.example.com=/a")]).web;
    assert!(format!("{:?}", web.site_of(None)).contains("\"/a\""));
    let fronting = ("--fronting", "127.0.0.1:8443");
    let built = build(&given(&[HOST, DOOR, fronting], Some("f")));
    match cfg!(feature = "tls") {
        true => assert_eq!(
            built.unwrap().web.site_of(None),
            Some(&CoverSource::Fronting)
        ),
        false => assert!(
            built
                .unwrap_err()
                .contains("no TLS to show the --fronting site")
        ),
    }
}

#[test]
fn contradictions_name_the_way_out() {
    let none: &[(&str, &str)] = &[];
    for (without, flags, said) in [
        (
            "--web",
            none,
            "f:1: --web-listen has no effect without a WEB host",
        ),
        ("--web-listen", none, "f:1: --web: proxy.example.com needs"),
        (
            "--web-site",
            none,
            "needs a site to see at proxy.example.com",
        ),
        (
            "--web-site",
            &[("--tls-domain", "a.example")],
            "needs a site to see",
        ),
        (
            "",
            &[HOST],
            "f:4: --web: proxy.example.com is there already",
        ),
        (
            "",
            &[("--web", "b.example,secret=x")],
            "no --secret is called x",
        ),
        ("", &[SITE], "f:4: --web-site: there are two sites for all"),
        (
            "",
            &[("--web-site", "b.example=/x")],
            "b.example is not in --web",
        ),
        (
            "",
            &[
                ("--web-site", "proxy.example.com=/x"),
                ("--web-site", "proxy.example.com=/y"),
            ],
            "f:5: --web-site: proxy.example.com has two sites",
        ),
        (
            "--web-site",
            &[("--web-site", "http://localhost:8080")],
            "f:3: --web-site: this proxy itself listens on 127.0.0.1:8080",
        ),
        (
            "--web-site",
            &[("--web-site", "b.example=/x")],
            "b.example is not in --web",
        ),
        (
            "",
            &[("--web-listen", "8080")],
            "f:4: --web-listen: 0.0.0.0:8080 and 127.0.0.1:8080",
        ),
        (
            "",
            &[("--listen", "127.0.0.1:8080")],
            "f:2: --web-listen: 127.0.0.1:8080 and",
        ),
        (
            "",
            &[("--metrics", "8080")],
            "--metrics: 127.0.0.1:8080 and",
        ),
        (
            "",
            &[("--via", "socks5://127.0.0.1:8080")],
            "this proxy itself listens",
        ),
    ] {
        let all = with(flags);
        let left = all.into_iter().filter(|(flag, value)| {
            *flag != without
                || flags
                    .iter()
                    .any(|(other, own)| (other, own) == (&&**flag, &&**value))
        });
        let left: Vec<_> = left.collect();
        let error = error(&strs(&left));
        assert!(error.contains(said), "{said}: {error}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_site_is_not_asked_by_the_name_that_leads_here() {
    let at = |url| with_site(&[HOST, DOOR, ("--web-site", url)]);
    for url in [
        "https://Proxy.example.com",
        "https://proxy.example.com:443/",
    ] {
        let error = at(url).unwrap_err();
        assert!(error.contains("is what this proxy shows"), "{error}");
    }
    for url in ["https://proxy.example.com:8443", "https://www.example.com"] {
        assert!(at(url).is_ok(), "{url}");
    }
}

#[cfg(feature = "tls")]
fn with_site(flags: &[(&str, &str)]) -> Result<Config, String> {
    build(&given(flags, Some("f")))
}

#[cfg(feature = "tls")]
#[test]
fn a_name_has_one_certificate() {
    let error = error(&[
        ("--web", "a.example,cert=/c,key=/k"),
        ("--web", "a.example/b,cert=/d,key=/k"),
        SITE,
    ]);
    assert!(error.contains("two paths of a.example"), "{error}");
}

#[test]
fn a_door_that_others_reach_is_told_of() {
    for (address, is_told) in [
        ("127.0.0.1:8080", false),
        ("192.168.1.1:8080", false),
        ("[fd00::1]:8080", false),
        ("8.8.8.8:8080", true),
        ("0.0.0.0:8080", true),
        (":8080", true),
    ] {
        let config = config(&[HOST, SITE, ("--secret", KEY), ("--web-listen", address)]);
        let warnings = config.said.warnings.iter();
        let told: Vec<_> = warnings.filter(|line| line.contains("no TLS")).collect();
        assert_eq!(told.len(), usize::from(is_told), "{address}: {told:?}");
    }
}

/// Who is shown a WEB host by our own TLS is a guest, as one at the site of `--fronting`.
#[cfg(feature = "tls")]
#[test]
fn guests_of_our_own_tls_have_descriptors() {
    let mut machine = machine();
    machine.descriptors = Some(2000);
    let clients = |host: &str| {
        let flags = [
            ("--web", host),
            DOOR,
            SITE,
            ("--secret", KEY),
            ("--max-clients", "100000"),
        ];
        let settings = given(&flags, None);
        let flags = settings::parse(&settings).unwrap();
        let config = build::build(flags, &settings, &machine).unwrap();
        config.descriptors.clients
    };
    let (with_tls, without) = (clients("a.example,cert=/c,key=/k"), clients("a.example"));
    assert!(with_tls < without, "{with_tls} and {without}");
}

#[test]
fn hosts_without_a_secret_get_the_proxys_own() {
    let mut config = config(&[HOST, DOOR, SITE]);
    assert!(config.web.lacks_secrets() && !config.doors.lack_secrets());
    let secret = kept_secret::bare(NEW);
    config.doors.add_own((secret, OwnSecret::ThisRunOnly));
    config.web.add_secrets(&[], &config.doors.secrets);
    assert!(!config.web.lacks_secrets());
    assert_eq!(config.web.hosts[0].secrets[0].name, "own");
}

#[test]
fn a_reload_takes_all_of_it_over() {
    let base = with(&[("--secret", KEY)]);
    for (flag, value) in [
        ("--web", "b.example"),
        ("--web-listen", "127.0.0.1:8081"),
        ("--web-site", "proxy.example.com=http://127.0.0.1:81"),
    ] {
        let more = with(&[("--secret", KEY), (flag, value)]);
        for (from, to) in [(&base, &more), (&more, &base)] {
            let (_, found) = reloaded(&config(&strs(from)), &strs(to));
            assert_eq!(found.changed, [flag], "{value}");
            assert!(found.need_restart.is_empty());
        }
    }
    let two = |first, second| with(&[("--web-listen", first), ("--web-listen", second)]);
    let (one, other) = ("127.0.0.1:81", "127.0.0.1:82,header=X");
    let running = config(&strs(&two(one, other)));
    let (_, found) = reloaded(&running, &strs(&two(other, one)));
    assert_eq!(found, Differences::default());
}
