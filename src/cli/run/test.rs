//! `run --test`: what a start and a reload with this config would say.

use std::fmt::Display;

use super::error::RunError;
use super::link::link_side;
use super::privileges;
use crate::cli::exit::Exit;
use crate::cli::{complain, tell};
use crate::clock::Clock;
use crate::config::{Config, ConfigSource, Role};
use crate::guard::gate::Gate;
use crate::link::Security;
use crate::log::{self, LogLevel};
#[cfg(feature = "tls")]
use crate::telegram::Authorities;
use crate::telegram::directory;
#[cfg(feature = "tls")]
use crate::web;
use crate::web::Directories;

/// Reads what `config` names and says what is wrong; else what a start would warn
/// of. With a user to become, root has read the config as a start does, and that
/// user reads all again, as it will at a reload.
pub(in crate::cli) fn test(source: &ConfigSource, mut config: Config) -> Exit {
    // Of a table whose file is yet to come there is nothing to say.
    log::set_level(config.process.log.level.min(LogLevel::Warn));
    let mut user = None;
    if let Some(wanted) = config.process.user.clone() {
        match privileges::take_place_of(&wanted).map_err(RunError::User) {
            Ok(true) => user = Some(wanted),
            Ok(false) => {}
            Err(error) => return complain(error.exit(), error),
        }
    }
    let failed = |exit, problem: &dyn Display| match &user {
        Some(user) if exit == Exit::Permission => {
            complain(exit, format_args!("as --user {user}: {problem}"))
        }
        _ => complain(exit, problem),
    };
    if user.is_some() {
        config = match source.load(config.doors.made_secret()) {
            Ok(config) => config,
            Err(error) => return failed(Exit::from(&error), &error),
        };
    }
    let (mut exit, mut warnings) = (Exit::Ok, Vec::new());
    if config.process.role != Role::Both
        && let Err(error) = Security::load(&config.link, link_side(&config))
    {
        let error = RunError::Link(error);
        exit = failed(error.exit(), &error);
    }
    #[cfg(feature = "tls")]
    if config.process.role != Role::Front
        && let Err(error) = Authorities::read(&config.telegram)
    {
        let error = RunError::Authorities(error);
        exit = exit.or(failed(error.exit(), &error));
    }
    if let Err(error) = Directories::read(&config.web) {
        let error = RunError::Site(error);
        exit = exit.or(failed(error.exit(), &error));
    }
    match Gate::new(
        &config.guard,
        config.doors.limits(),
        "",
        Clock::machine().now(),
    ) {
        Ok(gate) => warnings = gate.barriers(&config.guard.policies),
        Err(error) => {
            let error = RunError::Gate(error);
            exit = exit.or(failed(error.exit(), &error));
        }
    }
    #[cfg(feature = "tls")]
    match web::tls::examine(&config.web) {
        Ok(said) => warnings.extend(said),
        Err(error) => {
            let error = RunError::Certificates(error);
            exit = exit.or(failed(error.exit(), &error));
        }
    }
    #[cfg(feature = "acme")]
    match web::acme::examine(&config.web, &config.process.data_dir) {
        Ok(said) => warnings.extend(said),
        Err(error) => {
            let error = RunError::Acme(error);
            exit = exit.or(failed(error.exit(), &error));
        }
    }
    if exit == Exit::Ok && log::is_enabled(LogLevel::Warn) {
        warnings.extend(directory::bad_files(&config.telegram));
        let of_config = config.said.warnings.iter().chain(&config.said.lowered);
        for warning in of_config.chain(&warnings) {
            tell(LogLevel::Warn, warning);
        }
    }
    exit
}
