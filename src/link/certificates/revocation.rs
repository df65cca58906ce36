//! Certificates that get no link any more.

use std::path::Path;

use super::error::CertsError;
use super::files::{Done, Staged, read};
use super::issuer::check_name;
use super::shown::{REFUSED, describe, is_refused};
use crate::tls::x509::{self, day};

pub(super) const REFUSED_HEAD: &str = "\
# Certificates that get no link though the CA vouches for them: SHA-256, one a line,
# as `smol-mtproxy certs show` prints it, or that of their public key. `certs revoke`
# adds to it. The back reads it (--link-refuse) at its start and at SIGHUP.
";

/// The certificate of the front `name` gets no link from the back's next reload on.
pub(crate) fn revoke(directory: &Path, name: &str) -> Result<Done, CertsError> {
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
