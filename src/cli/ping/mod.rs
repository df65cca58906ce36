//! `ping`: whether links lead to Telegram, and how fast. They may be anybody's.
//!
//! What it goes by is smol's, as of any program: it serves nobody meanwhile.
//!
//! | File | What |
//! |---|---|
//! | `aim` | what a link leads to, and in which forms it is asked |
//! | `options` | how often, of which DCs, for how long |
//! | `places` | the addresses that a link leads to |
//! | `plan` | which pings there are for a link, and how long they take |
//! | `pace` | never more than one connection a second to one address |
//! | `course` | the pings of one link, one after another |
//! | `patience` | work with an end to it |
//! | `question` | what a DC is asked, and what comes back |
//! | `proxy` | one ping of an MTProto proxy |
//! | `greeting` | the fake-TLS handshake of one |
//! | `site_clock` | what time it is at the site that answers instead |
//! | `web` | one ping of a WEB proxy: page, session, carrier |
//! | `web_place` | where its page and its API are, and what a request there carries |
//! | `web_connection` | requests over HTTPS, one after another |
//! | `web_carrier` | frames over either carrier |
//! | `times` | how long each part of a ping took |
//! | `failure` | why there is no answer |
//! | `advice` | what to do about it |
//! | `report` | a link's pings, for people and programs |
//! | `progress` | what a terminal shows meanwhile |

pub(super) mod advice;
mod aim;
mod course;
mod failure;
mod greeting;
mod options;
mod pace;
mod patience;
mod places;
mod plan;
mod progress;
mod proxy;
mod question;
mod report;
mod site_clock;
mod times;
#[cfg(feature = "tls")]
mod web;
#[cfg(feature = "tls")]
mod web_carrier;
#[cfg(feature = "tls")]
mod web_connection;
#[cfg(feature = "tls")]
mod web_place;

use std::io::{BufRead, stdin};

use super::commands::PingLinks;
use super::exit::Exit;
use super::{complain, print};
use crate::wire::json::Json;

#[cfg(feature = "check")]
pub(super) use course::Pinged;
#[cfg(feature = "check")]
pub(super) use failure::Failure;
pub(super) use {aim::Aim, course::Course, options::Options};

use progress::Progress;
use report::Report;

/// More links than anybody pings at once.
const MAX_LINKS: usize = 1000;

/// Shows how each link fares; the exit code is an error if a ping of one fails.
pub(super) fn run(words: &PingLinks) -> Exit {
    let (aims, options) = match (aims(words), Options::of(words)) {
        (Ok(aims), Ok(options)) => (aims, options),
        (Err(problem), _) | (_, Err(problem)) => return complain(Exit::Usage, problem),
    };
    smol::block_on(ping_all(&aims, options, words.json))
}

async fn ping_all(aims: &[Aim], options: Options, as_json: bool) -> Exit {
    let mut course = Course::new(options);
    let progress = Progress::new();
    let (mut printed, mut is_fine) = (Exit::Ok, true);
    let mut reports = Vec::new();
    for aim in aims {
        let places = course.places(aim).await;
        let plan = course.plan(aim, &places);
        if let Some(plan) = &plan {
            progress.say(&plan.announcement(aim));
        }
        let mut report = Report::new(aim, &places);
        let mut shown = |text: &str| {
            if !as_json {
                progress.clear();
                printed = printed.or(print(text));
            }
        };
        shown(&report.head());
        if let Some(plan) = plan {
            let total = plan.steps().len();
            for (number, step) in plan.steps().iter().enumerate() {
                progress.show(number + 1, total, &step.dcs);
                let Some(pinged) = course.ping(aim, step).await else {
                    report.spare();
                    continue;
                };
                for one in pinged {
                    shown(&report.row(&one));
                    report.add(one);
                }
            }
        }
        shown(&report.summary());
        is_fine &= report.is_fine();
        reports.push(report.json());
    }
    progress.clear();
    if as_json {
        let all = vec![("ok", Json::Bool(is_fine)), ("links", Json::List(reports))];
        printed = print(&format!("{}\n", Json::Object(all)));
    }
    match is_fine {
        true => printed,
        false => printed.or(Exit::Unavailable),
    }
}

/// Those of the command line, or of stdin.
fn aims(words: &PingLinks) -> Result<Vec<Aim>, String> {
    let mut links = words.links.clone();
    if words.stdin {
        for line in stdin().lock().lines().take(MAX_LINKS) {
            links.push(line.map_err(|error| format!("cannot read stdin: {error}"))?);
        }
    }
    let links = links.iter().map(|link| link.trim());
    let aims: Result<Vec<Aim>, String> = links
        .filter(|link| !link.is_empty())
        .map(Aim::parse)
        .collect();
    match aims {
        Ok(aims) if aims.is_empty() => Err(
            "ping needs a link, as in `smol-mtproxy ping 'tg://proxy?…'` (in quotes, as it has &), \
             or --stdin"
                .to_owned(),
        ),
        aims => aims,
    }
}
