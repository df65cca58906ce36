//! The link of split mode: what secures it, and whether each back gives one.

use std::rc::Rc;

use super::verdict::Verdict;
use crate::clock::millis;
use crate::config::{Config, HostPort, Role};
#[cfg(feature = "tls")]
use crate::link::Concern;
use crate::link::{Front, LinkContext, Security, SetupError, Silence, Trial};
use crate::net::{BufferPool, Executor, Live, Reactor};
use crate::wire::link;

/// More than the handshake of one link takes, in bytes.
const BUFFERS: usize = 1 << 20;

/// Whether what secures the link can be used, and for how long.
pub(super) fn files(config: &Config) -> Vec<Verdict> {
    let Some(loaded) = load(config) else {
        return Vec::new();
    };
    match loaded {
        Ok(security) => {
            let concerns = concerns(&security);
            let is_fine = !concerns.iter().any(|one| one.grade == super::Grade::Fail);
            let fine = is_fine.then(|| {
                Verdict::ok(
                    "link files",
                    format!("{}{}", with(config), until(&security)),
                )
            });
            fine.into_iter().chain(concerns).collect()
        }
        Err(error) => vec![Verdict::fail("link files", error.to_string())],
    }
}

fn load(config: &Config) -> Option<Result<Security, SetupError>> {
    let role = match config.process.role {
        Role::Both => return None,
        Role::Front => link::LinkSide::Front,
        Role::Back => link::LinkSide::Back,
    };
    Some(Security::load(&config.link, role))
}

#[cfg(feature = "tls")]
fn concerns(security: &Security) -> Vec<Verdict> {
    let all = security.concerns().into_iter();
    let judged = all.map(|concern| match concern {
        Concern::Fatal(text) => Verdict::fail("link files", text),
        Concern::Soon(text) => Verdict::warn("link files", text),
    });
    judged.collect()
}

/// How long its certificate is good.
#[cfg(feature = "tls")]
fn until(security: &Security) -> String {
    let days = security.days_left();
    days.map_or_else(String::new, |days| {
        format!("; {days} days left of the certificate")
    })
}

#[cfg(not(feature = "tls"))]
fn until(_: &Security) -> &'static str {
    ""
}

#[cfg(not(feature = "tls"))]
fn concerns(_: &Security) -> Vec<Verdict> {
    Vec::new()
}

fn with(config: &Config) -> &'static str {
    match (&config.link.tls, &config.link.key) {
        (Some(_), Some(_)) => "TLS and a key",
        (Some(_), None) => "TLS",
        (None, _) => "a key, plain: for the inside of a tunnel",
    }
}

/// Whether a front would get a link of `back`: the whole handshake, at which both
/// prove who they are.
pub(super) fn back(config: &Config, back: &HostPort) -> Verdict {
    let subject = format!("back {back}");
    let Some(Ok(security)) = load(config) else {
        return Verdict::fail(
            subject,
            "not tried: the link files cannot be used, see there",
        );
    };
    let reactor = match Reactor::new() {
        Ok(reactor) => reactor,
        Err(error) => return Verdict::fail(subject, format!("not tried: {error}; try it again")),
    };
    let executor: Rc<Executor> = Rc::default();
    let context = LinkContext {
        reactor: reactor.clone(),
        executor: executor.clone(),
        buffers: BufferPool::new(reactor.clock(), BUFFERS),
        scratch: Rc::default(),
        metrics: Rc::default(),
        silence: Silence::default(),
        places: config.link.places,
    };
    let front = Front::new(context, security, Live::new(config.link.clone()));
    let trial = reactor.block_on(&executor, front.try_link(back));
    judge(subject, with(config), trial)
}

fn judge(subject: String, how: &str, trial: Result<Trial, String>) -> Verdict {
    match trial {
        Ok(Trial { address, took }) => {
            let place = address.map_or_else(String::new, |address| address + " ");
            let took = millis(took);
            Verdict::ok(
                subject,
                format!("{place}in {took} ms, the whole handshake: {how}"),
            )
        }
        Err(problem) => Verdict::fail(subject, problem),
    }
}
