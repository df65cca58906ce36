//! `link`: prints the invites of every secret.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use super::commands::ShowInvites;
use super::ended::{self, SecretEnd};
use super::exit::Exit;
use super::invites::NamedInvite;
use super::json::Json;
use super::service::{self, Basis};
use super::within::within;
use super::{complain, invites, print};
use crate::config::{Config, Role};
use crate::telegram::directory::ask_services;

/// How long a person waits for services outside to say by which address they see us.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the invites of every secret.
pub(super) fn run(options: &ShowInvites, config: Config, basis: Basis) -> Exit {
    if config.process.role == Role::Back {
        return complain(
            Exit::Usage,
            "a back has no clients and so no links; run this with the config of its front",
        );
    }
    if config.doors.listeners.iter().all(|l| l.secrets.is_empty()) {
        return complain(Exit::NoInput, no_secret(basis, &config.process.data_dir));
    }
    if basis == Basis::Defaults {
        eprintln!(
            "smol-mtproxy: there is no {}: with the secret that `smol-mtproxy run` has kept in {}",
            service::USUAL,
            config.process.data_dir.display()
        );
    }
    let invites = invites_of(options, config);
    let warning = invites::warning(&invites);
    let exit = match invites.is_empty() {
        true => Exit::Unavailable,
        false => Exit::Ok,
    };
    if options.json {
        let list = invites.iter().map(NamedInvite::json).collect();
        let mut object = vec![("links", Json::List(list))];
        object.extend(warning.map(|text| ("warning", Json::Text(text))));
        return print(&format!("{}\n", Json::Object(object))).or(exit);
    }
    let colours = std::io::stdout().is_terminal();
    let shown: Vec<_> = invites
        .iter()
        .map(|named| named.show(!options.no_qr, colours))
        .collect();
    if let Some(warning) = warning {
        eprintln!("smol-mtproxy: {warning}");
    }
    print(&shown.join("\n")).or(exit)
}

/// Those of `config`, of which warnings are said here.
fn invites_of(options: &ShowInvites, mut config: Config) -> Vec<NamedInvite> {
    if let Some(sni) = &options.sni {
        if !config.doors.tls_domains.is_empty() && !config.doors.tls_domains.contains(sni) {
            eprintln!(
                "smol-mtproxy: {sni} is not in --tls-domain: add it, or these links do not work"
            );
        }
        config = invites::for_sni(config, sni);
    }
    for warning in &config.said.warnings {
        eprintln!("smol-mtproxy: {warning}");
    }
    let mut invites = invites::all(&config, options.server.as_ref());
    if invites.iter().any(|named| named.is_behind_nat())
        && let Some(Some(outside)) = within(PATIENCE, ask_services)
    {
        config.address.external_ip = Some(outside);
        invites = invites::all(&config, options.server.as_ref());
    }
    let used_up = ended::used_up(&config);
    let is_used_up = |named: &&mut NamedInvite| used_up.contains(&named.counts_as.as_str());
    for named in invites.iter_mut().filter(is_used_up) {
        named.ended.get_or_insert(SecretEnd::QuotaUsed);
    }
    invites
}

/// Why there is none. One with a secret made here would lead to no proxy that knows it.
fn no_secret(basis: Basis, data_dir: &Path) -> String {
    let data_dir = data_dir.display();
    match (basis, service::file()) {
        (Basis::Service(file), _) => {
            let file = file.display();
            format!(
                "{file} gives no --secret, and none is kept in {data_dir}: start the proxy, which \
                 makes one, or add one of `smol-mtproxy secret`"
            )
        }
        (Basis::Given, Some(file)) => {
            let file = file.display();
            format!(
                "these flags give no --secret, and none is kept in {data_dir}: give those of the \
                 running proxy, or none at all for those of {file}"
            )
        }
        (Basis::Given, None) => format!(
            "these flags give no --secret, and none is kept in {data_dir}: give those of the \
             running proxy, and be the user that runs it"
        ),
        (Basis::Defaults, _) => {
            let usual = service::USUAL;
            format!(
                "there is no {usual}, and no secret is kept in {data_dir}: give --config FILE, or \
                 the flags of the running proxy, and be the user that runs it"
            )
        }
    }
}
