//! What a run keeps for the next one: who may write it, and what damage does.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::crypto::hex;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, TemporaryDirectory, free_address};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::tls::Clock;
use fake_telegram::wait::{eventually, run, within};

const ALICE: [u8; 16] = [0xa1; 16];

fn telegram() -> FakeTelegram {
    FakeTelegram::start(Default::default()).unwrap()
}

fn options(telegram: &FakeTelegram) -> ProxyOptions {
    ProxyOptions::new(built_binary!(), telegram, Route::Direct).set("--log-level", "info")
}

fn with_alice(telegram: &FakeTelegram, limits: &str) -> ProxyOptions {
    options(telegram).add("--secret", format!("alice={},{limits}", hex(&ALICE)))
}

/// The line of its log that says so, once it does.
async fn says(proxy: &Proxy, text: &str) -> String {
    let find = || proxy.log().into_iter().find(|line| line.contains(text));
    eventually(text, || find().is_some()).await;
    find().unwrap_or_default()
}

/// What `ctl secrets` says that alice has used.
fn used_by_alice(proxy: &Proxy) -> u64 {
    let answer = proxy.command(&["ctl", "secrets", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    let mut secrets = answer["secrets"].as_array().unwrap().iter();
    let alice = secrets.find(|secret| secret["name"] == "alice");
    alice.unwrap()["bytes"].as_u64().unwrap()
}

#[test]
fn two_processes_do_not_share_a_data_directory() {
    run(async {
        let telegram = telegram();
        // Where the test is not root's, this has no effect.
        let mut first = options(&telegram).set("--user", "nobody").start().await;
        let data_dir = first.directory().to_owned();
        let second = || {
            let data_dir = data_dir.display();
            options(&telegram)
                .set("--user", "nobody")
                .set("--data-dir", data_dir)
        };
        let mut refused = second().spawn();
        assert_eq!(refused.exit_status().await.code(), Some(69));
        let process = format!("is in use by process {}", first.pid());
        let line = says(&refused, &process).await;
        assert!(line.contains("of its own with --data-dir"), "{line}");
        // Commands look at the directory all the same.
        let secret = hex(&[7; 16]);
        let link = ["link", "--server", "192.0.2.1", "--no-qr", "--secret"];
        let linked = first.command(&[&link[..], &[&secret]].concat());
        assert!(linked.status.success(), "{linked:?}");
        first.signal("KILL");
        first.exit_status().await;
        let next = second().start().await;
        next.served_client(2).await;
        telegram.assert_clean();
    });
}

#[test]
fn a_directory_that_cannot_be_made_stops_nobody() {
    run(async {
        let telegram = telegram();
        // Not even root makes one there.
        let proxy = options(&telegram).set("--data-dir", "/proc/smol-mtproxy");
        let proxy = proxy.start().await;
        proxy.served_client(2).await;
        proxy.stop().await;
        telegram.assert_clean();
    });
}

#[test]
fn the_next_process_waits_for_one_that_ends() {
    run(async {
        let telegram = telegram();
        let mut first = with_alice(&telegram, "quota=1M").start().await;
        let alice = first.client(Kind::Padded).key(ALICE);
        let mut alice = alice.connect().await.unwrap();
        within("an echo", alice.echo(&echo(1, 512))).await.unwrap();
        let used = used_by_alice(&first);
        assert!(used >= 1024, "{used}");
        // It gives alice some seconds.
        first.signal("TERM");
        says(&first, "stopping").await;
        let next = first.again().start().await;
        // The first may have been the one that still listened.
        says(&next, "waiting for the process").await;
        first.exit_status().await;
        eventually("its socket for ctl", || {
            next.directory().join("control").exists()
        })
        .await;
        assert!(used_by_alice(&next) >= used);
        telegram.assert_clean();
    });
}

#[test]
fn damage_to_the_quotas_is_told_and_kept() {
    run(async {
        let zeros = [0; 4096];
        for (content, used, sound) in [
            (&zeros[..], 0, "only 0 of 1 lines"),
            (b"5000 alice\n\xff\xff\n7", 5000, "only 1 of 3 lines"),
            (b"", 0, "is empty"),
        ] {
            let telegram = telegram();
            let options = with_alice(&telegram, "quota=1M");
            let [usage, aside] =
                ["usage", "usage.broken"].map(|name| options.directory().join(name));
            fs::write(&usage, content).unwrap();
            let proxy = options.start().await;
            let line = says(&proxy, "as after a power cut").await;
            assert!(line.contains(" warn ") && line.contains(sound), "{line}");
            assert!(line.contains(usage.to_str().unwrap()), "{line}");
            if content.is_empty() {
                assert!(!aside.exists());
            } else {
                assert!(line.contains(aside.to_str().unwrap()), "{line}");
                assert_eq!(fs::read(&aside).unwrap(), content);
            }
            eventually("its socket for ctl", || {
                proxy.directory().join("control").exists()
            })
            .await;
            if used > 0 {
                assert_eq!(used_by_alice(&proxy), used);
                assert_eq!(fs::read_to_string(&usage).unwrap(), "5000 alice\n");
            }
            // Once: what is written next is whole.
            let alice = proxy.client(Kind::Padded).key(ALICE);
            let mut alice = alice.connect().await.unwrap();
            within("an echo", alice.echo(&echo(1, 64))).await.unwrap();
            drop(alice);
            let proxy = proxy.stop().await.start().await;
            says(&proxy, "KiB of buffers").await;
            assert!(!proxy.log_contains("as after a power cut"));
            telegram.assert_clean();
        }
    });
}

#[test]
fn other_damaged_files_are_told() {
    run(async {
        let telegram = telegram();
        let options = options(&telegram)
            .set("--replay-cache", "1024,keep")
            .set("--route", "middle");
        let zeros = [0; 64];
        for name in [
            "replays",
            "replays.old",
            "uptimes",
            "getProxyConfig",
            "sites",
        ] {
            fs::write(options.directory().join(name), zeros).unwrap();
        }
        let proxy = options.start().await;
        for (file, what) in [
            (
                "replays",
                "replays: of another version, as after an upgrade",
            ),
            ("replays.old", "replays.old and "),
            (
                "uptimes",
                "uptimes: of another version, as after an upgrade",
            ),
            ("getProxyConfig", "is of no use: it is damaged"),
            ("sites", "is damaged: how sites answer TLS"),
        ] {
            let line = says(&proxy, what).await;
            let path = proxy.directory().join(file);
            assert!(line.contains(path.to_str().unwrap()), "{line}");
        }
        // Once: the next start finds them gone, and what was kept since.
        let proxy = proxy.stop().await.start().await;
        says(&proxy, "KiB of buffers").await;
        assert!(!proxy.log_contains("of another version"));
        assert!(!proxy.directory().join("replays.old").exists());
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

#[test]
fn handshakes_that_cannot_be_kept_are_told_and_come_in() {
    run(async {
        let telegram = telegram();
        let options = options(&telegram).set("--replay-cache", "keep");
        let place = options.directory().join("replays");
        fs::create_dir(&place).unwrap();
        let proxy = options.start().await;
        let client = proxy.client(Kind::FakeTls);
        let client = client.hello(|hello| hello.clock = Clock::Fixed(4000));
        let mut client = client.connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        let uptimes = proxy.directory().join("uptimes");
        eventually("the other file", || uptimes.exists()).await;
        let line = says(&proxy, "cannot keep handshakes").await;
        assert!(line.contains(place.to_str().unwrap()), "{line}");
        assert!(line.contains("; give a writable --data-dir"), "{line}");
        proxy.served_client(2).await;
        proxy.stop().await;
        // By default they are not where nothing can be.
        let options = self::options(&telegram).set("--data-dir", "/dev/null/none");
        let proxy = options.start().await;
        let line = says(&proxy, "no handshake is kept").await;
        assert!(line.contains("--data-dir /dev/null/none"), "{line}");
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

#[test]
fn what_is_no_socket_of_ours_stays_where_ctl_should_be() {
    run(async {
        let telegram = telegram();
        let folder = TemporaryDirectory::new();
        let place = folder.path().join("place");
        let ways: [fn(&Path); 3] = [
            |path| fs::write(path, "mine").unwrap(),
            |path| fs::create_dir(path).unwrap(),
            |path| symlink("nowhere", path).unwrap(),
        ];
        for make in ways {
            make(&place);
            let kind = fs::symlink_metadata(&place).unwrap().file_type();
            let proxy = options(&telegram).set("--control", place.display());
            let proxy = proxy.start().await;
            let line = says(&proxy, "no socket for ctl at").await;
            assert!(line.contains("no socket; choose another"), "{line}");
            proxy.stop().await;
            let left = fs::symlink_metadata(&place).unwrap().file_type();
            assert_eq!(left, kind);
            if kind.is_dir() {
                fs::remove_dir(&place).unwrap();
            } else {
                fs::remove_file(&place).unwrap();
            }
        }
        // A living process has that socket; then ours is taken away for another's.
        let listener = UnixListener::bind(&place).unwrap();
        let with_place = || options(&telegram).set("--control", place.display());
        let proxy = with_place().start().await;
        says(&proxy, "no socket for ctl at").await;
        proxy.stop().await;
        assert!(place.exists());
        drop(listener);
        let proxy = with_place().start().await;
        let control = place.to_str().unwrap();
        let secrets = ["ctl", "secrets", "--control", control];
        eventually("its socket", || proxy.command(&secrets).status.success()).await;
        fs::remove_file(&place).unwrap();
        let _listener = UnixListener::bind(&place).unwrap();
        proxy.stop().await;
        let left = fs::symlink_metadata(&place).unwrap();
        assert!(left.file_type().is_socket());
        telegram.assert_clean();
    });
}

#[test]
fn what_ends_or_turns_away_is_in_the_log() {
    run(async {
        let telegram = telegram();
        let options = with_alice(&telegram, "max-connections=1")
            .add("--secret", format!("bob={},quota=100", hex(&[0xb0; 16])))
            .add(
                "--secret",
                format!("carol={},expires=2020-12-31", hex(&[0xc0; 16])),
            )
            .set("--flood-limit", "1,4")
            .set("--reset", "on-handshake-error");
        fs::write(options.directory().join("usage"), "100 bob\n").unwrap();
        let proxy = options.start().await;
        says(&proxy, "the secret bob has used up its quota: ").await;
        says(&proxy, "the secret carol has expired: ").await;
        let alice = proxy.client(Kind::Padded).key(ALICE);
        let mut inside = alice.connect().await.unwrap();
        within("an echo", inside.echo(&echo(1, 64))).await.unwrap();
        let mut outside = alice.connect().await.unwrap();
        let fate = within("its end", outside.fate_of(&echo(1, 64))).await;
        assert_eq!(fate, Fate::Closed);
        let refused = "a client of alice is turned away: more connections than its secret's \
                       max-connections; ";
        says(&proxy, refused).await;
        let strangers: Vec<_> = (0..20)
            .map(|_| TcpStream::connect(proxy.address()))
            .collect();
        says(
            &proxy,
            "a connection is turned away: its address makes more connections",
        )
        .await;
        drop(strangers);
        for text in [
            "has used up",
            "has expired",
            refused,
            "a connection is turned",
        ] {
            let lines = proxy.log();
            let said: Vec<_> = lines.iter().filter(|line| line.contains(text)).collect();
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(
                said[0].contains(" info ") && !said[0].contains("127."),
                "{said:?}"
            );
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_site_that_dies_and_comes_back_is_told() {
    run(async {
        let telegram = telegram();
        let address = free_address();
        let site = TcpListener::bind(address).unwrap();
        let options = options(&telegram).set("--fronting", address);
        let proxy = options.start().await;
        let visit = || {
            let mut stranger = TcpStream::connect(proxy.address()).unwrap();
            stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            stranger
        };
        let mut visitors = vec![visit()];
        eventually("a guest", || proxy.counted("fronted", "") == 1).await;
        drop(site);
        let silent = format!("strangers see a silent server instead of {address}");
        // A program that another test has just begun holds the port for a moment more.
        eventually("strangers without a site", || {
            visitors.push(visit());
            proxy.log_contains(&silent)
        })
        .await;
        let line = says(&proxy, &silent).await;
        assert!(line.contains(" warn "), "{line}");
        let _site = TcpListener::bind(address).unwrap();
        visitors.push(visit());
        says(&proxy, &format!("strangers see {address} again")).await;
        let lines = proxy.log();
        let said = lines.iter().filter(|line| line.contains("strangers see"));
        assert_eq!(said.count(), 2, "{lines:#?}");
        telegram.assert_clean();
    });
}
