//! `check`: what may keep the proxy from working here, one verdict a line.
//!
//! | File | What it is about |
//! |---|---|
//! | `machine` | the config, its secrets and policies, descriptors, memory, disk, addresses |
//! | `kernel` | what the kernel lacks of what the proxy uses |
//! | `firewall` | whether a firewall here probably keeps clients out |
//! | `ports` | whether the ports are free |
//! | `port_holder` | which process has one that is not |
//! | `link` | what secures the link of split mode, and whether each back gives one |
//! | `links` | whether the config's own links lead to Telegram (`--links`) |
//! | `clock` | whether the clock is right |
//! | `site_names` | whether the names of imitated sites lead where they should |
//! | `invite_name` | whether the name in invites leads here |
//! | `sites` | whether the sites that strangers are shown answer |
//! | `web` | the WEB proxy: its directories, its doors, what its port shows |
//! | `web_certificates` | the certificates of its hosts |
//! | `web_public` | whether its hosts' names lead here, and apps get to it there |
//! | `web_origin` | whether the web servers that strangers see there answer |
//! | `web_door` | a page, a session and a WebSocket, as an app has them |
//! | `telegram` | whether `--via` leads anywhere, and whether middle proxies can be connected to |
//! | `routes` | whether each DC answers by each route |
//! | `verdict` | one line of the answer |
//! | `summary` | the last line: how many there are of each kind |

mod clock;
mod firewall;
mod invite_name;
mod kernel;
mod link;
#[cfg(feature = "ping")]
mod links;
mod machine;
mod port_holder;
mod ports;
mod routes;
mod site_names;
mod sites;
mod summary;
mod telegram;
mod verdict;
mod web;
#[cfg(feature = "tls")]
mod web_certificates;
mod web_door;
mod web_origin;
mod web_public;

use super::commands::CheckMachine;
use super::exit::Exit;
use super::print;
use super::service::{self, Basis};
use crate::config::{Config, Role};
use crate::wire::json::Json;
use summary::Summary;
use verdict::{Grade, Verdict};

/// Shows all verdicts; the exit code is an error if one is `fail`.
pub(super) fn run(options: &CheckMachine, config: &Config, basis: Basis) -> Exit {
    if basis == Basis::Defaults {
        eprintln!(
            "smol-mtproxy: there is no {}: this is about `smol-mtproxy run` without flags; give \
             --config FILE, or flags, for another",
            service::USUAL
        );
    }
    let mut verdicts = here(config);
    // What is known is shown before the network lets us wait.
    let mut printed = show(options, &verdicts);
    if !options.offline {
        let more = outside(config);
        printed = printed.or(show(options, &more));
        verdicts.extend(more);
    }
    #[cfg(feature = "ping")]
    if options.links {
        let of_links = links::check(config);
        printed = printed.or(show(options, &of_links));
        verdicts.extend(of_links);
    }
    let summary = Summary::of(&verdicts);
    printed = printed.or(print(&match options.json {
        true => format!("{}\n", json(&verdicts, &summary)),
        false => format!("{}\n", summary.verdict()),
    }));
    printed.or(summary.exit())
}

fn show(options: &CheckMachine, verdicts: &[Verdict]) -> Exit {
    if options.json {
        return Exit::Ok;
    }
    let lines = verdicts.iter().map(|verdict| format!("{verdict}\n"));
    print(&lines.collect::<String>())
}

/// What this machine says by itself.
fn here(config: &Config) -> Vec<Verdict> {
    let mut verdicts = vec![machine::config(config)];
    verdicts.extend(machine::warnings(config));
    if config.process.role != Role::Back {
        verdicts.push(machine::secrets(config));
        verdicts.extend(machine::ended_secrets(config));
        verdicts.extend(machine::gates(config));
    }
    verdicts.extend(ports::check(config));
    verdicts.extend(firewall::check(config));
    verdicts.extend(web::here(config));
    verdicts.extend(link::files(config));
    verdicts.push(machine::descriptors(config));
    verdicts.push(machine::memory(config));
    verdicts.push(machine::data_dir(config));
    verdicts.extend(kernel::check());
    verdicts.extend(machine::address(config));
    verdicts
}

/// What needs the network: all of it at once, because each may take its whole time
/// limit.
fn outside(config: &Config) -> Vec<Verdict> {
    let (targets, mut verdicts) = match config.process.role {
        Role::Front => Default::default(),
        Role::Both | Role::Back => telegram::targets(config),
    };
    let mut probes: Vec<Probe<'_>> = vec![
        Box::new(|| vec![clock::check(config)]),
        Box::new(|| site_names::check(config)),
        Box::new(|| Vec::from_iter(invite_name::check(config))),
        Box::new(|| sites::check(config)),
        Box::new(|| web::outside(config)),
        Box::new(|| telegram::check(config, targets)),
    ];
    let backs = config.link.backs.iter();
    probes.extend(
        backs.map(|back| -> Probe<'_> { Box::new(move || vec![link::back(config, back)]) }),
    );
    verdicts.extend(all_at_once(probes));
    verdicts
}

/// A check that may wait for the network, on a thread of its own.
type Probe<'a> = Box<dyn FnOnce() -> Vec<Verdict> + Send + 'a>;

/// The verdicts of all probes, in their order.
fn all_at_once(probes: Vec<Probe<'_>>) -> Vec<Verdict> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = probes.into_iter().map(|probe| scope.spawn(probe)).collect();
        let verdicts = threads.into_iter().filter_map(|thread| thread.join().ok());
        verdicts.flatten().collect()
    })
}

fn json(verdicts: &[Verdict], summary: &Summary) -> Json {
    Json::Object(vec![
        ("ok", Json::Bool(summary.exit() == Exit::Ok)),
        ("summary", summary.json()),
        (
            "verdicts",
            Json::List(verdicts.iter().map(Verdict::json).collect()),
        ),
    ])
}
