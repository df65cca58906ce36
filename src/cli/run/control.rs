//! The socket that `ctl` talks to: one request a line, one answer, then the
//! end. `ok` or `error TEXT` comes first, then the lines that were asked for.

use std::fs;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::Mode;

use super::server::Server;
use crate::config::make_private_dir;
use crate::guard::table::Table;
use crate::net::{Listener, Reactor, Socket};

const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Longer than any entry of a table.
const MAX_REQUEST: usize = 1024;

/// Listens at --control, as whoever the process still is. The proxy does without,
/// if it must.
pub(super) fn start(server: &Rc<Server>) {
    let path = &server.config.borrow().control;
    match bind(&server.reactor, path) {
        Ok(listener) => {
            let _ = server.control.set(path.clone());
            server.spawn(serve(server.clone(), listener));
        }
        Err(error) => {
            let path = path.display();
            warn!("no socket for ctl at {path}: {error}; choose another with --control");
        }
    }
}

/// The one that was bound, not that of another process. After --user it may not
/// be ours to remove; the next run does.
pub(super) fn remove(server: &Server) {
    if let Some(path) = server.control.get() {
        let _ = fs::remove_file(path);
    }
}

/// Listens there, readable for this user alone. A socket that a dead process
/// left is replaced, a living one's is not.
fn bind(reactor: &Rc<Reactor>, path: &Path) -> io::Result<Listener> {
    if let Some(folder) = path.parent() {
        make_private_dir(folder)?;
    }
    if UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // From its first moment; nothing else runs yet that could make files.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(umask);
    Listener::from_unix(reactor, bound?)
}

/// Answers one request at a time.
async fn serve(server: Rc<Server>, listener: Listener) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let answering = answer(&server, &socket);
                let _ = server.reactor.timeout(REQUEST_LIMIT, answering).await;
            }
            Err(_) => server.reactor.sleep(REQUEST_LIMIT).await,
        }
    }
}

async fn answer(server: &Server, socket: &Socket) -> io::Result<()> {
    let request = read_line(socket).await?;
    let words: Vec<&str> = request.split_whitespace().collect();
    let text = match obey(server, &words) {
        Ok(lines) => lines
            .iter()
            .fold("ok\n".to_owned(), |text, line| text + line + "\n"),
        Err(problem) => format!("error {problem}\n"),
    };
    socket.write_all(text.as_bytes()).await
}

async fn read_line(socket: &Socket) -> io::Result<String> {
    let mut line = Vec::new();
    let mut buffer = [0; 256];
    while !line.contains(&b'\n') {
        let read = socket.read(&mut buffer).await?;
        line.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if read == 0 || line.len() > MAX_REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn obey(server: &Server, words: &[&str]) -> Result<Vec<String>, String> {
    match *words {
        ["secrets"] => Ok(server.gate.secrets()),
        ["table", "list", name] => Ok(table(server, name)?.list()),
        ["table", "save", name] => save(&*table(server, name)?),
        ["table", action @ ("add" | "del"), name, entry] => {
            let table = table(server, name)?;
            let changed = match action {
                "add" => table.add(entry).map_err(|error| error.to_string())?,
                _ => table.remove(entry),
            };
            if changed {
                info!("ctl: table {action} {name} {entry}");
            }
            Ok(vec![
                if changed { "changed" } else { "unchanged" }.to_owned(),
            ])
        }
        _ => Err("unknown request: is ctl of another version?".to_owned()),
    }
}

fn table(server: &Server, name: &str) -> Result<Rc<Table>, String> {
    let table = server.gate.table(name);
    table.ok_or_else(|| format!("there is no table {name}; start with --table {name}=FILE"))
}

fn save(table: &Table) -> Result<Vec<String>, String> {
    table.save().map_err(|error| error.to_string())?;
    Ok(Vec::new())
}
