use std::future::poll_fn;
use std::io::Write;

use super::super::Socket;
use super::*;

#[test]
fn sleeps_in_order_and_wakes_from_another_thread() {
    let reactor = Reactor::new().unwrap();
    let executor = Executor::default();
    let order = Rc::new(RefCell::new(Vec::new()));
    let sleepers = [20u64, 5, 10].map(|millis| {
        let (reactor, order) = (reactor.clone(), order.clone());
        executor.spawn(async move {
            reactor.sleep(Duration::from_millis(millis)).await;
            order.borrow_mut().push(millis);
        })
    });
    let (sender, receiver) = smol::channel::bounded::<u8>(1);
    let thread = std::thread::spawn(move || sender.send_blocking(7));
    let received = reactor.block_on(&executor, async {
        let received = receiver.recv().await.unwrap();
        for sleeper in sleepers {
            sleeper.await;
        }
        received
    });
    thread.join().unwrap().unwrap();
    assert_eq!(received, 7);
    assert_eq!(*order.borrow(), [5, 10, 20]);
}

#[test]
fn waits_are_whole_milliseconds_and_never_short() {
    let now = Instant::now();
    for (micros, millis) in [
        (0, 0),
        (1, 1),
        (1_000, 1),
        (1_001, 2),
        (999_999, 1_000),
        (2_000_000, 2_000),
        (2_000_001, 2_001),
    ] {
        let wait = whole_millis(now + Duration::from_micros(micros), now);
        assert_eq!(wait, Duration::from_millis(millis), "{micros}");
    }
    let year = Duration::from_secs(365 * 24 * 3600);
    let longest = Duration::from_millis(i32::MAX as u64);
    assert_eq!(whole_millis(now + year, now), longest);
    assert_eq!(whole_millis(now, now + year), Duration::ZERO);
}

#[test]
fn timers_of_one_deadline_all_fire_not_early() {
    let reactor = Reactor::new().unwrap();
    let executor = Executor::default();
    let deadline = Instant::now() + Duration::from_micros(3300);
    let fired = Rc::new(RefCell::new(Vec::new()));
    let waiting = [(); 100].map(|()| {
        let (mut timer, fired) = (reactor.timer(), fired.clone());
        timer.set(deadline);
        executor.spawn(async move {
            timer.expired().await;
            fired.borrow_mut().push(Instant::now());
        })
    });
    reactor.block_on(&executor, async {
        for task in waiting {
            task.await;
        }
    });
    assert_eq!(fired.borrow().len(), 100);
    assert!(fired.borrow().iter().all(|at| *at >= deadline));
    assert_eq!(reactor.timers.borrow().first(), None);
}

#[test]
fn it_blocks_more_than_once() {
    let reactor = Reactor::new().unwrap();
    let executor = Executor::default();
    for number in 0..3 {
        assert_eq!(reactor.block_on(&executor, async { number }), number);
    }
}

#[test]
fn timeouts_cut_off_and_let_through() {
    let reactor = Reactor::new().unwrap();
    let executor = Executor::default();
    let limit = Duration::from_millis(5);
    let (late, early) = reactor.block_on(&executor, async {
        (
            reactor.timeout(limit, std::future::pending::<()>()).await,
            reactor.timeout(limit, async { 3 }).await,
        )
    });
    assert_eq!((late, early), (None, Some(3)));
    assert_eq!(reactor.timers.borrow().first(), None);
}

#[test]
fn what_is_too_little_to_go_on_can_be_read_all_the_same() {
    let reactor = Reactor::new().unwrap();
    let executor = Executor::default();
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let socket = Rc::new(Socket::new(&reactor, near.into()).unwrap());
    reactor.block_on(&executor, async {
        let filled = {
            let socket = socket.clone();
            executor.spawn(poll_fn(move |cx| {
                socket.poll_filled(cx, 10).map(Result::unwrap)
            }))
        };
        far.write_all(b"12345").unwrap();
        reactor.sleep(Duration::from_millis(10)).await;
        assert!(!filled.is_finished());
        assert_eq!(socket.read(&mut [0; 2]).await.unwrap(), 2);
        // Whoever waits for more hears of it.
        far.write_all(b"1234567").unwrap();
        filled.await;
        assert_eq!(socket.waiting(), 10);
    });
}
