//! The socket that `ctl` talks to: one request a line, one answer, then the
//! end. `ok` or `error TEXT` comes first, then the lines that were asked for.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::core::Core;
use super::part::{Doing, Part, Phase};
use super::telegram::TelegramPart;
use crate::cli::callers;
use crate::config::{make_private_dir, shown};
use crate::guard::gate::Gate;
use crate::guard::half_open::HalfOpen;
use crate::guard::table::{Snapshot, Table};
use crate::net::{Listener, Reactor, Socket, Turnstile, unblock};

/// To ask, and to read the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// For a disk to take a table; `ctl` waits a little longer.
const SAVE_LIMIT: Duration = Duration::from_secs(60);

/// For a disk to take the socket's file away.
const REMOVAL: Duration = Duration::from_secs(2);

/// Who connects and has not asked yet; one more, and the oldest of them goes.
const MAX_SILENT: usize = 8;

/// Who has asked, likewise: each may hold the list of a table.
const MAX_ASKERS: usize = 8;

/// Longer than any entry of a table.
const MAX_REQUEST: usize = 1024;

/// The socket, where it is.
pub(super) struct ControlSocket {
    core: Rc<Core>,
    gate: Rc<Gate>,
    /// Not on a front.
    telegram: Option<Rc<TelegramPart>>,
    path: PathBuf,
    /// What tells its file from another one's.
    file: Option<[u64; 4]>,
    listener: Cell<Option<Listener>>,
    /// Of tables.
    saves: Turnstile,
}

impl ControlSocket {
    /// Listens at --control, as whoever the process still is. The proxy does without,
    /// if it must.
    pub(crate) fn bind(
        core: &Rc<Core>,
        gate: &Rc<Gate>,
        telegram: Option<&Rc<TelegramPart>>,
    ) -> Option<Rc<Self>> {
        let path = core.config().process.control.clone();
        match bind(&core.reactor, &path) {
            Ok(listener) => Some(Rc::new(Self {
                core: core.clone(),
                gate: gate.clone(),
                telegram: telegram.cloned(),
                file: identity_of(&path),
                listener: Cell::new(Some(listener)),
                saves: Turnstile::default(),
                path,
            })),
            Err(error) => {
                let path = path.display();
                warn!("no socket for ctl at {path}: {error}; choose another with --control");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The one that was bound, not what has taken its place. After --user it may not
    /// be ours to remove; the next run does.
    async fn remove(&self) {
        let (own, path) = (self.file, self.path.clone());
        let removing = unblock(move || {
            if own.is_some() && identity_of(&path) == own {
                let _ = fs::remove_file(path);
            }
        });
        self.core.reactor.timeout(REMOVAL, removing).await;
    }

    /// Answers several at once: none is in the way of another.
    async fn serve(self: Rc<Self>, listener: Listener) {
        let (silent, askers) = (HalfOpen::new(MAX_SILENT), HalfOpen::new(MAX_ASKERS));
        let control = self.clone();
        let answer = move |socket: Socket| {
            let (control, silent, askers) = (control.clone(), silent.clone(), askers.clone());
            async move {
                let reactor = &control.core.reactor;
                let from = callers::origin_of(&socket);
                let asked = read_line(&socket);
                let asked = callers::seated(reactor, &silent, from, LIMIT, asked).await;
                if let Some(Ok(request)) = asked {
                    let answering = control.answer(&socket, &request);
                    let limit = SAVE_LIMIT + LIMIT;
                    let _ = callers::seated(reactor, &askers, from, limit, answering).await;
                }
            }
        };
        callers::serve(&self.core.executor, &listener, answer).await;
    }

    async fn answer(&self, socket: &Socket, request: &str) -> io::Result<()> {
        let words: Vec<&str> = request.split_whitespace().collect();
        let text = match self.obey(&words).await {
            Ok(lines) => format!("ok\n{lines}"),
            Err(problem) => format!("error {problem}\n"),
        };
        let written = socket.write_all(text.as_bytes());
        let written = self.core.reactor.timeout(LIMIT, written).await;
        written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The lines of the answer, each with its end.
    async fn obey(&self, words: &[&str]) -> Result<String, String> {
        match *words {
            ["secrets"] => Ok(text(self.gate.secrets())),
            ["routes"] => match &self.telegram {
                Some(telegram) => Ok(text(telegram.routes())),
                None => Err("a front has no route to Telegram; ask its back".to_owned()),
            },
            ["table", "list", name] => {
                let entries = self.table(name)?.snapshot();
                Ok(unblock(move || text(entries.list())).await)
            }
            ["table", "save", name] => self.save(&*self.table(name)?).await,
            ["table", action @ ("add" | "del"), name, entry] => {
                let table = self.table(name)?;
                let changed = match action {
                    "add" => table.add(entry).map_err(|error| error.to_string())?,
                    _ => table.remove(entry),
                };
                if changed {
                    info!("ctl: table {action} {name} {}", shown(entry));
                }
                let outcome = if changed { "changed\n" } else { "unchanged\n" };
                Ok(outcome.to_owned())
            }
            _ => Err("unknown request: is ctl of another version?".to_owned()),
        }
    }

    fn table(&self, name: &str) -> Result<Rc<Table>, String> {
        let table = self.gate.table(name);
        table.ok_or_else(|| format!("there is no table {name}; start with --table {name}=FILE"))
    }

    /// Answers when the file is as the table was at its turn.
    async fn save(&self, table: &Table) -> Result<String, String> {
        let saving = self.saves.run(|| {
            let entries: Snapshot = table.snapshot();
            Some(move || entries.save())
        });
        match self.core.reactor.timeout(SAVE_LIMIT, saving).await {
            Some(Some(Err(error))) => Err(error.to_string()),
            Some(_) => {
                table.is_saved();
                Ok(String::new())
            }
            None => Err(format!(
                "table {} is not written after {}s, but may still be: is its disk busy or gone?",
                table.name,
                SAVE_LIMIT.as_secs()
            )),
        }
    }
}

impl Part for ControlSocket {
    fn start(self: Rc<Self>, core: &Core) {
        if let Some(listener) = self.listener.take() {
            core.spawn(self.serve(listener));
        }
    }

    fn stop(&self, phase: Phase) -> Option<Doing<'_>> {
        match phase {
            Phase::Leave => Some(Box::pin(self.remove())),
            _ => None,
        }
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

async fn read_line(socket: &Socket) -> io::Result<String> {
    let line = callers::read_request(socket, b"\n", MAX_REQUEST).await?;
    let line = line.ok_or(io::ErrorKind::InvalidData)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn text(lines: Vec<String>) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + line + "\n")
}
