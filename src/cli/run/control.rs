//! The socket that `ctl` talks to: one request a line, one answer, then the
//! end. `ok` or `error TEXT` comes first, then the lines that were asked for.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::server::Server;
use crate::cli::callers;
use crate::config::make_private_dir;
use crate::guard::half_open::HalfOpen;
use crate::guard::table::{Snapshot, Table};
use crate::net::{Listener, Reactor, Socket, unblock};

/// To ask, and to read the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// For a disk to take a table; `ctl` waits a little longer.
const SAVE_LIMIT: Duration = Duration::from_secs(60);

/// Who connects and has not asked yet; one more, and the oldest of them goes.
const MAX_SILENT: usize = 8;

/// Who has asked, likewise: each may hold the list of a table.
const MAX_ASKERS: usize = 8;

/// Longer than any entry of a table.
const MAX_REQUEST: usize = 1024;

/// Listens at --control, as whoever the process still is. The proxy does without,
/// if it must.
pub(super) fn start(server: &Rc<Server>) {
    let path = &server.config.borrow().process.control;
    match bind(&server.reactor, path) {
        Ok(listener) => {
            let _ = server.control.set(path.clone());
            server.control_file.set(identity_of(path));
            server.spawn(serve(server.clone(), listener));
        }
        Err(error) => {
            let path = path.display();
            warn!("no socket for ctl at {path}: {error}; choose another with --control");
        }
    }
}

/// The one that was bound, not what has taken its place. After --user it may not
/// be ours to remove; the next run does.
pub(super) async fn remove(server: &Server) {
    let own = server.control_file.get();
    if let Some(path) = server.control.get().cloned() {
        let removing = move || {
            if own.is_some() && identity_of(&path) == own {
                let _ = fs::remove_file(path);
            }
        };
        unblock(removing).await;
    }
}

/// What tells the file of this name from a later one: its numbers, which come
/// again, and when it was made.
fn identity_of(path: &Path) -> Option<[u64; 4]> {
    let found = fs::symlink_metadata(path).ok()?;
    let (seconds, nanos) = (found.mtime() as u64, found.mtime_nsec() as u64);
    Some([found.dev(), found.ino(), seconds, nanos])
}

/// Listens there, readable for this user alone. A socket that a dead process
/// left is replaced, a living one's is not.
fn bind(reactor: &Rc<Reactor>, path: &Path) -> io::Result<Listener> {
    if let Some(folder) = path.parent() {
        make_private_dir(folder)?;
    }
    if is_taken(path)? {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("there is a file that is no socket"));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    // From its first moment; nothing else runs yet that could make files.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(umask);
    Listener::from_unix(reactor, bound?)
}

/// Whether somebody listens there; without waiting for one who takes nobody.
fn is_taken(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let connected = rustix::net::connect(&socket, &SocketAddrUnix::new(path)?);
    Ok(matches!(connected, Ok(()) | Err(Errno::AGAIN)))
}

/// Answers several at once: none is in the way of another.
async fn serve(server: Rc<Server>, listener: Listener) {
    let (silent, askers) = (HalfOpen::new(MAX_SILENT), HalfOpen::new(MAX_ASKERS));
    let serving = server.clone();
    let answer = move |socket: Socket| {
        let (server, silent, askers) = (serving.clone(), silent.clone(), askers.clone());
        async move {
            let reactor = &server.reactor;
            let from = callers::origin_of(&socket);
            let asked = callers::seated(reactor, &silent, from, LIMIT, read_line(&socket)).await;
            if let Some(Ok(request)) = asked {
                let answering = answer(&server, &socket, &request);
                let limit = SAVE_LIMIT + LIMIT;
                let _ = callers::seated(reactor, &askers, from, limit, answering).await;
            }
        }
    };
    callers::serve(&server.executor, &listener, answer).await;
}

async fn answer(server: &Server, socket: &Socket, request: &str) -> io::Result<()> {
    let words: Vec<&str> = request.split_whitespace().collect();
    let text = match obey(server, &words).await {
        Ok(lines) => format!("ok\n{lines}"),
        Err(problem) => format!("error {problem}\n"),
    };
    let written = socket.write_all(text.as_bytes());
    let written = server.reactor.timeout(LIMIT, written).await;
    written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

async fn read_line(socket: &Socket) -> io::Result<String> {
    let line = callers::read_request(socket, b"\n", MAX_REQUEST).await?;
    let line = line.ok_or(io::ErrorKind::InvalidData)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The lines of the answer, each with its end.
async fn obey(server: &Server, words: &[&str]) -> Result<String, String> {
    match *words {
        ["secrets"] => Ok(text(server.gate.secrets())),
        ["table", "list", name] => {
            let entries = table(server, name)?.snapshot();
            Ok(unblock(move || text(entries.list())).await)
        }
        ["table", "save", name] => save(server, &*table(server, name)?).await,
        ["table", action @ ("add" | "del"), name, entry] => {
            let table = table(server, name)?;
            let changed = match action {
                "add" => table.add(entry).map_err(|error| error.to_string())?,
                _ => table.remove(entry),
            };
            if changed {
                info!("ctl: table {action} {name} {entry}");
            }
            let outcome = if changed { "changed\n" } else { "unchanged\n" };
            Ok(outcome.to_owned())
        }
        _ => Err("unknown request: is ctl of another version?".to_owned()),
    }
}

fn table(server: &Server, name: &str) -> Result<Rc<Table>, String> {
    let table = server.gate.table(name);
    table.ok_or_else(|| format!("there is no table {name}; start with --table {name}=FILE"))
}

fn text(lines: Vec<String>) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + line + "\n")
}

/// Answers when the file is as the table was at its turn.
async fn save(server: &Server, table: &Table) -> Result<String, String> {
    let saving = server.saves.run(|| {
        let entries: Snapshot = table.snapshot();
        Some(move || entries.save())
    });
    match server.reactor.timeout(SAVE_LIMIT, saving).await {
        Some(Some(Err(error))) => Err(error.to_string()),
        Some(_) => {
            table.is_saved();
            Ok(String::new())
        }
        None => Err(format!(
            "table {} is not written after {SAVE_LIMIT:?}, but may still be: is its disk busy or gone?",
            table.name
        )),
    }
}
