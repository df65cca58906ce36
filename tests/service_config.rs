//! Commands that are given no config take that of this machine's service. They
//! see an `/etc`, a `/var/run` and a `/var/lib` of the test's, in a mount namespace.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fake_telegram::built_binary;
use fake_telegram::harness::{Said, TemporaryDirectory, binary, skipped};

const KEY: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "99112233445566778899aabbccddeeff";
const USUAL: &str = "/etc/smol-mtproxy.conf";
const NOBODY: u32 = 65534;

struct Machine(TemporaryDirectory);

impl Machine {
    /// Nothing, where this cannot be done.
    fn new() -> Option<Self> {
        let possible = Command::new("unshare")
            .args(["-m", "mount", "--bind", "/etc", "/etc"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !possible {
            skipped("this test needs root, to make mount namespaces");
            return None;
        }
        let machine = Self(TemporaryDirectory::new());
        for part in ["etc", "run", "lib", "home"] {
            fs::create_dir(machine.path(part)).unwrap();
        }
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn files(&self, name: &str) -> usize {
        fs::read_dir(self.path(name)).unwrap().count()
    }

    /// What root is told, or nobody.
    fn say(&self, is_root: bool, line: &str) -> Said {
        let user = match is_root {
            true => String::new(),
            false => format!("setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"),
        };
        let script = format!(
            "mount --bind etc /etc; mount --bind run /var/run; mount --bind lib /var/lib; \
             exec {user} \"$@\""
        );
        Said::by(
            Command::new("unshare")
                .args(["-m", "sh", "-ec", &script, "sh"])
                .args(env::var_os("SMOL_MTPROXY_RUNNER"))
                .arg(binary(built_binary!()).canonicalize().unwrap())
                .args(line.split_whitespace())
                .current_dir(self.0.path())
                .env("HOME", self.path("home"))
                .env_remove("XDG_STATE_HOME")
                .stdin(Stdio::null()),
        )
    }

    fn root(&self, line: &str) -> Said {
        self.say(true, line)
    }

    fn nobody(&self, line: &str) -> Said {
        self.say(false, line)
    }
}

fn config(port: u16, key: &str) -> String {
    format!("--listen {port}\n--secret alice=dd{key}\n--link-name proxy.example\n")
}

#[test]
fn commands_find_the_config_of_the_service_and_say_so() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.write("etc/smol-mtproxy.conf", &config(4431, KEY), 0o600);
    let took = format!("smol-mtproxy: with the flags of {USUAL}\n");
    let said = machine.root("link --no-qr");
    let wanted = format!("tg://proxy?server=proxy.example&port=4431&secret=dd{KEY}\n");
    assert_eq!((said.status, said.stderr), (0, took.clone()));
    assert!(said.stdout.contains(&wanted), "{}", said.stdout);
    let secret = machine.root("secret");
    assert!(secret.stderr.starts_with(&took), "{}", secret.stderr);
    assert!(secret.stderr.contains("server=proxy.example&port=4431&"));
    // Flags of the command's own are none of the config.
    let said = machine.root("link --no-qr --server 192.0.2.1:443");
    assert_eq!(said.stderr, took);
    assert!(said.stdout.contains("server=192.0.2.1&port=443&"));
    // Others are all that it goes by.
    let said = machine.root(&format!(
        "link --no-qr --server h --listen 1 --secret {OTHER}"
    ));
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert!(said.stdout.contains("server=h&port=1&") && !said.stdout.contains(KEY));
    let said = machine.root("link --listen 1");
    assert_eq!((said.status, said.stdout.as_str()), (66, ""));
    let way_out = format!("or none at all for those of {USUAL}");
    assert!(said.stderr.contains(&way_out), "{}", said.stderr);

    // What OpenWrt has rendered is what runs there.
    machine.write("run/smol-mtproxy/flags", &config(4432, KEY), 0o600);
    let said = machine.root("link --no-qr");
    assert!(said.stderr.ends_with("/var/run/smol-mtproxy/flags\n"));
    assert!(said.stdout.contains("port=4432&"), "{}", said.stdout);
}

#[test]
fn check_and_ctl_do_too() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let control = "--control /var/lib/nowhere\n";
    machine.write(
        "etc/smol-mtproxy.conf",
        &(config(4431, KEY) + control),
        0o600,
    );
    let check = machine.root("check --offline --json");
    assert!(check.stdout.contains("1: alice"), "{}", check.stdout);
    assert!(check.stderr.contains(USUAL), "{}", check.stderr);
    let ctl = machine.root("ctl secrets");
    assert_eq!(ctl.status, 69);
    let said = "cannot reach /var/lib/nowhere: ";
    assert!(ctl.stderr.contains(said), "{}", ctl.stderr);
    assert!(ctl.stderr.contains("the proxy does not run"));

    // The service's directory is not this user's own.
    machine.write("etc/smol-mtproxy.conf", &config(4431, KEY), 0o644);
    machine.write("lib/smol-mtproxy/secret", OTHER, 0o600);
    let closed = fs::Permissions::from_mode(0o700);
    fs::set_permissions(machine.path("lib/smol-mtproxy"), closed).unwrap();
    let ctl = machine.nobody("ctl secrets");
    assert_eq!(ctl.status, 77, "{}", ctl.stderr);
    assert!(ctl.stderr.contains("/var/lib/smol-mtproxy/control"));
    assert!(ctl.stderr.contains("sudo smol-mtproxy ctl"));
}

#[test]
fn who_may_not_read_it_is_told_who_may() {
    let Some(machine) = Machine::new() else {
        return;
    };
    machine.write("etc/smol-mtproxy.conf", &config(4431, KEY), 0o640);
    let said = machine.nobody("link");
    assert_eq!((said.status, said.stdout.as_str()), (77, ""));
    let cannot = format!("cannot read {USUAL}: ");
    assert!(said.stderr.contains(&cannot), "{}", said.stderr);
    assert!(said.stderr.ends_with("; try `sudo smol-mtproxy link`\n"));
    assert_eq!(said.stderr.lines().count(), 1);
    // A secret needs no config; its invite does.
    let secret = machine.nobody("secret");
    assert_eq!((secret.status, secret.stdout.len()), (0, 35));
    assert!(secret.stderr.contains(&cannot) && !secret.stderr.contains("Then its link"));
    // Neither does that one stand in the way which has yet to be completed by it.
    let front = "--role front\n--link 10.0.0.1:1\n--link-psk link.psk\n";
    machine.write("etc/smol-mtproxy.conf", front, 0o600);
    let secret = machine.root("secret plain");
    assert_eq!((secret.status, secret.stdout.len()), (0, 33));
    assert!(secret.stderr.contains("--link-psk"), "{}", secret.stderr);
}

#[test]
fn no_link_is_invented() {
    let Some(machine) = Machine::new() else {
        return;
    };
    for said in [machine.root("link"), machine.nobody("link")] {
        assert_eq!((said.status, said.stdout.as_str()), (66, ""));
        assert_eq!(said.stderr.lines().count(), 1);
        assert!(said.stderr.contains(USUAL), "{}", said.stderr);
        assert!(said.stderr.contains("--config FILE"), "{}", said.stderr);
    }
    assert_eq!((machine.files("lib"), machine.files("home")), (0, 0));
    // What `run` without flags has made.
    machine.write("lib/smol-mtproxy/secret", KEY, 0o600);
    let said = machine.root("link --no-qr --server h");
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stdout.contains(&format!("port=443&secret=dd{KEY}")));
    assert!(said.stderr.contains("kept in /var/lib/smol-mtproxy"));
    // The same, where the service's config gives none.
    machine.write("etc/smol-mtproxy.conf", "--listen 4431\n", 0o600);
    let said = machine.root("link --no-qr --server h");
    assert!(said.stdout.contains(&format!("port=4431&secret=dd{KEY}")));
    fs::remove_dir_all(machine.path("lib/smol-mtproxy")).unwrap();
    let said = machine.root("link");
    assert_eq!((said.status, said.stdout.as_str()), (66, ""));
    let why = format!("{USUAL} gives no --secret, and none is kept in /var/lib/smol-mtproxy");
    assert!(said.stderr.contains(&why), "{}", said.stderr);
    assert_eq!(machine.files("lib"), 0);
}

/// `sudo smol-mtproxy` in the service's directory.
#[test]
fn what_root_leaves_the_service_can_read() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let data_dir = machine.path("lib/smol-mtproxy");
    fs::create_dir(&data_dir).unwrap();
    chown(&data_dir, Some(NOBODY), Some(NOBODY)).unwrap();
    for line in ["link", "check --offline", "secret", "secret plain --json"] {
        machine.root(line);
        assert_eq!(machine.files("lib/smol-mtproxy"), 0, "{line}");
    }
    // It makes a secret, and cannot listen there.
    let run = machine.root("run --listen 198.51.100.1:1");
    assert_eq!(run.status, 69, "{}", run.stderr);
    assert!(machine.files("lib/smol-mtproxy") > 0);
    for entry in fs::read_dir(&data_dir).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::metadata(&path).unwrap();
        let owner = (found.uid(), found.gid());
        assert_eq!(owner, (NOBODY, NOBODY), "{}", path.display());
    }
    let secret = fs::read_to_string(data_dir.join("secret")).unwrap();
    let said = machine.root("link --no-qr --listen 198.51.100.1:1");
    assert!(said.stdout.contains(&format!("secret=dd{secret}")));
}
