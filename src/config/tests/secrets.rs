use super::*;

#[test]
fn secrets_stay_out_of_debug_and_of_errors() {
    let settings = given(
        &[("--secret", &format!("a=dd{KEY}")), ("--refresh", "x")],
        None,
    );
    assert!(!format!("{settings:?}").contains(&KEY[8..16]));
    assert!(!build(&settings).unwrap_err().contains(&KEY[8..16]));
    let config = config(&[("--secret", &format!("a=dd{KEY}"))]);
    assert!(!format!("{config:?}").contains(&KEY[8..16]));
}

#[test]
fn a_made_secret_is_kept_and_found_again() {
    let folder = TemporaryDirectory::new();
    let data_dir = folder.path().join("a/b");
    let line = given(&[("--data-dir", data_dir.to_str().unwrap())], None);
    let load = |missing, running| ConfigSource::new(line.clone(), missing).load(running);
    assert!(
        load(MissingSecret::Leave, None)
            .unwrap()
            .doors
            .secrets
            .is_empty()
    );
    assert!(!data_dir.exists());
    let made = load(MissingSecret::Make(NEW), None).unwrap();
    assert_eq!(made.doors.listeners[0].secrets, made.doors.secrets);
    assert!(
        made.said
            .notes
            .iter()
            .any(|note| note.contains("kept it in"))
    );
    for missing in [MissingSecret::Make(NEW), MissingSecret::Leave] {
        let again = load(missing, None).unwrap();
        assert_eq!(again.doors.secrets, made.doors.secrets);
        assert!(
            !again
                .said
                .notes
                .iter()
                .any(|note| note.contains("kept it in"))
        );
    }
    let file = data_dir.join("secret");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&file, "abc").unwrap();
    let error = load(MissingSecret::Make(NEW), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("remove it to have a new secret, and a new link, made"),
        "{error}"
    );
    assert_eq!(
        load(MissingSecret::Make(NEW), made.doors.made_secret())
            .unwrap()
            .doors
            .secrets,
        made.doors.secrets
    );
}

#[test]
fn a_secret_that_cannot_be_kept_outlives_a_reload() {
    let line = given(&[("--data-dir", "/proc/none")], None);
    let source = ConfigSource::new(line, MissingSecret::Make(NEW));
    let first = source.load(None).unwrap();
    assert!(
        first
            .said
            .warnings
            .iter()
            .any(|warning| warning.contains("for this run only"))
    );
    let second = source.load(first.doors.made_secret()).unwrap();
    assert_eq!(second.doors.secrets, first.doors.secrets);
}

#[test]
fn one_key_in_two_forms_is_said() {
    let flag = |name: &str, form: &str| format!("{name}={form}{KEY}");
    let both = config(&[
        ("--secret", &flag("a", "")),
        ("--secret", &format!("b={}", KEY.replace("00", "99"))),
        ("--secret", &flag("c", "dd")),
        (
            "--listen",
            &format!(":1,name=x,secret={KEY},secret=dd{KEY}"),
        ),
        ("--listen", ":2"),
    ]);
    let [common, own] = both.said.warnings.as_slice() else {
        panic!("{:?}", both.said.warnings)
    };
    assert!(common.starts_with("the secrets a and c are one key"));
    assert!(common.contains("clients with either count as a,"));
    assert!(own.contains("x/1 and x/2"), "{own}");
    // A listener's own secrets are apart from the others.
    let apart = config(&[
        ("--secret", &flag("a", "")),
        ("--listen", &format!(":1,secret=dd{KEY}")),
    ]);
    assert!(apart.said.warnings.is_empty(), "{:?}", apart.said.warnings);
}

#[test]
fn secrets_that_every_user_may_read_are_named() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TemporaryDirectory::new();
    let (file, key) = (folder.path().join("conf"), folder.path().join("psk"));
    let text = format!(
        "role front\nlink 127.0.0.1:1\nlisten :8443\nlink-psk psk\ndata-dir .\nsecret {KEY}\n"
    );
    std::fs::write(&file, text).unwrap();
    std::fs::write(&key, KEY).unwrap();
    let line = given(&[("--config", file.to_str().unwrap())], None);
    let load = || ConfigSource::new(line.clone(), MissingSecret::Leave).load(None);
    for (mode, warned) in [(0o640, 0), (0o644, 2)] {
        for path in [&file, &key] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let warnings = load().unwrap().said.warnings;
        assert_eq!(warnings.len(), warned, "{warnings:?}");
        for warning in warnings {
            assert!(warning.contains("lets every user read it: chmod 640"));
        }
    }
}

#[test]
fn a_limit_of_none_is_named() {
    let with = |limit| format!("anna={KEY},{limit}");
    let warnings = |limit| config(&[("--secret", &with(limit))]).said.warnings;
    let said = &warnings("max-ips=0")[0];
    assert!(
        said.starts_with("max-ips=0 lets nobody in with the secret anna"),
        "{said}"
    );
    assert_eq!(warnings("max-connections=1,max-ips=1"), [""; 0]);
}
