use std::path::Path;

use super::build;
use super::differences::Differences;
use super::doors::{OwnSecret, OwnedSecret};
use super::error::{ConfigError, Origin};
use super::file;
use super::files::is_open_to_all;
use super::flags::find;
use super::kept_secret;
use super::machine::Machine;
use super::rooms::Config;
use super::settings::{self, Setting};
use super::successor;
use crate::wire::secret::Secret;

/// What to do where no secret is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingSecret {
    /// Use the one that an earlier run kept, else this new one, and keep that.
    Make(Secret),
    /// Use the kept one, else this new one, and keep nothing: to see whether the
    /// rest goes with it.
    Try(Secret),
    /// Use the kept one, or leave listeners without.
    Leave,
    /// Look for none: nobody asks for it.
    Ignore,
}

/// Where configs come from: the command line, the file that it names, and the
/// machine as it was at the start.
#[derive(Clone, Debug)]
pub(crate) struct ConfigSource {
    command_line: Vec<Setting>,
    machine: Machine,
    missing_secret: MissingSecret,
}

impl ConfigSource {
    /// Relative names of files on the command line are those of the directory that
    /// is the current one.
    pub(crate) fn new(mut command_line: Vec<Setting>, missing_secret: MissingSecret) -> Self {
        if let Ok(here) = std::env::current_dir() {
            for setting in &mut command_line {
                if let Some(flag) = find(&setting.flag) {
                    let value = std::mem::take(&mut setting.value);
                    setting.value = flag.within(&here, value);
                }
            }
        }
        Self {
            command_line,
            machine: Machine::look(),
            missing_secret,
        }
    }

    /// For other commands, the config of this machine's service, which is given
    /// that file and what the machine gives to root, whoever asks.
    pub(crate) fn of_service(file: &Path) -> Self {
        let setting = Setting {
            flag: "--config".to_owned(),
            value: file.to_string_lossy().into_owned(),
            origin: Origin::CommandLine,
        };
        let mut source = Self::new(vec![setting], MissingSecret::Leave);
        source.machine.as_for_root();
        source
    }

    /// What the command line says, without secrets' cover: each flag with its value.
    pub(crate) fn command_line(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.command_line.iter();
        settings.map(|setting| (setting.flag.as_str(), setting.value.as_str()))
    }

    /// Whether the command line names a config file.
    pub(crate) fn has_file(&self) -> bool {
        self.command_line.iter().any(|s| s.flag == "--config")
    }

    /// Reads the file, if there is one, and builds the config. The proxy's own
    /// secret is the one that it runs with. Blocks.
    pub(crate) fn load(&self, running: Option<OwnedSecret>) -> Result<Config, ConfigError> {
        let settings = self.settings()?;
        let flags = settings::parse(&settings)?;
        let config = build::build(flags, &settings, &self.machine)?;
        self.complete(config, &settings, running)
    }

    /// Reads the file again: the config that takes the place of the running one,
    /// and what is different then. Blocks.
    pub(crate) fn reload(&self, running: &Config) -> Result<(Config, Differences), ConfigError> {
        let new = successor::build(running, self.settings()?, &self.machine)?;
        let config = self.complete(new.config, &new.settings, running.doors.made_secret())?;
        let differences = Differences {
            changed: new.changed,
            need_restart: new.need_restart,
            ..running.differences(&config)
        };
        Ok((config, differences))
    }

    /// The command line over the file that it names.
    fn settings(&self) -> Result<Vec<Setting>, ConfigError> {
        let file = match settings::parse(&self.command_line)?.config {
            Some(path) => file::read(&path)?,
            None => Vec::new(),
        };
        Ok(settings::overlay(file, &self.command_line))
    }

    /// With what is not in flags.
    fn complete(
        &self,
        mut config: Config,
        settings: &[Setting],
        running: Option<OwnedSecret>,
    ) -> Result<Config, ConfigError> {
        let files = settings::secret_files(settings);
        let open = files.iter().filter(|path| is_open_to_all(path));
        config.said.warnings.extend(open.map(|path| {
            let path = path.display();
            format!(
                "{path} holds what is secret, and its mode lets every user read it: chmod 640 it"
            )
        }));
        if config.doors.lack_secrets() || config.web.lacks_secrets() {
            config.add_secret(self.missing_secret, running)?;
        }
        Ok(config)
    }
}

impl Config {
    fn add_secret(
        &mut self,
        missing: MissingSecret,
        running: Option<OwnedSecret>,
    ) -> Result<(), ConfigError> {
        let data_dir = &self.process.data_dir;
        let own = match (running, missing) {
            (Some(own), _) => Some(own),
            (None, MissingSecret::Ignore) => None,
            (None, MissingSecret::Try(new)) => {
                let kept = kept_secret::read(data_dir)?;
                Some((kept.unwrap_or(kept_secret::bare(new)), OwnSecret::Kept))
            }
            (None, MissingSecret::Leave) => {
                kept_secret::read(data_dir)?.map(|secret| (secret, OwnSecret::Kept))
            }
            (None, MissingSecret::Make(new)) => {
                let (secret, own, note) = kept_secret::read_or_keep(data_dir, new)?;
                match own {
                    OwnSecret::Kept => self.said.notes.extend(note),
                    OwnSecret::ThisRunOnly => self.said.warnings.extend(note),
                }
                Some((secret, own))
            }
        };
        if let Some(own) = own {
            self.doors.add_own(own);
            self.web.add_secrets(&self.doors.secrets);
        }
        self.doors.check_forms()
    }
}
