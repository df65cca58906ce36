//! Whether the config's own links lead to Telegram, as far as this machine can say.

use std::time::Duration;

use super::verdict::{Grade, Verdict};
use crate::cli::ping::{Aim, Course, Failure, Options, Pinged, advice};
use crate::cli::{invites, web_invites};
use crate::config::{Config, Role};
use crate::wire::dc::DcId;

/// One that every proxy reaches, if it reaches any.
const DC: DcId = DcId(2);

/// For each.
const LIMIT: Duration = Duration::from_secs(8);

/// Each door in each of its forms by one link, with its name: another secret makes no
/// difference there.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    if config.process.role == Role::Back {
        return Vec::new();
    }
    let aims = aims(config);
    if aims.is_empty() {
        let why = "there is none to try that lets somebody in";
        return vec![Verdict::warn("links", why)];
    }
    smol::block_on(ping_all(&aims))
}

async fn ping_all(aims: &[(String, Aim)]) -> Vec<Verdict> {
    let mut course = Course::new(Options::once(DC, LIMIT));
    let mut verdicts = Vec::new();
    for (name, aim) in aims {
        let subject = format!("link of {name}, {aim}");
        let places = course.places(aim).await;
        let Some(plan) = course.plan(aim, &places) else {
            let why = places.err().unwrap_or_default();
            verdicts.push(of_failure(subject, aim, &Failure::Unresolved(why)));
            continue;
        };
        for step in plan.steps() {
            let pinged = course.ping(aim, step).await;
            let verdict = |one: Pinged| of_ping(subject.clone(), aim, &one);
            verdicts.extend(pinged.into_iter().flatten().map(verdict));
        }
    }
    verdicts
}

fn of_ping(subject: String, aim: &Aim, one: &Pinged) -> Verdict {
    let subject = match aim.is_web() {
        true => format!("{subject}, {}", one.form().word()),
        false => subject,
    };
    match &one.outcome {
        Ok(times) => Verdict::ok(
            subject,
            format!(
                "DC {DC} answers in {} ms (from this machine; from outside, `smol-mtproxy ping` \
                 says it)",
                times.total().as_millis()
            ),
        ),
        Err(failure) => of_failure(subject, aim, failure),
    }
}

/// Many routers do not lead from inside to their own address: what cannot be connected to
/// from here may be fine.
fn of_failure(subject: String, aim: &Aim, failure: &Failure) -> Verdict {
    let advice = advice::of(failure, aim);
    match failure.is_of_the_way() {
        true => Verdict::warn(
            subject,
            format!(
                "{failure}; some routers do not lead from inside to their own address, so try \
                 `smol-mtproxy ping` from outside; if that fails too: {advice}"
            ),
        ),
        false => Verdict::new(Grade::Fail, subject, format!("{failure}: {advice}")),
    }
}

/// Named by whose they are.
fn aims(config: &Config) -> Vec<(String, Aim)> {
    let mut aims: Vec<(String, Aim)> = Vec::new();
    let mut add = |name: String, aim: Aim| {
        let door = aim.to_string();
        if aims.iter().all(|(_, known)| known.to_string() != door) {
            aims.push((name, aim));
        }
    };
    for named in invites::all(config, None) {
        if named.ended.is_none() {
            add(named.secret_name, Aim::Proxy(named.invite));
        }
    }
    if cfg!(feature = "tls") {
        for named in web_invites::all(config, None) {
            if named.ended.is_none() {
                add(named.secret_name, Aim::Web(named.invite));
            }
        }
    }
    aims
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn each_door_is_tried_once_in_each_form() {
        let config = Config::of(&[
            ("--listen", "192.0.2.1:443"),
            ("--secret", &format!("old={KEY},expires=2020-01-01")),
            ("--secret", &format!("anna={}", KEY.replace('0', "1"))),
            ("--secret", &format!("ben={}", KEY.replace('0', "2"))),
            ("--tls-domain", "a.example"),
            ("--allow", "dd,tls"),
        ]);
        let aims = aims(&config);
        let shown: Vec<_> = aims
            .iter()
            .map(|(name, aim)| format!("{name}: {aim}"))
            .collect();
        assert_eq!(
            shown,
            [
                "anna: 192.0.2.1:443, ee of a.example",
                "anna: 192.0.2.1:443, dd"
            ]
        );
    }

    #[test]
    fn what_cannot_be_tried_from_here_is_no_failure() {
        let aim = Aim::parse(&format!("h:443:dd{KEY}")).unwrap();
        let grade = |failure| of_failure(String::new(), &aim, &failure).grade;
        assert_eq!(grade(Failure::NoConnection), Grade::Warn);
        assert_eq!(grade(Failure::Refused), Grade::Fail);
        assert_eq!(grade(Failure::Silent { is_proven: true }), Grade::Fail);
    }
}
