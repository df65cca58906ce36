use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use fake_telegram::host::Driven;

use super::*;
use crate::clock::Clock;
use crate::config::DataDir;
use crate::connection::Dialer;
#[cfg(feature = "tls")]
use crate::connection::OnTrial;
#[cfg(feature = "tls")]
use crate::net::SCRATCH_LEN;
use crate::net::{Live, Watch};

pub(super) const TO_CLIENT: StreamKey = StreamKey {
    key: [3; 32],
    iv: [4; 16],
};

/// A renewal takes up to 30 s.
pub(super) const DEADLINE: Duration = Duration::from_secs(90);

pub(super) type Flags = &'static [(&'static str, &'static str)];

pub(super) const ON_DEMAND: Flags = &[];

pub(super) struct House {
    pub(super) fake: FakeTelegram,
    pub(super) telegram: Rc<Telegram>,
    pub(super) metrics: Rc<Metrics>,
    pub(super) reactor: Rc<Reactor>,
}

impl House {
    /// Runs `test` with a Telegram side of these flags, whose DC 2 is the fake's.
    pub(super) fn run<F: Future<Output = ()>>(flags: Flags, test: impl FnOnce(Rc<Self>) -> F) {
        Self::run_at(1, flags, test);
    }

    /// [`run`](Self::run) where the DC has so many addresses.
    pub(super) fn run_at<F: Future<Output = ()>>(
        addresses_per_dc: usize,
        flags: Flags,
        test: impl FnOnce(Rc<Self>) -> F,
    ) {
        Self::run_with(addresses_per_dc, Patience::default(), flags, test);
    }

    /// [`run_at`](Self::run_at), with so much patience.
    pub(super) fn run_with<F: Future<Output = ()>>(
        addresses_per_dc: usize,
        patience: Patience,
        flags: Flags,
        test: impl FnOnce(Rc<Self>) -> F,
    ) {
        let (fake, driven) = FakeTelegram::start_driven(Options {
            middle_dcs: vec![2],
            addresses_per_dc,
            direct_dcs: vec![2],
            ..Options::default()
        })
        .unwrap();
        let reactor = Reactor::virtual_time().unwrap();
        let executor = Rc::new(Executor::default());
        executor.spawn(drive(driven, reactor.clone())).detach();
        let data_dir = TemporaryDirectory::new();
        let mut all = fake.proxy_flags_with_files(data_dir.path()).unwrap();
        all.extend(
            flags
                .iter()
                .map(|(flag, value)| (*flag, (*value).to_owned())),
        );
        let config = Live::new(config(&all));
        let metrics = Rc::new(Metrics::default());
        let kept = DataDir::new(data_dir.path());
        let directory = Directory::new(config.clone(), kept, &metrics, reactor.clock());
        let refreshing = directory.clone();
        let refresh_reactor = reactor.clone();
        executor
            .spawn(async move { refreshing.run(&refresh_reactor).await })
            .detach();
        let telegram = Telegram::new(Rc::new(Shared {
            reactor: reactor.clone(),
            executor: executor.clone(),
            buffers: BufferPool::new(reactor.clock(), 1 << 20),
            scratch: Rc::new(Scratch::default()),
            directory: directory.clone(),
            address: PublicAddress::new(Live::default(), crate::config::Role::Both),
            metrics: metrics.clone(),
            dialer: Dialer::new(&reactor, &executor, config.clone()),
            config,
            patience,
            complaints: Throttle::new(Duration::from_secs(1)),
            #[cfg(feature = "check")]
            told: None,
        }));
        let house = Rc::new(Self {
            fake,
            telegram,
            metrics,
            reactor: reactor.clone(),
        });
        reactor.block_on(&executor, async {
            house
                .until("the lists", || {
                    *directory.secret() == *house.fake.options().secret
                        && directory.middle(DcId(2)) == house.fake.middle_addresses(2)
                })
                .await;
            test(house.clone()).await;
        });
        house.fake.assert_clean();
    }

    pub(super) async fn open(&self) -> TestSession {
        match self.try_open(Route::Middle).await {
            Ok((Session::Packets(stream), sink)) => TestSession { stream, sink },
            Ok(_) => panic!("another kind of session"),
            Err(error) => panic!("no session: {error:?}"),
        }
    }

    pub(super) async fn try_open(
        &self,
        route: Route,
    ) -> Result<(Session, Rc<Recorder>), OpenError> {
        self.try_open_with(route, false).await
    }

    pub(super) async fn try_open_with(
        &self,
        route: Route,
        has_other_route: bool,
    ) -> Result<(Session, Rc<Recorder>), OpenError> {
        let sink = Rc::new(Recorder::new(self.reactor.clock()));
        let request = SessionRequest {
            route,
            has_other_route,
            dc: DcId(2),
            client: SocketAddr::from(([203, 0, 113, 5], 1000)),
            local: SocketAddr::from(([127, 0, 0, 1], 443)),
            tag: None,
            transport: Transport::Intermediate,
            to_client: TO_CLIENT,
            #[cfg(feature = "tls")]
            made_of: None,
        };
        let session = self.telegram.open(request, sink.clone()).await?;
        Ok((session, sink))
    }

    /// How long it took until `condition` held.
    pub(super) async fn until(&self, what: &str, condition: impl Fn() -> bool) -> Duration {
        let took = self.reactor.until(DEADLINE, condition).await;
        took.unwrap_or_else(|| panic!("never: {what}"))
    }

    /// The pool has so many connections: Telegram counts one a moment before.
    pub(super) async fn connected(&self, count: u64) {
        let row = self.metrics.dcs.of(DcId(2));
        self.until("the connections", || row.connections.get() == count)
            .await;
    }

    pub(super) async fn echo(&self, session: &TestSession, payload: &[u8]) {
        let before = session.sink.packets.borrow().len();
        session.push(payload);
        self.until("an answer", || session.sink.packets.borrow().len() > before)
            .await;
        assert_eq!(session.sink.packets.borrow().last().unwrap(), payload);
    }

    #[cfg(feature = "tls")]
    pub(super) async fn open_line(&self) -> Result<OnTrial, OpenError> {
        match self.try_open(Route::Direct).await?.0 {
            Session::Line(line) => Ok(line),
            _ => panic!("no line"),
        }
    }

    /// Sends a packet of so many bytes and waits for it to come back.
    #[cfg(feature = "tls")]
    pub(super) async fn echo_by(&self, line: &mut OnTrial, length: usize) {
        let mut packet = (length as u32).to_le_bytes().to_vec();
        packet.extend(payload::echo(1, length));
        let sent = packet.clone();
        let shared = &self.telegram.shared;
        let mut settled = line.send(&shared.buffers, &mut packet).unwrap();
        let mut answer = Vec::new();
        poll_fn(|cx| {
            settled += line.flush(cx).unwrap();
            let read = shared.scratch.with(|space| {
                line.poll_read(cx, space, SCRATCH_LEN, &mut |data| {
                    answer.extend_from_slice(data)
                })
            });
            match read.unwrap() {
                Poll::Ready(came) => assert!(came.unwrap() > 0),
                Poll::Pending => return Poll::Pending,
            }
            if answer.len() < sent.len() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(settled, sent.len());
        CtrStream::new(TO_CLIENT).apply(&mut answer);
        assert_eq!(answer, sent);
    }

    /// Ends all connections from Telegram's side and waits until ours know.
    pub(super) async fn rotate(&self, how: Close) {
        let ended = self.metrics.connection_ends.total();
        let expected = ended + self.fake.rotate_all(how) as u64;
        self.until("the proxy sees its connections end", || {
            self.metrics.connection_ends.total() >= expected
        })
        .await;
    }

    /// How long it took until its end.
    pub(super) async fn ends(&self, session: &TestSession, end: SessionEnd) -> Duration {
        self.until("the session's end", || {
            session.sink.ended.get() == Some(end)
        })
        .await
    }

    pub(super) fn migrated(&self, outcome: MigrationOutcome) -> u64 {
        self.metrics.migrations.get(outcome)
    }
}

pub(super) struct TestSession {
    pub(super) stream: Box<dyn Stream>,
    pub(super) sink: Rc<Recorder>,
}

impl TestSession {
    pub(super) fn push(&self, payload: &[u8]) {
        self.stream.push(Packet {
            quick_ack: false,
            body: Body::Slice(payload),
        });
    }
}

/// Lets the fake do what it has to do, in our time.
async fn drive(driven: Arc<Driven>, reactor: Rc<Reactor>) {
    let start = reactor.now();
    let watch = Watch::new(&reactor, driven.descriptor()).unwrap();
    let mut timer = reactor.timer();
    loop {
        timer.clear();
        if let Some(next) = driven.turn(reactor.now() - start) {
            timer.set(start + next);
        }
        let mut told = pin!(driven.woken());
        poll_fn(|cx| {
            let has_come = watch.poll_news(cx).is_ready();
            let is_due = timer.poll_expired(cx).is_ready();
            let is_told = told.as_mut().poll(cx).is_ready();
            match has_come || is_due || is_told {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// Takes what it is offered as long as it is not full.
pub(super) struct Recorder {
    clock: Clock,
    /// Bytes that it takes before it is full; 0: any number.
    pub(super) room: Cell<usize>,
    pub(super) packets: RefCell<Vec<Vec<u8>>>,
    pub(super) current: RefCell<Vec<u8>>,
    pub(super) taken: Cell<usize>,
    pub(super) full: Cell<bool>,
    pub(super) last_taken: Cell<Option<Instant>>,
    pub(super) ended: Cell<Option<SessionEnd>>,
}

impl Recorder {
    fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            room: Cell::default(),
            packets: RefCell::default(),
            current: RefCell::default(),
            taken: Cell::default(),
            full: Cell::default(),
            last_taken: Cell::default(),
            ended: Cell::default(),
        }
    }
}

impl Sink for Recorder {
    fn begin_packet(&self, _: usize) {
        assert!(self.current.borrow().is_empty());
    }

    fn offer(&self, data: &mut [u8], _: usize) -> usize {
        if self.full.get() {
            if self.last_taken.get().is_none() {
                self.last_taken.set(Some(self.clock.now()));
            }
            return 0;
        }
        let data = match self.room.get() {
            0 => data,
            room => {
                let taken = room.min(data.len());
                self.room.set(room - taken);
                self.full.set(taken == room);
                &mut data[..taken]
            }
        };
        self.taken.set(self.taken.get() + data.len());
        self.last_taken.set(Some(self.clock.now()));
        self.current.borrow_mut().extend_from_slice(data);
        data.len()
    }

    fn end_packet(&self) {
        self.packets.borrow_mut().push(self.current.take());
    }

    fn quick_ack(&self, _: [u8; 4]) {}

    fn undelivered(&self) -> usize {
        0
    }

    fn taking(&self) -> Taking {
        Taking {
            last: self.last_taken.get().unwrap_or_else(|| self.clock.now()),
            lag: Duration::ZERO,
            starved: false,
        }
    }

    fn end(&self, end: SessionEnd) {
        assert_eq!(self.ended.replace(Some(end)), None);
    }
}
