//! `ctl`: asks the running proxy, over its control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::api_token;
use super::commands::Ctl;
use super::exit::Exit;
use super::service::Basis;
use super::{complain, print};
use crate::config::{Config, DataDir};
use crate::control::{Form, LINES, MAX_CLIENTS, Request, Which};
use crate::http::phrase;
use crate::log::one_line;
use crate::wire::http;
use crate::wire::json::Json;

/// A running proxy answers at once; only a save waits for the disk, for a minute at
/// most.
const LIMIT: Duration = Duration::from_secs(10);
const SAVE_LIMIT: Duration = Duration::from_secs(70);

/// Longer than the longest table, whose entries may be short.
const MAX_ANSWER: u64 = 32 << 20;

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
        Err(error) => complain(
            exit_of(&error),
            cannot_reach(&config.process.control, &error, basis),
        ),
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

/// What the proxy has against a request.
struct Refusal {
    status: u16,
    /// One line for people, or an object for programs.
    body: String,
    form: Form,
}

impl Refusal {
    fn with_change_kept(mut self) -> Self {
        if self.form == Form::Lines {
            let kept = "the running proxy has the change until it reads the file again";
            self.body = format!("{}; {kept}", self.body.trim_end());
        }
        self
    }

    fn tell(self) -> Exit {
        if self.form == Form::Lines {
            return complain(Exit::Unavailable, self.body.trim_end());
        }
        let (status, words) = (self.status, phrase(self.status));
        let printed = print(&self.body);
        match printed {
            Exit::Ok => complain(
                Exit::Unavailable,
                format_args!("the proxy answers {status} {words}, which is on stdout"),
            ),
            failed => failed,
        }
    }
}

/// The body of the answer, or what the proxy has against it.
fn ask(path: &Path, request: &Request, form: Form) -> io::Result<Result<String, Refusal>> {
    let mut stream = UnixStream::connect(path)?;
    let limit = match request {
        Request::Save(_) => SAVE_LIMIT,
        _ => LIMIT,
    };
    stream.set_read_timeout(Some(limit))?;
    let (method, target) = request.call();
    let accept = match form {
        Form::Json => "application/json",
        Form::Lines => LINES,
    };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut received = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut received)?;
    let answer = match http::Answer::parse(&received, true) {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(_) if received.is_empty() => {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(None) | Err(_) => return Err(io::Error::other("what answers there is no proxy")),
    };
    // Whoever has the socket may not be who we think it is.
    let body = String::from_utf8_lossy(&answer.body);
    let lines = body.lines().map(|line| one_line(line.to_owned()) + "\n");
    let body = lines.collect();
    Ok(match answer.status {
        200 => Ok(body),
        status => Err(Refusal { status, body, form }),
    })
}

fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Unavailable,
    }
}

fn cannot_reach(path: &Path, error: &io::Error, basis: Basis) -> String {
    let way_out = match (error.kind(), basis) {
        (io::ErrorKind::PermissionDenied, _) => {
            "be the user that runs the proxy, or try `sudo smol-mtproxy ctl …`"
        }
        (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, Basis::Service(_)) => {
            "the proxy does not run, or runs with other flags: give ctl its --control or --data-dir"
        }
        (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _) => {
            "the proxy does not run, or keeps its socket elsewhere: give ctl its --config, \
             --control or --data-dir"
        }
        _ => "is it the socket of a running proxy? Give ctl its --config, --control or --data-dir",
    };
    format!("cannot reach {}: {error}; {way_out}", path.display())
}
