//! A front that is a WEB proxy, and a back that talks to Telegram.

use fake_telegram::built_binary;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, certify};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, run};
use fake_telegram::web_app::{Carrier, Origin};
use fake_telegram::web_front::Authority;

use crate::sessions::whole_session;
use crate::{HOST, tagged, tls};

struct Halves {
    telegram: FakeTelegram,
    origin: Origin,
    back: Proxy,
    front: Proxy,
}

async fn halves(route: Route) -> Halves {
    halves_by(route, &Secured::default(), |front, site| {
        front.web(HOST, site)
    })
    .await
}

async fn halves_by(
    route: Route,
    secured: &Secured,
    web: impl FnOnce(ProxyOptions, String) -> ProxyOptions,
) -> Halves {
    let telegram = FakeTelegram::start(tagged(route)).unwrap();
    let origin = Origin::start().unwrap();
    let back = ProxyOptions::back(built_binary!(), &telegram, secured);
    let back = back.start().await;
    let backs = [back.address()];
    let front = ProxyOptions::front(built_binary!(), &telegram, route, secured, &backs);
    let front = web(front, origin.url()).start().await;
    front.linked(1).await;
    Halves {
        telegram,
        origin,
        back,
        front,
    }
}

#[test]
fn sessions_go_through_the_link() {
    run(async {
        for route in Route::ALL {
            let halves = halves(route).await;
            for carrier in Carrier::ALL {
                let app = halves.front.web_app(HOST).carrier(carrier);
                whole_session(&app, 20).await;
            }
            halves.front.cleared().await;
            halves.back.cleared().await;
            halves.telegram.assert_clean();
            assert!(halves.origin.visits().is_empty());
        }
    });
}

/// Both by TLS: apps to the front, and the link.
#[test]
fn sessions_go_through_a_link_by_tls() {
    tls::run(async {
        let directory = certify(built_binary!(), ["home"]);
        let secured = Secured::by_certificates(&directory, "home");
        let authority = Authority::at_length();
        let web = |front, site| tls::certified(front, &authority).add("--web-site", site);
        let halves = halves_by(Route::Direct, &secured, web).await;
        for carrier in Carrier::ALL {
            let app = tls::app(&halves.front, &authority).carrier(carrier);
            whole_session(&app, 8).await;
        }
        halves.front.cleared().await;
        halves.back.cleared().await;
        halves.telegram.assert_clean();
    });
}

/// The link's end is that of the streams, not of their session.
#[test]
fn streams_end_with_the_link() {
    run(async {
        let halves = halves(Route::Direct).await;
        let app = halves.front.web_app(HOST);
        let (session, inside) = crate::session(&app, Carrier::WebSocket).await;
        let back = halves.back.stop().await;
        inside.closed().await;
        session.assert_clean();
        let _back = back.start().await;
        halves.front.linked(1).await;
        eventually("its session", || session.over().is_none()).await;
        let mut next = crate::Inside::open(&session, fake_telegram::client::Kind::Padded, 2);
        let request = fake_telegram::payload::echo(4, 64);
        let echoed = next.echo(&request);
        fake_telegram::wait::within("an echo", echoed)
            .await
            .unwrap();
        session.assert_clean();
    });
}
