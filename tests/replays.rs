//! Handshakes that come again, and what Telegram says to their senders.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::crypto::from_hex;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, start};
use fake_telegram::payload::{Command, ERROR_404, echo};
use fake_telegram::secret::KEY;
use fake_telegram::tls::Hello;
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

#[test]
fn the_memory_outlives_a_restart_if_it_is_kept() {
    run(async {
        for (first, then, kept) in [
            ("1024,keep", "1024,keep", true),
            ("1024,keep", "2048,keep", true),
            ("2048,keep", "1024,keep", true),
            ("1024,keep", "1024", false),
            ("1024", "1024,keep", false),
        ] {
            let change = |o: ProxyOptions| {
                o.set("--handshake-timeout", 2)
                    .set("--replay-cache", first)
                    .in_config_file()
            };
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let recordings = recordings(&proxy);
            for bytes in &recordings {
                probe(proxy.address(), bytes);
            }
            let file = proxy.directory().join("replays");
            let options = proxy.stop().await;
            let metadata = std::fs::metadata(&file);
            let mode = metadata.map(|metadata| metadata.permissions().mode() & 0o777);
            assert_eq!(mode.ok(), first.ends_with("keep").then_some(0o600));
            // Those of the run before the last one are kept as well.
            let mut proxy = options.set("--replay-cache", then).start().await;
            if kept {
                proxy = proxy.stop().await.start().await;
            }
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
    let request = Command::NotFound.payload();
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
