//! What is refused of the config, and what `check` says.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::harness::{BlackHole, TemporaryDirectory, free_address};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::via::{Bound, Manners, Protocol, Step, Then, Via, reply};
use fake_telegram::wait::run;

use crate::{PASSWORD, SCHEMES, server};

const KEY: &str = "00112233445566778899aabbccddeeff";

fn say(directory: &Path, words: &[&str]) -> (i32, String) {
    let mut command = Command::new(built_binary!());
    command.args(words).arg("--data-dir").arg(directory);
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code().unwrap(), text)
}

#[test]
fn what_cannot_be_is_refused_with_the_way_out() {
    let directory = TemporaryDirectory::new();
    let listen = free_address().to_string();
    let psk = directory.path().join("psk");
    std::fs::write(&psk, KEY).unwrap();
    let psk = psk.display().to_string();
    let via = ["--via", "socks5://anna:xq%2F7@127.0.0.1:1080"];
    let both = ["run", "--test", "--listen", &listen, "--secret", KEY];
    let back = [
        "run",
        "--test",
        "--role",
        "back",
        "--link-listen",
        &listen,
        "--link-psk",
        &psk,
    ];
    let front = [
        "--role",
        "front",
        "--link",
        "127.0.0.1:1",
        "--link-psk",
        &psk,
    ];
    let test = |words: &[&[&str]]| say(directory.path(), &words.concat());
    for fine in [&[&both[..], &via].concat(), &[&back[..], &via].concat()] {
        let (status, said) = test(&[fine]);
        assert_eq!(status, 0, "{said}");
        assert!(!said.contains("xq"), "{said}");
    }
    let tagged = format!("{},tag={KEY}", free_address());
    let ourselves = format!("socks5://{listen}");
    for (words, word) in [
        (&[&both[..], &via, &["--tag", KEY]].concat(), "--tag"),
        (
            &[&both[..], &via, &["--route", "middle"]].concat(),
            "--route",
        ),
        (&[&both[..], &via, &["--listen", &tagged]].concat(), "tag"),
        (&[&both[..], &front, &via].concat(), "front"),
        (
            &[&both[..], &["--via", &ourselves]].concat(),
            "itself listens",
        ),
    ] {
        let (status, said) = test(&[words]);
        assert_eq!(status, 78, "{words:?}: {said}");
        assert!(
            said.contains("--via") && said.contains(word),
            "{words:?}: {said}"
        );
        assert!(!said.contains("xq"), "{said}");
    }
}

#[test]
fn urls_that_are_none_are_refused_without_their_password() {
    let directory = TemporaryDirectory::new();
    let listen = free_address().to_string();
    let long = "xq".repeat(128);
    for url in [
        "127.0.0.1:1080",
        "socks4://127.0.0.1:1080",
        "https://127.0.0.1:1080",
        "socks5://",
        "socks5://:1080",
        "socks5://127.0.0.1:0",
        "socks5://127.0.0.1:70000",
        "socks5://127.0.0.1:1080/path",
        "socks5://anna:xq%2@127.0.0.1:1080",
        "socks5://anna:xq%zz@127.0.0.1:1080",
        "socks5://anna:@127.0.0.1:1080",
        "socks5://:xq@127.0.0.1:1080",
        "http://an%3Ana:xq@127.0.0.1:1080",
        "socks5://[::1:1080",
        "socks5://::1:1080",
        &format!("socks5://anna:{long}@127.0.0.1:1080"),
    ] {
        let words = [
            "run", "--test", "--listen", &listen, "--secret", KEY, "--via", url,
        ];
        let (status, said) = say(directory.path(), &words);
        assert_eq!(status, 64, "{url}: {said}");
        assert!(
            said.contains("--via") && said.lines().count() == 1,
            "{url}: {said}"
        );
        assert!(!said.contains("xq"), "{url}: {said}");
    }
    for url in [
        "socks5://[::1]:1080",
        "socks5h://proxy.example:1080",
        "http://anna:x@proxy.example:3128",
        &format!(
            "socks5://{}:{}@127.0.0.1:1080",
            "u".repeat(255),
            "p".repeat(255)
        ),
    ] {
        let words = [
            "run", "--test", "--listen", &listen, "--secret", KEY, "--via", url,
        ];
        let (status, said) = say(directory.path(), &words);
        assert_eq!((status, said.as_str()), (0, ""), "{url}");
    }
}

/// What `check` says with that `--via`, and how long it takes.
fn check(telegram: &FakeTelegram, url: &str, more: &[&str]) -> (i32, String, Duration) {
    let directory = TemporaryDirectory::new();
    let listen = free_address().to_string();
    let flags = telegram.proxy_flags();
    let mut words = vec!["check", "--listen", &listen, "--secret", KEY, "--via", url];
    words.extend(
        flags
            .iter()
            .flat_map(|(flag, value)| [*flag, value.as_str()]),
    );
    words.extend(more);
    let began = Instant::now();
    let (status, said) = say(directory.path(), &words);
    assert!(
        !said.contains(PASSWORD) && !said.contains("xq%2F7"),
        "{said}"
    );
    (status, said, began.elapsed())
}

fn line<'a>(said: &'a str, begin: &str) -> &'a str {
    let line = said.lines().find(|line| line.starts_with(begin));
    line.unwrap_or_else(|| panic!("{begin}: {said}"))
}

#[test]
fn check_says_that_it_is_good() {
    let telegram = FakeTelegram::start(Default::default()).unwrap();
    for (scheme, protocol) in SCHEMES {
        for has_credentials in [false, true] {
            let via = Via::start(server(protocol, has_credentials)).unwrap();
            let (_, said, _) = check(&telegram, &via.url(scheme), &[]);
            let verdict = line(
                &said,
                &format!("ok    via {scheme}://{}: in ", via.address()),
            );
            assert!(verdict.ends_with(" ms"), "{verdict}");
            for dc in 1..=5 {
                line(&said, &format!("ok    DC {dc} direct"));
            }
            via.assert_clean();
            assert!(via.seen().opened >= 5);
        }
    }
    telegram.assert_clean();
}

#[test]
fn check_says_what_is_wrong() {
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let refusal = Manners::refuses(reply(2, &Bound::V4));
        let nobody = Manners::fault(Step::Methods, [5, 0xff], Then::Fin);
        let web = Manners::fault(Step::Methods, "HTTP/1.1 400 No\r\n\r\n", Then::Fin);
        let silence = Manners::fault(Step::Methods, "", Then::Silent);
        for (manners, words) in [
            (refusal, "rules"),
            (nobody, "user"),
            (web, "protocol"),
            (silence, "answer"),
        ] {
            let via = Via::start(server(Protocol::Socks5, true)).unwrap();
            via.behave(manners);
            let (status, said, took) = check(&telegram, &via.url("socks5"), &[]);
            let failed = said.lines().filter(|line| line.starts_with("fail  "));
            let mut failed = failed.filter(|line| line.contains("via") || line.contains("DC"));
            assert!(failed.any(|line| line.contains(words)), "{words}: {said}");
            assert_ne!(status, 0);
            assert!(took < Duration::from_secs(40), "{took:?}");
            via.assert_clean();
        }
        let nobody = format!("socks5://anna:xq@{}", free_address());
        let (_, said, _) = check(&telegram, &nobody, &[]);
        assert!(
            line(&said, "fail  via socks5://").contains("refused"),
            "{said}"
        );
        assert!(!said.contains("xq"), "{said}");
        let deaf = BlackHole::new().unwrap();
        let (_, said, took) = check(&telegram, &format!("http://{}", deaf.address()), &[]);
        line(&said, &format!("fail  via http://{}: ", deaf.address()));
        assert!(took < Duration::from_secs(40), "{took:?}");
        assert_eq!(telegram.counters().direct_accepted(), 0);
    });
}
