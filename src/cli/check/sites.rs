//! The sites that strangers are shown.

use std::rc::Rc;

use super::verdict::Verdict;
use crate::client::{Examined, Sites};
use crate::config::{Config, DataDir, FrontingChoice, Role};
use crate::net::{Executor, Live, Reactor};

/// Whether the sites that strangers are shown can be reached, and are models
/// for our answers.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    if config.process.role == Role::Back
        || matches!(
            config.sites.fronting.choice,
            FrontingChoice::Off | FrontingChoice::Own
        )
    {
        return Vec::new();
    }
    let Ok(reactor) = Reactor::new() else {
        return Vec::new();
    };
    let executor = Rc::new(Executor::default());
    let address = config.address.external_ip;
    let sites = Live::new(config.sites.clone());
    let data_dir = DataDir::new(&config.process.data_dir);
    let sites = Sites::new(
        &reactor,
        &executor,
        &Rc::default(),
        sites,
        data_dir,
        move || address,
    );
    for listener in &config.doors.listeners {
        sites.listening(listener.addr);
    }
    let found = reactor.block_on(&executor, sites.examine());
    found.into_iter().flat_map(judge).collect()
}

fn judge(Examined { site, answer }: Examined) -> Vec<Verdict> {
    let subject = format!("front site {site}");
    match answer {
        Ok((shape, advice)) => {
            let advice = advice.into_iter();
            let shape = Verdict::ok(&*subject, format!("answers TLS with {shape}"));
            let warnings = advice.map(|advice| Verdict::warn(&*subject, advice));
            std::iter::once(shape).chain(warnings).collect()
        }
        // It names the way out.
        Err(problem) if problem.contains("--fronting") => vec![Verdict::warn(subject, problem)],
        Err(problem) => vec![Verdict::warn(
            subject,
            format!(
                "{problem}: a censor can tell; give a site that browsers reach from here, with \
                 TLS 1.3 (--tls-domain, --fronting)"
            ),
        )],
    }
}
