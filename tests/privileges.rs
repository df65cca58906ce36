//! `--user`: root binds the ports, another user serves.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::crypto::hex;
use fake_telegram::harness::{ProxyOptions, Route, Said, program, skipped, start};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};

const USER: &str = "nobody";

fn am_root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        skipped("only root can give root up; run this test as root");
    }
    root
}

/// Its user's and group's number.
fn numbers() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("nobody:"));
    let fields: Vec<_> = line.unwrap().split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// The numbers behind `name` in a status file of /proc.
fn status(task: &Path, name: &str) -> Vec<u32> {
    let text = fs::read_to_string(task.join("status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let numbers = line.unwrap().split_whitespace();
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// The user could not make it in a directory of root's.
#[test]
fn a_data_directory_that_is_missing_is_made_for_the_user() {
    if !am_root() {
        return;
    }
    run(async {
        let (uid, _) = numbers();
        let mut data_dir = PathBuf::new();
        let change = |o: ProxyOptions| {
            data_dir = o.directory().join("new/state");
            let control = o.directory().join("sockets/control");
            o.set("--user", USER)
                .set("--data-dir", data_dir.display())
                .set("--control", control.display())
                .add("--secret", format!("alice={},quota=1G", hex(&[0xa1; 16])))
        };
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let alice = proxy.client(Kind::Padded).key([0xa1; 16]);
        let mut alice = alice.connect().await.unwrap();
        within("an echo", alice.echo(&echo(1, 64))).await.unwrap();
        let control = proxy.directory().join("sockets/control");
        let control = fs::metadata(control).unwrap();
        assert_eq!((control.uid(), control.mode() & 0o777), (uid, 0o600));
        telegram.assert_clean();
        let _options = proxy.stop().await;
        let usage = fs::metadata(data_dir.join("usage")).unwrap();
        assert_eq!((usage.uid(), usage.mode() & 0o777), (uid, 0o600));
    });
}

#[test]
fn root_is_given_up_for_good() {
    if !am_root() {
        return;
    }
    run(async {
        let (uid, gid) = numbers();
        let change = |o: ProxyOptions| {
            o.set("--user", USER)
                .add("--secret", format!("alice={},quota=1G", hex(&[0xa1; 16])))
                .in_config_file()
        };
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
        let mut alice = proxy
            .client(Kind::Padded)
            .key([0xa1; 16])
            .connect()
            .await
            .unwrap();
        within("an echo", alice.echo(&echo(1, 64))).await.unwrap();
        let tasks = fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
        let tasks: Vec<_> = tasks.map(|task| task.unwrap().path()).collect();
        assert!(!tasks.is_empty());
        for task in &tasks {
            assert_eq!(status(task, "Uid:"), [uid; 4]);
            assert_eq!(status(task, "Gid:"), [gid; 4]);
            assert_eq!(status(task, "Groups:"), [gid]);
            let text = fs::read_to_string(task.join("status")).unwrap();
            for set in ["CapPrm:", "CapEff:"] {
                let line = text.lines().find(|line| line.starts_with(set)).unwrap();
                assert!(line.ends_with("\t0000000000000000"), "{line}");
            }
        }
        assert_eq!(fs::metadata(proxy.directory()).unwrap().uid(), uid);

        // Reloads, its own files and ctl work as before.
        proxy.reload(|flags| flags.push(("--idle-timeout", "77".into())));
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        let output = proxy.command(&["ctl", "secrets", "--json"]);
        assert!(output.status.success());
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let alice = "\"name\":\"alice\",\"state\":\"open\",\"clients\":1,";
        assert!(told.contains(alice), "{told}");
        telegram.assert_clean();
        let options = proxy.stop().await;
        let usage = fs::metadata(options.directory().join("usage")).unwrap();
        assert_eq!((usage.uid(), usage.mode() & 0o777), (uid, 0o600));
    });
}

/// What root may read and the service may not is no config for it.
#[test]
fn a_test_run_sees_what_the_user_sees() {
    if !am_root() {
        return;
    }
    let options = ProxyOptions::bare(built_binary!());
    let listener = options.listener();
    let data_dir = options.directory().join("data");
    let table = options.directory().join("table");
    let conf = options.directory().join("conf");
    fs::create_dir(&data_dir).unwrap();
    fs::write(&table, "192.0.2.1\n").unwrap();
    let text = format!(
        "listen {listener}\ndata-dir data\ntable friends=table\nuser nobody-of-that-name\n"
    );
    fs::write(&conf, text).unwrap();
    let test = |words: &[&str]| {
        let mut command = program(built_binary!());
        command.args(["run", "--test", "--config"]).arg(&conf);
        let said = Said::by(command.args(words));
        (said.status, said.stderr)
    };
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (status, said) = test(&[]);
    assert_eq!(status, 78, "{said}");
    assert!(said.contains("nobody-of-that-name"), "{said}");
    // The command line's counts, as for every flag.
    assert_eq!(test(&["--user", USER]), (0, String::new()));
    for (path, named) in [(&table, "table "), (&conf, "cannot read ")] {
        mode(path, 0o600);
        let (status, said) = test(&["--user", USER]);
        assert_eq!(status, 77, "{said}");
        let begin = format!("smol-mtproxy: as --user {USER}: {named}");
        assert!(said.starts_with(&begin), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert_eq!(said.lines().count(), 1);
        assert_eq!(test(&["--user", "root"]).0, 0);
        mode(path, 0o644);
    }
    // Nothing is handed over.
    assert_eq!(fs::metadata(&data_dir).unwrap().uid(), 0);
    assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 0);
}

/// No program that it may be made to run gets other rights than it has.
#[test]
fn no_thread_can_gain_privileges() {
    run(async {
        let users: &[Option<&str>] = match am_root() {
            true => &[None, Some(USER)],
            false => &[None],
        };
        for user in users {
            let change = |o: ProxyOptions| match user {
                Some(user) => o.set("--user", user).in_config_file(),
                None => o.in_config_file(),
            };
            let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
            // The log's thread is there, and one that reads files.
            proxy.reload(|flags| flags.push(("--idle-timeout", "77".into())));
            eventually("a reload", || {
                proxy.counted("config_reloads_total", "") == 1
            })
            .await;
            let tasks = fs::read_dir(format!("/proc/{}/task", proxy.pid())).unwrap();
            let tasks: Vec<_> = tasks.map(|task| task.unwrap().path()).collect();
            assert!(tasks.len() >= 3, "{tasks:?}");
            for task in &tasks {
                assert_eq!(status(task, "NoNewPrivs:"), [1], "{user:?}");
            }
            telegram.assert_clean();
            proxy.stop().await;
        }
    });
}

#[test]
fn a_user_that_does_not_exist_is_named() {
    if !am_root() {
        return;
    }
    run(async {
        let options = ProxyOptions::bare(built_binary!());
        let listener = options.listener();
        let options = options
            .add("--listen", listener)
            .add("--secret", hex(&[1; 16]));
        let mut proxy = options.add("--user", "nobody-of-that-name").spawn();
        assert_eq!(proxy.exit_status().await.code(), Some(78));
        eventually("a word", || proxy.log_contains("nobody-of-that-name")).await;
    });
}

/// Neither the log at its loudest nor the metrics hold a secret or the salt.
#[test]
fn nothing_secret_is_said() {
    run(async {
        let change = |o: ProxyOptions| {
            o.set("--log-level", "trace")
                .set("--sni-salt", "pepper-and-salt")
                .add("--secret", format!("alice={},max-ips=3", hex(&[0xa1; 16])))
                .in_config_file()
        };
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
        for kind in [Kind::Padded, Kind::FakeTls] {
            if let Ok(mut client) = proxy.client(kind).key([0xa1; 16]).connect().await {
                let _ = within("an answer or an end", client.echo(&echo(1, 64))).await;
            }
            if kind == Kind::Padded {
                proxy.reload(|flags| flags.retain(|flag| flag.0 != "--sni-salt"));
                let reloads = || proxy.counted("config_reloads_total", "");
                eventually("a reload", || reloads() == 1).await;
            }
        }
        proxy.reload(|flags| flags.push(("--secret", "alice=nonsense".into())));
        eventually("a complaint", || {
            proxy.counted("config_reload_failures_total", "") == 1
        })
        .await;
        let command_line = fs::read(format!("/proc/{}/cmdline", proxy.pid())).unwrap();
        let said = [
            proxy.log().join("\n"),
            proxy.metrics().0,
            String::from_utf8_lossy(&command_line).into_owned(),
        ]
        .join("\n");
        for secret in [hex(&[0xa1; 16]).as_str(), "pepper-and-salt", "nonsense"] {
            assert!(!said.contains(secret), "{secret} is told");
        }
        telegram.assert_clean();
    });
}
