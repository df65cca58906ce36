//! What load balancers ask.

use fake_telegram::built_binary;
use fake_telegram::harness::{Proxy, Route, Secured, Split, start};
use fake_telegram::wait::{eventually, run};

use super::asking::Asker;

/// Waiting for a question that is under way is not the test's thread's to do alone: the fake
/// answers on others.
fn readiness(proxy: &Proxy) -> (u16, String) {
    let answer = Asker::of(proxy).host("balancer.example").get("/readyz");
    (answer.status, answer.body)
}

#[test]
fn who_can_serve_is_ready() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) = start(built_binary!(), route, |o| o).await;
            let alive = Asker::of(&proxy).host("balancer.example").get("/healthz");
            assert_eq!((alive.status, alive.body.as_str()), (200, "ok\n"));
            assert_eq!(Asker::of(&proxy).ask("HEAD", "/healthz").status, 200);
            assert_eq!(Asker::of(&proxy).ask("POST", "/readyz").status, 405);
            eventually("that it is ready", || readiness(&proxy).0 == 200).await;
            telegram.assert_clean();
        }
    });
}

#[test]
fn who_reaches_no_dc_is_not() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |options| {
            // Nobody listens there.
            options.without("--dc").add("--dc", "2=127.0.0.1:1")
        })
        .await;
        let (status, why) = readiness(&proxy);
        assert_eq!(status, 503, "{why}");
        assert!(why.contains("DC 2 does not answer"), "{why}");
        assert_eq!(Asker::of(&proxy).get("/healthz").status, 200);
        // Asked again and again, it asks a DC once in a while.
        for _ in 0..50 {
            assert_eq!(readiness(&proxy).0, 503);
        }
        drop(telegram);
    });
}

#[test]
fn a_front_is_ready_while_a_back_is_linked() {
    run(async {
        let split = Split::start(built_binary!(), Route::Middle, &Secured::default(), |o| o).await;
        eventually("a front that is ready", || readiness(&split.front).0 == 200).await;
        let Split { back, front, .. } = split;
        back.stop().await;
        eventually("that the link is down", || readiness(&front).0 == 503).await;
        assert!(readiness(&front).1.contains("no link"));
    });
}

#[test]
fn who_is_stopping_is_not() {
    run(async {
        let (_telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let mut client = proxy
            .client(fake_telegram::client::Kind::Padded)
            .served()
            .await
            .unwrap();
        eventually("that it is ready", || readiness(&proxy).0 == 200).await;
        // It gets three seconds to finish.
        client
            .echo(&fake_telegram::payload::echo(1, 64))
            .await
            .unwrap();
        proxy.signal("TERM");
        eventually("that it says so", || {
            readiness(&proxy) == (503, "not ready: the proxy is stopping\n".to_owned())
        })
        .await;
        drop(client);
    });
}
