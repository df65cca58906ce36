use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use super::{Reactor, Socket};

/// The kernel's groups of news about addresses, IPv4's and IPv6's
/// (`RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`).
const GROUPS: u32 = 0x10 | 0x100;

/// Hears from the kernel when an address of this machine comes or goes. What
/// exactly is not read: whoever hears it looks for himself.
pub(crate) struct AddressWatch(Socket);

impl AddressWatch {
    pub(crate) fn new(reactor: &Rc<Reactor>) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // The first of netlink's protocols is that of routes and addresses.
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&fd, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self(Socket::new(reactor, fd)?))
    }

    /// Completes after the next change; never, if the kernel tells no more.
    pub(crate) async fn changed(&self) {
        poll_fn(|cx| self.poll_changed(cx)).await;
    }

    fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut has_changed = false;
        loop {
            if has_changed && self.0.poll_readable(cx).is_pending() {
                return Poll::Ready(());
            }
            ready!(self.0.poll_readable(cx));
            match recv(&self.0, &mut [0; 64], RecvFlags::empty()) {
                // More was to be told than it had room for.
                Ok(_) | Err(Errno::NOBUFS) => has_changed = true,
                Err(Errno::INTR) => {}
                Err(_) => self.0.not_readable(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::Executor;

    #[test]
    fn nothing_is_heard_while_nothing_changes() {
        let reactor = Reactor::new().unwrap();
        let Ok(watch) = AddressWatch::new(&reactor) else {
            return;
        };
        reactor.block_on(&Executor::default(), async {
            let limit = Duration::from_millis(20);
            // Other programs of this machine may change something once.
            let changes = async {
                for _ in 0..100 {
                    watch.changed().await;
                }
            };
            assert!(reactor.timeout(limit, changes).await.is_none());
        });
    }
}
