use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, chownat, fchown};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::config::{make_private_dir, read_text};
use crate::net::Listener;

const MAX_PASSWD: u64 = 16 << 20;

/// A line of /etc/passwd.
struct UnixUser {
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
    let user = look_up(user)?;
    hand_over(data_dir, &user).map_err(PrivilegeError::DataDir)?;
    if let Some(socket) = control {
        own(CWD, socket, &user, FileType::Socket).map_err(PrivilegeError::Control)?;
    }
    for socket in sockets {
        // The kernel lets sockets of one user alone share a port, as a reload may
        // need to.
        let _ = fchown(socket, Some(user.uid), Some(user.gid));
    }
    become_user(&user)
}

/// Becomes `user` for good, if root, as [`give_up`] does, but nothing becomes the
/// user's: to see what that one may read. Whether it was root.
pub(super) fn take_place_of(user: &str) -> Result<bool, PrivilegeError> {
    let is_root = geteuid().is_root();
    if is_root {
        become_user(&look_up(user)?)?;
    }
    Ok(is_root)
}

fn become_user(user: &UnixUser) -> Result<(), PrivilegeError> {
    let UnixUser { uid, gid } = *user;
    let change = || -> rustix::io::Result<()> {
        set_thread_groups(&[gid])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    };
    change().map_err(|error| PrivilegeError::System(error.into()))
}

fn look_up(user: &str) -> Result<UnixUser, PrivilegeError> {
    let passwd = read_text(Path::new("/etc/passwd"), MAX_PASSWD);
    let found = find(&passwd.map_err(PrivilegeError::Passwd)?, user);
    found.ok_or_else(|| PrivilegeError::UnknownUser(user.to_owned()))
}

/// A user's name, or a number that has a line.
fn find(passwd: &str, user: &str) -> Option<UnixUser> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?;
        let gid: u32 = fields.next()?.parse().ok()?;
        (name == user || uid == user).then_some(())?;
        Some(UnixUser {
            uid: Uid::from_raw(uid.parse().ok()?),
            gid: Gid::from_raw(gid),
        })
    })
}

/// Folders inside are not ours, nor is a file that has another name too.
fn hand_over(data_dir: &Path, user: &UnixUser) -> io::Result<()> {
    // The user could not make it in a directory of root's.
    make_private_dir(data_dir)?;
    let found = fs::symlink_metadata(data_dir)?;
    if found.is_symlink() && found.uid() != 0 {
        let message = "it is a symbolic link of another user: name what it leads to";
        return Err(io::Error::other(message));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(data_dir, flags, Mode::empty())?;
    for entry in fs::read_dir(data_dir)? {
        own(&directory, entry?.file_name(), user, FileType::RegularFile)?;
    }
    give(&directory, user)
}

/// Gives the user what of that type has the name there: the user may put something
/// else in its place at any time, and may know another name of root's files.
fn own(
    directory: impl AsFd,
    name: impl AsRef<Path>,
    user: &UnixUser,
    wanted: FileType,
) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name.as_ref(), flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let file = fs::File::from(file);
    let found = file.metadata()?;
    match FileType::from_raw_mode(found.mode()) == wanted && found.nlink() == 1 {
        true => give(&file, user),
        false => Ok(()),
    }
}

fn give(file: impl AsFd, user: &UnixUser) -> io::Result<()> {
    let UnixUser { uid, gid } = *user;
    Ok(chownat(
        file,
        "",
        Some(uid),
        Some(gid),
        AtFlags::EMPTY_PATH,
    )?)
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
    use std::os::unix::fs::{lchown, symlink};
    use std::path::PathBuf;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;

    #[test]
    fn root_gives_away_what_lies_in_the_directory_alone() {
        if !geteuid().is_root() {
            return;
        }
        let folder = TemporaryDirectory::new();
        let place = |name: &str| folder.path().join(name);
        let uid = |path: PathBuf| fs::metadata(path).unwrap().uid();
        fs::create_dir_all(place("state/folder")).unwrap();
        for name in ["precious", "other", "state/usage"] {
            fs::write(place(name), "x").unwrap();
        }
        fs::hard_link(place("precious"), place("state/twice")).unwrap();
        symlink(place("other"), place("state/link")).unwrap();
        let user = UnixUser {
            uid: Uid::from_raw(65534),
            gid: Gid::from_raw(65534),
        };
        symlink(place("state"), place("way")).unwrap();
        hand_over(&place("way"), &user).unwrap();
        assert_eq!(uid(place("state/usage")), 65534);
        assert_eq!(uid(place("state")), 65534);
        for name in ["precious", "other", "state/folder"] {
            assert_eq!(uid(place(name)), 0, "{name}");
        }
        // What the user's own link leads to is root's.
        fs::create_dir(place("etc")).unwrap();
        fs::write(place("etc/passwd"), "x").unwrap();
        symlink(place("etc"), place("planted")).unwrap();
        lchown(place("planted"), Some(65534), Some(65534)).unwrap();
        assert!(hand_over(&place("planted"), &user).is_err());
        assert_eq!(uid(place("etc/passwd")), 0);
        assert_eq!(uid(place("etc")), 0);
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nproxy:x:13:14::/bin:/bin/false\n";
        for user in ["proxy", "13"] {
            let found = find(passwd, user).unwrap();
            assert_eq!(found.uid.as_raw(), 13);
            assert_eq!(found.gid.as_raw(), 14);
        }
        for user in ["nobody", "", "x", "14"] {
            assert!(find(passwd, user).is_none(), "{user}");
        }
    }
}
