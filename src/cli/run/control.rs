//! The socket that `ctl` talks to, and any program of this machine: HTTP/1.1 with JSON
//! (`doc/api.md`). What can be asked is in [`crate::control`].

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
use super::rooms::Rooms;
use super::users::Desk;
use crate::cli::callers;
use crate::config::make_private_dir;
use crate::control::{Control, Form, Parts, Problem, Reply, Request, SAVE_LIMIT, UserDesk};
use crate::guard::half_open::{HalfOpen, Origin};
use crate::http::{Connection, Exchange, HttpContext, Incoming, Next};
use crate::net::{Listener, Reactor, Socket, unblock};
use crate::wire::http::RequestHead;

/// To ask, and to read the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// For a disk to take the socket's file away.
const REMOVAL: Duration = Duration::from_secs(2);

/// Who is connected and has not asked; one more, and the oldest of them goes.
const MAX_SILENT: usize = 8;

/// Who has asked, likewise: each may hold the list of a table.
const MAX_ASKERS: usize = 8;

/// The socket, where it is.
pub(super) struct ControlSocket {
    core: Rc<Core>,
    control: Rc<Control>,
    http: Rc<HttpContext>,
    path: PathBuf,
    /// What tells its file from another one's.
    file: Option<[u64; 4]>,
    listener: Cell<Option<Listener>>,
    silent: Rc<HalfOpen>,
    askers: Rc<HalfOpen>,
}

impl ControlSocket {
    /// Listens at --control, as whoever the process still is. The proxy does without,
    /// if it must.
    pub(crate) fn bind(core: &Rc<Core>, rooms: &Rooms, users: &Rc<Desk>) -> Option<Rc<Self>> {
        let path = core.config().process.control.clone();
        match bind(&core.reactor, &path) {
            Ok(listener) => Some(Rc::new(Self {
                core: core.clone(),
                control: Control::new(parts(core, rooms, users)),
                http: Rc::new(HttpContext {
                    reactor: core.reactor.clone(),
                    scratch: core.scratch.clone(),
                    buffers: core.buffers.clone(),
                    long_heads: Rc::default(),
                }),
                file: identity_of(&path),
                listener: Cell::new(Some(listener)),
                silent: HalfOpen::new(MAX_SILENT),
                askers: HalfOpen::new(MAX_ASKERS),
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
        let socket = self.clone();
        let answer = move |caller: Socket| socket.clone().converse(caller);
        callers::serve(&self.core.executor, &listener, answer).await;
    }

    async fn converse(self: Rc<Self>, caller: Socket) {
        let from = callers::origin_of(&caller);
        let connection = Rc::new(Connection::plain(caller));
        let mut exchange = Exchange::new(&self.http, connection, Vec::new());
        if self.answer_all(&mut exchange, from).await.is_some() {
            self.core.reactor.timeout(LIMIT, exchange.finish()).await;
        }
    }

    /// `None`: the caller is gone, or has to go.
    async fn answer_all(&self, exchange: &mut Exchange, from: Origin) -> Option<()> {
        let reactor = &self.core.reactor;
        loop {
            let asking = exchange.next();
            match callers::seated(reactor, &self.silent, from, LIMIT, asking).await? {
                Incoming::Request(head) => {
                    let answering = self.answer(exchange, &head);
                    let limit = SAVE_LIMIT + LIMIT;
                    let answered = callers::seated(reactor, &self.askers, from, limit, answering);
                    if answered.await?.ok()? == Next::Close {
                        return Some(());
                    }
                }
                Incoming::Unparsable => {
                    let Reply {
                        content_type, body, ..
                    } = Reply::problem(&Problem::NoRequest, Form::Json);
                    let fields = [("Content-Type", content_type)];
                    let refusing = exchange.refuse(&fields, body.as_bytes());
                    return reactor.timeout(LIMIT, refusing).await?.ok();
                }
                Incoming::End => return None,
            }
        }
    }

    async fn answer(&self, exchange: &mut Exchange, head: &RequestHead) -> io::Result<Next> {
        let form = Form::accepted(head.fields().only("accept"));
        let request = Request::parse(head.method(), head.target());
        let reply = self.control.reply(request, form).await;
        let mut fields = vec![
            ("Content-Type", reply.content_type),
            ("Cache-Control", "no-store"),
        ];
        if let Some(methods) = &reply.allow {
            fields.push(("Allow", methods));
        }
        let answering = exchange.answer(head, reply.status, &fields, reply.body.as_bytes());
        let answered = self.core.reactor.timeout(LIMIT, answering).await;
        answered.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn parts(core: &Rc<Core>, rooms: &Rooms, users: &Rc<Desk>) -> Parts {
    let of_config = core.clone();
    let users: Rc<dyn UserDesk> = Rc::new(users.clone());
    Parts {
        reactor: core.reactor.clone(),
        metrics: core.metrics.clone(),
        buffers: core.buffers.clone(),
        gate: rooms.gate().clone(),
        clients: rooms.clients().map(|clients| clients.context().clone()),
        telegram: rooms.telegram().map(|telegram| telegram.telegram().clone()),
        link: rooms.link_end(),
        users: rooms.clients().map(|_| users),
        last_reload: core.last_reload.clone(),
        config: Box::new(move || of_config.config()),
    }
}

impl Part for ControlSocket {
    fn start(self: Rc<Self>, core: &Core) {
        let control = self.control.clone();
        core.spawn(async move { control.run().await });
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
