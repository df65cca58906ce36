use std::net::SocketAddr;
use std::time::Instant;

use smol::Timer;

use super::aim::{Aim, Form};
use super::failure::{Failure, SiteClock};
use super::options::Options;
use super::pace::Pace;
use super::places;
use super::plan::{Plan, Step};
use super::proxy;
use super::site_clock;
use super::times::Times;
#[cfg(feature = "tls")]
use super::web;
use crate::wire::dc::DcId;

/// So many in a row that fail before a DC is named are enough where none has fared better.
const ENOUGH: u32 = 2;

/// How one question fared.
pub(in crate::cli) struct Pinged {
    pub(super) address: SocketAddr,
    pub(super) form: Form,
    pub(super) dc: DcId,
    pub(in crate::cli) outcome: Result<Times, Failure>,
}

#[cfg(feature = "check")]
impl Pinged {
    pub(in crate::cli) fn form(&self) -> Form {
        self.form
    }
}

/// Pings of links, one after another, whatever their number.
pub(in crate::cli) struct Course {
    options: Options,
    pace: Pace,
    /// Of the link under way.
    now: Standing,
}

/// What is known of a link.
#[derive(Default)]
struct Standing {
    /// The address that the next two are about.
    address: Option<SocketAddr>,
    /// In a row, and none before them fared better.
    in_vain: u32,
    got_through: bool,
    clock: Option<SiteClock>,
}

impl Course {
    pub(in crate::cli) fn new(options: Options) -> Self {
        Self {
            options,
            pace: Pace::default(),
            now: Standing::default(),
        }
    }

    /// Where a link leads: the next one that is pinged.
    pub(in crate::cli) async fn places(&mut self, aim: &Aim) -> Result<Vec<SocketAddr>, String> {
        self.now = Standing::default();
        let options = &self.options;
        places::of(options.at.as_ref(), aim.server(), aim.port(), options.limit).await
    }

    /// `None`: it leads nowhere.
    pub(in crate::cli) fn plan(
        &self,
        aim: &Aim,
        places: &Result<Vec<SocketAddr>, String>,
    ) -> Option<Plan> {
        let places = places.as_ref().ok()?;
        Some(Plan::new(aim, places, &self.options))
    }

    /// One step of its plan, at its turn. `None`: there is no use in one more.
    pub(in crate::cli) async fn ping(&mut self, aim: &Aim, step: &Step) -> Option<Vec<Pinged>> {
        if self.now.address.replace(step.address) != Some(step.address) {
            (self.now.in_vain, self.now.got_through) = (0, false);
        }
        if self.now.in_vain >= ENOUGH && !self.now.got_through {
            return None;
        }
        self.wait_for_turn(step.address).await;
        let mut outcomes = self.outcomes(aim, step).await;
        self.judge(aim, step, &mut outcomes).await;
        let pinged = step.dcs.iter().zip(outcomes).map(|(dc, outcome)| Pinged {
            address: step.address,
            form: step.form,
            dc: *dc,
            outcome,
        });
        Some(pinged.collect())
    }

    async fn wait_for_turn(&self, address: SocketAddr) {
        let wait = self.pace.take_turn(address, Instant::now());
        if !wait.is_zero() {
            Timer::after(wait).await;
        }
    }

    /// One for each DC of the step.
    async fn outcomes(&self, aim: &Aim, step: &Step) -> Vec<Result<Times, Failure>> {
        match aim {
            Aim::Proxy(invite) => {
                let deadline = Instant::now() + self.options.limit;
                let mut outcomes = Vec::new();
                for dc in &step.dcs {
                    let what = (step.address, step.form, *dc);
                    outcomes.push(proxy::ping(invite, what, deadline).await);
                }
                outcomes
            }
            #[cfg(feature = "tls")]
            Aim::Web(invite) => {
                let request = web::Request {
                    invite: invite.clone(),
                    step: step.clone(),
                    limit: self.options.limit,
                    roots: self.options.roots.clone(),
                    pace: self.pace.clone(),
                };
                smol::unblock(move || web::ping(&request)).await
            }
            #[cfg(not(feature = "tls"))]
            Aim::Web(_) => Vec::new(),
        }
    }

    async fn judge(&mut self, aim: &Aim, step: &Step, outcomes: &mut [Result<Times, Failure>]) {
        let is_lost = |outcome: &Result<Times, Failure>| match outcome {
            Ok(_) => false,
            Err(failure) => failure.is_of_all_dcs(),
        };
        match outcomes.iter().all(is_lost) {
            true => self.now.in_vain += 1,
            false => self.now.got_through = true,
        }
        for outcome in outcomes.iter_mut() {
            if let Err(Failure::Site(clock)) = outcome {
                *clock = self.site_clock(aim, step.address).await;
            }
        }
    }

    /// The site's clock beside ours; it is asked once a link.
    async fn site_clock(&mut self, aim: &Aim, address: SocketAddr) -> SiteClock {
        if let Some(clock) = self.now.clock {
            return clock;
        }
        self.wait_for_turn(address).await;
        let clock = site_clock::ask(aim, address, &self.options).await;
        self.now.clock = Some(clock);
        clock
    }
}
