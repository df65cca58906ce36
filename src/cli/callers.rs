//! Connections that serve the operator, not clients: the page of metrics, `ctl`.

use std::future::{Future, pending};
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
    use smol::future::yield_now;

    use super::*;

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
