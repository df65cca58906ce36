//! The page, and paths that are none.

use std::io::{Read, Write};
use std::net::TcpStream;

use fake_telegram::built_binary;
use fake_telegram::harness::{Route, start};
use fake_telegram::wait::{patience, run};

use super::asking::{Asker, token};
use super::{OF_OTHERS, OF_THIS_MACHINE};

#[test]
fn the_page_comes_by_address_and_loads_nothing_of_others() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        for host in OF_THIS_MACHINE.into_iter().chain(["192.0.2.1:9090"]) {
            let page = Asker::of(&proxy).host(host).get("/");
            assert_eq!(page.status, 200, "{host}");
            assert_eq!(page.field("content-type"), "text/html; charset=utf-8");
            let policy = page.field("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; "), "{policy}");
            let nonce = policy.split("'nonce-").nth(1).unwrap();
            let nonce = nonce.split('\'').next().unwrap();
            assert!(page.body.contains(&format!("<script nonce={nonce}>")));
            assert!(!page.body.contains("src=") && !page.body.contains("url("));
            assert!(!page.body.contains("http:") || !page.body.contains("https:"));
            assert!(page.body.len() <= 14 << 10, "{}", page.body.len());
            assert_ne!(
                Asker::of(&proxy).get("/").field("content-security-policy"),
                policy
            );
        }
        for host in OF_OTHERS {
            assert_eq!(Asker::of(&proxy).host(host).get("/").status, 403, "{host}");
        }
        assert_eq!(Asker::of(&proxy).ask("HEAD", "/").status, 200);
        assert_eq!(Asker::of(&proxy).ask("POST", "/").status, 405);
    });
}

#[test]
fn codes_are_drawn_with_the_token() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let link = "tg://proxy?server=192.0.2.1&port=443&secret=dd00112233445566778899aabbccddeeff";
        assert_eq!(Asker::of(&proxy).send("POST", "/qr", link).status, 401);
        let asker = Asker::of(&proxy).token(&token(&proxy));
        let code = asker.send("POST", "/qr", link);
        assert_eq!(code.status, 200, "{}", code.body);
        let (width, path) = code.body.split_once(' ').unwrap();
        assert!(width.parse::<u32>().unwrap() > 30);
        assert!(path.starts_with("M4 4h1v1h-1zM5 4"), "a corner: {path}");
        assert_eq!(asker.send("POST", "/qr", &"x".repeat(1025)).status, 400);
        assert_eq!(asker.get("/qr").status, 405);
    });
}

#[test]
fn odd_requests_are_answered_or_hung_up_on() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        for (target, status) in [
            ("/nothing", 404),
            ("//", 404),
            ("/metrics/", 404),
            ("/%2fmetrics", 404),
            ("/v1", 404),
            ("/index.html", 404),
            ("/metrics?x=1", 200),
            ("/healthz?x", 200),
            ("*", 404),
        ] {
            assert_eq!(Asker::of(&proxy).get(target).status, status, "{target}");
        }
        let said = |text: &str| Asker::of(&proxy).say(text).status;
        assert_eq!(said("nonsense\r\n\r\n"), 400);
        // As of old: without a name, in the older version.
        assert_eq!(said("GET /metrics HTTP/1.0\r\n\r\n"), 200);
        assert_eq!(said("GET / HTTP/1.0\r\n\r\n"), 403);
        assert_eq!(said("POST /metrics HTTP/1.0\r\n\r\n"), 405);
    });
}

#[test]
fn who_takes_nothing_is_in_nobodys_way() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let connect = || TcpStream::connect(proxy.metrics_address()).unwrap();
        let mut slow: Vec<_> = (0..40).map(|_| connect()).collect();
        for (number, stream) in slow.iter_mut().enumerate() {
            let path = ["/metrics", "/", "/v1/figures", "/readyz"][number % 4];
            // Some have had to go already.
            let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        let mut silent: Vec<_> = (0..20).map(|_| connect()).collect();
        assert_eq!(Asker::of(&proxy).get("/v1/figures").status, 200);
        assert_eq!(Asker::of(&proxy).get("/healthz").status, 200);
        for stream in slow.iter_mut().chain(&mut silent) {
            stream.set_read_timeout(Some(patience())).unwrap();
            let mut rest = Vec::new();
            // Hung up on, one way or the other.
            if let Err(error) = stream.read_to_end(&mut rest) {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
            }
        }
        telegram.assert_clean();
    });
}
