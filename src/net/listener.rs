use std::future::{Future, poll_fn};
use std::io;
#[cfg(feature = "ctl")]
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(feature = "ctl")]
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, ipproto, sockopt};

use super::comfort;
use super::reactor::{Direction, Reactor};
use super::socket::Socket;
use crate::config::{ListenAddress, includes};

/// Connections that the kernel keeps waiting for us.
const BACKLOG: i32 = 1024;

/// Sockets that listen, with where they do.
pub(crate) type Opened = Vec<(ListenAddress, Rc<Listener>)>;

/// A listening stream socket.
pub(crate) struct Listener {
    fd: OwnedFd,
    /// Nowhere in particular, for a Unix socket.
    address: SocketAddr,
    key: usize,
    reactor: Rc<Reactor>,
}

impl Listener {
    /// Binds `address`; an IPv6 address takes IPv6 only, so that both families
    /// can have a listener on one port.
    pub(crate) fn bind(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        let listener = Self::hold(reactor, &ListenAddress::new(address), &[])?;
        listener.listen()?;
        Ok(listener)
    }

    /// Listens at all `places` or, after an error, at none; optional ones may be left
    /// out. One address of a port may be taken while one of `ours` has all addresses of
    /// it, and the other way round. For everybody else the ports stay taken; only
    /// sockets of this user that ask the kernel to share them get through. Those of
    /// `parked` that are asked for are used. An address whose port this process may not
    /// bind is left out if one of `ours` has all addresses of it.
    pub(crate) fn open_all(
        reactor: &Rc<Reactor>,
        places: &[ListenAddress],
        ours: &[Rc<Self>],
        parked: &[Rc<Self>],
    ) -> Result<Opened, (ListenAddress, io::Error)> {
        // A socket that shares its port with all of this user's that say so too
        // does that no longer than it takes.
        let _unshared = Unshared(ours);
        let mut held = Opened::new();
        for place in places {
            let parked = parked.iter().find(|parked| parked.address == place.address);
            let listener = match parked {
                Some(parked) => Ok(parked.clone()),
                None => Self::hold(reactor, place, ours).map(Rc::new),
            };
            match listener {
                Ok(listener) => held.push((*place, listener)),
                Err(error) => match error.kind() {
                    io::ErrorKind::PermissionDenied
                        if ours.iter().any(|own| includes(own.address, place.address)) => {}
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => {
                        return Err((*place, error));
                    }
                    _ if place.optional => {
                        debug!("no IPv6 here: {} is left out ({error})", place.address);
                    }
                    _ => return Err((*place, error)),
                },
            }
        }
        for (_, listener) in &held {
            let beside = ours.iter().filter(|own| own.overlaps(listener.address));
            for own in beside {
                own.share(true);
                listener.share(true);
            }
        }
        for (number, (place, listener)) in held.iter().enumerate() {
            if let Err(error) = listener.listen() {
                for (_, listening) in held.iter().take(number) {
                    listening.park();
                }
                return Err((*place, error));
            }
        }
        for (_, listener) in &held {
            listener.share(false);
        }
        Ok(held)
    }

    /// Binds `address`, for a later [`open_all`](Self::open_all); nobody listens
    /// there.
    pub(crate) fn parked(reactor: &Rc<Reactor>, address: SocketAddr) -> io::Result<Self> {
        Self::hold(reactor, &ListenAddress::new(address), &[])
    }

    /// Binds without listening.
    fn hold(reactor: &Rc<Reactor>, place: &ListenAddress, ours: &[Rc<Self>]) -> io::Result<Self> {
        let address = place.address;
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let fd = rustix::net::socket_with(
            family,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            Some(ipproto::TCP),
        )?;
        comfort::REUSEADDR.tried(sockopt::set_socket_reuseaddr(&fd, true));
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&fd, true)?;
        }
        if place.late {
            let set = match address {
                SocketAddr::V4(_) => sockopt::set_ip_freebind(&fd, true),
                // Older kernels have the other one only, for both families.
                SocketAddr::V6(_) => sockopt::set_ipv6_freebind(&fd, true)
                    .or_else(|_| sockopt::set_ip_freebind(&fd, true)),
            };
            set?;
        }
        let mut bound = rustix::net::bind(&fd, &address);
        if bound == Err(Errno::ADDRINUSE) {
            let beside: Vec<_> = ours.iter().filter(|own| own.overlaps(address)).collect();
            for own in &beside {
                own.share(true);
            }
            if !beside.is_empty() && sockopt::set_socket_reuseport(&fd, true).is_ok() {
                bound = rustix::net::bind(&fd, &address);
            }
        }
        bound?;
        let address = SocketAddr::try_from(rustix::net::getsockname(&fd)?)?;
        let key = reactor.add_source(&fd, EventFlags::IN)?;
        Ok(Self {
            fd,
            address,
            key,
            reactor: reactor.clone(),
        })
    }

    fn listen(&self) -> io::Result<()> {
        Ok(rustix::net::listen(&self.fd, BACKLOG)?)
    }

    /// Listens no more, but holds its port: who connects is refused.
    pub(crate) fn park(&self) {
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Read);
    }

    fn share(&self, shared: bool) {
        // A kernel without it has the port taken.
        let _ = sockopt::set_socket_reuseport(&self.fd, shared);
    }

    fn overlaps(&self, address: SocketAddr) -> bool {
        includes(self.address, address) || includes(address, self.address)
    }

    /// Takes over a Unix socket that listens.
    #[cfg(feature = "ctl")]
    pub(crate) fn from_unix(reactor: &Rc<Reactor>, listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let fd = OwnedFd::from(listener);
        let key = reactor.add_source(&fd, EventFlags::IN)?;
        Ok(Self {
            fd,
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            key,
            reactor: reactor.clone(),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Errors about one connection (it was aborted before
    /// we took it) are passed over; those about this process are returned.
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        let fd = poll_fn(|cx| self.poll_accept(cx)).await?;
        Socket::new(&self.reactor, fd)
    }

    /// Hands every connection to `take`, for ever. Where descriptors or memory of the
    /// kernel ran out, it rests for `pause`, or until what `trouble` gives completes.
    pub(crate) async fn take_all<Relief: Future>(
        &self,
        pause: Duration,
        mut take: impl FnMut(Socket),
        mut trouble: impl FnMut(&io::Error) -> Relief,
    ) {
        loop {
            match self.accept().await {
                Ok(socket) => take(socket),
                Err(error) => {
                    let relief = trouble(&error);
                    self.reactor.timeout(pause, relief).await;
                }
            }
            // A task that had to make way ends before the next one comes.
            smol::future::yield_now().await;
        }
    }

    /// Hands those to `take` whom the kernel has let in.
    pub(crate) fn take_waiting(&self, mut take: impl FnMut(Socket)) {
        for _ in 0..=BACKLOG {
            let Some(socket) = self.accept_waiting() else {
                break;
            };
            take(socket);
        }
    }

    /// The next of those connections that wait.
    fn accept_waiting(&self) -> Option<Socket> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            match rustix::net::accept_with(&self.fd, flags) {
                Ok(fd) => return Socket::new(&self.reactor, fd).ok(),
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        loop {
            ready!(self.reactor.poll_ready(self.key, Direction::Read, cx));
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::accept_with(&self.fd, flags) {
                Ok(fd) => return Poll::Ready(Ok(fd)),
                Err(Errno::AGAIN) => self.reactor.clear_ready(self.key, Direction::Read),
                Err(
                    error @ (Errno::MFILE
                    | Errno::NFILE
                    | Errno::NOBUFS
                    | Errno::NOMEM
                    | Errno::INVAL
                    | Errno::BADF),
                ) => return Poll::Ready(Err(error.into())),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.reactor.remove_source(self.key);
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sockets that share their ports with nobody when this is dropped.
struct Unshared<'a>(&'a [Rc<Listener>]);

impl Drop for Unshared<'_> {
    fn drop(&mut self) {
        for listener in self.0 {
            listener.share(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::Executor;

    /// A port of loopback, and all addresses with it.
    fn free_places(loopback: &str, all: &str) -> [ListenAddress; 2] {
        let probe = TcpListener::bind((loopback, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        [loopback, all]
            .map(|ip| ListenAddress::new((ip.parse::<std::net::IpAddr>().unwrap(), port).into()))
    }

    fn open(
        reactor: &Rc<Reactor>,
        places: &[ListenAddress],
        ours: &[Rc<Listener>],
    ) -> Result<Rc<Listener>, (ListenAddress, io::Error)> {
        let opened = Listener::open_all(reactor, places, ours, &[])?;
        Ok(opened.into_iter().next().unwrap().1)
    }

    #[test]
    fn one_address_and_all_share_a_port_in_this_process_alone() {
        let reactor = Reactor::new().unwrap();
        let families = [("127.0.0.1", "0.0.0.0"), ("::1", "::")];
        for [one, all] in families.map(|(one, all)| free_places(one, all)) {
            for (first, second) in [(one, all), (all, one)] {
                let first = open(&reactor, &[first], &[]).unwrap();
                let taken = |ours: &[Rc<Listener>]| {
                    let error = open(&reactor, &[second], ours).map(drop).unwrap_err();
                    assert_eq!(error.1.kind(), io::ErrorKind::AddrInUse);
                };
                taken(&[]);
                let both = [first.clone(), open(&reactor, &[second], &[first]).unwrap()];
                taken(&[]);
                assert!(TcpListener::bind(one.address).is_err());
                assert!(TcpListener::bind(all.address).is_err());
                TcpStream::connect(one.address).unwrap();
                let accepted = both.iter().filter_map(|listener| listener.accept_waiting());
                assert_eq!(accepted.count(), 1);
            }
        }
    }

    #[test]
    fn all_or_none_listen() {
        let reactor = Reactor::new().unwrap();
        let [one, all] = free_places("127.0.0.1", "0.0.0.0");
        let [other, _] = free_places("127.0.0.1", "0.0.0.0");
        let first = open(&reactor, &[one], &[]).unwrap();
        let ours = [first.clone()];
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = ListenAddress::new(holder.local_addr().unwrap());
        let places = [all, other, taken];
        let (place, error) = Listener::open_all(&reactor, &places, &ours, &[])
            .map(drop)
            .unwrap_err();
        assert_eq!((place, error.kind()), (taken, io::ErrorKind::AddrInUse));
        assert!(TcpStream::connect(other.address).is_err());
        TcpStream::connect(one.address).unwrap();
        assert!(first.accept_waiting().is_some());
        let foreign = ListenAddress::new("192.0.2.1:1".parse().unwrap());
        let mut optional = foreign;
        optional.optional = true;
        let opened = Listener::open_all(&reactor, &[optional, other], &ours, &[]).unwrap();
        assert_eq!(opened.len(), 1);
        let refused = Listener::open_all(&reactor, &[foreign], &ours, &[])
            .map(drop)
            .unwrap_err();
        assert_eq!(refused.1.kind(), io::ErrorKind::AddrNotAvailable);
        let late = ListenAddress {
            late: true,
            ..foreign
        };
        assert_eq!(
            Listener::open_all(&reactor, &[late], &ours, &[])
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn nobody_is_answered_at_a_parked_port_until_it_is_used_again() {
        let reactor = Reactor::new().unwrap();
        let [one, _] = free_places("127.0.0.1", "0.0.0.0");
        let listener = open(&reactor, &[one], &[]).unwrap();
        listener.park();
        assert!(TcpStream::connect(one.address).is_err());
        let again =
            Listener::open_all(&reactor, &[one], &[], std::slice::from_ref(&listener)).unwrap();
        assert!(Rc::ptr_eq(&again[0].1, &listener));
        reactor.block_on(&Executor::default(), async {
            let _peer = TcpStream::connect(one.address).unwrap();
            listener.accept().await.unwrap();
        });
    }

    #[test]
    fn accepting_rests_after_trouble_and_goes_on_by_itself() {
        let pause = Duration::from_secs(5);
        let reactor = Reactor::virtual_time().unwrap();
        let [place, _] = free_places("127.0.0.1", "0.0.0.0");
        let listener = open(&reactor, &[place], &[]).unwrap();
        let (taken, rests) = (Cell::new(0), Cell::new(0));
        // The first two troubles have an end of their own.
        let trouble = |_: &io::Error| {
            rests.set(rests.get() + 1);
            let early = reactor.sleep(Duration::from_secs(1));
            let is_early = rests.get() <= 2;
            async move {
                match is_early {
                    true => early.await,
                    false => std::future::pending().await,
                }
            }
        };
        let taking = listener.take_all(pause, |_| taken.set(taken.get() + 1), trouble);
        let began = reactor.now();
        let looking = async {
            let until = async |condition: &dyn Fn() -> bool| {
                let limit = Duration::from_secs(60);
                reactor.until(limit, condition).await.unwrap();
                reactor.now() - began
            };
            let _peer = TcpStream::connect(place.address).unwrap();
            until(&|| taken.get() == 1).await;
            // What the kernel says of it is what it says when descriptors are out.
            listener.park();
            assert_eq!(until(&|| rests.get() == 3).await.as_secs(), 2);
            assert_eq!(until(&|| rests.get() == 4).await.as_secs(), 7);
            listener.listen().unwrap();
            let _peers = [(); 2].map(|()| TcpStream::connect(place.address).unwrap());
            assert_eq!(until(&|| taken.get() == 3).await.as_secs(), 12);
            assert_eq!(rests.get(), 4);
        };
        reactor.block_on(&Executor::default(), smol::future::or(looking, taking));
    }
}
