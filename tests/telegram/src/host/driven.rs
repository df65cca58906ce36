use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use smol::future::Boxed;

use super::tasks::Tasks;
use super::timers::Timers;
use crate::crypto::unix_time;
use crate::shared::lock;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// The sockets, timers and tasks of a fake Telegram that a test drives: see
/// the [module](super).
pub struct Driven {
    epoll: OwnedFd,
    sockets: Mutex<Sockets>,
    timers: Timers,
    tasks: Arc<Tasks>,
    /// The first timer may be another one than `next_timer` said.
    is_sooner: AtomicBool,
    unix_start: u32,
}

#[derive(Clone, Copy)]
pub(super) enum Direction {
    Read,
    Write,
}

/// By numbers that never come again: an event of a socket that is gone is
/// nobody else's.
#[derive(Default)]
struct Sockets {
    last: u64,
    live: BTreeMap<u64, [Edges; 2]>,
}

/// One direction of a socket. It belongs to one task.
#[derive(Default)]
struct Edges {
    seen: u64,
    waker: Option<Waker>,
}

impl Driven {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sockets: Mutex::default(),
            timers: Timers::default(),
            tasks: Arc::default(),
            is_sooner: AtomicBool::new(false),
            unix_start: unix_time(),
        }))
    }

    /// Readable while [`look`](Self::look) has something to take.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Wakes the tasks whose sockets can go on.
    pub fn look(&self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let at_once = Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            });
            match epoll::wait(&self.epoll, spare_capacity(&mut events), at_once) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => panic!("no events of the fake's sockets: {error}"),
                Ok(_) => {}
            }
            for event in &events {
                let wakers = lock(&self.sockets).deliver(event.data.u64(), event.flags);
                wakers.into_iter().flatten().for_each(Waker::wake);
            }
            if events.len() < EVENTS {
                return;
            }
        }
    }

    /// When the first timer is due, counted from the start.
    pub fn next_timer(&self) -> Option<Duration> {
        self.is_sooner.store(false, SeqCst);
        self.timers.next()
    }

    /// The time since the start; wakes the tasks that waited for it.
    pub fn set_time(&self, now: Duration) {
        self.timers.set_time(now);
    }

    /// Runs tasks until none can go on; whether there was one.
    pub fn run_ready(&self) -> bool {
        let is_any = self.run_one();
        while self.run_one() {}
        is_any
    }

    /// All of a turn at `now`; when the first timer is due.
    pub fn turn(&self, now: Duration) -> Option<Duration> {
        self.set_time(now);
        self.look();
        self.run_ready();
        self.next_timer()
    }

    /// Completes when a turn has something to do that neither the descriptor
    /// nor the last `next_timer` tells.
    pub async fn woken(&self) {
        poll_fn(|cx| {
            // In this order: who sets the mark nudges afterwards.
            let woken = self.tasks.poll_woken(cx);
            if self.is_sooner.load(SeqCst) {
                return Poll::Ready(());
            }
            woken
        })
        .await;
    }

    pub(crate) fn run_one(&self) -> bool {
        self.tasks.run_one()
    }

    /// Ends all tasks: their sockets close.
    pub(crate) fn end(&self) {
        self.tasks.end();
    }

    pub(super) fn spawn(&self, task: Boxed<()>) {
        self.tasks.spawn(task);
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        let mut sleep = self.timers.sleep(duration);
        poll_fn(|cx| {
            let first = self.timers.next();
            let polled = std::pin::Pin::new(&mut sleep).poll(cx);
            if self.timers.next() != first {
                self.is_sooner.store(true, SeqCst);
                self.tasks.nudge();
            }
            polled
        })
        .await;
    }

    pub(super) fn unix_time(&self) -> u32 {
        self.unix_start + self.timers.now().as_secs() as u32
    }

    /// Watches a socket, both directions, edges only.
    pub(super) fn register(&self, socket: impl AsFd) -> io::Result<u64> {
        let number = {
            let mut sockets = lock(&self.sockets);
            sockets.last += 1;
            let number = sockets.last;
            sockets.live.insert(number, Default::default());
            number
        };
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        let added = epoll::add(
            &self.epoll,
            &socket,
            epoll::EventData::new_u64(number),
            flags,
        );
        if let Err(error) = added {
            lock(&self.sockets).live.remove(&number);
            return Err(error.into());
        }
        Ok(number)
    }

    pub(super) fn deregister(&self, socket: impl AsFd, number: u64) {
        let _ = epoll::delete(&self.epoll, socket);
        let edges = lock(&self.sockets).live.remove(&number);
        drop(edges);
    }

    /// How often the socket could go on so far.
    pub(super) fn edges(&self, number: u64, direction: Direction) -> u64 {
        let sockets = lock(&self.sockets);
        let edges = sockets.live.get(&number);
        edges.map_or(0, |edges| edges[direction as usize].seen)
    }

    /// Ready once the socket could go on more often than that.
    pub(super) fn poll_edge(
        &self,
        number: u64,
        direction: Direction,
        seen: u64,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut sockets = lock(&self.sockets);
        let Some(edges) = sockets.live.get_mut(&number) else {
            return Poll::Ready(());
        };
        let edges = &mut edges[direction as usize];
        if edges.seen != seen {
            return Poll::Ready(());
        }
        let before = edges.waker.replace(cx.waker().clone());
        drop(sockets);
        drop(before);
        Poll::Pending
    }
}

impl Sockets {
    fn deliver(&mut self, number: u64, flags: epoll::EventFlags) -> [Option<Waker>; 2] {
        use epoll::EventFlags as Flags;
        let Some(directions) = self.live.get_mut(&number) else {
            return [None, None];
        };
        let is_broken = flags.intersects(Flags::ERR | Flags::HUP);
        let [reading, writing] = directions;
        let edge = |edges: &mut Edges, is_ready: bool| {
            if !is_ready {
                return None;
            }
            edges.seen += 1;
            edges.waker.take()
        };
        [
            edge(
                reading,
                is_broken || flags.intersects(Flags::IN | Flags::RDHUP),
            ),
            edge(writing, is_broken || flags.contains(Flags::OUT)),
        ]
    }
}
