//! What a reload does not take, and keeps until a restart.

use super::*;

#[test]
fn what_is_made_of_a_fixed_flag_is_made_of_the_one_that_is_kept() {
    let with = |data_dir| {
        [
            ("--data-dir", data_dir),
            ("--table", "a=/one/a"),
            ("--table", "b=/two/b"),
        ]
    };
    let running = config(&with("/one"));
    let (new, found) = reloaded(&running, &with("/two"));
    assert_eq!(found.need_restart, ["--data-dir"]);
    assert!(found.changed.is_empty(), "{found:?}");
    assert_eq!(new.guard.tables, running.guard.tables);
}

#[test]
fn a_reload_must_go_with_what_is_kept_and_with_what_a_restart_takes() {
    let running = config(&[("--metrics", "9090"), ("--listen", ":1")]);
    let said = refused(&running, &[("--metrics", "9091"), ("--listen", ":9090")]);
    let beginning = "restart for --metrics: with the old values, by which this process goes on, \
        --metrics: 127.0.0.1:9090 and 0.0.0.0:9090";
    assert!(said.starts_with(beginning), "{said}");
    let said = refused(&running, &[("--metrics", "9092"), ("--listen", ":9092")]);
    assert!(
        said.starts_with("f:1: --metrics: 127.0.0.1:9092 and"),
        "{said}"
    );
    let said = refused(&running, &[("--buffers", "x")]);
    assert!(said.starts_with("f:1: --buffers"), "{said}");
    let half = [
        ("--role", "back"),
        ("--link-listen", "10.0.0.1:1"),
        ("--link-psk", "/none"),
    ];
    let said = refused(&running, &half);
    assert!(said.starts_with("--link-psk: cannot read"), "{said}");
}

#[test]
fn a_key_is_read_whatever_else_needs_a_restart() {
    let folder = TemporaryDirectory::new();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    std::fs::write(&one, [b'x'; 40]).unwrap();
    std::fs::write(&two, [b'y'; 40]).unwrap();
    let with = |key: &std::path::Path, buffers| {
        let key = key.to_str().unwrap().to_owned();
        let back = [("--role", "back"), ("--link-listen", "10.0.0.1:1")];
        let given = [("--link-psk", &*key), ("--buffers", buffers)];
        let first = [("--link-psk", one.to_str().unwrap())];
        let running = config(&[&back[..], &first].concat());
        reloaded(&running, &[&back[..], &given].concat())
    };
    let key = |config: &Config| config.link.key.as_ref().unwrap().bytes()[0];
    let (new, found) = with(&one, "8M");
    assert_eq!((key(&new), found.need_restart), (b'x', vec!["--buffers"]));
    let (new, found) = with(&two, "8M");
    assert_eq!((key(&new), found.changed), (b'y', vec!["--link-psk"]));
}

#[test]
fn another_role_changes_nothing() {
    let folder = TemporaryDirectory::new();
    let key = folder.path().join("key");
    std::fs::write(&key, [b'x'; 40]).unwrap();
    let back = [
        ("--role", "back"),
        ("--link-listen", "10.0.0.1:1"),
        ("--link-psk", key.to_str().unwrap()),
    ];
    let said = refused(&config(&[]), &back);
    assert_eq!(
        said,
        "--role is another one; restart for it, or set it back"
    );
}
