//! `make bench`: what the proxy costs, measured against a plain TCP relay in
//! the same run. The method is in `doc/performance.md`.

mod busy;
mod fairness;
mod flood;
mod hangup;
mod helper;
mod idle;
mod latency;
mod load;
mod peers;
mod plan;
mod process;
mod processors;
mod relay;
mod report;
mod strangers;
mod subject;
mod web;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use argh::FromArgs;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::via::{self, Protocol, Via};
use fake_telegram::web_front::{self, Authority, WebFront};

use plan::Plan;
use subject::Outside;

/// Measures the proxy against a plain TCP relay.
#[derive(FromArgs)]
struct Flags {
    /// the proxy's binary (default: target/release/smol-mtproxy)
    #[argh(option, default = "String::from(\"target/release/smol-mtproxy\")")]
    binary: String,

    /// megabytes per download and upload, in each round (default 1000, quick 300)
    #[argh(option)]
    megabytes: Option<u32>,

    /// rounds of traffic, of which the medians are shown (default 5)
    #[argh(option, default = "5")]
    rounds: usize,

    /// less of everything, and no 10,000 idle clients
    #[argh(switch)]
    quick: bool,

    /// only subjects whose name begins with this, as in "direct dd split"; of
    /// fairness only set-ups, as in "split, key"
    #[argh(option, default = "String::new()")]
    subject: String,

    /// only these parts: traffic, idle, slow, flood, half-open (default: these),
    /// fairness
    #[argh(positional)]
    parts: Vec<String>,

    /// be another process of the benchmark, which starts itself so
    #[argh(option)]
    helper: Option<helper::Role>,
}

fn main() -> io::Result<()> {
    let flags: Flags = argh::from_env();
    let descriptors = raise_descriptor_limit();
    if let Some(role) = flags.helper {
        return role.run();
    }
    let telegram = FakeTelegram::start(Options {
        middle_dcs: vec![2],
        direct_dcs: vec![2],
        ..Options::default()
    })?;
    let front = WebFront::start(
        &telegram,
        web_front::Options {
            authority: Arc::new(Authority::at_length()),
            ..web_front::Options::new(web_front::Kind::Telegram)
        },
    )?;
    let via = Via::start(via::Options::new(Protocol::Socks5))?;
    let quick = flags.quick;
    // Once in the life of this process.
    let binary: &str = flags.binary.leak();
    let next = smol::block_on(subject::next_proxy(binary, &telegram));
    let plan = Plan {
        binary,
        outside: Outside {
            telegram: &telegram,
            front: &front,
            via: &via,
            next: &next,
        },
        megabytes: flags.megabytes.unwrap_or(if quick { 300 } else { 1000 }),
        rounds: flags.rounds.max(1),
        quick,
        subject: &flags.subject,
        parts: &flags.parts,
        descriptors,
        left_out: RefCell::default(),
    };
    smol::block_on(plan.run())?;
    telegram.assert_clean();
    via.assert_clean();
    Ok(())
}

/// How many descriptors a process may have then.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With a lower limit the large idle runs fail and say so.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
