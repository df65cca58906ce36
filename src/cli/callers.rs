//! Connections that serve the operator, not clients: the page of metrics, `ctl`.

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use smol::future::or;

use crate::guard::half_open::{HalfOpen, Origin};
use crate::net::{Executor, Listener, Reactor, Socket};

/// Before the next one is accepted after descriptors ran out.
const PAUSE: Duration = Duration::from_secs(5);

/// Answers every connection in a task of its own.
pub(super) async fn serve<F: Future<Output = ()> + 'static>(
    executor: &Executor,
    listener: &Listener,
    answer: impl Fn(Socket) -> F,
) {
    let take = |socket| executor.spawn(answer(socket)).detach();
    listener.take_all(PAUSE, take, |_| pending::<()>()).await;
}

/// Where a caller is. Those on this machine's own sockets are all in one place.
pub(super) fn origin_of(socket: &Socket) -> Origin {
    let address = socket.peer_address().map(|peer| peer.ip());
    Origin::of(address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

/// What a caller says, `end` and what came with it included; `None` if it stops
/// before, or says more than `most` bytes.
pub(super) async fn read_request(
    socket: &Socket,
    end: &[u8],
    most: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    while !request.windows(end.len()).any(|bytes| bytes == end) {
        let read = socket.read(&mut buffer).await?;
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if read == 0 || request.len() > most {
            return Ok(None);
        }
    }
    Ok(Some(request))
}

/// What `work` gives, for which it has `limit` and one of the `seats`. Where all are
/// taken, whoever comes next gets the oldest one of the address that has most; the
/// work that had it ends without a result.
pub(super) async fn seated<T>(
    reactor: &Rc<Reactor>,
    seats: &Rc<HalfOpen>,
    origin: Origin,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let seat = seats.enter(origin, false);
    let pushed_out = async {
        seat.evicted().await;
        None
    };
    or(reactor.timeout(limit, work), pushed_out).await
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use smol::future::yield_now;

    use super::*;

    #[test]
    fn a_request_ends_somewhere() {
        let (reactor, executor) = (Reactor::new().unwrap(), Executor::default());
        for (said, heard) in [
            ("a\r\n\r\n", Some("a\r\n\r\n")),
            ("a\r\n\r\nmore", Some("a\r\n\r\nmore")),
            ("a\r\nb\n\n", None),
            ("", None),
            ("123456789\r\n\r\n", None),
        ] {
            let (near, mut far) = UnixStream::pair().unwrap();
            near.set_nonblocking(true).unwrap();
            let socket = Socket::new(&reactor, near.into()).unwrap();
            far.write_all(said.as_bytes()).unwrap();
            drop(far);
            let reading = read_request(&socket, b"\r\n\r\n", 12);
            let request = reactor.block_on(&executor, reading).unwrap();
            assert_eq!(request.as_deref(), heard.map(str::as_bytes), "{said}");
        }
    }

    #[test]
    fn whoever_stays_longest_gives_way() {
        let (reactor, executor) = (Reactor::new().unwrap(), Executor::default());
        let seats = HalfOpen::new(2);
        let here = Origin::of(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let long = Duration::from_secs(600);
        let silent = || {
            let (reactor, seats) = (reactor.clone(), seats.clone());
            executor.spawn(async move {
                let outcome = seated(&reactor, &seats, here, long, pending::<()>()).await;
                assert_eq!(outcome, None);
            })
        };
        let (first, _second) = (silent(), silent());
        reactor.block_on(&executor, async {
            yield_now().await;
            assert_eq!(seats.len(), 2);
            let answer = seated(&reactor, &seats, here, long, async { 7 }).await;
            assert_eq!(answer, Some(7));
            first.await;
            assert_eq!(seats.len(), 1);
            let short = Duration::from_millis(1);
            let answer = seated(&reactor, &seats, here, short, pending::<()>()).await;
            assert_eq!(answer, None);
        });
    }
}
