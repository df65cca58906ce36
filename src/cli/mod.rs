//! The commands. `run` joins the rooms together; the others are short-lived and
//! may block.
//!
//! | File | What |
//! |---|---|
//! | `arguments` | the command line, taken apart |
//! | `commands` | the commands and their own flags, for argh |
//! | `help` | `--help` of the whole program |
//! | `exit` | exit codes |
//! | `service` | the config of a command that is given none |
//! | `run` | `run`: starts, watches, reloads and stops all parts |
//! | `callers` | connections of operators to a running proxy, and their seats |
//! | `api_token` | the token of the status page and the API |
//! | `ctl` | `ctl`: asks the running proxy |
//! | `user` | `user`: has it change its users |
//! | `asking` | how both ask, over its control socket |
//! | `check` | `check`: what may keep the proxy from working here |
//! | `ping` | `ping`: whether links, anybody's, lead to Telegram |
//! | `certs` | `certs`: certificates of the link between front and back |
//! | `secret` | `secret`: makes one |
//! | `invite` | `link`: prints invites, the tg:// links |
//! | `invites` | which invites a config makes |
//! | `invite_host` | the server that they name |
//! | `web_invites` | invites to the WEB proxy |
//! | `ended` | secrets that let nobody in any more |
//! | `qr` | QR codes for a terminal, and as pictures |
//! | `within` | work that blocks, with a time limit |

#[cfg(feature = "ctl")]
mod api_token;
mod arguments;
#[cfg(feature = "ctl")]
mod asking;
mod callers;
mod certs;
#[cfg(feature = "check")]
mod check;
mod commands;
#[cfg(feature = "ctl")]
mod ctl;
mod ended;
mod exit;
mod help;
mod invite;
mod invite_host;
mod invites;
#[cfg(feature = "ping")]
mod ping;
mod qr;
mod run;
mod secret;
mod service;
#[cfg(feature = "ctl")]
mod user;
mod web_invites;
mod within;

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use crate::config::{ConfigError, ConfigSource, MissingSecret};
use crate::log::{self, LogLevel};
use arguments::{Arguments, NoCommand};
use commands::Command;
use service::Basis;

pub(crate) use exit::Exit;

/// Does what the command line says; `words` are without the program's own name.
pub(crate) fn main(words: &[String]) -> Exit {
    match arguments::parse(words) {
        Ok(arguments) => obey(arguments).unwrap_or_else(|error| fail(&error)),
        Err(NoCommand::Help) => print(&help::text()),
        Err(NoCommand::CommandHelp { text, takes_config }) => {
            let more = match takes_config {
                true => "The flags of the config work here too: smol-mtproxy --help\n",
                false => "",
            };
            print(&format!("{}\n{more}", text.trim_end()))
        }
        Err(NoCommand::Version) => print(concat!("smol-mtproxy ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(NoCommand::Wrong(error)) => fail(&error),
    }
}

fn obey(arguments: Arguments) -> Result<Exit, ConfigError> {
    if let Command::Certs(options) = &arguments.command {
        return Ok(certs::run(options));
    }
    #[cfg(feature = "ping")]
    if let Command::Ping(options) = &arguments.command {
        return Ok(ping::run(options));
    }
    let begun = match &arguments.command {
        Command::Run(options) if !options.test => Some(run::begin()),
        _ => None,
    };
    // Whoever made one without running the proxy with it would hand out dead invites.
    let missing_secret = match arguments.command {
        Command::Run(_) if begun.is_some() => MissingSecret::Make(secret::new_key()),
        Command::Run(_) => MissingSecret::Try(secret::new_key()),
        Command::Ctl(_) | Command::User(_) => MissingSecret::Ignore,
        _ => MissingSecret::Leave,
    };
    let basis = Basis::of(&arguments.command, &arguments.settings);
    let source = match basis {
        Basis::Service(file) => ConfigSource::of_service(file),
        Basis::Given | Basis::Defaults => ConfigSource::new(arguments.settings, missing_secret),
    };
    let config = match (source.load(None), basis) {
        (Ok(config), _) => config,
        (Err(error), Basis::Service(_)) => return not_loaded(error, &arguments.command),
        (Err(error), _) => return Err(error),
    };
    match begun.is_some() {
        true => log::go_by(config.process.log),
        false => log::set_level(config.process.log.level),
    }
    if let Basis::Service(file) = basis {
        eprintln!("smol-mtproxy: with the flags of {}", file.display());
    }
    Ok(match &arguments.command {
        Command::Run(_) => match begun {
            Some(begun) => run::run(&source, config, begun),
            None => run::test(&source, config),
        },
        Command::Secret(options) => secret::run(options, config),
        Command::Invite(options) => invite::run(options, config, basis),
        #[cfg(feature = "ctl")]
        Command::Ctl(options) => ctl::run(options, &config, basis),
        #[cfg(not(feature = "ctl"))]
        Command::Ctl(_) => complain(
            Exit::Unavailable,
            "ctl: not in this small build; change a table's file and send SIGHUP, or take the full \
             build",
        ),
        #[cfg(feature = "ctl")]
        Command::User(options) => user::run(options, &config, basis),
        #[cfg(not(feature = "ctl"))]
        Command::User(_) => complain(
            Exit::Unavailable,
            "user: not in this small build; give users a --secret in the config and send SIGHUP, or \
             take the full build",
        ),
        #[cfg(feature = "check")]
        Command::Check(options) => check::run(options, &config, basis),
        #[cfg(not(feature = "check"))]
        Command::Check(_) => complain(
            Exit::Unavailable,
            "check: not in this small build; look at this machine with the full one",
        ),
        Command::Certs(options) => certs::run(options),
        #[cfg(feature = "ping")]
        Command::Ping(options) => ping::run(options),
        #[cfg(not(feature = "ping"))]
        Command::Ping(_) => complain(
            Exit::Unavailable,
            "ping: not in this build; ping links with the one for servers (`make build`), from anywhere",
        ),
    })
}

/// A command was given no config, and that of this machine's service is no good.
fn not_loaded(error: ConfigError, command: &Command) -> Result<Exit, ConfigError> {
    let forbidden = service::forbidden(&error, command);
    match (command, forbidden) {
        // It needs the config for its invites only.
        (Command::Secret(options), forbidden) => {
            let why = forbidden.unwrap_or_else(|| error.to_string());
            Ok(secret::without_config(options, &why))
        }
        (_, Some(problem)) => Ok(complain(Exit::from(&error), problem)),
        (_, None) => Err(error),
    }
}

fn fail(error: &ConfigError) -> Exit {
    complain(Exit::from(error), error)
}

fn complain(exit: Exit, problem: impl Display) -> Exit {
    tell(LogLevel::Error, problem);
    exit
}

/// One line on stderr.
fn tell(level: LogLevel, what: impl Display) {
    eprint!("{}", log::command_line(level, &what));
}

fn print(text: &str) -> Exit {
    print_bytes(text.as_bytes())
}

/// Writes to stdout, whose reader may have left, as `head` does.
fn print_bytes(bytes: &[u8]) -> Exit {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => complain(
            Exit::CannotCreate,
            format_args!("cannot write to stdout: {error}"),
        ),
        _ => Exit::Ok,
    }
}
