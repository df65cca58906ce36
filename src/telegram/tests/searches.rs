//! How long a client waits for a line where nobody answers.

use fake_telegram::harness::BlackHole;

use super::*;
use crate::config::{RouteList, RouteName};

#[test]
fn nobody_waits_for_more_than_fifteen_seconds() {
    House::run(ON_DEMAND, |house| async move {
        let holes: Vec<_> = (0..5).map(|_| BlackHole::new().unwrap()).collect();
        let of = |holes: &[BlackHole]| -> Vec<_> {
            let addresses = holes.iter().map(BlackHole::address);
            addresses.map(|address| (DcId(2), address)).collect()
        };
        let live = &house.telegram.shared.config;
        let fails = async || {
            let start = house.reactor.now();
            let opened = house.try_open(Route::Direct).await;
            assert!(matches!(opened, Err(OpenError::DirectUnavailable)));
            (house.reactor.now() - start).as_millis()
        };
        let mut config = (*live.get()).clone();
        config.dc_overrides = of(&holes);
        // The second leads nowhere without an address.
        config.routes = RouteList::from_routes(&[RouteName::Direct, RouteName::Upstream]);
        live.set(config.clone());
        let first = fails().await;
        assert!((4_000..=5_000).contains(&first), "another is left: {first}");
        let all_rest = fails().await;
        assert!((14_000..=15_100).contains(&all_rest), "{all_rest}");

        config.routes = RouteList::default();
        config.dc_overrides = of(&holes[..1]);
        config.dc_overrides.extend(
            house
                .fake
                .direct_addresses(2)
                .into_iter()
                .map(|address| (DcId(2), address)),
        );
        live.set(config);
        let start = house.reactor.now();
        for _ in 0..10 {
            let opened = house.try_open(Route::Direct).await;
            assert!(matches!(opened, Ok((Session::Line(_), _))));
            house.reactor.sleep(Duration::from_secs(50)).await;
        }
        let held_up = house.reactor.now() - start - Duration::from_secs(500);
        assert!(held_up < Duration::from_secs(1), "{held_up:?}: it rests");
    });
}

/// Many are connected at once, and what that takes is not given back by every allocator.
#[test]
fn who_is_being_connected_takes_little() {
    House::run(ON_DEMAND, |house| async move {
        let request = SessionRequest {
            route: Route::Direct,
            has_other_route: false,
            dc: DcId(2),
            client: SocketAddr::from(([203, 0, 113, 5], 1000)),
            local: SocketAddr::from(([127, 0, 0, 1], 443)),
            tag: None,
            transport: Transport::Padded,
            to_client: TO_CLIENT,
            #[cfg(feature = "tls")]
            made_of: None,
        };
        let size = size_of_val(&house.telegram.routes.open(&request));
        assert!(size <= 950, "{size} bytes");
    });
}
