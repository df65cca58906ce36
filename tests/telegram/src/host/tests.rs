//! The fake driven by a loop of a few lines whose clock is turned by hand.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use smol::future::FutureExt;

use super::Driven;
use crate::client::Kind;
use crate::control::{Accept, Close, Http};
use crate::crypto::unix_time;
use crate::payload::{self, Command};
use crate::self_test::{GOOD_FLAGS, Peer};
use crate::telegram::{FakeTelegram, Options};
use crate::wait::within;

/// Loopback may deliver what was sent a moment later.
const GRACE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

struct Loop {
    driven: Arc<Driven>,
    now: Cell<Duration>,
    turns: Cell<usize>,
}

impl Loop {
    fn new() -> (FakeTelegram, Self) {
        let (telegram, driven) = FakeTelegram::start_driven(Options::default()).unwrap();
        let one = Self {
            driven,
            now: Cell::default(),
            turns: Cell::default(),
        };
        (telegram, one)
    }

    fn turn(&self) -> Option<Duration> {
        self.turns.set(self.turns.get() + 1);
        self.driven.turn(self.now.get())
    }

    /// A turn; when it leads to nothing, the time goes on to the next timer.
    /// `false`: there is none, nothing will ever happen.
    fn step(&self, peer: Option<&TcpStream>) -> bool {
        let timer = self.turn();
        if self.is_readable(peer, GRACE) {
            return true;
        }
        self.now.set(timer.unwrap_or(self.now.get()));
        timer.is_some()
    }

    fn is_readable(&self, peer: Option<&TcpStream>, grace: Timespec) -> bool {
        let descriptor = self.driven.descriptor();
        let mut ready = vec![PollFd::new(&descriptor, PollFlags::IN)];
        ready.extend(peer.map(|peer| PollFd::new(peer, PollFlags::IN)));
        poll(&mut ready, Some(&grace)).unwrap() > 0
    }

    /// Nothing to do until something comes.
    fn assert_idle(&self) {
        assert!(!self.is_readable(None, GRACE));
        assert!(!self.driven.run_ready());
        let waker = Counting::default().waker();
        assert!(
            pin!(self.driven.woken())
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }

    /// Turns until the condition holds, in the present time.
    fn until(&self, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < crate::wait::patience(), "never");
            self.turn();
            self.is_readable(None, GRACE);
        }
    }

    fn stream(&self, address: SocketAddr) -> Driving<'_> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        // Nobody waits for an acknowledgement in the machine's time.
        stream.set_nodelay(true).unwrap();
        Driving { stream, by: self }
    }

    fn peer(&self, telegram: &FakeTelegram, dc: i16) -> Peer<'_> {
        let address = telegram.middle_addresses(dc)[0];
        let stream = self.stream(address);
        let ends = [stream.stream.local_addr().unwrap(), address];
        Peer::shake_hands(telegram, Box::new(stream), ends, true)
    }
}

/// A stream whose reader drives the fake while it waits.
struct Driving<'a> {
    stream: TcpStream,
    by: &'a Loop,
}

impl Read for Driving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.by.step(Some(&self.stream)) {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                outcome => return outcome,
            }
        }
    }
}

impl Write for Driving<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Counting(Arc<Woken>);

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Counting {
    fn waker(&self) -> Waker {
        self.0.clone().into()
    }

    fn count(&self) -> usize {
        self.0.0.load(SeqCst)
    }
}

fn later(millis: u32) -> Vec<u8> {
    Command::EchoLater { millis }.payload()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_answer_of_a_minute_takes_no_time() {
    let start = Instant::now();
    let (telegram, driving) = Loop::new();
    let mut peer = driving.peer(&telegram, 2);
    assert_eq!(
        driving.now.get(),
        Duration::ZERO,
        "a handshake takes no time"
    );
    peer.request(1, GOOD_FLAGS, &later(60_000), None);
    assert_eq!(peer.answer(1), later(60_000));
    assert_eq!(driving.now.get(), 60 * SECOND);
    assert!(start.elapsed() < 10 * SECOND);
    telegram.assert_clean();
}

#[test]
fn answers_come_in_the_order_of_their_times() {
    let (telegram, driving) = Loop::new();
    let mut peer = driving.peer(&telegram, 2);
    let asked = [3000, 1000, 2000, 1000, 50, 2000, 1000];
    for (conn_id, millis) in asked.iter().enumerate() {
        peer.request(conn_id as i64, GOOD_FLAGS, &later(*millis), None);
    }
    // Of one time, who asked first.
    for conn_id in [4, 1, 3, 6, 2, 5, 0] {
        let millis = asked[conn_id];
        assert_eq!(peer.answer(conn_id as i64), later(millis));
        assert_eq!(driving.now.get(), Duration::from_millis(millis.into()));
    }
    telegram.assert_clean();
}

#[test]
fn manners_change_midway() {
    let (telegram, driving) = Loop::new();
    let mut peer = driving.peer(&telegram, 2);
    let request = payload::echo(1, 64);

    // What comes while nobody reads is read later.
    telegram.behave_dc(2, |b| b.stop_reading = true);
    driving.turn();
    peer.request(1, GOOD_FLAGS, &request, None);
    driving.until(|| telegram.counters().requests() == 1);
    peer.request(2, GOOD_FLAGS, &request, None);
    assert_eq!(peer.answer(1), request);
    while driving.step(None) {}
    assert_eq!(telegram.counters().requests(), 1);
    driving.assert_idle();
    telegram.behave_dc(2, |b| b.stop_reading = false);
    assert_eq!(peer.answer(2), request);

    // The same in the dark.
    assert_eq!(telegram.darken(true, |_| true), 1);
    peer.request(3, GOOD_FLAGS, &request, None);
    while driving.step(None) {}
    assert_eq!(telegram.counters().requests(), 2);
    driving.assert_idle();
    assert_eq!(telegram.darken(false, |_| true), 1);
    assert_eq!(peer.answer(3), request);

    // Nobody listens as soon as that is said, and somebody as soon as that is.
    let address = telegram.middle_addresses(2)[0];
    for _ in 0..100 {
        telegram.behave_dc(2, |b| b.accept = Accept::Refuse);
        assert!(TcpStream::connect(address).is_err());
        telegram.behave_dc(2, |b| b.accept = Accept::Normal);
        assert!(TcpStream::connect(address).is_ok());
    }
    // The old connection never noticed.
    peer.request(4, GOOD_FLAGS, &request, None);
    assert_eq!(peer.answer(4), request);
    assert_eq!(driving.now.get(), Duration::ZERO);
}

#[test]
fn connections_are_ended_as_told() {
    let (telegram, driving) = Loop::new();
    for how in [Close::Fin, Close::Drop, Close::Reset] {
        let mut peer = driving.peer(&telegram, 1);
        let mut other = driving.peer(&telegram, 3);
        assert_eq!(telegram.connections().len(), 2);
        assert_eq!(telegram.rotate(how, |one| one.dc == 1), 1);
        assert_eq!(peer.recv(), None, "{how:?}");
        drop(peer);
        driving.until(|| telegram.connections().len() == 1);
        let request = payload::echo(2, 1 << 20);
        other.request(1, GOOD_FLAGS, &request[..512], None);
        assert_eq!(other.answer(1), request[..512]);
        drop(other);
        driving.until(|| telegram.connections().is_empty());
    }
    telegram.assert_clean();
}

#[test]
fn who_takes_an_ended_connection_for_whole_is_waited_for() {
    let (telegram, driving) = Loop::new();
    let _peer = driving.peer(&telegram, 1);
    assert_eq!(telegram.rotate_all(Close::Fin), 1);
    driving.until(|| telegram.connections().is_empty());
    // The socket stays open a while for what still comes.
    let limit = driving.turn().expect("a limit");
    assert_eq!(limit, crate::wait::patience());
    while driving.step(None) {}
    assert_eq!(driving.now.get(), limit);
    driving.assert_idle();
}

#[test]
fn an_idle_hour_takes_a_turn_a_ping() {
    let (telegram, driving) = Loop::new();
    telegram.behave(|b| b.ping_every = Some(10 * SECOND));
    let _peer = driving.peer(&telegram, 2);
    let before = driving.turns.get();
    while driving.now.get() < 3600 * SECOND {
        assert!(driving.step(None));
        assert!(driving.now.get().as_secs().is_multiple_of(10));
    }
    driving.turn();
    assert_eq!(telegram.counters().pings_sent(), 360);
    // Sending one may let the socket take more, which is an event.
    assert!(
        driving.turns.get() - before <= 2 * 360 + 10,
        "{}",
        driving.turns.get()
    );
}

#[test]
fn pages_come_as_slowly_as_told() {
    let (telegram, driving) = Loop::new();
    telegram.behave_http(Http::Slow(SECOND));
    let flags: HashMap<_, _> = telegram.proxy_flags().into_iter().collect();
    let url = flags["--telegram-secret"].strip_prefix("http://").unwrap();
    let (host, page) = url.split_once('/').unwrap();
    let mut stream = driving.stream(host.parse().unwrap());
    write!(stream, "GET /{page} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&telegram.options().secret));
    assert_eq!(driving.now.get(), answer.len() as u32 * SECOND);
}

#[test]
fn the_wall_clock_goes_along() {
    let (telegram, driving) = Loop::new();
    driving.now.set(3600 * SECOND);
    driving.turn();
    assert!(driving.driven.unix_time().abs_diff(unix_time() + 3600) < 30);
    // A peer by the machine's clock is an hour late.
    let shaking = std::panic::AssertUnwindSafe(|| drop(driving.peer(&telegram, 2)));
    assert!(std::panic::catch_unwind(shaking).is_err());
    let violations = telegram.violations();
    assert!(violations[0].contains("s off"), "{violations:?}");
}

#[test]
fn who_calls_the_fake_wakes_its_driver() {
    let (telegram, driving) = Loop::new();
    let mut peer = driving.peer(&telegram, 2);
    driving.turn();
    let counting = Counting::default();
    let waker = counting.waker();
    let mut cx = Context::from_waker(&waker);
    let mut woken = pin!(driving.driven.woken());
    assert!(woken.as_mut().poll(&mut cx).is_pending());
    assert_eq!(counting.count(), 0);
    telegram.ping();
    assert_eq!(counting.count(), 1);
    assert!(woken.poll(&mut cx).is_ready());
    assert_eq!(peer.recv().unwrap().len(), 12);

    // And who waits by the fake's clock on another task.
    driving.turn();
    let mut woken = pin!(driving.driven.woken());
    assert!(woken.as_mut().poll(&mut cx).is_pending());
    let mut rotation = pin!(telegram.rotate_staggered(Close::Drop, SECOND));
    assert!(rotation.as_mut().poll(&mut cx).is_pending());
    assert_eq!(driving.driven.next_timer(), Some(SECOND));
    assert!(counting.count() > 1);
    driving.now.set(SECOND);
    driving.turn();
    assert_eq!(rotation.poll(&mut cx), Poll::Ready(1));
}

#[test]
fn another_epoll_waits_for_it_by_edges() {
    let (telegram, driving) = Loop::new();
    let outer = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(
        &outer,
        driving.driven.descriptor(),
        epoll::EventData::new_u64(7),
        epoll::EventFlags::IN | epoll::EventFlags::ET,
    )
    .unwrap();
    let waits = |timeout: Timespec| {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(8);
        epoll::wait(&outer, spare_capacity(&mut events), Some(&timeout)).unwrap() > 0
    };
    let long = Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let mut peer = driving.peer(&telegram, 2);
    while driving.step(None) {}
    while waits(GRACE) {
        driving.turn();
    }
    for round in 0..50 {
        let request = payload::echo(round, 64);
        peer.request(1, GOOD_FLAGS, &request, None);
        assert!(waits(long), "round {round}");
        // Undrained, it says so once; a second event is a second edge.
        peer.request(1, GOOD_FLAGS, &request, None);
        assert!(waits(long), "round {round}");
        driving.until(|| telegram.counters().requests() == 2 * u64::from(round) + 2);
        for _ in 0..2 {
            assert_eq!(peer.answer(1), request);
        }
        while waits(GRACE) {
            driving.turn();
        }
        driving.assert_idle();
    }
}

#[test]
fn an_executor_with_a_reactor_drives_it_too() {
    let (telegram, driven) = FakeTelegram::start_driven(Options::default()).unwrap();
    let start = Instant::now();
    let waiting = smol::Async::new(driven.descriptor().try_clone_to_owned().unwrap()).unwrap();
    let driving = async {
        loop {
            let due = driven.turn(start.elapsed());
            let timer = async {
                match due {
                    None => std::future::pending().await,
                    Some(due) => {
                        smol::Timer::at(start + due).await;
                    }
                }
            };
            let readable = async { waiting.readable().await.unwrap() };
            readable.or(driven.woken()).or(timer).await;
        }
    };
    let exchange = async {
        for kind in [Kind::Abridged, Kind::Intermediate, Kind::Padded] {
            let mut options = kind.options(telegram.direct_addresses(203)[0]);
            (options.key, options.dc) = (None, 203);
            let mut client = options.connect().await.unwrap();
            for length in [8, 508, 1 << 20] {
                client.echo(&payload::echo(1, length)).await.unwrap();
            }
            client.download(3 << 20, 1 << 20).await.unwrap();
            client.echo(&later(100)).await.unwrap();
            assert_eq!(telegram.close_direct(Close::Fin), 1);
            assert!(client.until_closed().await.unwrap().is_empty());
        }
    };
    smol::block_on(within("the exchange", exchange.or(driving)));
    telegram.assert_clean();
}

#[test]
fn dropping_it_closes_everything() {
    let (telegram, driving) = Loop::new();
    let mut silent = driving.peer(&telegram, 1);
    let mut busy = driving.peer(&telegram, 2);
    busy.request(1, GOOD_FLAGS, &later(60_000), None);
    let whole = Command::SendMe {
        total: 64 << 20,
        size: 1 << 20,
    };
    busy.request(2, GOOD_FLAGS, &whole.payload(), None);
    driving.until(|| telegram.counters().answers() > 2);
    assert!(driving.turn().is_some());
    let addresses = [telegram.middle_addresses(1), telegram.direct_addresses(1)].concat();
    drop(telegram);
    assert_eq!(silent.recv(), None);
    for address in addresses {
        assert!(TcpStream::connect(address).is_err());
    }
    assert_eq!(driving.turn(), None);
    driving.assert_idle();
    assert_eq!(
        Arc::strong_count(&driving.driven),
        1,
        "nobody holds on to it"
    );
    while busy.recv().is_some() {}
}
