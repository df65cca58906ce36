//! New certificates in place of old ones, and those that get no link any more.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::{
    CertsError, NODE_DAYS, NodeKey, Shown, certificate, check_days, check_name, describe, issuer,
    read,
};
use crate::link::security::Refused;
use crate::tls::x509::{self, day};

/// The list of `certs revoke`, beside the certificates.
pub(super) const REFUSED: &str = "refused.txt";

pub(super) const REFUSED_HEAD: &str = "\
# Certificates that get no link though the CA vouches for them: SHA-256, one a line,
# as `smol-mtproxy certs show` prints it, or that of their public key. `certs revoke`
# adds to it. The back reads it (--link-refuse) at its start and at SIGHUP.
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
    let before = describe(&path)?;
    if !new_key && is_refused(directory, &before)? {
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
    if new_key && !is_back && !is_refused(directory, &before)? {
        notes.push(format!(
            "the old one is good until {}; if others have its key, put it into {REFUSED} once the \
             front has the new one: {}",
            before.expires, before.fingerprint
        ));
    }
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
    if is_refused(directory, &shown)? {
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
        // It may have earlier certificates that are still good.
        if let Some(fingerprints) = &shown.fingerprints {
            let key = base16ct::lower::encode_string(&fingerprints.key);
            text.push_str(&format!("{key} # all certificates of the same key\n"));
        }
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
pub(super) fn is_refused(directory: &Path, shown: &Shown) -> Result<bool, CertsError> {
    let path = directory.join(REFUSED);
    if !path.exists() {
        return Ok(false);
    }
    let refused = Refused::read(&path);
    let refused = refused.map_err(|error| CertsError::List(error.to_string()))?;
    let mut known = shown.fingerprints.iter();
    Ok(known.any(|fingerprints| refused.holds(fingerprints)))
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
        // Where it is a symbolic link it stays one, but no other user says what root
        // is to write.
        let found = fs::symlink_metadata(path).ok();
        let path = match found.filter(|found| found.is_symlink()) {
            Some(link) if ![0, geteuid().as_raw()].contains(&link.uid()) => {
                let message = "it is a symbolic link of another user: write to what it names";
                return Err(failed(io::Error::other(message)));
            }
            Some(_) if path.exists() => fs::canonicalize(path).map_err(failed)?,
            _ => path.to_owned(),
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

#[cfg(test)]
mod tests {
    use fake_telegram::harness::TemporaryDirectory;

    use super::super::{add_node, init, show};
    use super::*;

    fn made() -> (TemporaryDirectory, PathBuf) {
        let folder = TemporaryDirectory::new();
        let directory = folder.path().join("link");
        init(&directory).unwrap();
        add_node(&directory, "home", Some(1)).unwrap();
        (folder, directory)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn another_users_symbolic_link_does_not_lead_root_elsewhere() {
        if !geteuid().is_root() {
            return;
        }
        let (folder, directory) = made();
        let (key, elsewhere) = (directory.join("home.key"), folder.path().join("elsewhere"));
        fs::write(&elsewhere, "precious").unwrap();
        fs::remove_file(&key).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
        std::os::unix::fs::lchown(&key, Some(65534), Some(65534)).unwrap();
        let error = renew(&directory, "home", None, true).err().unwrap();
        assert!(error.to_string().contains("of another user"), "{error}");
        assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
        std::os::unix::fs::lchown(&key, Some(0), Some(0)).unwrap();
        assert!(renew(&directory, "home", None, true).is_ok());
        assert!(fs::symlink_metadata(&key).unwrap().is_symlink());
    }

    #[test]
    fn a_renewed_certificate_takes_the_old_ones_place_and_keeps_its_key() {
        let (_folder, directory) = made();
        let file = |name: &str| directory.join(name);
        let (pem, key) = (file("home.pem"), file("home.key"));
        fs::set_permissions(&pem, Permissions::from_mode(0o640)).unwrap();
        let before = (fs::read(&pem).unwrap(), fs::read(&key).unwrap());
        let done = renew(&directory, "home", None, false).unwrap();
        assert_eq!(done.files, [fs::canonicalize(&pem).unwrap()]);
        assert!(done.notes[0].contains("copy home.pem to the front home"));
        assert_ne!(fs::read(&pem).unwrap(), before.0);
        assert_eq!(
            (fs::read(&key).unwrap(), mode(&pem)),
            (before.1.clone(), 0o640)
        );
        let days_until = |days: i64| describe(&pem).unwrap().ends - x509::now() - days * 24 * 3600;
        assert!((-60..60).contains(&days_until(3650)));
        // Another key, and the back.
        let done = renew(&directory, "home", Some(5), true).unwrap();
        assert!(
            done.notes[1].starts_with("the old one is good until"),
            "{:?}",
            done.notes
        );
        assert_ne!(fs::read(&key).unwrap(), before.1);
        assert_eq!(mode(&key), 0o600);
        assert!((-60..60).contains(&days_until(5)));
        let done = renew(&directory, "back", None, false).unwrap();
        assert!(
            done.notes[0].contains("reload the back"),
            "{:?}",
            done.notes
        );
        // Nearly as long as the CA.
        let done = renew(&directory, "back", Some(7299), false).unwrap();
        assert_eq!(done.notes.len(), 1);
        let left: Vec<_> = fs::read_dir(&directory).unwrap().flatten().collect();
        let is_new = |path: &Path| path.extension().is_some_and(|extension| extension == "new");
        assert!(!left.iter().any(|entry| is_new(&entry.path())));
    }

    #[test]
    fn what_cannot_be_renewed_is_left_as_it_is() {
        let (_folder, directory) = made();
        let refused = |name, new_key| match renew(&directory, name, None, new_key) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{name}"),
        };
        assert!(refused("ca", false).contains("a CA is not renewed"));
        assert!(refused("office", false).contains("certs add-node"));
        assert!(refused("../home", false).contains("cannot be a front's name"));
        fs::remove_file(directory.join("home.key")).unwrap();
        assert!(refused("home", false).contains("give --new-key"));
        renew(&directory, "home", None, true).unwrap();
        // Whoever has the key of a revoked one would have that of the next.
        revoke(&directory, "home").unwrap();
        assert!(refused("home", false).contains("home is revoked"));
        renew(&directory, "home", None, true).unwrap();
        assert!(!show(&directory).unwrap().iter().any(|one| one.is_refused));
        fs::remove_file(directory.join("ca.key")).unwrap();
        assert!(refused("back", false).contains("ca.key"));
    }

    #[test]
    fn who_is_revoked_is_in_the_list_once() {
        let (_folder, directory) = made();
        let earlier = directory.join("earlier.pem");
        fs::copy(directory.join("home.pem"), &earlier).unwrap();
        renew(&directory, "home", None, false).unwrap();
        let done = revoke(&directory, "home").unwrap();
        assert!(
            done.notes[0].starts_with("now reload the back"),
            "{:?}",
            done.notes
        );
        let list = directory.join(REFUSED);
        let once = fs::read_to_string(&list).unwrap();
        assert!(
            once.ends_with('\n') && once.contains("# home, revoked on 20"),
            "{once}"
        );
        revoke(&directory, "home").unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap(), once);
        let shown = show(&directory).unwrap();
        let refused: Vec<_> = shown.iter().filter(|one| one.is_refused).collect();
        let files: Vec<_> = refused.iter().map(|one| &*one.file).collect();
        assert_eq!(files, ["earlier.pem", "home.pem"]);
        fs::remove_file(&earlier).unwrap();
        assert!(revoke(&directory, "back").is_err() && revoke(&directory, "office").is_err());
        // A directory of an older version, and a list without a last line's end.
        fs::remove_file(&list).unwrap();
        let conf = directory.join("link.back.conf");
        let text = fs::read_to_string(&conf)
            .unwrap()
            .replace("--link-refuse", "#");
        fs::write(&conf, text).unwrap();
        let done = revoke(&directory, "home").unwrap();
        assert!(
            done.notes[0].contains("give the back `--link-refuse"),
            "{:?}",
            done.notes
        );
        fs::write(&list, "ab".repeat(32)).unwrap();
        revoke(&directory, "home").unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap().lines().count(), 3);
        fs::write(&list, "home").unwrap();
        let error = revoke(&directory, "home").err().unwrap().to_string();
        assert!(
            error.contains("line 1 is no SHA-256 fingerprint"),
            "{error}"
        );
    }
}
