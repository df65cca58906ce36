//! `ctl`: asks the running proxy, over its control socket.

mod routes;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::commands::Ctl;
use super::exit::Exit;
use super::json::Json;
use super::service::Basis;
use super::{complain, print};
use crate::config::Config;
use crate::log::one_line;

/// A running proxy answers at once; only a save waits for the disk, for a minute at
/// most.
const LIMIT: Duration = Duration::from_secs(10);
const SAVE_LIMIT: Duration = Duration::from_secs(70);

const USAGE: &str = "ctl takes: table add NAME ENTRY, table del NAME ENTRY, table list NAME, \
     table save NAME, secrets or routes";

/// Talks to the proxy that runs with this config.
pub(super) fn run(options: &Ctl, config: &Config, basis: Basis) -> Exit {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let plain = |word: &&str| word.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if !words.iter().all(plain) {
        return complain(Exit::Usage, "a name or an entry holds no blanks");
    }
    let save = match *words.as_slice() {
        ["table", "add" | "del", name, _] => options.save.then_some(name),
        ["table", "list" | "save", _] | ["secrets" | "routes"] if !options.save => None,
        _ => return complain(Exit::Usage, USAGE),
    };
    let mut answer = ask(&config.process.control, &words);
    if let (Ok(Ok(_)), Some(name)) = (&answer, save) {
        let saved = ask(&config.process.control, &["table", "save", name]);
        match saved {
            Ok(Ok(_)) => {}
            Ok(Err(problem)) => {
                let kept = "the running proxy has the change until it reads the file again";
                answer = Ok(Err(format!("{problem}; {kept}")));
            }
            Err(_) => answer = saved,
        }
    }
    match answer {
        Ok(Ok(lines)) => show(options, &words, lines),
        Ok(Err(problem)) => complain(Exit::Unavailable, problem),
        Err(error) => complain(
            exit_of(&error),
            cannot_reach(&config.process.control, &error, basis),
        ),
    }
}

/// The lines of the answer, or what the proxy has against it.
fn ask(path: &Path, words: &[&str]) -> io::Result<Result<Vec<String>, String>> {
    let mut stream = UnixStream::connect(path)?;
    let limit = match words {
        ["table", "save", _] => SAVE_LIMIT,
        _ => LIMIT,
    };
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(format!("{}\n", words.join(" ")).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    // Whoever has the socket may not be who we think it is.
    let mut lines = answer.lines().map(|line| one_line(line.to_owned()));
    match lines.next() {
        Some(first) if first == "ok" => Ok(Ok(lines.collect())),
        Some(first) => Ok(Err(first.trim_start_matches("error ").to_owned())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn show(options: &Ctl, words: &[&str], lines: Vec<String>) -> Exit {
    if !options.json {
        if let ["routes"] = words {
            return print(&routes::table(&lines));
        }
        return print(
            &lines
                .iter()
                .map(|line| format!("{line}\n"))
                .collect::<String>(),
        );
    }
    let object = match words {
        ["table", "list", _] => vec![(
            "entries",
            Json::List(lines.into_iter().map(Json::Text).collect()),
        )],
        ["secrets"] => vec![(
            "secrets",
            Json::List(lines.iter().map(|line| secret(line)).collect()),
        )],
        ["routes"] => vec![(
            "routes",
            Json::List(lines.iter().map(|line| routes::json(line)).collect()),
        )],
        ["table", "save", _] => vec![("saved", Json::Bool(true))],
        _ => vec![(
            "changed",
            Json::Bool(lines.iter().any(|line| line == "changed")),
        )],
    };
    print(&format!("{}\n", Json::Object(object)))
}

/// A line of the answer to `secrets`: `NAME CLIENTS BYTES`.
fn secret(line: &str) -> Json {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Json::Object(vec![
        ("name", Json::from(name)),
        ("clients", Json::Number(number())),
        ("bytes", Json::Number(number())),
    ])
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
