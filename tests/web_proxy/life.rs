//! Reloads and the stop, as sessions see them.

use fake_telegram::client::Kind;
use fake_telegram::crypto::hex;
use fake_telegram::harness::{Proxy, Route};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::Flag;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_app::{Carrier, Origin, Request, Secret};

use crate::{HOST, Inside, Set};

const GUEST: [u8; 16] = [0x5a; 16];

async fn start() -> Set {
    let guest = format!("guest={}", hex(&GUEST));
    Set::start_with(Route::Direct, |o| o.add("--secret", guest).in_config_file()).await
}

pub async fn reloaded(proxy: &mut Proxy, change: impl FnOnce(&mut Vec<Flag>)) {
    let before = proxy.counted("config_reloads_total", "");
    proxy.reload(change);
    eventually("a reload", || {
        proxy.counted("config_reloads_total", "") == before + 1
    })
    .await;
}

#[test]
fn a_secret_that_is_revoked_ends_its_sessions() {
    run(async {
        let mut set = start().await;
        let guest = set.app().secret(Secret::plain(GUEST));
        let mut sessions = Vec::new();
        for carrier in Carrier::ALL {
            sessions.push(crate::session(&guest, carrier).await);
        }
        let (other, mut kept) = crate::session(&set.app(), Carrier::WebSocket).await;
        let api = guest.api().await.unwrap();
        reloaded(&mut set.proxy, |flags| {
            flags.retain(|flag| !flag.1.starts_with("guest="));
        })
        .await;
        for (session, inside) in &sessions {
            inside.closed().await;
            within("its end", session.until_over()).await;
            assert!(session.violations().is_empty());
        }
        // Its page is nobody's now, nor are the tokens of its pages.
        let target = format!("/?bridge={}", guest.capability());
        assert!(set.is_covered(&Request::new(&guest, "GET", &target)).await);
        assert!(api.create().await.is_err());
        within("an echo", kept.echo(&echo(2, 64))).await.unwrap();
        other.assert_clean();
    });
}

#[test]
fn a_host_that_is_gone_is_a_page_of_the_site() {
    run(async {
        let mut set = start().await;
        let (session, inside) = crate::session(&set.app(), Carrier::WebSocket).await;
        reloaded(&mut set.proxy, |flags| {
            for flag in flags.iter_mut().filter(|flag| flag.0 == "--web") {
                "other.example.com".clone_into(&mut flag.1);
            }
        })
        .await;
        inside.closed().await;
        within("its end", session.until_over()).await;
        assert!(session.violations().is_empty());
        let target = format!("/?bridge={}", set.app().capability());
        assert!(
            set.is_covered(&Request::new(&set.app(), "GET", &target))
                .await
        );
        let app = set.proxy.web_app("other.example.com");
        let (session, _inside) = crate::session(&app, Carrier::Https).await;
        session.assert_clean();
    });
}

#[test]
fn a_reload_that_changes_nothing_of_it_loses_nobody() {
    run(async {
        let mut set = start().await;
        let mut sessions = Vec::new();
        for carrier in Carrier::ALL {
            sessions.push(crate::session(&set.app(), carrier).await);
        }
        let site = Origin::start().unwrap();
        let url = site.url();
        reloaded(&mut set.proxy, |flags| {
            flags.retain(|flag| flag.0 != "--web-site");
            flags.push(("--web-site", url));
            flags.push(("--web", format!("{HOST}/more")));
        })
        .await;
        for (session, inside) in &mut sessions {
            within("an echo", inside.echo(&echo(2, 300_000)))
                .await
                .unwrap();
            session.assert_clean();
        }
        // The site is another one from the next request on.
        let request = Request::new(&set.app(), "GET", "/new");
        assert!(set.is_covered(&request).await);
        assert_eq!(site.visits().len(), 1);
        let (session, _inside) = crate::session(&set.app().path("more"), Carrier::Https).await;
        session.assert_clean();
    });
}

/// What was asked before the stop is answered yet.
#[test]
fn a_stop_lets_answers_come() {
    run(async {
        for carrier in Carrier::ALL {
            stop(Set::start(Route::Direct).await, carrier).await;
        }
    });
}

pub async fn stop(set: Set, carrier: Carrier) {
    let (session, mut inside) = crate::session(&set.app(), carrier).await;
    let late = Command::EchoLater { millis: 700 }.payload_of(640);
    let packet = inside.codec.packet(&late, false, &[]);
    inside.stream.write(&packet).await.unwrap();
    // It has come when the next one is answered.
    let mut next = Inside::open(&session, Kind::Padded, 2);
    within("an echo", next.echo(&echo(1, 64))).await.unwrap();
    let Set {
        proxy,
        telegram,
        origin: _origin,
        ..
    } = set;
    let stopping = proxy.stop();
    let answered = within("the answer", inside.expect(&late));
    let (_, answered) = smol::future::zip(stopping, answered).await;
    answered.unwrap();
    within("its end", session.until_over()).await;
    assert!(session.violations().is_empty());
    telegram.assert_clean();
}

/// A stream whose client has said nothing yet is waited for as a client in its handshake
/// is; sessions without streams end at once.
#[test]
fn a_stop_waits_for_streams_that_begin_and_for_no_idle_session() {
    run(async {
        for carrier in Carrier::ALL {
            stop_at_a_beginning(Set::start(Route::Direct).await, carrier).await;
        }
    });
}

pub async fn stop_at_a_beginning(set: Set, carrier: Carrier) {
    let session = set.app().carrier(carrier).session().await.unwrap();
    // Its grant shows that the stream before it is open too.
    let mut late = Inside::open(&session, Kind::Padded, 2);
    let mut other = Inside::open(&session, Kind::Padded, 2);
    within("an echo", other.echo(&echo(1, 64))).await.unwrap();
    drop(other);
    let idle = set.app().carrier(carrier).session().await.unwrap();
    let Set {
        proxy,
        telegram,
        origin: _origin,
        ..
    } = set;
    let stopping = proxy.stop();
    let serving = async {
        within("an echo", late.echo(&echo(2, 640))).await.unwrap();
        // The idle one does not wait for it, nor for the time that clients have.
        let (ended, other) = (idle.until_over(), session.until_over());
        let first = async { within("an end", ended).await.len() };
        let second = async {
            within("another end", other).await;
            usize::MAX
        };
        assert_ne!(smol::future::or(first, second).await, usize::MAX);
        drop(late);
        within("its end", session.until_over()).await;
    };
    smol::future::zip(stopping, serving).await;
    assert!(session.violations().is_empty() && idle.violations().is_empty());
    telegram.assert_clean();
}
