//! What one user tries, and what the others feel of it.

mod answers;
mod haste;
mod packets;
mod places;
mod routes;
mod web;

pub use answers::{dripping, not_reading, reading_slowly};
pub use haste::{QUOTA, Rush, SPENDERS, hurrying, spending};
pub use packets::{Trouble, announcing, lagging, uploading};
pub use places::{Crowd, crowding, knocking, sitting};
pub use routes::starving;
pub use web::{Door, surfing};

use std::time::Duration;

use smol::Timer;

use super::outcome::Outcome;
use super::relay::Line;
use super::setup::{Arena, GUEST, Layout, Setup};
use super::watch::Others;
use crate::client::Options;
use crate::harness::Route;

const SECOND: Duration = Duration::from_secs(1);

/// Bytes of the others' echoes.
const SMALL: usize = 64;
const LARGE: usize = 300_000;

/// Until an attack has filled what it can, or the first moments are over.
const SETTLING: Duration = Duration::from_secs(1);

/// To a back that is 60 ms away.
const FAR_AWAY: Line = Line {
    delay: Duration::from_millis(30),
    rate: None,
};

/// Of what, and how much of it.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    pub binary: &'a str,
    pub layout: Layout,
    /// As much as in the field, for as long as it takes; else less, to tell
    /// whether there is a defect at all.
    pub is_full: bool,
}

impl Terms<'_> {
    fn setup(self) -> Setup {
        Setup::new(self.binary, self.layout)
    }

    fn pick<T>(self, small: T, full: T) -> T {
        if self.is_full { full } else { small }
    }
}

/// Who the others are to the attackers, if they want the same DC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    Client,
    OtherSecret,
    OtherFront,
}

impl Neighbour {
    fn doors(self) -> &'static [Route] {
        match self {
            Self::OtherFront => &[Route::Middle; 2],
            _ => &[Route::Middle],
        }
    }

    fn client(self, arena: &Arena) -> Options {
        match self {
            Self::Client => arena.client(0),
            Self::OtherSecret => arena.client(0).key(GUEST),
            Self::OtherFront => arena.client(1),
        }
    }
}

/// The echoes of the others for `time` from now on.
async fn watched(others: Others, time: Duration, most: Duration) -> Outcome {
    Outcome {
        waits: others.watch(time, most).await,
        ..Outcome::default()
    }
}

/// The largest value of a gauge while something goes on.
async fn alongside<T>(work: impl Future<Output = T>, gauge: impl Fn() -> u64) -> (T, u64) {
    let most = std::cell::Cell::new(0);
    let looking = async {
        loop {
            most.set(most.get().max(gauge()));
            Timer::after(SECOND / 20).await;
        }
    };
    let value = smol::future::or(work, looking).await;
    (value, most.get())
}
