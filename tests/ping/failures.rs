//! Who is no proxy, or one that does not reach Telegram.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::harness::{BlackHole, Route, free_address, start};
use fake_telegram::secret::{DOMAIN, KEY, classic, fake_tls, padded};
use fake_telegram::wait::run;
use rustix::net::sockopt::set_socket_linger;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Task};

use crate::{WRONG, advice, failure, link, said, told, words};

/// What somebody does to whoever has said something.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Stays,
    Closes,
    Resets,
}

/// Somebody who says this, and then does that.
fn somebody(says: &'static [u8], end: End) -> (SocketAddr, Task<()>) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let serving = smol::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // A whole hello or header: what is unread at the end would make it a reset.
            let mut space = [0; 4096];
            let mut came = 0;
            while came < 100 {
                match stream.read(&mut space).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => came += length,
                }
            }
            let _ = stream.write_all(says).await;
            match end {
                End::Stays => kept.push(stream),
                End::Closes => drop(stream),
                End::Resets => {
                    set_socket_linger(stream.get_ref(), Some(Duration::ZERO)).unwrap();
                }
            }
        }
    });
    (address, serving)
}

#[test]
fn who_is_no_proxy_is_told_apart() {
    run(async {
        let ee = fake_tls(&KEY, DOMAIN);
        let dd = padded(&KEY);
        let http = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let alert = b"\x15\x03\x03\x00\x02\x02\x28";
        // Of TLS 1.2: a hello and what is in records of the same kind.
        let site = b"\x16\x03\x03\x00\x04\x02\x00\x00\x00\x16\x03\x03\x00\x01\x0b";
        let noise = [0x5a; 200];
        let noise: &'static [u8] = Box::leak(Box::new(noise));
        let cases: [(&str, &'static [u8], End, &str, &str); 10] = [
            (
                &ee,
                http,
                End::Closes,
                "not_tls",
                "another program has that port",
            ),
            (
                &ee,
                alert,
                End::Stays,
                "tls_alert",
                "a TLS server that is no proxy",
            ),
            (&ee, site, End::Stays, "site", "copy the whole link again"),
            (&ee, b"", End::Closes, "handshake_closed", DOMAIN),
            (&ee, b"", End::Resets, "handshake_reset", DOMAIN),
            (&ee, b"", End::Stays, "handshake_timeout", DOMAIN),
            (
                &dd,
                b"",
                End::Closes,
                "closed",
                "the secret may be another one",
            ),
            (
                &dd,
                b"",
                End::Resets,
                "reset",
                "the secret may be another one",
            ),
            (
                &dd,
                b"",
                End::Stays,
                "silent",
                "the secret may be another one",
            ),
            (
                &dd,
                noise,
                End::Stays,
                "not_telegram",
                "do not use that link",
            ),
        ];
        for (secret, says, end, word, way_out) in cases {
            let (address, _serving) = somebody(says, end);
            let more = words(&link(address, secret), "--dc 2 --timeout 3");
            let (status, told) = told(&more).await;
            assert_eq!((status, failure(&told)), (69, word), "{told}");
            assert!(advice(&told).contains(way_out), "{told}");
        }
    });
}

#[test]
fn nobody_is_there() {
    run(async {
        let dead = link(free_address(), &padded(&KEY));
        let (status, told) = told(&words(&dead, "")).await;
        assert_eq!((status, failure(&told)), (69, "refused"));
        // The others would fare no better.
        let summary = &told["links"][0]["summary"];
        assert_eq!(
            (&summary["pings"], &summary["left_out"]),
            (&2.into(), &3.into())
        );

        let hole = BlackHole::new().unwrap();
        let hole = link(hole.address(), &padded(&KEY));
        let began = Instant::now();
        let (status, told) = crate::told(&words(&hole, "--dc 2 --timeout 2")).await;
        assert_eq!((status, failure(&told)), (69, "connect_timeout"), "{told}");
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert!(advice(&told).contains("open in its firewall"), "{told}");

        let said = said(&words(&dead, "--dc 2")).await;
        let text = &said.stdout;
        assert!(
            text.contains("  DC 2    fail  refused: nobody listens there\n"),
            "{text}"
        );
        assert!(text.contains("start the proxy"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    });
}

#[test]
fn a_name_that_leads_nowhere() {
    run(async {
        let secret = padded(&KEY);
        let link = format!("tg://proxy?server=proxy.invalid&port=443&secret={secret}");
        let (status, told) = told(&words(&link, "--timeout 20")).await;
        assert_eq!(
            (status, &told["links"][0]["failure"]),
            (69, &"unresolved".into()),
            "{told}"
        );
    });
}

#[test]
fn a_dc_that_is_silent_or_refuses() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let ee = link(proxy.address(), &fake_tls(&KEY, DOMAIN));
        telegram.behave_dc(4, |behaviour| behaviour.direct_silent = true);
        let (status, told) = told(&words(&ee, "--dc 4 --dc 2 --timeout 3")).await;
        assert_eq!((status, failure(&told)), (69, "dc_silent"), "{told}");
        assert!(advice(&told).contains("the proxy knows the secret"));
        assert_eq!(told["links"][0]["pings"][1]["ok"], true);
        telegram.behave_dc(4, |behaviour| behaviour.direct_refuse = true);
        let (_, told) = crate::told(&words(&ee, "--dc 4 --timeout 8")).await;
        assert!(
            ["dc_closed", "dc_reset"].contains(&failure(&told)),
            "{told}"
        );
    });
}

/// Strangers get silence, whatever form their secret has.
#[test]
fn a_wrong_secret() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        for (secret, word) in [
            (padded(&WRONG), ["silent", "closed", "reset"]),
            (classic(&WRONG), ["silent", "closed", "reset"]),
            (
                fake_tls(&WRONG, DOMAIN),
                ["handshake_timeout", "handshake_closed", "handshake_reset"],
            ),
        ] {
            let more = words(&link(proxy.address(), &secret), "--dc 2 --timeout 3");
            let (status, told) = told(&more).await;
            assert_eq!(status, 69, "{told}");
            assert!(word.contains(&failure(&told)), "{told}");
        }
    });
}
