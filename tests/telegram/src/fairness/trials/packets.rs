//! What clients send.

use std::time::Duration;

use smol::Timer;

use super::{FAR_AWAY, LARGE, Neighbour, SECOND, SETTLING, SMALL, Terms, alongside, watched};
use crate::client::Options;
use crate::fairness::attack::{self, Hold};
use crate::fairness::outcome::Outcome;
use crate::fairness::relay::Line;
use crate::fairness::watch::{Others, Watch};
use crate::harness::Route;

/// To a back behind a line of 8 Mbit/s.
const SLOW_LINE: Line = Line {
    delay: Duration::from_millis(30),
    rate: Some(1_000_000),
};

/// Announced packets that never come, with few buffers.
pub async fn announcing(
    terms: Terms<'_>,
    hold: Hold,
    buffers: &'static str,
    neighbour: Neighbour,
    is_stubborn: bool,
) -> Outcome {
    let setup = terms.setup().doors(neighbour.doors());
    let setup = setup.at_doors(move |o| o.set("--buffers", buffers));
    let setup = setup.at_back(move |o| o.set("--buffers", buffers));
    let arena = setup.start().await;
    let other = neighbour.client(&arena);
    let others = large_and_small_echoes(other).await;
    let attack = attack::holders(arena.client(0), 80, hold, is_stubborn);
    attack.is_on().await;
    let outcome = watched(
        others,
        terms.pick(3, 10) * SECOND,
        terms.pick(5, 20) * SECOND,
    )
    .await;
    let held = arena.doors[0].counted("buffer_bytes_used", "");
    outcome
        .figure("holders cut", attack.cuts() as f64, "")
        .figure("buffers in use", held as f64 / 1e6, "MB")
}

/// What delays one front's packets while its clients send large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    SlowLine,
    /// Its machine stands still.
    Frozen,
}

/// One front's large packets are under way, those of another want to pass.
pub async fn lagging(terms: Terms<'_>, trouble: Trouble) -> Outcome {
    let (line, clients, buffers) = match trouble {
        Trouble::SlowLine => (SLOW_LINE, 30, "16M"),
        Trouble::Frozen => (FAR_AWAY, 70, "8M"),
    };
    let setup = terms.setup().doors(&[Route::Middle; 2]).line(line);
    let setup = setup.at_back(move |o| o.set("--buffers", buffers));
    let arena = setup.start().await;
    let other = arena.client(1);
    let others = large_and_small_echoes(other).await;
    let attack = attack::uploaders(arena.client(0), clients, 1 << 20);
    attack.is_on().await;
    Timer::after(SETTLING * 2).await;
    if trouble == Trouble::Frozen {
        arena.doors[0].signal("STOP");
    }
    let outcome = watched(
        others,
        terms.pick(3, 10) * SECOND,
        terms.pick(5, 20) * SECOND,
    )
    .await;
    let used = arena.back().counted("buffer_bytes_used", "") as f64 / 1e6;
    outcome.figure("buffers in use", used, "MB")
}

/// Large packets for a DC that does not read.
pub async fn uploading(terms: Terms<'_>, route: Route, clients: usize) -> Outcome {
    let other_route = match route {
        Route::Middle => Route::Direct,
        Route::Direct => Route::Middle,
    };
    let setup = terms.setup().doors(&[route, other_route]);
    let arena = setup.at_back(|o| o.set("--buffers", "16M")).start().await;
    let other = arena.client(0).dc(4);
    let mut watches = vec![
        Watch::new("64 B, other DC", other.clone(), SMALL).elsewhere(),
        Watch::new("256 KB, other DC", other.clone(), 256 << 10).elsewhere(),
        Watch::newcomer("64 B, newcomer, other DC", other).elsewhere(),
    ];
    if arena.doors.len() > 1 {
        let other = arena.client(1).dc(4);
        watches.push(Watch::new("64 B, other route", other.clone(), SMALL).elsewhere());
        watches.push(Watch::new("256 KB, other route", other, 256 << 10).elsewhere());
    }
    let others = Others::arrive(watches).await;
    let before = arena.back().resident_memory();
    arena.telegram.behave_dc(2, |b| b.stop_reading = true);
    let attack = attack::uploaders(arena.client(0), clients, 1 << 20);
    attack.is_on().await;
    Timer::after(SETTLING).await;
    let time = terms.pick(3, 8) * SECOND;
    let watching = watched(others, time, terms.pick(5, 20) * SECOND);
    let back = arena.back();
    let (outcome, most) = alongside(watching, || back.resident_memory()).await;
    let grown = most.saturating_sub(before) as f64 / (1 << 20) as f64;
    outcome.figure("back's memory grew by", grown, "MiB")
}

async fn large_and_small_echoes(other: Options) -> Others {
    Others::arrive(vec![
        Watch::new("64 B, same DC", other.clone(), SMALL),
        Watch::new("300 KB, same DC", other.clone(), LARGE),
        Watch::new("300 KB, other DC", other.clone().dc(4), LARGE).elsewhere(),
        Watch::newcomer("64 B, newcomer", other),
    ])
    .await
}
