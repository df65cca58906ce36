//! `secret`: makes one.

use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use super::commands::MakeSecret;
use super::exit::Exit;
use super::invites::{self, NamedInvite};
use super::{complain, print};
use crate::config::{Config, NamedSecret};
use crate::net::fill_random;
use crate::wire::json::Json;
use crate::wire::secret::{Secret, SecretForm, SharedSecret};

/// Until the config gives it a name.
const NAME: &str = "new";

/// Sixteen random bytes.
pub(super) fn new_key() -> Secret {
    let mut key = [0; 16];
    fill_random(&mut key);
    Secret(key)
}

/// The least conspicuous that `config` lets in.
#[cfg(feature = "ctl")]
pub(super) fn usual_form(config: &Config) -> SecretForm {
    let doors = &config.doors;
    match doors.tls_domains.first() {
        Some(domain) if doors.allow.tls => SecretForm::FakeTls(domain.clone()),
        _ if doors.allow.dd => SecretForm::Padded,
        _ => SecretForm::Classic,
    }
}

/// Makes a secret.
pub(super) fn run(options: &MakeSecret, config: Config) -> Exit {
    make(options, |secret| {
        invites::all(&with_only(config, secret), options.server.as_ref())
    })
}

/// The same where the config, which only its invites depend on, cannot be had.
pub(super) fn without_config(options: &MakeSecret, why: &str) -> Exit {
    let exit = make(options, |_| Vec::new());
    eprintln!("smol-mtproxy: its link is not known: {why}");
    exit
}

fn make(options: &MakeSecret, invites: impl FnOnce(&SharedSecret) -> Vec<NamedInvite>) -> Exit {
    let form = match form(&options.form) {
        Ok(form) => form,
        Err(problem) => return complain(Exit::Usage, problem),
    };
    let key = new_key();
    let secret = SharedSecret { key, form };
    let invites = invites(&secret);
    if options.json {
        let list = invites.iter().map(NamedInvite::json).collect();
        let object = vec![
            ("secret", Json::Text(secret.to_string())),
            ("form", Json::from(invites::form_name(&secret.form))),
            ("links", Json::List(list)),
        ];
        return print(&format!("{}\n", Json::Object(object)));
    }
    let exit = print(&format!("{secret}\n"));
    if let Some(mode) = mode_of_file() {
        // Who puts it into a file does not want it on the screen.
        eprint!("{}", about_file(&secret.form, mode));
        return exit;
    }
    eprintln!("Put it in the config as: --secret NAME={secret}");
    for named in &invites {
        eprintln!("Then its link is: {}", named.invite.tg());
    }
    exit
}

/// The permissions of the file that stdout goes to, if it is one.
fn mode_of_file() -> Option<u32> {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
    let metadata = std::fs::File::from(stdout).metadata().ok()?;
    metadata.is_file().then(|| metadata.permissions().mode())
}

/// What the file with a new secret is good for, and who may read it.
fn about_file(form: &SecretForm, mode: u32) -> String {
    let mut text = match form {
        SecretForm::Classic => {
            "As the key of a link: --link-psk FILE, the same file on both ends.\n\
             For clients: --secret NAME= and what it holds.\n"
        }
        _ => "Put it in the config as: --secret NAME= and what the file holds.\n",
    }
    .to_owned();
    if mode & 0o077 != 0 {
        text.push_str(
            "Others may read the file: chmod 600 it; (umask 077; smol-mtproxy secret … >FILE) \
             makes it so from the start.\n",
        );
    }
    text
}

fn form(words: &[String]) -> Result<SecretForm, String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["plain"] => Ok(SecretForm::Classic),
        [] | ["dd"] => Ok(SecretForm::Padded),
        ["ee", domain] => match domain.parse() {
            Ok(domain) => Ok(SecretForm::FakeTls(domain)),
            Err(error) => Err(format!("{domain}: {error}")),
        },
        ["ee"] => Err("ee needs the site to look like: secret ee DOMAIN".to_owned()),
        _ => Err("expected: secret [plain | dd | ee DOMAIN]".to_owned()),
    }
}

/// The config as it would be with this secret only.
fn with_only(mut config: Config, secret: &SharedSecret) -> Config {
    for listener in &mut config.doors.listeners {
        listener.secrets = vec![NamedSecret {
            limits: Default::default(),
            name: NAME.to_owned(),
            secret: secret.clone(),
        }];
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let form = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|w| (*w).to_owned()).collect();
            super::form(&words)
        };
        assert_eq!(form(&[]), Ok(SecretForm::Padded));
        assert_eq!(form(&["plain"]), Ok(SecretForm::Classic));
        let tls = SecretForm::FakeTls("a.example".parse().unwrap());
        assert_eq!(form(&["ee", "a.example"]), Ok(tls));
        assert!(form(&["ee"]).unwrap_err().contains("secret ee DOMAIN"));
        assert!(
            form(&["ee", "a b"])
                .unwrap_err()
                .contains("not a host name")
        );
        assert!(
            form(&["ee", "192.0.2.1"])
                .unwrap_err()
                .contains("TLS asks for names")
        );
        assert!(form(&["ff"]).is_err() && form(&["dd", "x"]).is_err());
    }

    #[test]
    fn a_file_that_others_may_read_is_named() {
        let private = about_file(&SecretForm::Classic, 0o100600);
        assert!(private.contains("--link-psk") && !private.contains("chmod"));
        let open = about_file(&SecretForm::Padded, 0o100640);
        assert!(open.contains("chmod 600") && !open.contains("--link-psk"));
    }
}
