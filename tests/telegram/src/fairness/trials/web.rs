//! What those who come to the WEB proxy take from each other, and from those who come
//! otherwise.

use super::{SECOND, SETTLING, SMALL, Terms, alongside, watched};
use crate::client::Kind;
use crate::fairness::attack::{self, Surf};
use crate::fairness::outcome::Outcome;
use crate::fairness::watch::{Others, Watch};
use crate::web_app::{Carrier, Gateway, Origin};
use crate::web_front::Authority;
use smol::Timer;
use std::sync::Arc;

/// Where they all come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// That of a web server in front, which says for whom it comes.
    OfWebServers,
    /// The port of all clients, by TLS.
    OfClients,
}

const HOST: &str = "proxy.example.com";

/// Watched are clients that come straight, and those of both carriers.
pub async fn surfing(terms: Terms<'_>, surf: Surf, door: Door) -> Outcome {
    let site = Origin::start().expect("loopback can be listened on");
    let url = site.url();
    let authority = Arc::new(Authority::new());
    let shown = authority.clone();
    let arena = terms.setup().at_doors(move |options| match door {
        Door::OfWebServers => options.web(HOST, &url),
        Door::OfClients => options.web_by_tls(HOST, &shown),
    });
    let arena = arena.start().await;
    // Attackers and others are not the same.
    let app = |number: u8| match door {
        Door::OfWebServers => {
            let address = format!("192.0.2.{number}");
            arena.doors[0].web_app(HOST).forwarded_for(&address)
        }
        Door::OfClients => {
            let app = arena.doors[0].web_app_by_tls(HOST, &authority);
            app.source([127, 8, 0, number].into())
        }
    };
    let mut gateways = Vec::new();
    let mut watches = vec![
        Watch::new("64 B, straight", arena.client(0), SMALL),
        Watch::newcomer("64 B, straight, newcomer", arena.client(0)),
    ];
    for (carrier, number) in [(Carrier::WebSocket, 1), (Carrier::Https, 2)] {
        let gateway = Gateway::start(&app(number).carrier(carrier)).await;
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
        Surf::HalfHead | Surf::SlowBody | Surf::HalfHandshake => terms.pick(200, 1000),
        Surf::Deaf => terms.pick(20, 40),
        Surf::ManyStreams => terms.pick(4, 8),
    };
    let attack = attack::surfers(app(200), count, surf);
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
