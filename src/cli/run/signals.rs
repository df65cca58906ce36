use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::net::{Reactor, Socket};

/// Signals as sockets: a byte arrives for each.
pub(super) struct Signals {
    stop: Socket,
    reload: Socket,
}

impl Signals {
    pub fn new(reactor: &Rc<Reactor>) -> io::Result<Self> {
        Ok(Self {
            stop: receiver(reactor, &[SIGTERM, SIGINT])?,
            reload: receiver(reactor, &[SIGHUP])?,
        })
    }

    /// Completes at SIGTERM or SIGINT.
    pub async fn stop(&self) {
        wait(&self.stop).await;
    }

    /// Completes at SIGHUP.
    pub async fn reload(&self) {
        wait(&self.reload).await;
    }
}

fn receiver(reactor: &Rc<Reactor>, signals: &[i32]) -> io::Result<Socket> {
    let (ours, theirs) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, theirs.try_clone()?)?;
    }
    ours.set_nonblocking(true)?;
    Socket::new(reactor, OwnedFd::from(ours))
}

async fn wait(socket: &Socket) {
    let mut bytes = [0; 16];
    // The other end is held by the signal handler for ever: no error, no end.
    let _ = socket.read(&mut bytes).await;
}
