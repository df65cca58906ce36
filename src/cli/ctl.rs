//! `ctl`: asks the running proxy, over its control socket.

use super::api_token;
use super::asking::{Caller, ask};
use super::commands::Ctl;
use super::exit::Exit;
use super::service::Basis;
use super::{complain, print};
use crate::config::{Config, DataDir};
use crate::control::{Form, MAX_CLIENTS, Request, Which};
use crate::wire::json::Json;

const USAGE: &str = "ctl takes: status, clients [SECRET], secrets, dcs, links, routes, table, \
     table list NAME, table add NAME ENTRY, table del NAME ENTRY, table save NAME or token";

/// Talks to the proxy that runs with this config.
pub(super) fn run(options: &Ctl, config: &Config, basis: Basis) -> Exit {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let plain = |word: &&str| word.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if !words.iter().all(plain) {
        return complain(Exit::Usage, "a name or an entry holds no blanks");
    }
    if words == ["token"] && !options.save && !options.full && options.limit.is_none() {
        return token(config, options.json);
    }
    let request = match request(options, &words) {
        Ok(request) => request,
        Err(usage) => return complain(Exit::Usage, usage),
    };
    let form = match options.json {
        true => Form::Json,
        false => Form::Lines,
    };
    let mut answer = ask(&config.process.control, &request, form);
    if let (Ok(Ok(_)), Some(save)) = (&answer, saving(options, &request)) {
        let saved = ask(&config.process.control, &save, form);
        match saved {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => answer = Ok(Err(refusal.with_change_kept())),
            Err(_) => answer = saved,
        }
    }
    match answer {
        Ok(Ok(text)) => print(&text),
        Ok(Err(refusal)) => refusal.tell(),
        Err(error) => Caller::Ctl.cannot_reach(&config.process.control, &error, basis),
    }
}

/// What the status page asks for; no proxy has to run.
fn token(config: &Config, as_json: bool) -> Exit {
    match api_token::shown(&DataDir::new(&config.process.data_dir)) {
        Ok(token) if as_json => {
            let object = Json::Object(vec![("token", Json::Text(token))]);
            print(&format!("{object}\n"))
        }
        Ok(token) => print(&format!("{token}\n")),
        Err(fault) if fault.is_permission() => complain(Exit::Permission, fault),
        Err(fault) => complain(Exit::Unavailable, fault),
    }
}

fn request(options: &Ctl, words: &[&str]) -> Result<Request, String> {
    let is_change = matches!(words, ["table", "add" | "del", ..]);
    let is_of_clients = matches!(words, ["clients", ..]);
    if options.save && !is_change {
        return Err("--save goes with table add and table del".to_owned());
    }
    if (options.full || options.limit.is_some()) && !is_of_clients {
        return Err("--full and --limit go with clients".to_owned());
    }
    let owned = |word: &str| word.to_owned();
    Ok(match *words {
        ["status"] => Request::Status,
        ["secrets"] => Request::Secrets,
        ["clients"] => Request::Clients(which(options, None)?),
        ["clients", secret] => Request::Clients(which(options, Some(secret))?),
        ["dcs"] => Request::Dcs,
        ["links"] => Request::Links,
        ["routes"] => Request::Routes,
        ["table"] => Request::Tables,
        ["table", "list", name] => Request::Table(owned(name)),
        ["table", "save", name] => Request::Save(owned(name)),
        ["table", "add", table, entry] => Request::Enter {
            table: owned(table),
            entry: owned(entry),
        },
        ["table", "del", table, entry] => Request::Remove {
            table: owned(table),
            entry: owned(entry),
        },
        _ => return Err(USAGE.to_owned()),
    })
}

fn which(options: &Ctl, secret: Option<&str>) -> Result<Which, String> {
    let usual = Which::default();
    let limit = options.limit.unwrap_or(usual.limit);
    if limit > MAX_CLIENTS {
        return Err(format!("--limit is {MAX_CLIENTS} at most"));
    }
    Ok(Which {
        secret: secret.map(str::to_owned),
        limit,
        is_full: options.full,
        ..usual
    })
}

/// What is asked for behind a change that is to be kept.
fn saving(options: &Ctl, request: &Request) -> Option<Request> {
    match request {
        Request::Enter { table, .. } | Request::Remove { table, .. } if options.save => {
            Some(Request::Save(table.clone()))
        }
        _ => None,
    }
}
