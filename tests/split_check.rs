//! What `check` says of a link, and fronts whose certificates are refused.
#![cfg(all(feature = "tls", feature = "check"))]

mod link_peer;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;

use fake_telegram::built_binary;
use fake_telegram::harness::namespace::apart;
use fake_telegram::harness::{
    Proxy, ProxyOptions, Route, Secured, TemporaryDirectory, certify, certs, free_address,
};
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, run};
use smol_mtproxy_wire::link::{Frame, Hello, LinkSide, RANDOM_LEN, Refusal, proof};

use link_peer::Peer;

fn fine(words: &[&str], directory: &Path) -> String {
    certs(built_binary!(), words, directory).fine()
}

/// A CA with the fronts `home` and `old`, which has expired.
fn made() -> TemporaryDirectory {
    let directory = certify(built_binary!(), ["home"]);
    fine(&["add-node", "old", "--days", "0"], directory.path());
    directory
}

type Flag<'a> = (&'a str, String);

/// The flags of certificate `cert` of one directory with the CA of another.
fn files<'a>(of: &TemporaryDirectory, cert: &str, ca: &TemporaryDirectory) -> Vec<Flag<'a>> {
    let file = |directory: &TemporaryDirectory, name: &str| {
        directory.path().join(name).display().to_string()
    };
    vec![
        ("--link-ca", file(ca, "ca.pem")),
        ("--link-cert", file(of, &format!("{cert}.pem"))),
        ("--link-key", file(of, &format!("{cert}.key"))),
    ]
}

/// What `check` says to a front with these flags: its status and its lines about
/// the link.
fn check(back: SocketAddr, flags: &[Flag<'_>]) -> (Option<i32>, String) {
    let directory = TemporaryDirectory::new();
    let mut command = Command::new(built_binary!());
    command.args(["check", "--role", "front", "--external-ip", "198.51.100.1"]);
    command.args([
        "--listen",
        &free_address().to_string(),
        "--link",
        &back.to_string(),
    ]);
    command.arg("--data-dir").arg(directory.path());
    for (flag, value) in flags {
        command.args([flag, value.as_str()]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let is_of_link = |line: &&str| line.contains(" link files:") || line.contains(" back ");
    let lines: Vec<&str> = text.lines().filter(is_of_link).collect();
    (output.status.code(), lines.join("\n"))
}

fn fails(back: SocketAddr, flags: &[Flag<'_>], words: &[&str]) {
    let (_, said) = check(back, flags);
    let verdict = format!("fail  back {back}: ");
    assert!(said.contains(&verdict), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` in {said}");
    }
}

fn passes(back: SocketAddr, flags: &[Flag<'_>], how: &str) {
    let (_, said) = check(back, flags);
    let verdict = format!("ok    back {back}: in ");
    let how = format!(" ms, the whole handshake: {how}");
    assert!(said.contains(&verdict) && said.contains(&how), "{said}");
    assert!(!said.contains("fail") && !said.contains("warn"), "{said}");
}

#[test]
fn a_link_that_would_not_come_about_is_named_and_one_that_would_is_let_be() {
    let name = "a_link_that_would_not_come_about_is_named_and_one_that_would_is_let_be";
    apart(name, || run(certificates()));
}

async fn certificates() {
    let telegram = FakeTelegram::start(Options::default()).unwrap();
    let (ours, other) = (made(), made());
    let home = Secured::by_certificates(&ours, "home");
    let back = ProxyOptions::back(built_binary!(), &telegram, &home);
    let back = back.start().await;
    let at = back.address();
    let front = ProxyOptions::front(built_binary!(), &telegram, Route::Middle, &home, &[at]);
    let front = front.start().await;
    front.linked(1).await;
    // The harness has looked whether the port is open.
    let seen = || {
        let refused = back
            .log()
            .iter()
            .filter(|line| line.contains("gets no link"))
            .count();
        (
            refused,
            back.counted("link_ends_total", ""),
            back.counted("links", ""),
        )
    };
    let before = seen();
    passes(at, &files(&ours, "home", &ours), "TLS");
    let told = || back.log_contains("(home) asks by `check`: it would get a link");
    eventually("a word about the trial", told).await;
    assert_eq!(seen(), before, "{:#?}", back.log());
    front.served_client(2).await;

    fine(&["add-node", "soon", "--days", "10"], ours.path());
    let (_, said) = check(at, &files(&ours, "soon", &ours));
    let warning = "/soon.pem expires on 20";
    assert!(
        said.contains("ok    back ") && said.contains("warn  link files: "),
        "{said}"
    );
    assert!(
        said.contains(warning) && said.contains("certs renew DIR soon"),
        "{said}"
    );

    let soon = Secured::by_certificates(&ours, "soon");
    let soon = ProxyOptions::front(built_binary!(), &telegram, Route::Middle, &soon, &[at]);
    let soon = soon.start().await;
    soon.linked(1).await;
    eventually("a word at its start", || soon.log_contains(warning)).await;
    drop(soon);
    eventually("its link's end", || back.counted("links", "") == 1).await;

    // The front refuses the back, the back the front.
    let foreign = ["the other side's certificate is of another CA"];
    fails(at, &files(&other, "home", &other), &foreign);
    let foreign = [
        "is not of the CA in",
        "this side's certificate is of another CA",
    ];
    fails(at, &files(&other, "home", &ours), &foreign);
    eventually("its expiry", || {
        fine(&["show"], ours.path()).contains("old.pem: old, EXPIRED")
    })
    .await;
    let expired = [
        "old.pem has expired on ",
        "certs renew DIR old` where ca.key is, copy old.pem here, then reload",
        "this side's certificate has expired on ",
    ];
    fails(at, &files(&ours, "old", &ours), &expired);
    let of_back = [
        "back.pem is no front's certificate",
        "the back does not take this certificate for a front's",
    ];
    fails(at, &files(&ours, "back", &ours), &of_back);
    let mixed = vec![
        (
            "--link-ca",
            ours.path().join("ca.pem").display().to_string(),
        ),
        (
            "--link-cert",
            ours.path().join("home.pem").display().to_string(),
        ),
        (
            "--link-key",
            ours.path().join("old.key").display().to_string(),
        ),
    ];
    fails(at, &mixed, &["old.key: not the key of ", "not tried"]);
    // A key on one side only, and TLS on one side only.
    let key = TemporaryDirectory::new();
    let psk = key.path().join("psk");
    std::fs::write(&psk, "0123456789abcdef".repeat(2)).unwrap();
    let psk = ("--link-psk", psk.display().to_string());
    let mut both = files(&ours, "home", &ours);
    both.push(psk.clone());
    fails(at, &both, &["--link-psk and the other one has none"]);
    fails(at, &[psk], &["TLS on both ends or on neither"]);
    let nobody = free_address();
    fails(
        nobody,
        &files(&ours, "home", &ours),
        &["cannot connect", "is the back running"],
    );

    front.served_client(2).await;
    assert_eq!(back.counted("links", ""), 1);
    front.cleared().await;
}

#[test]
fn a_wrong_key_and_a_right_one() {
    apart("a_wrong_key_and_a_right_one", || run(keys()));
}

async fn keys() {
    let telegram = FakeTelegram::start(Options::default()).unwrap();
    let back = ProxyOptions::back(built_binary!(), &telegram, &Secured::default());
    let back = back.start().await;
    let folder = TemporaryDirectory::new();
    let key = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        [("--link-psk", path.display().to_string())]
    };
    let right = key("right", &"0123456789abcdef".repeat(2));
    let wrong = key("wrong", "another key of enough characters");
    passes(back.address(), &right, "a key, plain");
    let words = ["the two sides have different keys: give both the same --link-psk file"];
    fails(back.address(), &wrong, &words);
    eventually("a word on the back", || {
        back.log_contains("gets no link: the two sides have different keys")
    })
    .await;
    // A front with TLS, the back without.
    let ours = made();
    let words = [
        "hung up in the middle of the handshake",
        "TLS on both ends or on neither",
    ];
    fails(back.address(), &files(&ours, "home", &ours), &words);
    assert_eq!(back.counted("links", ""), 0);
}

/// A back of before there were trials: it has a link then.
#[test]
fn a_back_that_does_not_know_trials_gets_a_goodbye() {
    apart(
        "a_back_that_does_not_know_trials_gets_a_goodbye",
        older_back,
    );
}

fn older_back() {
    const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
    let folder = TemporaryDirectory::new();
    let psk = folder.path().join("psk");
    std::fs::write(&psk, KEY).unwrap();
    let listener = TcpListener::bind(free_address()).unwrap();
    let at = listener.local_addr().unwrap();
    let answering = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut peer = Peer::over(stream);
        let Some(Frame::Hello(mut theirs)) = peer.hear() else {
            panic!("no hello");
        };
        assert!(theirs.is_trial);
        theirs.is_trial = false;
        let ours = Hello {
            side: LinkSide::Back,
            is_keyed: true,
            is_trial: false,
            lacks_middle: false,
            hears_middle: false,
            window: 32 * 1024,
            random: [5; RANDOM_LEN],
        };
        peer.say(&Frame::Hello(ours.clone()));
        assert_eq!(
            peer.hear(),
            Some(Frame::Proof(proof(KEY, LinkSide::Front, &theirs, &ours)))
        );
        peer.say(&Frame::Proof(proof(KEY, LinkSide::Back, &theirs, &ours)));
        peer.say(&Frame::Ping(1));
        peer.hear()
    });
    passes(
        at,
        &[("--link-psk", psk.display().to_string())],
        "a key, plain",
    );
    let last = answering.join().unwrap();
    assert_eq!(last, Some(Frame::Close(Refusal::Shutdown)));
}

#[test]
fn a_revoked_front_loses_its_links_and_comes_again_with_another_key() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        let ours = made();
        fine(&["add-node", "office"], ours.path());
        let home = Secured::by_certificates(&ours, "home");
        let list = ours.path().join("refused.txt").display().to_string();
        let back = ProxyOptions::back(built_binary!(), &telegram, &home);
        let back = back.set("--link-refuse", &list).in_config_file();
        let mut back = back.start().await;
        let start = |who: &str| {
            let (secured, backs) = (Secured::by_certificates(&ours, who), [back.address()]);
            let route = Route::Direct;
            ProxyOptions::front(built_binary!(), &telegram, route, &secured, &backs)
                .in_config_file()
                .start()
        };
        let (mut home, office) = (start("home").await, start("office").await);
        home.linked(1).await;
        office.linked(1).await;

        let told = fine(&["revoke", "home"], ours.path());
        assert!(told.contains("reload the back (kill -HUP)"), "{told}");
        assert!(fine(&["show"], ours.path()).contains("home.pem: home, REVOKED"));
        assert_eq!(back.counted("links", ""), 2);
        back.reload(|_| {});
        for (side, words) in [
            (
                &back,
                "is lost: the certificate of home is refused by --link-refuse",
            ),
            (
                &back,
                "gets no link: the certificate of home is refused by --link-refuse",
            ),
            (
                &home,
                "the back refuses the certificate of this front (--link-refuse)",
            ),
        ] {
            eventually(words, || side.log_contains(words)).await;
        }
        assert_eq!(
            (home.counted("links", ""), back.counted("links", "")),
            (0, 1)
        );
        assert!(back.counted("link_ends_total", "reason=\"revoked\"") >= 2);
        office.served_client(2).await;

        // A reload asks at once, and says again what is wrong.
        home.reload(|_| {});
        let told = "no link to";
        let count = |side: &Proxy| side.log().iter().filter(|line| line.contains(told)).count();
        eventually("a second time", || count(&home) == 2).await;

        fine(&["renew", "home", "--new-key"], ours.path());
        home.reload(|_| {});
        home.linked(1).await;
        home.served_client(2).await;

        // A list with a slip changes nothing, and is named.
        std::fs::write(&list, "home\n").unwrap();
        back.reload(|_| {});
        let words = "refused.txt: line 1 is no SHA-256 fingerprint";
        eventually(words, || back.log_contains(words)).await;
        home.served_client(2).await;
    });
}
