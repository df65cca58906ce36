//! The same over TLS of its own, on the port that it shares with other clients and with
//! strangers.

use std::fs;
use std::future::Future;
use std::io;

use fake_telegram::client::Kind;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, skipped};
use fake_telegram::payload::echo;
use fake_telegram::wait::{self, within};
use fake_telegram::web_app::{Carrier, Cut, Options, Request};
use fake_telegram::web_front::Authority;

use crate::sessions::{whole_session, whole_sessions_of};
use crate::{HOST, Set, life, volume};

/// Runs a test if the binary has TLS: one that is built without takes Telegram's lists from
/// files.
pub fn run(test: impl Future<Output = ()>) {
    let is_lite = std::env::var_os("SMOL_MTPROXY_LISTS").is_some_and(|from| from == "file");
    match is_lite || cfg!(not(feature = "tls")) {
        true => skipped("the binary has no TLS"),
        false => wait::run(test),
    }
}

/// Shows a certificate of `authority` for the host.
pub fn certified(options: ProxyOptions, authority: &Authority) -> ProxyOptions {
    let (certificate, key) = files(options.directory());
    write(authority, HOST, &certificate, &key);
    options.add("--web", format!("{HOST},cert={certificate},key={key}"))
}

fn files(directory: &std::path::Path) -> (String, String) {
    let file = |name: &str| directory.join(name).display().to_string();
    (file("web.pem"), file("web.key"))
}

fn write(authority: &Authority, host: &str, certificate: &str, key: &str) {
    let (chain, secret) = authority.files(host);
    fs::write(certificate, chain).expect("the temporary directory can be written");
    fs::write(key, secret).expect("the temporary directory can be written");
}

/// Desktop at the port of all clients.
pub fn app(proxy: &Proxy, authority: &Authority) -> Options {
    Options::new(proxy.address(), HOST).trusting(authority.pem())
}

#[test]
fn direct() {
    run(async {
        let set = Set::start_by_tls(Route::Direct).await;
        for carrier in Carrier::ALL {
            whole_sessions_of(&set, carrier, &[1, 20]).await;
        }
    });
}

#[test]
fn middle() {
    run(async {
        let set = Set::start_by_tls(Route::Middle).await;
        for carrier in Carrier::ALL {
            whole_sessions_of(&set, carrier, &[1, 20]).await;
        }
    });
}

#[test]
fn messages_may_be_cut_anywhere() {
    run(async {
        let set = Set::start_by_tls(Route::Direct).await;
        for seed in 0..3 {
            whole_session(&set.app().cut(Cut::Anywhere(seed)), 4).await;
        }
        set.telegram.assert_clean();
    });
}

#[test]
fn thirty_megabytes_both_ways() {
    run(async { volume::both_ways(&Set::start_by_tls(Route::Direct).await).await });
}

#[test]
fn a_slow_reader_costs_no_memory() {
    run(async {
        for carrier in Carrier::ALL {
            volume::read_slowly(&Set::start_by_tls(Route::Direct).await, carrier).await;
        }
    });
}

#[test]
fn a_stop_lets_answers_come() {
    run(async {
        for carrier in Carrier::ALL {
            life::stop(Set::start_by_tls(Route::Direct).await, carrier).await;
        }
    });
}

#[test]
fn a_stop_waits_for_streams_that_begin_and_for_no_idle_session() {
    run(async {
        for carrier in Carrier::ALL {
            life::stop_at_a_beginning(Set::start_by_tls(Route::Direct).await, carrier).await;
        }
    });
}

/// Clients of every kind, apps and strangers.
#[test]
fn one_port_has_all() {
    run(async {
        let set = Set::start_by_tls(Route::Direct).await;
        let (session, mut inside) = crate::session(&set.app(), Carrier::WebSocket).await;
        for kind in Kind::ALL {
            assert!(set.proxy.client(kind).is_served().await, "{kind:?}");
        }
        assert!(
            set.is_covered(&Request::new(&set.app(), "GET", "/x")).await,
            "the site"
        );
        within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
        session.assert_clean();
        assert_eq!(set.origin.visits().len(), 1);
    });
}

/// An RSA key takes as long here as a lesser one on a router. A crowd of strangers asks for
/// its host: each gets there, and clients of all kinds do meanwhile.
#[test]
fn a_key_that_takes_long_is_for_those_who_ask_for_it() {
    run(async {
        let mut set = Set::start_by_tls_with(Route::Direct, ProxyOptions::in_config_file).await;
        let next = Authority::new();
        let (certificate, key) = files(set.proxy.directory());
        let (chain, secret) = next.files_with(HOST, include_str!("rsa4096.pem"));
        fs::write(certificate, chain).expect("the temporary directory can be written");
        fs::write(key, secret).expect("the temporary directory can be written");
        life::reloaded(&mut set.proxy, |_| {}).await;
        set.authority = Some(next);
        within("the key is shown", async {
            while set.app().connect().await.is_err() {
                smol::Timer::after(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
        let crowd: Vec<_> = (0..64)
            .map(|_| {
                let app = set.app();
                smol::spawn(async move { app.connect().await.map(drop) })
            })
            .collect();
        for kind in Kind::ALL {
            assert!(set.proxy.client(kind).is_served().await, "{kind:?}");
        }
        for stranger in crowd {
            within("a handshake", stranger).await.unwrap();
        }
        for carrier in Carrier::ALL {
            whole_session(&set.app().carrier(carrier), 2).await;
        }
    });
}

/// While a client is busy certificate and key become another authority's.
#[test]
fn a_certificate_is_changed_under_load() {
    run(async {
        let mut set = Set::start_by_tls_with(Route::Direct, ProxyOptions::in_config_file).await;
        let mut sessions = Vec::new();
        for carrier in Carrier::ALL {
            sessions.push(crate::session(&set.app(), carrier).await);
        }
        let next = Authority::at_length();
        let (certificate, key) = files(set.proxy.directory());
        write(&next, HOST, &certificate, &key);
        let busy = async {
            for round in 0..6 {
                for (_, inside) in &mut sessions {
                    within("an echo", inside.echo(&echo(round, 300_000))).await?;
                }
            }
            io::Result::Ok(())
        };
        let reloading = life::reloaded(&mut set.proxy, |_| {});
        let (outcome, ()) = smol::future::zip(busy, reloading).await;
        outcome.unwrap();
        let line = "has another certificate";
        wait::eventually("it is shown", || set.proxy.log_contains(line)).await;
        let before = set.app();
        set.authority = Some(next);
        crate::session(&set.app(), Carrier::WebSocket).await;
        assert!(
            before.connect().await.is_err(),
            "the old authority's is gone"
        );
        // Requests of the session that was there make connections to the new one, if any.
        for (session, inside) in &mut sessions {
            within("an echo", inside.echo(&echo(9, 64))).await.unwrap();
            session.assert_clean();
        }
    });
}

/// A host more, then one less, while sessions go on.
#[test]
fn hosts_come_and_go() {
    const OTHER: &str = "other.example.com";
    run(async {
        let mut set = Set::start_by_tls_with(Route::Direct, ProxyOptions::in_config_file).await;
        let (session, mut inside) = crate::session(&set.app(), Carrier::WebSocket).await;
        let authority = Authority::new();
        let file = |name: &str| set.proxy.directory().join(name).display().to_string();
        let (certificate, key) = (file("other.pem"), file("other.key"));
        write(&authority, OTHER, &certificate, &key);
        let flag = format!("{OTHER},cert={certificate},key={key}");
        life::reloaded(&mut set.proxy, |flags| flags.push(("--web", flag))).await;
        let line = "other.example.com is shown over TLS";
        wait::eventually("it is shown", || set.proxy.log_contains(line)).await;
        let other = Options::new(set.proxy.address(), OTHER).trusting(authority.pem());
        let (second, mut within_second) = crate::session(&other, Carrier::Https).await;
        within("an echo", inside.echo(&echo(2, 300_000)))
            .await
            .unwrap();
        life::reloaded(&mut set.proxy, |flags| {
            flags.retain(|flag| flag.0 != "--web" || flag.1.starts_with(OTHER));
        })
        .await;
        within("its end", session.until_over()).await;
        assert!(session.violations().is_empty());
        within("an echo", within_second.echo(&echo(3, 300_000)))
            .await
            .unwrap();
        second.assert_clean();
        within("its certificate is gone", async {
            while set.app().connect().await.is_ok() {
                smol::Timer::after(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    });
}
