//! Places, seats and descriptors.

use std::time::Instant;

use smol::Timer;

use super::{FAR_AWAY, SECOND, SETTLING, SMALL, Terms, alongside, watched};
use crate::fairness::attack;
use crate::fairness::outcome::Outcome;
use crate::fairness::watch::{Others, Watch};
use crate::harness::{Proxy, ProxyOptions, Route, free_address};
use crate::wait::eventually;

/// Sessions of one front, each with a descriptor of the back.
pub async fn sitting(terms: Terms<'_>) -> Outcome {
    let (limit, count) = terms.pick((256, 300), (1024, 3000));
    let setup = terms.setup().doors(&[Route::Direct; 2]);
    let setup = setup.at_doors(|o| o.set("--max-clients", 8000).set("--flood-limit", "off"));
    let arena = setup.at_back(move |o| o.max_files(limit)).start().await;
    let other = arena.client(1);
    let others = Others::arrive(vec![
        Watch::new("64 B, other front", other.clone(), SMALL),
        Watch::newcomer("64 B, newcomer, other front", other),
    ]);
    let others = others.await;
    let attack = attack::sitters(arena.client(0), count);
    eventually("the attack", || {
        attack.amount() + attack.cuts() >= count as u64
    })
    .await;
    let watching = watched(
        others,
        terms.pick(3, 10) * SECOND,
        terms.pick(5, 20) * SECOND,
    );
    let back = arena.back();
    let (outcome, most) = alongside(watching, || open_files(back)).await;
    outcome
        .figure("descriptors of the back", most as f64, "")
        .figure("of at most", limit as f64, "")
}

fn open_files(proxy: &Proxy) -> u64 {
    let path = format!("/proc/{}/fd", proxy.pid());
    let files = std::fs::read_dir(path).expect("the proxy lives");
    files.count() as u64
}

/// Who takes the places of a proxy that has 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    pub sessions: usize,
    pub strangers: usize,
    /// They are shown the site, and stay there.
    pub at_site: bool,
}

pub async fn crowding(terms: Terms<'_>, crowd: Crowd) -> Outcome {
    let site = std::net::TcpListener::bind(free_address());
    let site = site.expect("it was free");
    let address = site.local_addr().expect("it is bound");
    let at_doors = move |options: ProxyOptions| {
        let options = options.set("--max-clients", 100);
        match crowd.at_site {
            true => options.set("--fronting", address),
            false => options,
        }
    };
    let arena = terms.setup().at_doors(at_doors).start().await;
    let sitters = attack::sitters(arena.client(0), crowd.sessions);
    sitters.is_on().await;
    // All at once they may have pushed out each other on their way in.
    let cut_before = sitters.cuts();
    let beginning: &[u8] = match crowd.at_site {
        true => b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        false => b"",
    };
    let door = arena.doors[0].address();
    let strangers = attack::strangers(door, crowd.strangers, beginning.to_vec());
    strangers.is_on().await;
    Timer::after(SETTLING / 4).await;
    // They cannot come before: they would have a place.
    let others = Others::expected(vec![Watch::newcomer("64 B, newcomer", arena.client(0))]);
    let outcome = watched(
        others,
        terms.pick(2, 5) * SECOND,
        terms.pick(5, 40) * SECOND,
    )
    .await;
    outcome
        .figure("strangers cut", strangers.cuts() as f64, "")
        .figure("sessions cut", (sitters.cuts() - cut_before) as f64, "")
}

/// Connections to the link's port, while a front 60 ms away has lost its link.
pub async fn knocking(terms: Terms<'_>) -> Outcome {
    let setup = terms.setup().line(FAR_AWAY);
    let arena = setup.start().await;
    let others = Others::arrive(vec![Watch::newcomer("64 B, newcomer", arena.client(0))]);
    let others = others.await;
    let attack = attack::knockers(arena.link_address(), 1500);
    attack.is_on().await;
    let front = &arena.doors[0];
    let ends = front.counted("link_ends_total", "");
    let (began, amount) = (Instant::now(), attack.amount());
    arena.cut_link();
    eventually("the link's end", || {
        front.counted("link_ends_total", "") > ends
    })
    .await;
    let most = terms.pick(12, 40) * SECOND;
    let outcome = watched(others, SECOND / 10, most).await;
    let knocks = (attack.amount() - amount) as f64 / began.elapsed().as_secs_f64();
    outcome
        .figure(
            "a client is in again after",
            began.elapsed().as_secs_f64(),
            "s",
        )
        .figure("knocks", knocks, "/s")
}
