use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, chownat, fchown};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::config::{make_private_dir, read_text};
use crate::net::Listener;

const LONGEST_PASSWD: u64 = 16 << 20;

/// A line of /etc/passwd.
struct Account {
    uid: Uid,
    gid: Gid,
}

/// Why root could not be given up.
#[derive(Debug)]
pub(super) enum PrivilegeError {
    UnknownUser(String),
    Passwd(io::Error),
    DataDir(io::Error),
    Control(io::Error),
    System(io::Error),
}

/// Becomes `user` for good, if root: ports are bound, nothing else needs it.
/// The data directory, made if need be, and what lies in it become the user's,
/// and so does the socket for ctl.
///
/// System calls of this kind are a thread's own: call it while there is no
/// other thread, all later ones inherit it.
pub(super) fn give_up(
    user: &str,
    data_dir: &Path,
    control: Option<&Path>,
    sockets: &[Rc<Listener>],
) -> Result<(), PrivilegeError> {
    if !geteuid().is_root() {
        info!("--user {user} has no effect: not started as root");
        return Ok(());
    }
    let passwd =
        read_text(Path::new("/etc/passwd"), LONGEST_PASSWD).map_err(PrivilegeError::Passwd)?;
    let account = find(&passwd, user);
    let account = account.ok_or_else(|| PrivilegeError::UnknownUser(user.to_owned()))?;
    hand_over(data_dir, &account).map_err(PrivilegeError::DataDir)?;
    if let Some(socket) = control {
        own(socket, &account).map_err(PrivilegeError::Control)?;
    }
    for socket in sockets {
        // The kernel lets sockets of one user alone share a port, as a reload may
        // need to.
        let _ = fchown(socket, Some(account.uid), Some(account.gid));
    }
    become_user(&account).map_err(|error| PrivilegeError::System(error.into()))
}

fn become_user(account: &Account) -> rustix::io::Result<()> {
    let Account { uid, gid } = *account;
    set_thread_groups(&[gid])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

/// A user's name, or a number that has a line.
fn find(passwd: &str, user: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?;
        let gid: u32 = fields.next()?.parse().ok()?;
        (name == user || uid == user).then_some(())?;
        Some(Account {
            uid: Uid::from_raw(uid.parse().ok()?),
            gid: Gid::from_raw(gid),
        })
    })
}

/// Links are not followed, and folders inside are not ours.
fn hand_over(data_dir: &Path, account: &Account) -> io::Result<()> {
    // The user could not make it in a directory of root's.
    make_private_dir(data_dir)?;
    for entry in fs::read_dir(data_dir)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_file() {
            own(&path, account)?;
        }
    }
    own(data_dir, account)
}

fn own(path: &Path, account: &Account) -> io::Result<()> {
    let Account { uid, gid } = *account;
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    Ok(chownat(CWD, path, Some(uid), Some(gid), flags)?)
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownUser(user) => write!(
                f,
                "--user: there is no user {user}; make one: useradd --system {user}"
            ),
            Self::Passwd(error) => write!(f, "--user: cannot read /etc/passwd: {error}"),
            Self::DataDir(error) => write!(
                f,
                "--user: cannot give --data-dir to that user: {error}; do it with chown"
            ),
            Self::Control(error) => write!(
                f,
                "--user: cannot give the socket of --control to that user: {error}; choose another place for it"
            ),
            Self::System(error) => write!(
                f,
                "--user: cannot become that user: {error}; CAP_SETUID and CAP_SETGID are needed"
            ),
        }
    }
}

impl std::error::Error for PrivilegeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nproxy:x:13:14::/bin:/bin/false\n";
        for user in ["proxy", "13"] {
            let account = find(passwd, user).unwrap();
            assert_eq!(account.uid.as_raw(), 13);
            assert_eq!(account.gid.as_raw(), 14);
        }
        for user in ["nobody", "", "x", "14"] {
            assert!(find(passwd, user).is_none(), "{user}");
        }
    }
}
