//! Those who ask slowly, silently, too much, or again and again.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::harness::{Route, start};
use fake_telegram::wait::run;

use super::asking::{ask, connect, get, receive, send};

/// Waits for the other side to hang up, whatever it says before.
fn is_hung_up_on(stream: &mut UnixStream) -> bool {
    let mut rest = [0; 4096];
    let start = Instant::now();
    loop {
        match stream.read(&mut rest) {
            Ok(0) | Err(_) => return start.elapsed() < Duration::from_secs(50),
            Ok(_) => {}
        }
    }
}

#[test]
fn one_connection_asks_again_and_again() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let mut stream = connect(&proxy);
        for _ in 0..3 {
            send(&mut stream, "GET", "/v1/secrets", "");
            assert_eq!(receive(&mut stream, true).status, 200);
            send(&mut stream, "HEAD", "/v1/secrets", "");
            assert!(receive(&mut stream, false).body.is_empty());
            send(&mut stream, "GET", "/nothing", "");
            assert_eq!(receive(&mut stream, true).status, 404);
        }
        // All at once, and a body that nobody wants.
        send(&mut stream, "GET", "/v1/tables", "Content-Length: 5\r\n");
        stream.write_all(b"12345").unwrap();
        send(&mut stream, "GET", "/v1/dcs", "Connection: close\r\n");
        let first = receive(&mut stream, true);
        assert!(first.body.starts_with("{\"tables\""), "{}", first.body);
        if first.field("connection") != "close" {
            assert!(receive(&mut stream, true).body.starts_with("{\"dcs\""));
        }
        assert!(is_hung_up_on(&mut stream));
        telegram.assert_clean();
    });
}

#[test]
fn who_says_nothing_or_nonsense_is_in_nobodys_way() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let mut silent: Vec<_> = (0..40).map(|_| connect(&proxy)).collect();
        // The oldest gave way, and there is room for who asks.
        assert_eq!(ask(&proxy, "GET", "/v1/status").status, 200);
        assert!(is_hung_up_on(&mut silent[0]));
        assert!(is_hung_up_on(&mut silent[39]), "after its five seconds");
        for nonsense in [
            &b"secrets\n"[..],
            b"\0\xff\r\n\r\n",
            b"GET /v1/status\r\n\r\n",
        ] {
            let mut stream = connect(&proxy);
            stream.write_all(nonsense).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert!(is_hung_up_on(&mut stream));
        }
        let mut huge = connect(&proxy);
        let line = format!("X-Long: {}\r\n", "a".repeat(8000));
        let _ = huge.write_all(b"GET /v1/status HTTP/1.1\r\n");
        for _ in 0..20 {
            // It may hang up meanwhile.
            let _ = huge.write_all(line.as_bytes());
        }
        assert!(is_hung_up_on(&mut huge));
        // Those that ask and take nothing of their answer.
        let asked: Vec<_> = (0..40)
            .map(|_| {
                let mut stream = connect(&proxy);
                send(&mut stream, "GET", "/v1/status", "");
                stream
            })
            .collect();
        assert_eq!(get(&proxy, "/v1/status")["role"], "both");
        drop(asked);
        telegram.assert_clean();
    });
}
