//! Many at once, and many after each other.

use std::time::Instant;

use super::{LARGE, SECOND, SMALL, Terms, watched};
use crate::crypto::hex;
use crate::fairness::attack::{self, Attack, Spending};
use crate::fairness::outcome::Outcome;
use crate::fairness::watch::{Others, Watch};
use crate::harness::Route;

/// Bytes that a secret may move, here.
pub const QUOTA: u64 = 1 << 20;

/// Sessions of that secret.
pub const SPENDERS: usize = 40;

const SPENDER: [u8; 16] = [0x5e; 16];

/// Many sessions at once use up what their secret may move.
pub async fn spending(terms: Terms<'_>, route: Route, spending: Spending) -> Outcome {
    let secret = format!("spender={},quota=1M", hex(&SPENDER));
    let setup = terms.setup().doors(&[route]);
    let setup = setup.at_doors(move |o| o.add("--secret", &secret));
    let arena = setup.start().await;
    let client = arena.client(0).key(SPENDER);
    let sent = || {
        let counters = arena.telegram.counters();
        counters.request_bytes() + counters.direct_bytes()
    };
    let before = sent();
    let attack = attack::spenders(client, SPENDERS, spending, terms.pick(4, 16) << 20);
    attack.is_over().await;
    let passed = attack.amount() + sent() - before;
    let past = passed.saturating_sub(QUOTA) as f64 / (1 << 20) as f64;
    let mut outcome = Outcome::default().figure("past the quota", past, "MiB");
    if arena.doors[0].counted("closed_total", "reason=\"quota_used\"") == 0 {
        outcome.failures.push("the quota was not used".to_owned());
    }
    outcome
}

/// Clients that come and go, and ask for answers that they do not wait for.
pub async fn hurrying(terms: Terms<'_>, rush: Rush) -> Outcome {
    let setup = terms.setup().at_doors(|o| o.set("--flood-limit", "off"));
    let arena = setup.start().await;
    let other = arena.client(0);
    let others = Others::arrive(vec![
        Watch::new("64 B, same DC", other.clone(), SMALL),
        Watch::new("300 KB, same DC", other.clone(), LARGE),
        Watch::new("64 B, other DC", other.clone().dc(4), SMALL).elsewhere(),
        Watch::newcomer("64 B, newcomer", other),
    ]);
    let others = others.await;
    let client = arena.client(0);
    let attack: Attack = match rush {
        Rush::ComeAndGo => attack::comers_and_goers(client, 40, 10),
        Rush::AskAndLeave => attack::leavers(client, 20, 10),
    };
    attack.is_on().await;
    let began = Instant::now();
    let outcome = watched(
        others,
        terms.pick(3, 10) * SECOND,
        terms.pick(5, 20) * SECOND,
    )
    .await;
    let rounds = attack.amount() as f64 / began.elapsed().as_secs_f64();
    outcome.figure("rounds of the attackers", rounds, "/s")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rush {
    ComeAndGo,
    AskAndLeave,
}
