//! A proxy that shows strangers a web site, which knows what time it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::crypto::unix_time;
use fake_telegram::harness::{Route, TemporaryDirectory, start};
use fake_telegram::secret::{DOMAIN, KEY, fake_tls};
use fake_telegram::wait::run;
use fake_telegram::web_front::Authority;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use smol_mtproxy_wire::calendar;

use crate::{WRONG, advice, failure, link, told, words};

/// A site over TLS whose `Date` is so many seconds off.
fn site(authority: &Authority, off: i64) -> SocketAddr {
    let (chain, key) = authority.files(DOMAIN);
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
    let chain = chain.map(|one| one.unwrap()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = config.clone();
            thread::spawn(move || {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let connection = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(connection, stream);
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|length| length > 0) {
                    let date = date(i64::from(unix_time()) + off);
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\n\r\nhi");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// As servers write it. Nobody looks at the day of the week.
fn date(seconds: i64) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let seconds = seconds as u64;
    let (year, month, day) = calendar::date(seconds / calendar::DAY_SECONDS);
    let month = &MONTHS[(month as usize - 1) * 3..month as usize * 3];
    let of_day = seconds % calendar::DAY_SECONDS;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("Sun, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

#[test]
fn the_site_instead_of_the_proxy_tells_whether_the_clock_is_right() {
    run(async {
        let authority = Authority::new();
        let directory = TemporaryDirectory::new();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let by_ca = format!("--ca {}", ca.display());
        for (off, word, said) in [
            (0, "site", "this machine's clock is right"),
            (3600, "site_clock", "s behind that site's"),
            (-7200, "site_clock", "s ahead of that site's"),
        ] {
            let site = site(&authority, off);
            let (_telegram, proxy) = start(built_binary!(), Route::Direct, |options| {
                options.set("--fronting", site)
            })
            .await;
            let wrong = link(proxy.address(), &fake_tls(&WRONG, DOMAIN));
            let (status, told) = told(&words(&wrong, &format!("--dc 2 {by_ca}"))).await;
            assert_eq!((status, failure(&told)), (69, word), "{told}");
            assert!(advice(&told).contains(said), "{told}");
            // Of whom nobody vouches nothing is believed.
            let (_, told) = crate::told(&words(&wrong, "--dc 2")).await;
            assert_eq!(failure(&told), "site", "{told}");
            assert!(advice(&told).contains("or this machine's clock is wrong: it says 20"));
            // With its own secret it is a proxy.
            let right = link(proxy.address(), &fake_tls(&KEY, DOMAIN));
            let (status, told) = crate::told(&words(&right, "--dc 2")).await;
            assert_eq!(status, 0, "{told}");
        }
    });
}
