//! What clients ask for.

use smol::Timer;

use super::{Neighbour, SECOND, SETTLING, SMALL, Terms, watched};
use crate::client::Options;
use crate::fairness::attack;
use crate::fairness::outcome::Outcome;
use crate::fairness::watch::{Others, Watch};

/// Answers that nobody takes.
pub async fn not_reading(terms: Terms<'_>, neighbour: Neighbour) -> Outcome {
    let (setup, count) = (terms.setup().doors(neighbour.doors()), terms.pick(8, 30));
    let arena = setup.start().await;
    let other = neighbour.client(&arena);
    let others = small_echoes(other).await;
    let attack = attack::non_readers(arena.client(0), count, 16 << 20);
    attack.is_on().await;
    let most = terms.pick(11, 160) * SECOND;
    watched(others, terms.pick(8, 20) * SECOND, most).await
}

/// Answers that are taken a KiB at a time.
pub async fn dripping(terms: Terms<'_>) -> Outcome {
    let arena = terms.setup().start().await;
    let other = arena.client(0);
    let others = small_echoes(other).await;
    let count = terms.pick(8, 30);
    let attack = attack::drip_readers(arena.client(0), count, 16 << 20);
    attack.is_on().await;
    let most = terms.pick(11, 160) * SECOND;
    watched(others, terms.pick(8, 20) * SECOND, most).await
}

/// Much in flight for one who takes 1 MB a second.
pub async fn reading_slowly(terms: Terms<'_>) -> Outcome {
    let arena = terms.setup().start().await;
    let other = arena.client(0);
    let others = small_echoes(other).await;
    let (total, time) = (60 << 20, terms.pick(6, 20) * SECOND);
    let attack = attack::slow_reader(arena.client(0), total);
    attack.is_on().await;
    Timer::after(SETTLING * 2).await;
    let mut outcome = watched(others, time, time).await;
    let taken = attack.amount() as f64 / 1e6;
    attack.hurry();
    attack.is_over().await;
    outcome.failures = attack.failures();
    outcome.figure("slow reader got meanwhile", taken, "MB")
}

async fn small_echoes(other: Options) -> Others {
    Others::arrive(vec![
        Watch::new("64 B, same DC", other.clone(), SMALL),
        Watch::new("64 B, other DC", other.clone().dc(4), SMALL).elsewhere(),
        Watch::newcomer("64 B, newcomer", other),
    ])
    .await
}
