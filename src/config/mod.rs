//! Flags and one file of flags become one validated, immutable [`Config`].
//!
//! | File | What it has |
//! |---|---|
//! | `rooms` | [`Config`], which has a struct for each room |
//! | `build` | these structs, and how each is made of values and the machine, without contradictions |
//! | `doors`, `guard`, `link` | the larger ones of them, and values that are theirs alone |
//! | *From words to values:* | |
//! | `flags` | the table of flags, and what is looked up in it |
//! | `values` | what several flags' values are, and how a bad one is told of |
//! | `secret` | `--secret` with its limits |
//! | `routes`, `ws`, `cloudflare`, `upstream` | by which ways DCs are reached, and those by web fronts, by what is the operator's at Cloudflare and by another MTProxy |
//! | `listen`, `listen_address` | where to listen, as it is written and as it is bound |
//! | `host`, `network`, `via` | other machines, networks of them, and the proxy in between |
//! | `camouflage` | what strangers see |
//! | `web` | the WEB proxy |
//! | `policy` | rules of who may come in |
//! | `error` | what can be wrong with all of it, where, and the way out |
//! | *From settings to a config:* | |
//! | `source` | where configs come from: loads and reloads |
//! | `file`, `settings` | lines of the file, laid under the command line |
//! | `machine`, `memory` | what defaults follow |
//! | `descriptors` | how many open files there are for whom |
//! | `successor`, `differences` | what a reload takes over, and what is another then |
//! | *Files:* | |
//! | `files` | how files of others are read |
//! | `data_dir`, `data_lock` | the directory of our own ones, and that it is one process's |
//! | `kept_secret` | the secret that the proxy has made |
//! | `users`, `old_secret` | users that were added while it ran, and what a user had before |
//! | `appended_file` | a file that grows |

mod appended_file;
mod build;
mod camouflage;
mod cloudflare;
mod data_dir;
mod data_lock;
mod descriptors;
mod differences;
mod doors;
mod error;
mod file;
mod files;
mod flags;
mod guard;
mod host;
mod kept_secret;
mod link;
mod listen;
mod listen_address;
mod machine;
mod memory;
mod network;
mod old_secret;
mod policy;
mod rooms;
mod routes;
mod secret;
mod settings;
mod source;
mod successor;
mod upstream;
mod users;
mod values;
mod via;
mod web;
mod ws;

pub(crate) use appended_file::AppendedFile;
pub(crate) use build::clients::ClientConfig;
pub(crate) use build::sites::SiteConfig;
#[cfg(feature = "tls")]
pub(crate) use build::telegram::spare_of;
pub(crate) use build::telegram::{PoolConfig, TelegramConfig};
#[cfg(test)]
pub(crate) use camouflage::SkewLimits;
pub(crate) use camouflage::{
    AnswerTime, Fronting, FrontingChoice, RecordSizes, SitePlace, TimeSkew,
};
pub(crate) use data_dir::{
    DataDir, MAX_USAGE_FILE, USAGE_FILE, cure, folder_of, make_private_dir, write_whole,
};
#[cfg(feature = "tls")]
pub(crate) use data_dir::{FileBeside, give_to_owner_of_directory};
pub(crate) use data_lock::{DataDirInUse, DataLock};
pub(crate) use differences::Differences;
pub(crate) use doors::{DoorConfig, ListenerConfig, NamedSecret, OwnSecret};
pub(crate) use error::CERTIFICATES;
pub(crate) use error::{ConfigError, Origin, Problem};
pub(crate) use files::{entry_in, read_file, read_text};
pub(crate) use flags::{FLAGS, Flag, find, flag_of_word, no_value, unknown_flag};
pub(crate) use guard::{
    FloodLimits, GuardConfig, ReplayCache, Reset, ServerErrors, SniSalt, TableFile,
};
pub(crate) use host::{HostPort, InviteName};
#[cfg(feature = "tls")]
pub(crate) use link::LinkTls;
pub(crate) use link::{LinkConfig, LinkKey};
pub(crate) use listen_address::{ListenAddress, includes};
pub(crate) use machine::{LinkPlaces, may_bind};
pub(crate) use network::{Network, Reach, shown};
pub(crate) use policy::{Key, PolicyError, Rule};
pub(crate) use rooms::{AddressConfig, Config};
pub(crate) use routes::{RouteChoice, RouteList, RouteName};
#[cfg(feature = "ctl")]
pub(crate) use secret::LimitChange;
#[cfg(any(feature = "ctl", test))]
pub(crate) use secret::LimitError;
pub(crate) use secret::SecretLimits;
pub(crate) use settings::Setting;
pub(crate) use source::{ConfigSource, MissingSecret};
#[cfg(feature = "tls")]
pub(crate) use upstream::NextProxy;
pub(crate) use users::Users;
#[cfg(feature = "ctl")]
pub(crate) use users::{MAX_USERS, UserChange, UserRefusal, check_user_name};
pub(crate) use values::{Allow, Role, Source};
pub(crate) use via::Via;
#[cfg(feature = "acme")]
pub(crate) use web::AcmeConfig;
#[cfg(feature = "tls")]
pub(crate) use web::CertificateFiles;
#[cfg(test)]
pub(crate) use web::CoverSite;
pub(crate) use web::{CoverSource, WebConfig, WebHost, WebListen};
#[cfg(feature = "tls")]
pub(crate) use ws::WsConfig;

#[cfg(test)]
mod tests;
