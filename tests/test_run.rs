//! `run --test`: a config is looked at, and nothing else happens. In every build.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fake_telegram::built_binary;
use fake_telegram::harness::{Said, TemporaryDirectory, free_address};

const KEY: &str = "00112233445566778899aabbccddeeff";

fn say(line: &str) -> Said {
    Said::to(built_binary!(), line)
}

/// Everything that lies in a directory, with what the files hold.
fn content(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap();
    let mut all: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap_or_default()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_test_run_says_what_a_start_would_and_leaves_nothing() {
    let directory = TemporaryDirectory::new();
    let place = |name: &str| directory.path().join(name);
    let write = |name: &str, text: &str| fs::write(place(name), text).unwrap();
    // Others may have its port, and nobody is asked.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    write("people", "192.0.2.0/24\n");
    write("broken", "192.0.2.0/24\n\n/etc/passwd\n");
    write("psk", KEY);
    write("conf", "");
    for name in ["psk", "conf"] {
        fs::set_permissions(place(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir(place("damaged")).unwrap();
    write("damaged/secret", "half a sec");
    let whole = format!("listen {listen}\ndata-dir data\n");
    // The binary may be another build's than this test.
    let is_small = cfg!(not(feature = "tls")) || env::var_os("SMOL_MTPROXY_LISTS").is_some();
    for (more, status, word) in [
        ("", 0, ""),
        ("secret dd00112233445566778899aabbccddeeff", 0, ""),
        ("table friends=people", 0, ""),
        ("table friends=yet-to-come", 0, ""),
        ("no-such-flag 1", 78, "conf:3: --no-such-flag is not a flag"),
        ("max-clients many", 78, "conf:3: --max-clients"),
        ("allow tls", 78, "--tls-domain"),
        ("policy in-table:secret:friends", 78, "no table friends"),
        ("table friends=broken", 78, "broken:3: \"/etc/passwd\""),
        (
            "table friends=nowhere/people",
            66,
            "its folder is not there",
        ),
        ("table friends=damaged", 66, "name a file"),
        match is_small {
            true => ("route ws", 78, "ws is not in this build"),
            false => ("route ws\nws-ca people", 78, "no certificate is in it"),
        },
        match is_small {
            true => (
                "ws 2=192.0.2.1",
                78,
                "this small build has no route but direct",
            ),
            false => ("route ws\nws-ca nowhere.pem", 66, "--ws-ca: cannot read"),
        },
    ] {
        write("conf", &format!("{whole}{more}\n"));
        let before = content(directory.path());
        let line = format!("run --config {}", place("conf").display());
        let said = say(&format!("{line} --test"));
        assert_eq!(said.status, status, "{more}: {}", said.stderr);
        assert_eq!(said.stdout, "", "{more}");
        assert_eq!(said.stderr.lines().count(), usize::from(status != 0));
        assert!(said.stderr.contains(word), "{more}: {}", said.stderr);
        assert!(
            content(directory.path()) == before,
            "{more} leaves something"
        );
        if status != 0 {
            let start = say(&line);
            assert_eq!((start.status, start.stderr), (status, said.stderr));
        }
        let _ = fs::remove_dir_all(place("data"));
    }
    let damaged = say(&format!(
        "run --test --data-dir {}",
        place("damaged").display()
    ));
    assert_eq!(damaged.status, 65, "{}", damaged.stderr);
    let absent = say("run --test --config /nonexistent/conf");
    assert_eq!(absent.status, 66, "{}", absent.stderr);
    for (psk, status) in [("psk", 0), ("none", 66), ("people", 78)] {
        let line = format!(
            "run --test --role back --link-listen {listen} --link-psk {} --data-dir {}",
            place(psk).display(),
            place("data").display()
        );
        let said = say(&line);
        assert_eq!(said.status, status, "{psk}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), usize::from(status != 0));
    }
    assert!(!place("data").exists());
    // It is of run alone.
    for line in ["link --test", "secret --test", "--test"] {
        assert_eq!(say(line).status, 64, "{line}");
    }
}

#[test]
fn a_test_run_warns_of_what_a_start_does() {
    let directory = TemporaryDirectory::new();
    let listener = free_address();
    let place = |name: &str| directory.path().join(name);
    fs::write(place("list"), "no list").unwrap();
    let line = format!(
        "run --test --listen {listener} --secret dd{KEY} --route middle --data-dir {} \
         --policy in-table:client-subnet/32/128:friends --table friends={} \
         --telegram-config {} --telegram-secret {}",
        place("data").display(),
        place("friends").display(),
        place("list").display(),
        place("none").display(),
    );
    let said = say(&line);
    assert_eq!((said.status, said.stdout.as_str()), (0, ""));
    let begin = |line: &&str| line.starts_with("smol-mtproxy: ");
    assert_eq!(
        said.stderr.lines().filter(begin).count(),
        3,
        "{}",
        said.stderr
    );
    for word in [
        "lets nobody in, as the table friends is empty",
        "/list is not Telegram's getProxyConfig (",
        "/none cannot be read: ",
    ] {
        assert_eq!(said.stderr.matches(word).count(), 1, "{}", said.stderr);
    }
    let quiet = say(&format!("{line} --log-level error"));
    assert_eq!((quiet.status, quiet.stderr.as_str()), (0, ""));
    let direct = say(&line.replace("middle", "direct"));
    assert_eq!(direct.stderr.lines().count(), 1, "{}", direct.stderr);
}
