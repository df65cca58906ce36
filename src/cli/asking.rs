//! Asks the running proxy, over its control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::exit::Exit;
use super::service::Basis;
use super::{complain, print};
use crate::control::{Form, LINES, Request};
use crate::http::phrase;
use crate::log::one_line;
use crate::wire::http;

/// A running proxy answers at once; only what it writes waits for the disk, for a minute at
/// most.
const LIMIT: Duration = Duration::from_secs(10);
const SAVE_LIMIT: Duration = Duration::from_secs(70);

/// Longer than the longest table, whose entries may be short.
const MAX_ANSWER: u64 = 32 << 20;

/// What the proxy has against a request.
pub(super) struct Refusal {
    status: u16,
    /// One line for people, or an object for programs.
    body: String,
    form: Form,
}

impl Refusal {
    pub(super) fn with_change_kept(mut self) -> Self {
        if self.form == Form::Lines {
            let kept = "the running proxy has the change until it reads the file again";
            self.body = format!("{}; {kept}", self.body.trim_end());
        }
        self
    }

    pub(super) fn tell(self) -> Exit {
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
pub(super) fn ask(
    path: &Path,
    request: &Request,
    form: Form,
) -> io::Result<Result<String, Refusal>> {
    let mut stream = UnixStream::connect(path)?;
    let limit = match request {
        Request::Save(_) | Request::ChangeUser(_) => SAVE_LIMIT,
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

/// The command that asks.
#[derive(Clone, Copy)]
pub(super) enum Caller {
    Ctl,
    User,
}

impl Caller {
    /// Says why the proxy does not answer there, and the way out.
    pub(super) fn cannot_reach(self, path: &Path, error: &io::Error, basis: Basis) -> Exit {
        let name = match self {
            Self::Ctl => "ctl",
            Self::User => "user",
        };
        let way_out = match (error.kind(), basis) {
            (io::ErrorKind::PermissionDenied, _) => {
                format!("be the user that runs the proxy, or try `sudo smol-mtproxy {name} …`")
            }
            (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, Basis::Service(_)) => {
                format!(
                    "the proxy does not run, or runs with other flags: give {name} its --control \
                     or --data-dir"
                )
            }
            (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _) => format!(
                "the proxy does not run, or keeps its socket elsewhere: give {name} its --config, \
                 --control or --data-dir"
            ),
            _ => format!(
                "is it the socket of a running proxy? Give {name} its --config, --control or \
                 --data-dir"
            ),
        };
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Unavailable,
        };
        complain(
            exit,
            format_args!("cannot reach {}: {error}; {way_out}", path.display()),
        )
    }
}
