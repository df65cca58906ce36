//! `user`: has the running proxy add, change and remove users, and shows their links.

use std::io::IsTerminal;
use std::path::Path;

use super::asking::{Caller, ask};
use super::commands::User;
use super::exit::Exit;
use super::service::Basis;
use super::{complain, print, print_bytes, qr};
use crate::config::{Config, LimitChange, check_user_name, write_whole};
use crate::control::{Form, Request, UserWish, span};

const USAGE: &str = "user takes: add NAME [LIMIT=VALUE …], limit NAME LIMIT=VALUE …, rotate NAME \
     [--keep 7d], del NAME, show NAME or list";

/// What a link begins with where one stands in an answer.
const LINK: &str = "  tg://";

/// Talks to the proxy that runs with this config.
pub(super) fn run(options: &User, config: &Config, basis: Basis) -> Exit {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let request = request(options, &words).and_then(|request| {
        check_flags(options, &request)?;
        Ok(request)
    });
    let request = match request {
        Ok(request) => request,
        Err(usage) => return complain(Exit::Usage, usage),
    };
    let form = match options.json {
        true => Form::Json,
        false => Form::Lines,
    };
    let control = &config.process.control;
    match ask(control, &request, form) {
        Ok(Ok(text)) if options.json => print(&text),
        Ok(Ok(text)) => show(options, &text),
        Ok(Err(refusal)) => refusal.tell(),
        Err(error) => Caller::User.cannot_reach(control, &error, basis),
    }
}

fn request(options: &User, words: &[&str]) -> Result<Request, String> {
    let wish = match *words {
        ["list"] => return Ok(Request::Users),
        ["show", name] => return Ok(Request::User(name.to_owned())),
        ["add", name, ref limits @ ..] => {
            check_user_name(name).map_err(|error| error.to_string())?;
            UserWish::Add {
                name: name.to_owned(),
                limits: limits_in(limits)?,
            }
        }
        ["limit", name, ref limits @ ..] if !limits.is_empty() => UserWish::Limit {
            name: name.to_owned(),
            limits: limits_in(limits)?,
        },
        ["rotate", name] => UserWish::Rotate {
            name: name.to_owned(),
            keep: match options.keep.as_deref().map(span) {
                Some(None) => {
                    return Err("--keep is a time as 7d, 12h or 30m; 366d at most".to_owned());
                }
                keep => keep.flatten(),
            },
        },
        ["del", name] => UserWish::Remove {
            name: name.to_owned(),
        },
        _ => return Err(USAGE.to_owned()),
    };
    Ok(Request::ChangeUser(wish))
}

/// Each a word, or several with commas between them, as in a `--secret`.
fn limits_in(words: &[&str]) -> Result<LimitChange, String> {
    let mut limits = LimitChange::default();
    for word in words.iter().flat_map(|word| word.split(',')) {
        let (option, value) = word.split_once('=').unwrap_or((word, ""));
        let added = limits.add(option, value);
        added.map_err(|error| error.to_string())?;
    }
    Ok(limits)
}

/// No flag is given that says nothing.
fn check_flags(options: &User, request: &Request) -> Result<(), String> {
    let is_rotation = matches!(request, Request::ChangeUser(UserWish::Rotate { .. }));
    if options.keep.is_some() && !is_rotation {
        return Err("--keep goes with rotate".to_owned());
    }
    let has_pictures = options.svg.is_some() || options.png.is_some();
    let has_links = match request {
        Request::User(_) => true,
        Request::ChangeUser(wish) => {
            matches!(wish, UserWish::Add { .. } | UserWish::Rotate { .. })
        }
        _ => false,
    };
    if has_pictures && (!has_links || options.json) {
        return Err("--svg and --png go with add, show and rotate, without --json".to_owned());
    }
    Ok(())
}

/// Prints an answer, with codes below its links, and writes the pictures that are wanted.
fn show(options: &User, text: &str) -> Exit {
    let mut links = text.lines().filter(|line| line.starts_with(LINK));
    let first = links.next().map(str::trim);
    let mut exit = Exit::Ok;
    let mut is_on_stdout = false;
    for (file, draw) in [
        (&options.svg, qr::svg as fn(&qr::Code) -> Vec<u8>),
        (&options.png, qr::png),
    ] {
        let Some(file) = file else { continue };
        let code = first.and_then(|link| qr::encode(link).ok());
        exit = exit.or(match code {
            Some(code) => save(file, &draw(&code)),
            None => complain(
                Exit::Unavailable,
                "there is no link for a code: the proxy does not know its address, or the link is \
                 too long; `user show` without --svg and --png says more",
            ),
        });
        is_on_stdout |= file == "-";
    }
    match is_on_stdout {
        // A picture with lines behind it is none.
        true => exit,
        false => print(&with_codes(text, options.no_qr)).or(exit),
    }
}

fn save(file: &str, picture: &[u8]) -> Exit {
    if file == "-" {
        return print_bytes(picture);
    }
    match write_whole(Path::new(file), picture, 0o600) {
        Ok(()) => Exit::Ok,
        Err(error) => complain(
            Exit::CannotCreate,
            format_args!("cannot write {file}: {error}; name a file in a directory of yours"),
        ),
    }
}

fn with_codes(text: &str, no_qr: bool) -> String {
    let colours = std::io::stdout().is_terminal();
    let (mut shown, mut link) = (String::new(), None);
    for line in text.lines() {
        shown.push_str(line);
        shown.push('\n');
        if line.starts_with(LINK) {
            link = Some(line.trim());
        } else if let Some(link) = link.take()
            && !no_qr
        {
            // The line between is the same link for browsers.
            shown += &qr::render(link, colours, qr::QUIET_ZONE)
                .unwrap_or_else(|_| "  (too long for a QR code)\n".to_owned());
        }
    }
    shown
}
