use std::io;
use std::path::Path;

use super::data_dir::DataDir;
use super::doors::OwnSecret;
use super::error::{ConfigError, Problem};
use super::files::read_text;
use crate::wire::secret::{Secret, SecretForm, SharedSecret};

/// The file in `--data-dir` for the secret that the proxy made itself: 32 hex
/// digits and a line feed.
const FILE: &str = "secret";

/// Longer than any secret.
const MAX_LEN: u64 = 4096;

/// The secret that an earlier run kept, if there is one.
pub(super) fn read(data_dir: &Path) -> Result<Option<SharedSecret>, ConfigError> {
    let path = data_dir.join(FILE);
    let text = match read_text(&path, MAX_LEN) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(ConfigError::new(Problem::KeptSecretUnreadable {
                path,
                error,
            }));
        }
    };
    match text.trim().parse() {
        Ok(key) => Ok(Some(bare(key))),
        Err(_) => Err(ConfigError::new(Problem::KeptSecretDamaged { path })),
    }
}

/// The kept one, else `new`, which is kept if that is possible; with what the
/// person should know about it.
pub(super) fn read_or_keep(
    data_dir: &Path,
    new: Secret,
) -> Result<(SharedSecret, OwnSecret, Option<String>), ConfigError> {
    if let Some(secret) = read(data_dir)? {
        return Ok((secret, OwnSecret::Kept, None));
    }
    let secret = bare(new);
    let (own, note) = match keep(data_dir, &secret) {
        Ok(()) => (
            OwnSecret::Kept,
            format!(
                "no --secret given: made one and kept it in {}",
                data_dir.join(FILE).display()
            ),
        ),
        Err(error) => (
            OwnSecret::ThisRunOnly,
            format!(
                "no --secret given: made one for this run only, whose links end with it, because \
                 {} cannot be written: {error}; give --secret or a writable --data-dir",
                data_dir.display()
            ),
        ),
    };
    Ok((secret, own, Some(note)))
}

pub(super) fn bare(key: Secret) -> SharedSecret {
    SharedSecret {
        key,
        form: SecretForm::Classic,
    }
}

fn keep(data_dir: &Path, secret: &SharedSecret) -> io::Result<()> {
    DataDir::new(data_dir).write(FILE, format!("{secret}\n").as_bytes())
}
