//! Users that were added while the proxy ran: the file `users` in `--data-dir`. Each is a
//! line as `--secret` takes it, and becomes such a setting. A secret that was exchanged
//! for another one, and is good for a while beside it, is a line with `until=TIME`.
//!
//! | File | What it has |
//! |---|---|
//! | `edit` | what can be changed in them |
//! | `place` | where a secret that is no user's is changed |

#[cfg(feature = "ctl")]
mod edit;
#[cfg(feature = "ctl")]
mod place;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::data_dir::DataDir;
use super::doors::OWN_SECRET;
use super::error::{ConfigError, Origin, Problem};
use super::files::read_text;
use super::old_secret::OldSecret;
use super::secret::{SecretFlag, SecretLimits};
use super::settings::Setting;
use super::values::{BadValue, bad};
use crate::wire::calendar::parse_time;
use crate::wire::secret::SharedSecret;
#[cfg(feature = "ctl")]
pub(crate) use edit::{MAX_USERS, UserChange, UserRefusal, check_user_name};

/// More than 10,000 users have lines for.
const MAX_BYTES: u64 = 4 << 20;

/// Behind the secret of a line: the time at which it ends.
const UNTIL: &str = "until=";

/// The lines of the file, those that say nothing too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Users(Vec<Line>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: Text,
    entry: Option<Entry>,
}

/// It holds a secret.
#[derive(Clone, PartialEq, Eq)]
struct Text(String);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    User(User),
    Old(OldSecret),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) secret: SharedSecret,
    pub(crate) limits: SecretLimits,
}

impl Users {
    pub(crate) const FILE: &str = "users";
    /// The file as it was before the last change.
    #[cfg(feature = "ctl")]
    pub(crate) const COPY: &str = "users.old";

    pub(crate) fn place_in(data_dir: &Path) -> PathBuf {
        DataDir::new(data_dir).place_of(Self::FILE)
    }

    /// Those that an earlier run, or this one, has left. Blocks.
    pub(crate) fn read(data_dir: &Path) -> Result<Self, ConfigError> {
        let path = Self::place_in(data_dir);
        let text = match read_text(&path, MAX_BYTES) {
            Ok(text) => text,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Self::default()),
                    _ => Err(ConfigError::new(Problem::UsersUnreadable { path, error })),
                };
            }
        };
        if text.is_empty() {
            return Err(ConfigError::new(Problem::UsersEmpty { path }));
        }
        Self::parse(&text).map_err(|(line, cause)| {
            let cause = cause.to_string();
            ConfigError::new(Problem::UsersDamaged { path, line, cause })
        })
    }

    /// Or the number of a line that makes no sense, and why.
    fn parse(text: &str) -> Result<Self, (usize, BadValue)> {
        let mut users = Self::default();
        for (index, text) in text.lines().enumerate() {
            let entry = entry(text).map_err(|cause| (index + 1, cause))?;
            let text = Text(text.to_owned());
            users.0.push(Line { text, entry });
        }
        Ok(users)
    }

    #[cfg(feature = "ctl")]
    pub(crate) fn get(&self, name: &str) -> Option<&User> {
        self.all().find(|user| user.name == name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &User> {
        self.0.iter().filter_map(|line| match &line.entry {
            Some(Entry::User(user)) => Some(user),
            _ => None,
        })
    }

    /// The old secrets that are still good at `now`, which is unix time.
    pub(crate) fn old_secrets(&self, now: u64) -> impl Iterator<Item = &OldSecret> {
        self.0.iter().filter_map(move |line| match &line.entry {
            Some(Entry::Old(old)) if now < old.until => Some(old),
            _ => None,
        })
    }

    /// A `--secret` for each user.
    pub(super) fn settings(&self, data_dir: &Path) -> Vec<Setting> {
        let path: Arc<Path> = Self::place_in(data_dir).into();
        let lines = self.0.iter().enumerate();
        let users = lines.filter(|(_, line)| matches!(line.entry, Some(Entry::User(_))));
        users
            .map(|(index, line)| Setting {
                flag: "--secret".to_owned(),
                value: line.text.0.trim().to_owned(),
                origin: Origin::File {
                    path: path.clone(),
                    line: index + 1,
                },
            })
            .collect()
    }

    /// What the file holds.
    #[cfg(feature = "ctl")]
    pub(crate) fn text(&self) -> String {
        let lines = self.0.iter().map(|line| line.text.0.as_str());
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}

/// What a line says. That no two users have one name is seen when they are settings.
fn entry(text: &str) -> Result<Option<Entry>, BadValue> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (mut until, mut rest) = (None, Vec::new());
    for part in text.split(',') {
        match part.strip_prefix(UNTIL) {
            Some(time) => until = Some(time),
            None => rest.push(part),
        }
    }
    let SecretFlag {
        name,
        secret,
        limits,
    } = rest.join(",").parse()?;
    let Some(name) = name.filter(|name| name != OWN_SECRET) else {
        return bad("a user has a name of its own, as in alice=SECRET");
    };
    Ok(Some(match until.map(parse_time) {
        None => Entry::User(User {
            name,
            secret,
            limits,
        }),
        Some(None) => return bad("until= is a time as in 2027-01-31T12:00:00Z"),
        Some(Some(until)) => Entry::Old(OldSecret {
            name,
            secret,
            until,
        }),
    }))
}

/// The users of a config, and what of them is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserConfig {
    pub(crate) users: Users,
    /// When the first of the old secrets that are good ends, in unix time.
    pub(crate) next_end: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn lines_that_say_nothing_are_kept() {
        let text = format!(
            "# of ours\n\nalice=dd{KEY},max-ips=3\n  # her old one\nalice={KEY},until=2027-01-31T12:00:00Z\n"
        );
        let users = Users::parse(&text).unwrap();
        let [alice] = users.all().collect::<Vec<_>>()[..] else {
            panic!("{users:?}")
        };
        assert_eq!((&*alice.name, alice.limits.max_ips), ("alice", Some(3)));
        let end = 1_801_396_800;
        assert_eq!(users.old_secrets(end - 1).count(), 1);
        assert_eq!(users.old_secrets(end).count(), 0);
        let settings = users.settings(Path::new("/d"));
        let [setting] = &settings[..] else {
            panic!("{settings:?}")
        };
        assert_eq!(setting.value, format!("alice=dd{KEY},max-ips=3"));
        assert!(!format!("{users:?}").contains(KEY), "{users:?}");
    }

    #[test]
    fn damage_is_told_by_its_line_without_a_secret() {
        let key = &KEY[1..];
        for (text, line) in [
            (format!("# x\nalice=dd{key}"), 2),
            (format!("dd{KEY}"), 1),
            (format!("own=dd{KEY}"), 1),
            (format!("alice=dd{KEY},speed=1"), 1),
            (format!("alice=dd{KEY}\nalice={KEY},until=soon"), 2),
            ("\0\0\0\0".to_owned(), 1),
        ] {
            let (at, cause) = Users::parse(&text).unwrap_err();
            assert_eq!(at, line, "{text}");
            assert!(!cause.to_string().contains(&KEY[4..20]), "{cause}");
        }
    }
}
