//! What a row of the table says of its flag is so.

use std::path::PathBuf;

use super::flags::{Build, FLAGS, Holds, MORE, Names, Reload};
use super::*;

fn rows() -> impl Iterator<Item = (&'static Flag, &'static str)> {
    FLAGS
        .iter()
        .zip(MORE)
        .map(|(flag, more)| (flag, more.example))
}

/// Flags that a config with this one needs.
fn company(flag: &Flag, role: Role, folder: &TemporaryDirectory) -> Vec<(&'static str, String)> {
    let key = folder.path().join("key");
    std::fs::write(&key, [b'x'; 40]).unwrap();
    let key = key.to_str().unwrap().to_owned();
    let mut company = match role {
        Role::Both => vec![],
        Role::Front => vec![("--role", "front"), ("--link", "10.8.0.1:1")],
        Role::Back => vec![("--role", "back"), ("--link-listen", "10.8.0.1:1")],
    };
    if flag.build == Build::Tls && flag.is_here() && role != Role::Both {
        company.extend([
            ("--link-ca", "a"),
            ("--link-cert", "b"),
            ("--link-key", "c"),
        ]);
    }
    if role != Role::Back && flag.name.starts_with("--web") {
        company.push(("--secret", "alice=00112233445566778899aabbccddeeff"));
        company.extend([
            ("--web", "a.example"),
            ("--web-listen", "127.0.0.1:1"),
            ("--web-site", "/nowhere"),
        ]);
    }
    if flag.name == "--policy" && role != Role::Back {
        company.push(("--table", "a=/nowhere"));
    }
    let company = company.into_iter().filter(|(name, _)| *name != flag.name);
    let mut company: Vec<_> = company
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    if role != Role::Both {
        company.push(("--link-psk", key));
    }
    company
}

fn with(company: &[(&'static str, String)], flag: &[(&'static str, &str)]) -> Vec<Setting> {
    let company = company.iter().map(|(name, value)| (*name, value.as_str()));
    let company = company.filter(|(name, _)| !flag.iter().any(|(other, _)| other == name));
    let flags: Vec<_> = company.chain(flag.iter().copied()).collect();
    given(&flags, Some("f"))
}

#[test]
fn a_flag_of_another_role_or_build_is_refused_with_the_way_out() {
    let folder = TemporaryDirectory::new();
    for (flag, example) in rows().filter(|(flag, _)| flag.reload != Reload::Refused) {
        for role in [Role::Both, Role::Front, Role::Back] {
            let company = company(flag, role, &folder);
            let key = &company.last().map_or("", |(_, key)| key);
            let example = if flag.holds == Holds::SecretFile {
                key
            } else {
                example
            };
            let built = build(&with(&company, &[(flag.name, example)]));
            let name = flag.name;
            let expected = match (role, flag.roles.include(role)) {
                _ if !flag.is_here() => "build has no ".to_owned(),
                (_, true) => {
                    assert!(built.is_ok(), "{name} {role:?}: {built:?}");
                    continue;
                }
                (Role::Both, false) => {
                    format!("{name} is for a process that is one half of the proxy")
                }
                (Role::Front, false) => {
                    format!("{name} has no effect on a front; give it to the back")
                }
                (Role::Back, false) => {
                    format!("{name} has no effect on a back; give it to the front")
                }
            };
            let error = built.unwrap_err();
            assert!(error.contains(&expected), "{name} {role:?}: {error}");
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn a_reload_takes_over_what_the_row_says() {
    let folder = TemporaryDirectory::new();
    for (flag, example) in rows().filter(|(flag, _)| flag.is_here()) {
        let all = [Role::Both, Role::Front, Role::Back];
        let role = all
            .into_iter()
            .find(|role| flag.roles.include(*role))
            .unwrap();
        let company = company(flag, role, &folder);
        let without = with(&company, &[]);
        let Ok(running) = build_whole(&without) else {
            // What it cannot be without is never new.
            let has_company = flag.build == Build::Tls || flag.name.starts_with("--web");
            assert!(["--link", "--link-listen"].contains(&flag.name) || has_company);
            continue;
        };
        let key = folder.path().join("other");
        std::fs::write(&key, [b'y'; 40]).unwrap();
        let example = match flag.holds {
            Holds::SecretFile => key.to_str().unwrap(),
            _ => example,
        };
        let new = successor::build(
            &running,
            with(&company, &[(flag.name, example)]),
            &machine(),
        );
        let name = flag.name;
        match (flag.reload, new) {
            (Reload::Live, Ok(new)) => {
                assert_eq!((&*new.changed, &*new.need_restart), (&[name][..], &[][..]));
            }
            (Reload::Restart, Ok(new)) => {
                assert_eq!((&*new.changed, &*new.need_restart), (&[][..], &[name][..]));
                let kept = Config {
                    given: running.given.clone(),
                    ..new.config
                };
                assert_eq!(kept, running, "{name}");
            }
            (Reload::Refused, Err(error)) => {
                assert!(
                    error.to_string().contains("restart") || name == "--role",
                    "{error}"
                );
            }
            (Reload::CommandLine, Ok(new)) => assert!(new.need_restart.is_empty()),
            (reload, new) => panic!("{name} {reload:?}: {:?}", new.err()),
        }
    }
}

fn build_whole(settings: &[Setting]) -> Result<Config, ConfigError> {
    let flags = settings::parse(settings)?;
    build::build(flags, settings, &machine())
}

#[test]
fn a_value_that_may_be_secret_is_in_no_error() {
    for (flag, _) in rows().filter(|(flag, _)| flag.is_private() && flag.is_here()) {
        for wrong in ["=", ",x", "0", ",secret=", ",secret=,secret="] {
            for value in [format!("{KEY}{wrong}"), format!("{wrong}{KEY}")] {
                let once = (flag.name, &*value);
                for settings in [given(&[once], Some("f")), given(&[once, once], Some("f"))] {
                    let error = build(&settings).err().unwrap_or_default();
                    assert!(!error.contains(&KEY[..10]), "{error}");
                }
            }
        }
    }
}

#[test]
fn relative_names_of_files_are_made_whole() {
    let directory = Path::new("/etc/x");
    for (flag, _) in rows() {
        let (value, whole) = match flag.names {
            Names::NoFile => ("y", "y"),
            Names::File => ("y", "/etc/x/y"),
            Names::FileOfName => ("n=y", "n=/etc/x/y"),
            Names::FileMaybeOfName => ("y", "/etc/x/y"),
            Names::CertificateOptions => {
                ("n,cert=y,key=/z,ca=a", "n,cert=/etc/x/y,key=/z,ca=/etc/x/a")
            }
        };
        assert_eq!(
            flag.within(directory, value.to_owned()),
            whole,
            "{}",
            flag.name
        );
        let url = "https://a.example/b";
        assert_eq!(flag.within(directory, url.to_owned()), url);
    }
    // A name that is missing does not become a part of the file's.
    let table = find("--table").unwrap();
    for (value, whole) in [("=y", "=/etc/x/y"), ("==y", "=/etc/x/=y"), ("n=", "n=")] {
        assert_eq!(table.within(directory, value.to_owned()), whole);
        let built = build(&given(&[("--table", whole)], Some("f")));
        assert!(built.is_err(), "{whole}");
    }
}

#[test]
fn a_file_with_a_secret_is_looked_at() {
    let file = Path::new("f").to_path_buf();
    for (flag, example) in rows() {
        let found = settings::secret_files(&given(&[(flag.name, example)], Some("f")));
        let expected = match flag.holds {
            Holds::Secret => vec![file.clone()],
            Holds::SecretFile => vec![PathBuf::from(example)],
            Holds::NoSecret
            | Holds::SecretOption
            | Holds::KeyOption
            | Holds::KeyFileOption
            | Holds::Password
            | Holds::Tag => Vec::new(),
        };
        assert_eq!(found, expected, "{}", flag.name);
    }
    let listener = format!(":1,secret={KEY}");
    assert_eq!(
        settings::secret_files(&given(&[("--listen", &listener)], Some("f"))),
        std::slice::from_ref(&file)
    );
    let via = ("--via", "socks5://me:secret@192.0.2.1");
    assert_eq!(
        settings::secret_files(&given(&[via], Some("f"))),
        std::slice::from_ref(&file)
    );
    let worker = ("--cloudflare-worker", "w.example.com,key=secret");
    assert_eq!(settings::secret_files(&given(&[worker], Some("f"))), [file]);
    let web = ("--web", "a.example,key=/k,cert=/c");
    assert_eq!(
        settings::secret_files(&given(&[web], Some("f"))),
        [PathBuf::from("/k")]
    );
}

/// Where a default is one value, to give it changes nothing.
#[test]
fn a_default_is_what_help_says() {
    let folder = TemporaryDirectory::new();
    let mut seen = 0;
    for (flag, _) in rows().filter(|(flag, _)| flag.is_here()) {
        let Some((_, rest)) = flag.help.split_once("(default: ") else {
            continue;
        };
        let (default, _) = rest.split_once(')').unwrap();
        let default = default.split(", opened").next().unwrap();
        let is_value = !default.contains(' ') && !["Telegram", "none"].contains(&default);
        if !is_value {
            continue;
        }
        let all = [Role::Both, Role::Front, Role::Back];
        let role = all
            .into_iter()
            .find(|role| flag.roles.include(*role))
            .unwrap();
        let company = company(flag, role, &folder);
        let running = build_whole(&with(&company, &[])).unwrap();
        let given = with(&company, &[(flag.name, default)]);
        let new = successor::build(&running, given, &machine())
            .unwrap_or_else(|error| panic!("{} {default}, its default: {error}", flag.name));
        assert!(
            new.changed.is_empty() && new.need_restart.is_empty(),
            "{} {default} is not its default",
            flag.name
        );
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}
