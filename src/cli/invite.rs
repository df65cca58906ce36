//! `link`: prints the invites of every secret.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use super::commands::ShowInvites;
use super::ended::{self, SecretEnd};
use super::exit::Exit;
use super::invites::NamedInvite;
use super::service::{self, Basis};
use super::web_invites::{self, NamedWebInvite};
use super::within::within;
use super::{complain, invites, print};
use crate::config::{Config, Role};
use crate::telegram::directory::ask_services;
use crate::wire::json::Json;

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
    let is_there = |name: &String| config.doors.all_secrets().any(|named| named.name == *name);
    if let Some(name) = options.name.as_ref().filter(|name| !is_there(name)) {
        return complain(
            Exit::NoInput,
            format_args!("there is no secret {name}; `link` alone shows all, with their names"),
        );
    }
    let config = match &options.name {
        Some(name) => invites::with_only(config, name),
        None => config,
    };
    let has_host_secret = config.web.hosts.iter().any(|h| !h.secrets.is_empty());
    let has_secret = config.doors.listeners.iter().any(|l| !l.secrets.is_empty());
    if !has_secret && !has_host_secret {
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
    let exit = match invites.are_none() {
        true => Exit::Unavailable,
        false => Exit::Ok,
    };
    if options.json {
        return print(&format!("{}\n", invites.json())).or(exit);
    }
    let colours = std::io::stdout().is_terminal();
    let shown = invites.shown(!options.no_qr, colours);
    for warning in [&invites.warning, &invites.web_warning]
        .into_iter()
        .flatten()
    {
        eprintln!("smol-mtproxy: {warning}");
    }
    print(&shown.join("\n")).or(exit)
}

/// All of a config, with what may be wrong with them.
struct Invites {
    to_listeners: Vec<NamedInvite>,
    to_web_hosts: Vec<NamedWebInvite>,
    warning: Option<String>,
    web_warning: Option<String>,
}

impl Invites {
    fn are_none(&self) -> bool {
        self.to_listeners.is_empty() && self.to_web_hosts.is_empty()
    }

    fn shown(&self, with_qr: bool, colours: bool) -> Vec<String> {
        let to_listeners = self.to_listeners.iter();
        let to_listeners = to_listeners.map(|named| named.show(with_qr, colours));
        let to_web_hosts = self.to_web_hosts.iter();
        let to_web_hosts = to_web_hosts.map(|named| named.show(with_qr, colours));
        to_listeners.chain(to_web_hosts).collect()
    }

    /// Those to WEB hosts stand by themselves: there is no port in them.
    fn json(&self) -> Json {
        let list = self.to_listeners.iter().map(NamedInvite::json).collect();
        let mut object = vec![("links", Json::List(list))];
        let warning = |text: &String| Json::Text(text.clone());
        object.extend(self.warning.as_ref().map(|text| ("warning", warning(text))));
        if !self.to_web_hosts.is_empty() {
            let list = self.to_web_hosts.iter().map(NamedWebInvite::json).collect();
            object.push(("web_links", Json::List(list)));
        }
        let web_warning = self.web_warning.as_ref();
        object.extend(web_warning.map(|text| ("web_warning", warning(text))));
        Json::Object(object)
    }
}

/// Those of `config`, of which warnings are said here.
fn invites_of(options: &ShowInvites, mut config: Config) -> Invites {
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
    let mut web = web_invites::all(&config, options.server.as_ref());
    let used_up = ended::used_up(&config);
    let is_used_up = |counts_as: &str| used_up.contains(&counts_as);
    for named in invites
        .iter_mut()
        .filter(|named| is_used_up(&named.counts_as))
    {
        named.ended.get_or_insert(SecretEnd::QuotaUsed);
    }
    for named in web.iter_mut().filter(|named| is_used_up(&named.counts_as)) {
        named.ended.get_or_insert(SecretEnd::QuotaUsed);
    }
    let has_listeners = !config.doors.listeners.is_empty();
    Invites {
        warning: invites::warning(&invites).filter(|_| has_listeners),
        web_warning: web_invites::warning(&config, options.server.as_ref()),
        to_listeners: invites,
        to_web_hosts: web,
    }
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
