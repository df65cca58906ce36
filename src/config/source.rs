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
use super::users::{UserConfig, Users};
use super::values::Role;
use crate::clock::unix_now;
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
        let given = self.given(None)?;
        let flags = settings::parse(&given.settings)?;
        let config = build::build(flags, &given.settings, &self.machine)?;
        self.complete(config, given, running)
    }

    /// Reads the file again: the config that takes the place of the running one,
    /// and what is different then. Blocks.
    pub(crate) fn reload(&self, running: &Config) -> Result<(Config, Differences), ConfigError> {
        let mut given = self.given(Some(running))?;
        let new = successor::build(running, given.settings, &self.machine)?;
        given.settings = new.settings;
        let config = self.complete(new.config, given, running.doors.made_secret())?;
        let differences = Differences {
            changed: new.changed,
            need_restart: new.need_restart,
            ..running.differences(&config)
        };
        Ok((config, differences))
    }

    /// The running config with these users in the place of those that it has. Blocks.
    pub(crate) fn with_users(
        &self,
        running: &Config,
        users: Users,
    ) -> Result<(Config, Differences), ConfigError> {
        let data_dir = &running.process.data_dir;
        let of_users = Users::place_in(data_dir);
        let is_other = |setting: &&Setting| !setting.origin.is_in(&of_users);
        let others = running.given.all().iter().filter(is_other);
        let mut settings: Vec<_> = others.cloned().collect();
        settings.extend(users.settings(data_dir));
        let flags = settings::parse(&settings)?;
        let mut config = build::without_files(flags, &settings, &self.machine)?;
        config.link.key = running.link.key.clone();
        let given = Inputs {
            settings,
            users,
            unread: None,
        };
        let config = self.complete(config, given, running.doors.made_secret())?;
        let differences = running.differences(&config);
        Ok((config, differences))
    }

    /// The command line over the file that it names, and users.
    fn given(&self, running: Option<&Config>) -> Result<Inputs, ConfigError> {
        let file = match settings::parse(&self.command_line)?.config {
            Some(path) => file::read(&path)?,
            None => Vec::new(),
        };
        let mut settings = settings::overlay(file, &self.command_line);
        let (data_dir, role) = match running {
            Some(running) => (running.process.data_dir.clone(), running.process.role),
            None => {
                let flags = settings::parse(&settings)?;
                let data_dir = flags.data_dir.unwrap_or_else(|| self.machine.data_dir());
                (data_dir, flags.role.unwrap_or_default())
            }
        };
        let (users, unread) = match (role, self.missing_secret) {
            (Role::Back, _) | (_, MissingSecret::Ignore) => Default::default(),
            (_, missing) => match Users::read(&data_dir) {
                Ok(users) => (users, None),
                // A command of somebody else's has the config's secrets at least.
                Err(error) if missing == MissingSecret::Leave && error.is_forbidden() => {
                    (Users::default(), Some(error.to_string()))
                }
                Err(error) => return Err(error),
            },
        };
        settings.extend(users.settings(&data_dir));
        Ok(Inputs {
            settings,
            users,
            unread,
        })
    }

    /// With what is not in flags.
    fn complete(
        &self,
        mut config: Config,
        given: Inputs,
        running: Option<OwnedSecret>,
    ) -> Result<Config, ConfigError> {
        config.said.warnings.extend(given.unread);
        let files = settings::secret_files(&given.settings);
        let open = files.iter().filter(|path| is_open_to_all(path));
        config.said.warnings.extend(open.map(|path| {
            let path = path.display();
            format!(
                "{path} holds what is secret, and its mode lets every user read it: chmod 640 it"
            )
        }));
        let of_users = Users::place_in(&config.process.data_dir);
        let mut secrets = given.settings.iter().filter(|s| s.flag == "--secret");
        if config.doors.lack_secrets() || config.web.lacks_secrets() {
            config.add_secret(self.missing_secret, running)?;
        } else if secrets.all(|secret| secret.origin.is_in(&of_users)) && !given.users.is_empty() {
            // The first user takes nobody's link away.
            config.keep_secret(self.missing_secret, running)?;
        }
        config.take_users(given.users, unix_now());
        Ok(config)
    }
}

/// What a config is made of.
struct Inputs {
    settings: Vec<Setting>,
    users: Users,
    /// Why there are no users, where that is no error.
    unread: Option<String>,
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
        self.add_own(own)
    }

    /// The same where users have secrets: one that was kept is good beside theirs.
    fn keep_secret(
        &mut self,
        missing: MissingSecret,
        running: Option<OwnedSecret>,
    ) -> Result<(), ConfigError> {
        let own = match (running, missing) {
            (None, MissingSecret::Ignore) => None,
            (None, _) => {
                let kept = kept_secret::read(&self.process.data_dir)?;
                kept.map(|secret| (secret, OwnSecret::Kept))
            }
            (running, _) => running,
        };
        self.add_own(own)
    }

    fn add_own(&mut self, own: Option<OwnedSecret>) -> Result<(), ConfigError> {
        if let Some(own) = own {
            let before = self.doors.secrets.clone();
            self.doors.add_own(own);
            self.web.add_secrets(&before, &self.doors.secrets);
        }
        self.doors.check_forms()
    }

    /// `now` is unix time.
    fn take_users(&mut self, users: Users, now: u64) {
        for old in users.old_secrets(now) {
            self.doors.add_old(old);
            self.web.add_old(old);
        }
        let next_end = users.old_secrets(now).map(|old| old.until).min();
        self.users = UserConfig { users, next_end };
    }
}
