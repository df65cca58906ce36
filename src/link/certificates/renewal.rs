//! New certificates in place of old ones.

use std::path::Path;

use super::error::CertsError;
use super::files::{Done, Staged, read};
use super::issuer::{NODE_DAYS, certificate, check_days, check_name, issuer};
use super::node_key::NodeKey;
use super::shown::{REFUSED, Shown, describe, is_refused};
use crate::tls::x509::{self, DAY, day};

/// Makes another certificate for the back or the front `name`, with its key or
/// another one, in the place of the one that is there.
pub(crate) fn renew(
    directory: &Path,
    name: &str,
    days: Option<u32>,
    new_key: bool,
) -> Result<Done, CertsError> {
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
    let key = key(&key_path, new_key)?;
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
    let end = x509::read(made.der()).map_or(0, |made| made.until);
    let notes = what_is_left_to_do(directory, name, &before, end, new_key)?;
    Ok(Done { files, notes })
}

fn key(path: &Path, is_new: bool) -> Result<NodeKey, CertsError> {
    match is_new {
        true => Ok(NodeKey::generate()?),
        false if !path.exists() => Err(CertsError::NoKey(path.into())),
        false => {
            NodeKey::from_pem(&read(path)?).map_err(|error| CertsError::Damaged(path.into(), error))
        }
    }
}

/// With the new certificate, which is good until `end`.
fn what_is_left_to_do(
    directory: &Path,
    name: &str,
    before: &Shown,
    end: i64,
    new_key: bool,
) -> Result<Vec<String>, CertsError> {
    let is_back = name == "back";
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
    if new_key && !is_back && !is_refused(directory, before)? {
        notes.push(format!(
            "the old one is good until {}; if others have its key, put it into {REFUSED} once the \
             front has the new one: {}",
            before.expires, before.fingerprint
        ));
    }
    let authority = describe(&directory.join("ca.pem"))?;
    if is_earlier_day(authority.ends, end) {
        notes.push(format!(
            "ca.pem ends before, on {}: links go on, but make another CA in time, `smol-mtproxy \
             certs init` in an empty directory, and put both into the ca.pem of all ends first",
            authority.expires
        ));
    }
    Ok(notes)
}

/// Whether `ca` ends on a day before the day of `certificate`. Those of one day end
/// together for people: made with as many days, they are seconds apart.
fn is_earlier_day(ca: i64, certificate: i64) -> bool {
    ca.div_euclid(DAY) < certificate.div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_of_the_same_day_does_not_end_before() {
        let noon = 20_000 * DAY + DAY / 2;
        assert!(!is_earlier_day(noon, noon + 1));
        assert!(!is_earlier_day(noon, noon - DAY));
        assert!(is_earlier_day(noon, noon + DAY));
        assert!(is_earlier_day(20_000 * DAY - 1, 20_000 * DAY));
        assert!(!is_earlier_day(20_000 * DAY, 20_001 * DAY - 1));
    }
}
