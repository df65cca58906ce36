use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::net::{Reactor, Socket};

/// Bytes that one read takes: more than wait at most, as each takes hundreds of the
/// kernel's memory for the socket.
const MAX_READ: usize = 512;

/// SIGHUPs as bytes that wait to be read. Whoever starts the proxy may ask for a
/// reload before it has read its config, and shall not end it.
pub(in crate::cli) struct Hangups(UnixStream);

impl Hangups {
    /// From here on; those that come before they are waited for are one.
    pub(super) fn catch() -> io::Result<Self> {
        caught(&[SIGHUP]).map(Self)
    }
}

/// Signals as sockets: a byte arrives for each.
pub(super) struct Signals {
    stop: Socket,
    reload: Socket,
}

impl Signals {
    /// Until then SIGTERM and SIGINT end the process: a start may hang.
    pub(crate) fn new(reactor: &Rc<Reactor>, hangups: Hangups) -> io::Result<Self> {
        let socket = |bytes| Socket::new(reactor, OwnedFd::from(bytes));
        Ok(Self {
            stop: socket(caught(&[SIGTERM, SIGINT])?)?,
            reload: socket(hangups.0)?,
        })
    }

    /// Completes at SIGTERM or SIGINT.
    pub(crate) async fn stop(&self) {
        wait(&self.stop).await;
    }

    /// Completes at SIGHUP.
    pub(crate) async fn reload(&self) {
        wait(&self.reload).await;
    }
}

fn caught(signals: &[i32]) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, theirs.try_clone()?)?;
    }
    ours.set_nonblocking(true)?;
    Ok(ours)
}

async fn wait(socket: &Socket) {
    let mut bytes = [0; MAX_READ];
    // The other end is held by the signal handler for ever: no error, no end.
    let _ = socket.read(&mut bytes).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use signal_hook::low_level::raise;

    use super::*;
    use crate::net::Executor;

    #[test]
    fn hangups_before_they_are_waited_for_are_one() {
        let hangups = Hangups::catch().unwrap();
        for _ in 0..1000 {
            raise(SIGHUP).unwrap();
        }
        let reactor = Reactor::new().unwrap();
        let socket = Socket::new(&reactor, OwnedFd::from(hangups.0)).unwrap();
        let soon = |millis| reactor.timeout(Duration::from_millis(millis), wait(&socket));
        reactor.block_on(&Executor::default(), async {
            assert!(soon(30_000).await.is_some());
            assert!(soon(20).await.is_none());
            raise(SIGHUP).unwrap();
            assert!(soon(30_000).await.is_some());
        });
    }
}
