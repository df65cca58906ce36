use std::io::IsTerminal;

use super::commands::Link;
use super::exit::Exit;
use super::json::Json;
use super::{complain, links, print};
use crate::config::{Config, OwnSecret, Role};
use crate::telegram::directory::ask_services;

/// Prints the links of every secret.
pub(super) fn run(options: &Link, config: &Config) -> Exit {
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
    let mut links = links::all(config, options.server.as_deref());
    if links.iter().any(|link| link.is_behind_nat())
        && let Some(outside) = ask_services()
    {
        let config = Config {
            external_ip: Some(outside),
            ..config.clone()
        };
        links = links::all(&config, options.server.as_deref());
    }
    let warning = links::warning(&links);
    if options.json {
        let list = links.iter().map(links::NamedLink::json).collect();
        let mut object = vec![("links", Json::List(list))];
        object.extend(warning.map(|text| ("warning", Json::Text(text))));
        return print(&format!("{}\n", Json::Object(object)));
    }
    let colours = std::io::stdout().is_terminal();
    let shown: Vec<_> = links
        .iter()
        .map(|link| link.show(!options.no_qr, colours))
        .collect();
    if let Some(warning) = warning {
        eprintln!("smol-mtproxy: {warning}");
    }
    match shown.is_empty() {
        true => Exit::Unavailable,
        false => print(&shown.join("\n")),
    }
}
