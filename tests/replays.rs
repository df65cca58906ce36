//! Handshakes that come again, and what Telegram says to their senders.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::crypto::from_hex;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, skipped, start};
use fake_telegram::payload::{Command as Request, ERROR_404, echo};
use fake_telegram::secret::KEY;
use fake_telegram::tls::{Clock, Hello};
use fake_telegram::wait::{eventually, patience, run, within};

const REPLAYS: &str = "reason=\"replay\"";

/// Sends `bytes` and nothing more; what comes back until the proxy closes.
fn probe(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    stream.write_all(bytes).unwrap();
    // It fails if the proxy has reset the connection by then.
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// A real client's hello, signed for the present with the tests' key.
fn captured_hello(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let text = std::fs::read(path.join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let hello = json["chunks"][0]["hex"].as_str().unwrap();
    let hello = from_hex(hello).unwrap();
    Hello::signed_anew(&hello, &KEY).unwrap().bytes
}

/// An obfuscated header is random, but never begins like this.
fn is_hello(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x16, 0x03, 0x01])
}

fn recordings(proxy: &Proxy) -> Vec<Vec<u8>> {
    let mut recordings: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| proxy.client(*kind).first_bytes())
        .collect();
    for name in ["td-ee-0.json", "telethon-ee-0.json", "mtcute-ee-0.json"] {
        recordings.push(captured_hello(name));
    }
    recordings
}

#[test]
fn every_kind_of_handshake_comes_in_once() {
    run(async {
        let change = |o: ProxyOptions| o.set("--handshake-timeout", 2).in_config_file();
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
        let recordings = recordings(&proxy);
        let hellos = recordings.iter().filter(|bytes| is_hello(bytes));
        assert_eq!(hellos.count(), 4);
        for bytes in &recordings {
            let answer = probe(proxy.address(), bytes);
            assert_eq!(!answer.is_empty(), is_hello(bytes), "the first time");
        }
        assert_eq!(proxy.counted("rejected_total", REPLAYS), 0);
        for bytes in &recordings {
            assert_eq!(probe(proxy.address(), bytes), [0u8; 0], "the second time");
        }
        // The memory outlives a reload.
        let replayed = recordings.len() as u64;
        proxy.reload(|flags| flags.push(("--idle-timeout", "77".into())));
        eventually("a reload", || {
            proxy.counted("config_reloads_total", "") == 1
        })
        .await;
        for bytes in &recordings {
            assert_eq!(probe(proxy.address(), bytes), [0u8; 0], "after a reload");
        }
        assert_eq!(proxy.counted("rejected_total", REPLAYS), 2 * replayed);
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

/// Kills it when its file has so many bytes; what is needed to start it again.
async fn killed(proxy: Proxy, file: &str, wanted: u64) -> ProxyOptions {
    let path = proxy.directory().join(file);
    let length = || std::fs::metadata(&path).map_or(0, |found| found.len());
    eventually("the file", || length() >= wanted).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    proxy.again()
}

/// The head of a file, and so many handshakes.
fn length_of(handshakes: usize) -> u64 {
    64 + 8 * handshakes as u64
}

#[test]
fn the_memory_outlives_a_process_that_is_killed_if_it_is_kept() {
    run(async {
        for (first, then, kept) in [
            ("1024,keep", "1024,keep", true),
            ("2048,keep", "1024,keep", true),
            ("keep", "1024,keep", true),
            ("1024,keep", "1024,forget", false),
            ("1024,forget", "1024,keep", false),
        ] {
            let change = |o: ProxyOptions| {
                o.set("--handshake-timeout", 2)
                    .set("--replay-cache", first)
                    .in_config_file()
            };
            let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
            let recordings = recordings(&proxy);
            let (early, late) = recordings.split_at(3);
            for bytes in early {
                probe(proxy.address(), bytes);
            }
            if first.ends_with("keep") {
                let options = killed(proxy, "replays", length_of(early.len())).await;
                proxy = options.start().await;
            }
            for bytes in late {
                probe(proxy.address(), bytes);
            }
            let options = match first.ends_with("keep") {
                true => killed(proxy, "replays", length_of(recordings.len())).await,
                false => proxy.stop().await,
            };
            let names = ["replays", "replays.old", "uptimes"];
            let is_there = names.map(|name| options.directory().join(name).exists());
            assert_eq!(is_there, [first.ends_with("keep"), false, false]);
            // Those of the run before the last one are kept as well.
            let proxy = options.set("--replay-cache", then).start().await;
            for bytes in &recordings {
                let answer = probe(proxy.address(), bytes);
                assert_eq!(answer.is_empty(), kept || !is_hello(bytes), "{then}");
            }
            let replayed = if kept { recordings.len() as u64 } else { 0 };
            assert_eq!(proxy.counted("rejected_total", REPLAYS), replayed);
            proxy.served_client(2).await;
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_reload_may_begin_to_keep_it() {
    run(async {
        let change = |o: ProxyOptions| o.set("--replay-cache", "1024,forget").in_config_file();
        let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
        let hellos: Vec<_> = (0..20)
            .map(|_| proxy.client(Kind::FakeTls).first_bytes())
            .collect();
        for hello in &hellos {
            assert!(!probe(proxy.address(), hello).is_empty());
        }
        proxy.reload(|flags| {
            flags.retain(|flag| flag.0 != "--replay-cache");
            flags.push(("--replay-cache", "2048,keep".into()));
        });
        let proxy = killed(proxy, "replays", length_of(hellos.len())).await;
        let proxy = proxy.start().await;
        for hello in &hellos {
            assert!(probe(proxy.address(), hello).is_empty());
        }
        telegram.assert_clean();
    });
}

/// What a file system calls itself.
fn is_in_memory(path: &Path) -> bool {
    let words = ["-f", "-c", "%T"];
    let told = Command::new("stat").args(words).arg(path).output();
    told.is_ok_and(|told| {
        ["tmpfs\n", "ramfs\n"]
            .map(str::as_bytes)
            .contains(&&told.stdout[..])
    })
}

#[test]
fn by_default_it_is_kept_on_a_disk_and_not_in_memory() {
    run(async {
        let memory = Path::new("/dev/shm");
        for in_memory in [true, false] {
            let (telegram, proxy) = start(built_binary!(), Route::Middle, |o: ProxyOptions| {
                let name = o.directory().file_name().unwrap().to_owned();
                match in_memory {
                    true => o.set("--data-dir", memory.join(name).display()),
                    false => o,
                }
            })
            .await;
            let there = match in_memory {
                true => memory.join(proxy.directory().file_name().unwrap()),
                false => proxy.directory().to_owned(),
            };
            if is_in_memory(&there) != in_memory {
                skipped("temporary files or /dev/shm are not where they usually are");
                continue;
            }
            let hello = proxy.client(Kind::FakeTls).first_bytes();
            assert!(!probe(proxy.address(), &hello).is_empty());
            let options = match in_memory {
                true => proxy.stop().await,
                false => killed(proxy, "replays", length_of(1)).await,
            };
            assert_eq!(there.join("replays").exists(), !in_memory);
            let proxy = options.start().await;
            assert_eq!(probe(proxy.address(), &hello).is_empty(), !in_memory);
            drop(proxy.stop().await);
            if in_memory {
                std::fs::remove_dir_all(there).unwrap();
            }
            telegram.assert_clean();
        }
    });
}

#[test]
fn a_hello_that_tells_an_uptime_comes_in_once_for_ever() {
    const FULL: &str = "reason=\"uptimes_full\"";
    run(async {
        let change = |o: ProxyOptions| o.set("--replay-cache", "1024,keep");
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let hello = |proxy: &Proxy| {
            let client = proxy.client(Kind::FakeTls);
            client
                .hello(|hello| hello.clock = Clock::Fixed(4000))
                .first_bytes()
        };
        let first = hello(&proxy);
        assert!(!probe(proxy.address(), &first).is_empty());
        let options = killed(proxy, "uptimes", 48).await;
        // A day has gone by.
        let _ = std::fs::remove_file(options.directory().join("replays"));
        let proxy = options.start().await;
        assert!(probe(proxy.address(), &first).is_empty());
        assert_eq!(proxy.counted("rejected_total", REPLAYS), 1);
        // One address has a share of the places; others are not touched.
        for _ in 0..64 {
            assert!(!probe(proxy.address(), &hello(&proxy)).is_empty());
        }
        assert!(probe(proxy.address(), &hello(&proxy)).is_empty());
        assert_eq!(proxy.counted("rejected_total", FULL), 1);
        eventually("a word about it", || {
            proxy.log_contains("has taken the 64 places")
        })
        .await;
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

#[test]
fn strangers_push_nothing_out() {
    run(async {
        let change = |o: ProxyOptions| {
            o.set("--replay-cache", 8)
                .set("--handshake-timeout", 2)
                .set("--reset", "on-handshake-error")
        };
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let recorded = proxy.client(Kind::Padded).first_bytes();
        probe(proxy.address(), &recorded);
        for kind in [Kind::Padded, Kind::FakeTls] {
            for _ in 0..20 {
                let stranger = proxy.client(kind).key([9; 16]).first_bytes();
                assert_eq!(probe(proxy.address(), &stranger), [0u8; 0]);
                probe(proxy.address(), &recorded);
            }
        }
        assert_eq!(proxy.counted("rejected_total", REPLAYS), 40);
        telegram.assert_clean();
    });
}

#[test]
fn without_the_memory_a_replay_comes_in() {
    run(async {
        let change = |o: ProxyOptions| o.set("--replay-cache", "off");
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        let recorded = proxy.client(Kind::FakeTls).first_bytes();
        for _ in 0..3 {
            assert!(!probe(proxy.address(), &recorded).is_empty());
        }
        assert_eq!(proxy.counted("rejected_total", REPLAYS), 0);
        telegram.assert_clean();
    });
}

/// Asks for the error −404 and then for an echo; whether the error came.
/// Two of them fill a TLS record.
async fn is_error_delivered(client: &mut Client, kind: Kind) -> bool {
    let request = Request::NotFound.payload();
    client.send(&request).await.unwrap();
    let after = echo(5, 64);
    client.send(&after).await.unwrap();
    let first = within("an answer", client.recv_packet()).await.unwrap();
    if first != ERROR_404 {
        assert_eq!(first, after);
        return false;
    }
    if kind == Kind::FakeTls {
        let again = within("the error again", client.recv_packet()).await;
        assert_eq!(again.unwrap(), ERROR_404);
    }
    let second = within("an echo", client.recv_packet()).await.unwrap();
    assert_eq!(second, after);
    true
}

#[test]
fn errors_of_telegram_are_filtered() {
    run(async {
        for (choice, delivered) in [
            ("first", [false, true]),
            ("on", [false, false]),
            ("off", [true, true]),
        ] {
            let change = |o: ProxyOptions| o.set("--filter-server-errors", choice);
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                let mut seen = [false; 2];
                for seen in &mut seen {
                    *seen = is_error_delivered(&mut client, kind).await;
                }
                assert_eq!(seen, delivered, "{choice} {kind:?}");
            }
            let filtered = delivered.iter().filter(|delivered| !**delivered).count() as u64;
            assert_eq!(
                proxy.counted("server_errors_filtered_total", ""),
                filtered * Kind::ALL.len() as u64
            );
            telegram.assert_clean();
        }
    });
}

#[test]
fn another_short_answer_is_no_error() {
    run(async {
        let change = |o: ProxyOptions| o.set("--filter-server-errors", "on");
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        for kind in Kind::ALL {
            let mut client = proxy.client(kind).connect().await.unwrap();
            for payload in [[1, 2, 3, 4], [0x6c, 0xfe, 0xff, 0xfe]] {
                within("an echo", client.echo(&payload)).await.unwrap();
            }
            within("an echo", client.echo(&echo(1, 512))).await.unwrap();
        }
        telegram.assert_clean();
    });
}
