use std::io::Write;
use std::os::unix::net::UnixStream;

use super::super::super::{Socket, unblock};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn timers_fire_in_order_and_not_early() {
    let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
    let began = Instant::now();
    let start = reactor.now();
    let fired = Rc::new(RefCell::new(Vec::new()));
    let waits = [3 * HOUR, Duration::from_micros(3300), HOUR, HOUR];
    let sleepers = waits.map(|wait| {
        let (reactor, fired) = (reactor.clone(), fired.clone());
        executor.spawn(async move {
            reactor.sleep(wait).await;
            fired.borrow_mut().push((wait, reactor.now() - start));
        })
    });
    reactor.block_on(&executor, async {
        for sleeper in sleepers {
            sleeper.await;
        }
    });
    let order: Vec<_> = fired.borrow().iter().map(|(wait, _)| *wait).collect();
    let mut sorted = waits;
    sorted.sort();
    assert_eq!(order, sorted);
    for (wait, at) in fired.borrow().iter() {
        let late = at.checked_sub(*wait).expect("not early");
        assert!(late < Duration::from_millis(1), "{late:?} late");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_socket_that_is_ready_comes_before_any_timer() {
    let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let socket = Rc::new(Socket::new(&reactor, near.into()).unwrap());
    let start = reactor.now();
    reactor.block_on(&executor, async {
        for round in 0..100u8 {
            let reading = executor.spawn({
                let (reactor, socket) = (reactor.clone(), socket.clone());
                async move {
                    let mut byte = [0];
                    let read = reactor.timeout(Duration::from_millis(1), socket.read(&mut byte));
                    assert_eq!(read.await.expect("before the time").unwrap(), 1);
                    assert_eq!(byte, [round]);
                }
            });
            // It waits by then.
            smol::future::yield_now().await;
            far.write_all(&[round]).unwrap();
            reading.await;
        }
    });
    assert_eq!(reactor.now(), start);
}

#[test]
fn a_task_that_goes_on_stops_time() {
    let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
    let start = reactor.now();
    reactor.block_on(&executor, async {
        let sleeping = executor.spawn({
            let reactor = reactor.clone();
            async move { reactor.sleep(Duration::from_millis(1)).await }
        });
        for _ in 0..10_000 {
            smol::future::yield_now().await;
        }
        assert_eq!(reactor.now(), start);
        sleeping.await;
    });
    assert_eq!(reactor.now() - start, Duration::from_millis(1));
}

#[test]
#[should_panic(expected = "nothing will ever happen")]
fn what_would_wait_for_ever_fails() {
    let reactor = Reactor::virtual_time().unwrap();
    reactor.block_on(&Executor::default(), std::future::pending::<()>());
}

#[test]
fn what_another_thread_does_takes_no_time() {
    let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
    let work = || std::thread::sleep(Duration::from_millis(30));
    reactor.block_on(&executor, async {
        let done = reactor.timeout(Duration::from_millis(1), unblock(work));
        assert_eq!(done.await, Some(()));
        // One that nobody waits for keeps nobody.
        let given_up = smol::future::poll_once(Box::pin(unblock(work))).await;
        assert_eq!(given_up, None);
        let start = reactor.now();
        reactor.sleep(HOUR).await;
        assert_eq!(reactor.now() - start, HOUR);
    });
}

#[test]
fn who_looks_each_turn_sees_when_it_was() {
    let (reactor, executor) = (Reactor::virtual_time().unwrap(), Executor::default());
    reactor.block_on(&executor, async {
        let is_done = Rc::new(Cell::new(false));
        let (done, clock) = (is_done.clone(), reactor.clone());
        let task = executor.spawn(async move {
            clock.sleep(HOUR).await;
            done.set(true);
        });
        let took = reactor.until(2 * HOUR, || is_done.get()).await;
        assert_eq!(took, Some(HOUR));
        assert_eq!(reactor.until(HOUR, || false).await, None);
        task.await;
    });
}
