use std::io;
use std::time::Duration;

use rustix::net::{ipproto, sockopt};

use super::Socket;

/// Stands where the kernel notes the CPU that has taken the last segment in.
const NO_CPU: u32 = u32::MAX;

/// Between one probe and the next, and the silence before the first.
const INTERVAL: Duration = Duration::from_secs(2);

/// Unanswered ones after which the kernel gives the connection up: more than it
/// sends while we wait, as an end is for us to decide.
const PROBES: u32 = 30;

/// Whether a peer is still there, by keepalive: its application sees nothing of it.
impl Socket {
    /// Has the kernel ask the peer, again and again until
    /// [`set_keepalive`](Self::set_keepalive). Fails where the kernel cannot ask, or
    /// not tell whether there was an answer.
    ///
    /// It asks nothing while it repeats what the peer has not acknowledged, which
    /// is a question too.
    pub(crate) fn ask_peer(&self) -> io::Result<()> {
        // What comes in for MPTCP is noted elsewhere.
        if sockopt::socket_protocol(self)? != Some(ipproto::TCP) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        sockopt::set_socket_incoming_cpu(self, NO_CPU)?;
        // Or its limit would count instead of the number of probes, from the last
        // sign of life on.
        sockopt::set_tcp_user_timeout(self, 0)?;
        sockopt::set_tcp_keepintvl(self, INTERVAL)?;
        sockopt::set_tcp_keepcnt(self, PROBES)?;
        sockopt::set_socket_keepalive(self, true)?;
        // The last: it begins at once.
        Ok(sockopt::set_tcp_keepidle(self, INTERVAL)?)
    }

    /// Whether anything, be it a bare acknowledgement, has come since then.
    pub(crate) fn has_answered(&self) -> bool {
        sockopt::socket_incoming_cpu(self) != Ok(NO_CPU)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    use rustix::net::{AddressFamily, Protocol, SocketType};

    use super::*;
    use crate::net::{Executor, Reactor};

    /// Both ends, or `None` where the kernel has no such protocol.
    fn pair(reactor: &Rc<Reactor>, protocol: Protocol) -> Option<(Socket, OwnedFd)> {
        let make =
            || rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(protocol)).ok();
        let (listener, client) = (make()?, make()?);
        let address = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        rustix::net::connect(&client, &rustix::net::getsockname(&listener).unwrap()).unwrap();
        let accepted = rustix::net::accept(&listener).unwrap();
        Some((Socket::new(reactor, accepted).unwrap(), client))
    }

    #[test]
    fn whose_answers_the_kernel_does_not_note_is_not_asked() {
        const MPTCP: u32 = 262;
        let reactor = Reactor::new().unwrap();
        let (plain, client) = pair(&reactor, ipproto::TCP).unwrap();
        plain.ask_peer().unwrap();
        rustix::io::write(&client, b"x").unwrap();
        reactor.block_on(&Executor::default(), async {
            for _ in 0..500 {
                if plain.has_answered() {
                    return;
                }
                reactor.sleep(Duration::from_millis(10)).await;
            }
            panic!("nothing was heard");
        });
        let protocol = NonZeroU32::new(MPTCP).map(Protocol::from_raw);
        if let Some((several, _client)) = pair(&reactor, protocol.unwrap()) {
            assert!(several.ask_peer().is_err());
        }
    }
}
