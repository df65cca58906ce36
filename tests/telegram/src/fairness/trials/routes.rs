//! What a client says that no DC answers.

use super::{SECOND, SMALL, Terms, watched};
use crate::fairness::First;
use crate::fairness::attack::{self, Hold};
use crate::fairness::outcome::Outcome;
use crate::fairness::watch::{Others, Watch};
use crate::harness::Route;

/// Packets that never end, by the first of two routes: it looks like one on which the
/// answers are filtered.
pub async fn starving(terms: Terms<'_>, first: First) -> Outcome {
    let setup = terms.setup().doors(&[Route::Direct]).first(first);
    let arena = setup.start().await;
    let other = arena.client(0);
    let others = Others::arrive(vec![
        Watch::new("64 B, same DC", other.clone(), SMALL),
        Watch::new("64 B, other DC", other.clone().dc(4), SMALL).elsewhere(),
        Watch::newcomer("64 B, newcomer", other.clone()),
        Watch::newcomer("64 B, newcomer, other DC", other.dc(4)).elsewhere(),
    ]);
    let others = others.await;
    let attacks = [Hold::Nothing, Hold::Half]
        .map(|hold| attack::holders(arena.client(0), terms.pick(4, 20), hold, true));
    for attack in &attacks {
        attack.is_on().await;
    }
    // A route has 5 s for its first byte.
    let outcome = watched(
        others,
        terms.pick(8, 20) * SECOND,
        terms.pick(10, 30) * SECOND,
    )
    .await;
    let next = format!("route=\"{}\",dc=\"2\",result=\"opened\"", first.next_word());
    let went = arena.back().counted("route_connects_total", &next);
    let cuts: u64 = attacks.iter().map(|attack| attack.cuts()).sum();
    outcome
        .figure("clients by the next route", went as f64, "")
        .figure("attackers cut", cuts as f64, "")
}
