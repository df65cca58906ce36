//! Flags and one file of flags become one validated, immutable [`Config`].

mod appended_file;
mod build;
mod camouflage;
mod data_dir;
mod data_lock;
mod descriptors;
mod differences;
mod discreet;
mod error;
mod file;
mod files;
mod flags;
mod guard;
mod host;
mod kept_secret;
mod limits;
mod link;
mod listen;
mod listen_address;
mod machine;
mod memory;
mod network;
mod notes;
mod origin;
mod policy;
mod role;
mod settings;
mod successor;
mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::log::LogLevel;
use crate::wire::dc::DcId;
use crate::wire::secret::{AdTag, Domain, Secret, SharedSecret};

pub use appended_file::AppendedFile;
pub use camouflage::{
    AnswerTime, Fronting, FrontingChoice, RecordSizes, SitePlace, SkewLimits, TimeSkew,
};
pub use data_dir::{
    DataDir, cure, folder_of, give_to_owner_of_directory, make_private_dir, write_whole,
};
pub use data_lock::{DataDirInUse, DataLock};
pub use descriptors::Descriptors;
pub use differences::{Differences, Given};
pub(crate) use error::CERTIFICATES;
pub use error::{ConfigError, Problem};
pub use files::{is_open_to_all, read_file, read_text};
pub use flags::{FLAGS, Flag, Heading, find, flag_of_word, is_flag, no_value, unknown_flag};
pub use guard::{FloodLimits, GuardConfig, ReplayCache, Reset, ServerErrors, SniSalt, TableFile};
pub use host::{HostPort, LinkName};
pub use limits::{LimitError, SecretLimits};
pub use link::{LinkConfig, LinkKey, LinkTls, is_public};
pub use listen_address::{ListenAddress, includes};
pub use machine::{LinkPlaces, may_bind};
pub use memory::Memory;
pub use network::{Network, NetworkError};
pub use origin::Origin;
pub use policy::{Key, PolicyError, Rule};
pub use role::Role;
pub use settings::Setting;
pub use values::{Allow, BadValue, RouteChoice, Source};

/// What one process goes by. Plain data, complete: defaults are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub role: Role,
    pub link: LinkConfig,
    /// No two share an address. At least one, except on a back.
    pub listeners: Vec<ListenerConfig>,
    /// Those that listeners without their own use.
    pub secrets: Vec<NamedSecret>,
    pub allow: Allow,
    /// Those of `--tls-domain` first, then those that secrets name.
    pub tls_domains: Vec<Domain>,
    /// Fake-TLS clients have to know a secret derived for their server name.
    pub sni_salt: Option<SniSalt>,
    pub guard: GuardConfig,
    pub filter_server_errors: ServerErrors,
    pub reset: Reset,
    pub fronting: Fronting,
    pub time_skew: TimeSkew,
    pub tls_records: RecordSizes,
    pub answer_time: AnswerTime,
    pub route: RouteChoice,
    /// Of listeners without their own.
    pub tag: Option<AdTag>,
    pub external_ip: Option<IpAddr>,
    /// What links carry instead of an address that is found out.
    pub link_name: Option<LinkName>,
    /// `None`: Telegram's own.
    pub telegram_secret: Option<Source>,
    pub telegram_config: Option<Source>,
    pub telegram_config_v6: Option<Source>,
    pub refresh: Duration,
    /// In the order given; several a DC are tried in turn.
    pub dc_overrides: Vec<(DcId, SocketAddr)>,
    pub dc_connections: usize,
    pub clients_per_connection: usize,
    pub max_clients: usize,
    pub descriptors: Descriptors,
    /// The limit of open files, where [`max_clients`](Self::max_clients) is what
    /// that has room for.
    pub open_files: Option<u64>,
    /// What defaults follow.
    pub memory: Memory,
    /// Which limits are lower than was asked for, why, and what to raise.
    pub lowered: Option<String>,
    /// Bytes, at least 1 MiB.
    pub buffers: usize,
    pub handshake_timeout: Duration,
    pub idle_timeout: Duration,
    pub send_timeout: Duration,
    pub hibernate: Duration,
    pub data_dir: PathBuf,
    pub log_level: LogLevel,
    pub metrics: Option<SocketAddr>,
    /// Whom to be once ports are bound.
    pub user: Option<String>,
    /// Unix socket for `ctl`.
    pub control: PathBuf,
    /// Set where no secret was given: the only one is the proxy's own.
    pub own_secret: Option<OwnSecret>,
    /// What the person should know, a line each; for the log at the start.
    pub notes: Vec<String>,
    /// Of these, what is probably a mistake.
    pub warnings: Vec<String>,
    /// What flags were given.
    pub given: Given,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    pub addr: SocketAddr,
    /// The IPv6 half of "all addresses": a machine without IPv6 does without.
    pub optional: bool,
    /// This machine may get that address later.
    pub late: bool,
    /// As given, else the address.
    pub name: String,
    /// Its own, or all of [`Config::secrets`].
    pub secrets: Vec<NamedSecret>,
    /// Its own, or [`Config::tag`].
    pub tag: Option<AdTag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSecret {
    pub name: String,
    pub secret: SharedSecret,
    pub limits: SecretLimits,
}

/// A secret that the proxy made itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSecret {
    /// In `--data-dir`: the next run has it too.
    Kept,
    /// `--data-dir` cannot be written.
    ThisRunOnly,
}

/// That secret, and how long it lasts.
pub type OwnedSecret = (SharedSecret, OwnSecret);

/// What to do where no secret is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingSecret {
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
pub struct ConfigSource {
    command_line: Vec<Setting>,
    machine: machine::Machine,
    missing_secret: MissingSecret,
}

impl ConfigSource {
    /// Relative names of files on the command line are those of the directory that
    /// is the current one.
    pub fn new(mut command_line: Vec<Setting>, missing_secret: MissingSecret) -> Self {
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
            machine: machine::Machine::look(),
            missing_secret,
        }
    }

    /// For other commands, the config of this machine's service, which is given
    /// that file and what the machine gives to root, whoever asks.
    pub fn of_service(file: &Path) -> Self {
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
    pub fn command_line(&self) -> impl Iterator<Item = (&str, &str)> {
        let settings = self.command_line.iter();
        settings.map(|setting| (setting.flag.as_str(), setting.value.as_str()))
    }

    /// Whether the command line names a config file.
    pub fn has_file(&self) -> bool {
        self.command_line.iter().any(|s| s.flag == "--config")
    }

    /// Reads the file, if there is one, and builds the config. The proxy's own
    /// secret is the one that it runs with. Blocks.
    pub fn load(&self, running: Option<OwnedSecret>) -> Result<Config, ConfigError> {
        let settings = self.settings()?;
        let flags = settings::parse(&settings)?;
        let config = build::build(flags, &settings, &self.machine)?;
        self.complete(config, &settings, running)
    }

    /// Reads the file again: the config that takes the place of the running one,
    /// and what is different then. Blocks.
    pub fn reload(&self, running: &Config) -> Result<(Config, Differences), ConfigError> {
        let new = successor::build(running, self.settings()?, &self.machine)?;
        let config = self.complete(new.config, &new.settings, running.made_secret())?;
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
        config.warnings.extend(open.map(|path| {
            let path = path.display();
            format!(
                "{path} holds what is secret, and its mode lets every user read it: chmod 640 it"
            )
        }));
        if config.lacks_secrets() {
            config.add_secret(self.missing_secret, running)?;
        }
        Ok(config)
    }
}

const OWN_SECRET: &str = "own";

impl Config {
    /// Every secret's limits by its name; those of several listeners repeat.
    pub fn limits(&self) -> impl Iterator<Item = (&str, SecretLimits)> {
        let own = self.listeners.iter().flat_map(|l| &l.secrets);
        let secrets = self.secrets.iter().chain(own);
        secrets.map(|named| (named.name.as_str(), named.limits))
    }

    /// The secret that the proxy made itself, if that is what it runs with.
    pub fn made_secret(&self) -> Option<OwnedSecret> {
        let only = self.secrets.first()?;
        Some((only.secret.clone(), self.own_secret?))
    }

    fn lacks_secrets(&self) -> bool {
        self.listeners.iter().any(|l| l.secrets.is_empty())
    }

    fn add_secret(
        &mut self,
        missing: MissingSecret,
        running: Option<OwnedSecret>,
    ) -> Result<(), ConfigError> {
        let own = match (running, missing) {
            (Some(own), _) => Some(own),
            (None, MissingSecret::Ignore) => None,
            (None, MissingSecret::Try(new)) => {
                let kept = kept_secret::read(&self.data_dir)?;
                Some((kept.unwrap_or(kept_secret::bare(new)), OwnSecret::Kept))
            }
            (None, MissingSecret::Leave) => {
                kept_secret::read(&self.data_dir)?.map(|secret| (secret, OwnSecret::Kept))
            }
            (None, MissingSecret::Make(new)) => {
                let (secret, own, note) = kept_secret::read_or_keep(&self.data_dir, new)?;
                match own {
                    OwnSecret::Kept => self.notes.extend(note),
                    OwnSecret::ThisRunOnly => self.warnings.extend(note),
                }
                Some((secret, own))
            }
        };
        if let Some((secret, own)) = own {
            let name = OWN_SECRET.to_owned();
            self.secrets.push(NamedSecret {
                name,
                secret,
                limits: SecretLimits::default(),
            });
            self.own_secret = Some(own);
        }
        for listener in self.listeners.iter_mut().filter(|l| l.secrets.is_empty()) {
            listener.secrets = self.secrets.clone();
        }
        build::check_forms(self)
    }
}

#[cfg(test)]
mod tests;
