//! Streams count as clients, by the address that the app comes from.

use fake_telegram::client::{Fate, Kind};
use fake_telegram::crypto::hex;
use fake_telegram::harness::{ProxyOptions, Route};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_app::{Carrier, Gateway, Options, Secret};

use crate::{Inside, Set, served};

const ALICE: [u8; 16] = [0xa1; 16];

async fn start(limits: &str) -> Set {
    let secret = format!("alice={},{limits}", hex(&ALICE));
    Set::start_with(Route::Direct, |o| {
        o.add("--secret", secret)
            .set("--reset", "on-handshake-error")
    })
    .await
}

fn alice(set: &Set) -> Options {
    set.app().secret(Secret::plain(ALICE))
}

#[test]
fn max_connections_counts_streams() {
    run(async {
        for carrier in Carrier::ALL {
            let set = start("max-connections=3").await;
            let gateway = Gateway::start(&alice(&set).carrier(carrier)).await.unwrap();
            let mut inside = Vec::new();
            for _ in 0..3 {
                inside.push(served(&gateway, Kind::Padded, 2).await);
            }
            let mut fourth = gateway.client(Kind::Padded).connect().await.unwrap();
            assert_eq!(fourth.fate_of(&echo(1, 64)).await, Fate::Closed);
            assert_eq!(set.proxy.rejected("secret_connections"), 1);
            // One who comes otherwise counts too, and others do not.
            let classic = set.proxy.client(Kind::Padded).key(ALICE);
            assert!(!classic.is_served().await);
            assert!(set.proxy.client(Kind::Padded).is_served().await);
            drop(inside.pop());
            let free = || set.telegram.counters().direct_live() <= 3;
            eventually("a free place", free).await;
            served(&gateway, Kind::Padded, 2).await;
            gateway.session().await.unwrap().assert_clean();
        }
    });
}

#[test]
fn max_ips_counts_the_addresses_of_apps() {
    run(async {
        let set = start("max-ips=2").await;
        let from = |address: &str| alice(&set).forwarded_for(address);
        let (_one, _a) = crate::session(&from("192.0.2.1"), Carrier::WebSocket).await;
        let (_two, _b) = crate::session(&from("2001:db8::1"), Carrier::Https).await;
        let third = from("192.0.2.3").session().await.unwrap();
        let stream = Inside::open(&third, Kind::Padded, 2);
        let header = Kind::Padded
            .options(set.app().door)
            .key(ALICE)
            .first_bytes();
        stream.stream.write(&header).await.unwrap();
        stream.closed().await;
        assert_eq!(set.proxy.rejected("secret_addresses"), 1);
        // One of the two may have more.
        let (_four, _c) = crate::session(&from("192.0.2.1"), Carrier::Https).await;
        third.assert_clean();
    });
}

/// Only the last address is a web server's word; what stands before it is the app's.
#[test]
fn the_last_address_is_that_of_the_app() {
    run(async {
        let set = start("max-ips=1").await;
        let app = alice(&set).forwarded_for("198.51.100.1, 192.0.2.1");
        let (_one, _a) = crate::session(&app, Carrier::WebSocket).await;
        let app = alice(&set).forwarded_for("198.51.100.2, 192.0.2.1");
        let (_two, _b) = crate::session(&app, Carrier::Https).await;
        assert_eq!(set.proxy.rejected("secret_addresses"), 0);
    });
}

/// From who is not trusted the field is nothing.
#[test]
fn a_stranger_cannot_choose_its_address() {
    run(async {
        let secret = format!("alice={},max-ips=1", hex(&ALICE));
        let door = fake_telegram::harness::free_address();
        let set = Set::start_with(Route::Direct, |o: ProxyOptions| {
            o.add("--web-listen", format!("{door},trust=192.0.2.0/24"))
                .without("--web-site")
                .without("--web")
                .add("--secret", secret)
                .web(crate::HOST, "http://127.0.0.1:9")
        })
        .await;
        for address in ["192.0.2.1", "192.0.2.2"] {
            let mut app = alice(&set).forwarded_for(address);
            app.door = door;
            let (session, _inside) = crate::session(&app, Carrier::WebSocket).await;
            session.assert_clean();
        }
        assert_eq!(set.proxy.rejected("secret_addresses"), 0);
    });
}

#[test]
fn a_session_has_128_streams() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let (session, mut inside) = crate::session(&set.app(), carrier).await;
            let mut streams = Vec::new();
            for _ in 1..128 {
                streams.push(session.stream().unwrap());
            }
            let one_more = session.stream().unwrap();
            eventually("CLOSE", || !one_more.is_open()).await;
            within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
            assert!(streams.iter().all(|stream| stream.is_open()));
            session.assert_clean();
            // One that ends makes room.
            drop(streams.pop());
            let mut next = Inside::open(&session, Kind::Padded, 2);
            within("an echo", next.echo(&echo(3, 64))).await.unwrap();
            session.assert_clean();
        }
    });
}

#[test]
fn max_clients_counts_streams() {
    run(async {
        let set = Set::start_with(Route::Direct, |o| o.set("--max-clients", 128)).await;
        let gateway = Gateway::start(&set.app()).await.unwrap();
        let other = Gateway::start(&set.app().carrier(Carrier::Https))
            .await
            .unwrap();
        let mut inside = Vec::new();
        for number in 0..128 {
            let gateway = if number % 2 == 0 { &gateway } else { &other };
            inside.push(served(gateway, Kind::Padded, 2).await);
        }
        let mut more = gateway.client(Kind::Padded).connect().await.unwrap();
        assert_eq!(more.fate_of(&echo(1, 64)).await, Fate::Closed);
        gateway.session().await.unwrap().assert_clean();
        drop(inside);
        let over = || set.telegram.counters().direct_live() == 0;
        eventually("their ends", over).await;
        served(&gateway, Kind::Padded, 2).await;
    });
}
