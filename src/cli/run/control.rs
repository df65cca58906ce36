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

use super::conversation::{Answerer, Asked, Conversations, Page};
use super::core::Core;
use super::part::{Doing, Part, Phase};
use super::rooms::Rooms;
use super::users::Desk;
use crate::config::make_private_dir;
use crate::control::{Control, Form, Parts, Problem, Reply, Request, SAVE_LIMIT, UserDesk};
use crate::net::{Listener, Reactor, unblock};

/// For a disk to take the socket's file away.
const REMOVAL: Duration = Duration::from_secs(2);

/// The socket, where it is.
pub(super) struct ControlSocket {
    core: Rc<Core>,
    control: Rc<Control>,
    path: PathBuf,
    /// What tells its file from another one's.
    file: Option<[u64; 4]>,
    listener: Cell<Option<Listener>>,
}

/// Answers whoever can open the socket.
struct Owner(Rc<Control>);

impl ControlSocket {
    /// Listens at --control, as whoever the process still is. The proxy does without,
    /// if it must.
    pub(crate) fn bind(core: &Rc<Core>, control: &Rc<Control>) -> Option<Rc<Self>> {
        let path = core.config().process.control.clone();
        match bind(&core.reactor, &path) {
            Ok(listener) => Some(Rc::new(Self {
                core: core.clone(),
                control: control.clone(),
                file: identity_of(&path),
                listener: Cell::new(Some(listener)),
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
}

impl Answerer for Owner {
    const LIMIT: Duration = SAVE_LIMIT;

    async fn answer(&self, asked: Asked<'_>) -> Page {
        let head = asked.head;
        let form = Form::accepted(head.fields().only("accept"));
        let request = Request::parse(head.method(), head.target());
        Page::from(self.0.reply(request, form).await)
    }

    fn no_request(&self) -> Page {
        Page::from(Reply::problem(&Problem::NoRequest, Form::Json))
    }
}

impl From<Reply> for Page {
    fn from(reply: Reply) -> Self {
        let allow = reply.allow.map(|methods| ("Allow", methods.into()));
        Self {
            status: reply.status,
            content_type: reply.content_type,
            fields: allow.into_iter().collect(),
            body: reply.body.into(),
        }
    }
}

/// What answers, for every door.
pub(super) fn control(core: &Rc<Core>, rooms: &Rooms, users: &Rc<Desk>) -> Rc<Control> {
    let of_config = core.clone();
    let users: Rc<dyn UserDesk> = Rc::new(users.clone());
    Control::new(Parts {
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
    })
}

impl Part for ControlSocket {
    fn start(self: Rc<Self>, core: &Core) {
        if let Some(listener) = self.listener.take() {
            let owner = Rc::new(Owner(self.control.clone()));
            core.spawn(Conversations::new(core, owner).serve(listener));
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
