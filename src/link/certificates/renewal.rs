//! New certificates in place of old ones, and those that get no link any more.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::{
    CertsError, NODE_DAYS, NodeKey, certificate, check_days, check_name, describe, issuer, read,
};
use crate::link::tls::Refused;
use crate::link::x509::{self, day};

/// The list of `certs revoke`, beside the certificates.
pub(super) const REFUSED: &str = "refused.txt";

pub(super) const REFUSED_HEAD: &str = "\
# Certificates that get no link though the CA vouches for them: SHA-256, one a line,
# as `smol-mtproxy certs show` prints it. `certs revoke` adds to it. The back reads it
# (--link-refuse) at its start and at SIGHUP.
";

/// What was written, and what is left to do, a line each.
pub struct Done {
    pub files: Vec<PathBuf>,
    pub notes: Vec<String>,
}

/// Makes another certificate for the back or the front `name`, with its key or
/// another one, in the place of the one that is there.
pub fn renew(
    directory: &Path,
    name: &str,
    days: Option<u32>,
    new_key: bool,
) -> Result<Done, CertsError> {
    let is_back = name == "back";
    match name {
        "ca" => return Err(CertsError::RenewCa),
        "back" => {}
        _ => check_name(name)?,
    }
    check_days(days)?;
    let issuer = issuer(directory)?;
    let path = directory.join(format!("{name}.pem"));
    if !path.exists() {
        return Err(CertsError::NoNode(path, name.to_owned()));
    }
    if !new_key && is_refused(directory, &describe(&path)?.fingerprint)? {
        return Err(CertsError::IsRefused(name.to_owned()));
    }
    let key_path = directory.join(format!("{name}.key"));
    let key = match new_key {
        true => NodeKey::generate()?,
        false if !key_path.exists() => return Err(CertsError::NoKey(key_path)),
        false => NodeKey::from_pem(&read(&key_path)?)
            .map_err(|error| CertsError::Damaged(key_path.clone(), error))?,
    };
    let days = days.unwrap_or(NODE_DAYS);
    let made = certificate(name, days, &key, &issuer)?;
    let mut staged = Vec::new();
    if new_key {
        staged.push(Staged::new(&key_path, 0o600, &key.pem())?);
    }
    staged.push(Staged::new(&path, 0o644, &made.pem())?);
    let mut files = Vec::new();
    for one in staged {
        files.push(one.finish()?);
    }
    let end = x509::now() + i64::from(days) * 24 * 3600;
    let (which, them) = match new_key {
        true => (format!("{name}.pem and {name}.key"), "them"),
        false => (format!("{name}.pem"), "it"),
    };
    let mut notes = vec![match is_back {
        true => format!("good until {}; now reload the back (kill -HUP)", day(end)),
        false => format!(
            "good until {}; now copy {which} to the front {name} and reload {them} there (kill -HUP)",
            day(end)
        ),
    }];
    let authority = describe(&directory.join("ca.pem"))?;
    if authority.ends < end {
        notes.push(format!(
            "ca.pem ends before, on {}: links go on, but make another CA in time, `smol-mtproxy \
             certs init` in an empty directory, and put both into the ca.pem of all ends first",
            authority.expires
        ));
    }
    Ok(Done { files, notes })
}

/// The certificate of the front `name` gets no link from the back's next reload on.
pub fn revoke(directory: &Path, name: &str) -> Result<Done, CertsError> {
    check_name(name)?;
    let path = directory.join(format!("{name}.pem"));
    if !path.exists() {
        return Err(CertsError::NoNode(path, name.to_owned()));
    }
    let shown = describe(&path)?;
    let list = directory.join(REFUSED);
    let mut notes = Vec::new();
    if is_refused(directory, &shown.fingerprint)? {
        notes.push(format!("{name} is in it already"));
    } else {
        let mut text = match list.exists() {
            true => read(&list)?,
            false => REFUSED_HEAD.to_owned(),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let today = day(x509::now());
        text.push_str(&format!(
            "{} # {name}, revoked on {today}\n",
            shown.fingerprint
        ));
        Staged::new(&list, 0o644, &text)?.finish()?;
    }
    let conf = read(&directory.join("link.back.conf")).unwrap_or_default();
    let names_list = |line: &str| line.trim_start_matches("--").starts_with("link-refuse");
    notes.push(match conf.lines().any(names_list) {
        true => format!("now reload the back (kill -HUP): the links of {name} end"),
        false => format!(
            "now give the back `--link-refuse {}` and reload it (kill -HUP): the links of {name} end",
            list.display()
        ),
    });
    Ok(Done {
        files: vec![list],
        notes,
    })
}

/// Whether the list beside the certificates has it.
pub(super) fn is_refused(directory: &Path, fingerprint: &str) -> Result<bool, CertsError> {
    let path = directory.join(REFUSED);
    if !path.exists() {
        return Ok(false);
    }
    let refused = Refused::read(&path);
    let refused = refused.map_err(|error| CertsError::List(error.to_string()))?;
    let mut bytes = [0; 32];
    let decoded = base16ct::lower::decode(fingerprint, &mut bytes);
    Ok(decoded.is_ok() && refused.holds(&bytes))
}

/// A file whose new content lies beside it.
struct Staged {
    path: PathBuf,
    beside: PathBuf,
}

impl Staged {
    /// `mode` is for a file that is not there yet; else it keeps its own, and whose
    /// it is.
    fn new(path: &Path, mode: u32, text: &str) -> Result<Self, CertsError> {
        let failed = |error| CertsError::Write(path.to_owned(), error);
        // Where it is a symbolic link it stays one.
        let path = match path.exists() {
            true => fs::canonicalize(path).map_err(failed)?,
            false => path.to_owned(),
        };
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let staged = Self {
            path,
            beside: PathBuf::from(beside),
        };
        staged.write(mode, text).map_err(failed)?;
        Ok(staged)
    }

    fn write(&self, mode: u32, text: &str) -> io::Result<()> {
        match fs::remove_file(&self.beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.beside)?;
        let before = fs::metadata(&self.path).ok();
        if let Some(before) = &before {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (before.uid(), before.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
        }
        let mode = before.map_or(mode, |before| before.mode() & 0o777);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    fn finish(&self) -> Result<PathBuf, CertsError> {
        let renamed = fs::rename(&self.beside, &self.path);
        renamed.map_err(|error| CertsError::Write(self.path.clone(), error))?;
        Ok(self.path.clone())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Of one that was not finished.
        let _ = fs::remove_file(&self.beside);
    }
}
