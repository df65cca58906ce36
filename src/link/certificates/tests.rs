use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fake_telegram::harness::TemporaryDirectory;
use rustix::process::geteuid;

use super::shown::{REFUSED, describe};
use super::{add_node, init, renew, revoke, show};
use crate::tls::x509;

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
