use std::io::IsTerminal;
use std::time::Duration;

use super::commands::Link;
use super::exit::Exit;
use super::json::Json;
use super::within::within;
use super::{complain, links, print};
use crate::config::{Config, OwnSecret, Role};
use crate::telegram::directory::ask_services;

/// How long a person waits to be told the address outside.
const PATIENCE: Duration = Duration::from_secs(10);

/// Prints the links of every secret.
pub(super) fn run(options: &Link, mut config: Config) -> Exit {
    if config.role == Role::Back {
        return complain(
            Exit::Usage,
            "a back has no clients and so no links; run this with the config of its front",
        );
    }
    if config.own_secret == Some(OwnSecret::ThisRunOnly) {
        return complain(
            Exit::CannotCreate,
            format_args!(
                "there is no secret, and {} cannot be written to keep one; give --secret, or be \
                 the user that runs the proxy",
                config.data_dir.display()
            ),
        );
    }
    if let Some(sni) = &options.sni {
        if !config.tls_domains.is_empty() && !config.tls_domains.contains(sni) {
            eprintln!(
                "smol-mtproxy: {sni} is not in --tls-domain: add it, or these links do not work"
            );
        }
        config = links::for_sni(config, sni);
    }
    let mut links = links::all(&config, options.server.as_deref());
    if links.iter().any(|link| link.is_behind_nat())
        && let Some(Some(outside)) = within(PATIENCE, ask_services)
    {
        config.external_ip = Some(outside);
        links = links::all(&config, options.server.as_deref());
    }
    let warning = links::warning(&links);
    let exit = match links.is_empty() {
        true => Exit::Unavailable,
        false => Exit::Ok,
    };
    if options.json {
        let list = links.iter().map(links::NamedLink::json).collect();
        let mut object = vec![("links", Json::List(list))];
        object.extend(warning.map(|text| ("warning", Json::Text(text))));
        return print(&format!("{}\n", Json::Object(object))).or(exit);
    }
    let colours = std::io::stdout().is_terminal();
    let shown: Vec<_> = links
        .iter()
        .map(|link| link.show(!options.no_qr, colours))
        .collect();
    if let Some(warning) = warning {
        eprintln!("smol-mtproxy: {warning}");
    }
    print(&shown.join("\n")).or(exit)
}
