//! What those who come to the WEB proxy take from each other, and from those who come
//! otherwise.

use super::{SECOND, SETTLING, SMALL, Terms, alongside, watched};
use crate::client::Kind;
use crate::fairness::attack::{self, Surf};
use crate::fairness::outcome::Outcome;
use crate::fairness::watch::{Others, Watch};
use crate::web_app::{Carrier, Gateway, Origin};
use smol::Timer;

const HOST: &str = "proxy.example.com";

/// Watched are clients that come straight, and those of both carriers.
pub async fn surfing(terms: Terms<'_>, surf: Surf) -> Outcome {
    let site = Origin::start().expect("loopback can be listened on");
    let url = site.url();
    let arena = terms.setup().at_doors(move |o| o.web(HOST, &url));
    let arena = arena.start().await;
    // As a web server in front says: attackers and others are not the same.
    let app = |address: &str| arena.doors[0].web_app(HOST).forwarded_for(address);
    let mut gateways = Vec::new();
    let mut watches = vec![
        Watch::new("64 B, straight", arena.client(0), SMALL),
        Watch::newcomer("64 B, straight, newcomer", arena.client(0)),
    ];
    for (carrier, address) in [
        (Carrier::WebSocket, "192.0.2.1"),
        (Carrier::Https, "192.0.2.2"),
    ] {
        let gateway = Gateway::start(&app(address).carrier(carrier)).await;
        let gateway = gateway.expect("the proxy takes apps");
        let client = gateway.client(Kind::Padded);
        let name = format!("64 B, {carrier:?}");
        watches.push(Watch::new(&name, client.clone(), SMALL));
        watches.push(Watch::newcomer(&format!("{name}, newcomer"), client));
        gateways.push(gateway);
    }
    let others = Others::arrive(watches).await;
    let before = arena.doors[0].resident_memory();
    let count = match surf {
        Surf::Guess => terms.pick(8, 16),
        Surf::HalfHead => terms.pick(200, 1000),
        Surf::Deaf => terms.pick(20, 40),
        Surf::ManyStreams => terms.pick(4, 8),
    };
    let attack = attack::surfers(app("198.51.100.1"), count, surf);
    attack.is_on().await;
    Timer::after(SETTLING).await;
    let watching = watched(
        others,
        terms.pick(3, 10) * SECOND,
        terms.pick(5, 20) * SECOND,
    );
    let door = &arena.doors[0];
    let (mut outcome, most) = alongside(watching, || door.resident_memory()).await;
    for gateway in &gateways {
        outcome.failures.extend(gateway.take_violations());
    }
    let grown = most.saturating_sub(before) as f64 / f64::from(1 << 20);
    outcome
        .figure("the proxy's memory grew by", grown, "MiB")
        .figure("of the attackers were cut", attack.cuts() as f64, "")
}
