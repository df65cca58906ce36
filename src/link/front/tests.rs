mod model;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use smol::future::{block_on, poll_once};
use smol_mtproxy_ciphers::StreamKey;

use super::Front;
use super::link::{FrontLink, Owner};
use crate::backend::{OpenError, Route, Session, SessionEnd, SessionRequest, Sink, Stream, Taking};
use crate::config::LinkConfig;
use crate::link::driver::Half;
use crate::link::fault::Fault;
use crate::link::security::Security;
use crate::link::share::Share;
use crate::link::{LinkContext, Silence, test_link};
use crate::net::Live;
use crate::wire::dc::DcId;
use crate::wire::link::{EndReason, Frame, LinkSide};
use crate::wire::transport::Transport;

struct Client;

impl Sink for Client {
    fn begin_packet(&self, _: usize) {}

    fn offer(&self, data: &mut [u8], _: usize) -> usize {
        data.len()
    }

    fn end_packet(&self) {}

    fn quick_ack(&self, _: [u8; 4]) {}

    fn undelivered(&self) -> usize {
        0
    }

    fn taking(&self) -> Taking {
        Taking {
            last: Instant::now(),
            lag: Duration::ZERO,
            starved: false,
        }
    }

    fn end(&self, _: SessionEnd) {}
}

/// One that takes nothing, and takes note of its end.
#[derive(Default)]
struct Slow(Cell<Option<SessionEnd>>);

impl Sink for Slow {
    fn begin_packet(&self, _: usize) {}

    fn offer(&self, _: &mut [u8], _: usize) -> usize {
        0
    }

    fn end_packet(&self) {}

    fn quick_ack(&self, _: [u8; 4]) {}

    fn undelivered(&self) -> usize {
        0
    }

    fn taking(&self) -> Taking {
        Client.taking()
    }

    fn end(&self, end: SessionEnd) {
        self.0.set(Some(end));
    }
}

impl Wake for Client {
    fn wake(self: Arc<Self>) {}
}

/// Moments in the place of seconds.
const SHORT: Silence = Silence {
    ping_every: Duration::from_millis(100),
    doubt_after: Duration::from_millis(40),
    silence_limit: Duration::from_millis(300),
};

/// A front with links that go nowhere.
fn front(links: usize) -> (Rc<Front>, Vec<Rc<FrontLink>>) {
    let config = LinkConfig {
        connections: links,
        ..LinkConfig::default()
    };
    let security = Security::load(&config, LinkSide::Front).unwrap();
    let context = LinkContext {
        silence: SHORT,
        ..test_link::context()
    };
    let front = Front::new(context, security, Live::new(config));
    let connection = || test_link::connection_of(&front.context, front.share.clone());
    let link = || FrontLink::new(Rc::downgrade(&front), connection());
    let links: Vec<_> = (0..links).map(|_| link()).collect();
    for link in &links {
        front.add(link);
    }
    (front, links)
}

fn fill(link: &FrontLink) {
    while !link.connection.is_full() {
        // Little enough not to be written at once.
        link.connection.send_data(7, &[], &[0; 2048]);
    }
}

fn empty(link: &FrontLink) {
    link.connection.with_out(|out| out.clear());
    link.connection.wake_waiting();
}

/// A ping goes out on it, and nothing comes for so long that it counts as silent.
fn silence(link: &FrontLink) {
    let connection = &link.connection;
    connection.ping();
    let context = &connection.context;
    let waiting = context.reactor.sleep(SHORT.doubt_after);
    context.reactor.block_on(&context.executor, waiting);
    assert!(connection.is_silent());
}

fn request(route: Route, has_other_route: bool) -> SessionRequest {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    SessionRequest {
        route,
        has_other_route,
        dc: DcId(2),
        client: nobody,
        local: nobody,
        tag: None,
        transport: Transport::Padded,
        to_client: StreamKey {
            key: [0; 32],
            iv: [0; 16],
        },
        #[cfg(feature = "tls")]
        made_of: None,
    }
}

fn open(link: &Rc<FrontLink>) -> Box<dyn Stream> {
    open_for(link, Rc::new(Client))
}

fn open_for(link: &Rc<FrontLink>, client: Rc<dyn Sink>) -> Box<dyn Stream> {
    match link.open(request(Route::Direct, false), client) {
        Session::Bytes(stream) => stream,
        _ => panic!("a direct session is one of bytes"),
    }
}

#[test]
fn who_leaves_does_not_wait_for_the_link_any_more() {
    let link = FrontLink::new(Weak::<Front>::new(), test_link::connection());
    let stream = open(&link);
    fill(&link);
    let task = Arc::new(Client);
    let waker = Waker::from(task.clone());
    for _ in 0..2 {
        assert!(
            stream
                .poll_ready(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    drop((stream, waker));
    assert_eq!(Arc::strong_count(&task), 1, "the link keeps its task");
    assert!(!link.connection.wake_waiting());
}

/// Whichever side is first, and if both are within one turn of the link.
#[test]
fn the_end_of_a_stream_is_said_once_and_frees_its_number() {
    let turn = |link: &FrontLink| {
        let cx = &mut Context::from_waker(Waker::noop());
        link.look_again(cx).unwrap();
    };
    let back_ends = |link: &FrontLink| {
        let (stream, reason) = (0, EndReason::MidAnswer);
        link.frame(Frame::End { stream, reason }).unwrap();
    };
    type Step<'a> = &'a dyn Fn(&FrontLink);
    let steps: [(bool, [Step<'_>; 3]); 4] = [
        (false, [&back_ends, &turn, &turn]),
        (true, [&back_ends, &turn, &turn]),
        (true, [&turn, &back_ends, &turn]),
        (true, [&turn, &turn, &back_ends]),
    ];
    for (is_client_first, steps) in steps {
        let link = FrontLink::new(Weak::<Front>::new(), test_link::connection());
        let client = Rc::<Slow>::default();
        let session = open_for(&link, client.clone());
        let waiting = match is_client_first {
            true => {
                drop(session);
                None
            }
            false => Some(session),
        };
        steps.iter().for_each(|step| step(&link));
        let frames = test_link::frames(&link.connection);
        let is_end = |frame: &&Frame| matches!(frame, Frame::End { stream: 0, .. });
        assert_eq!(frames.iter().filter(is_end).count(), 1);
        assert_eq!(link.load(), 0);
        assert_eq!(client.0.get().is_some(), waiting.is_some());
        // The next one has the number, and nothing of the last.
        drop(waiting);
        let _next = open(&link);
        turn(&link);
        assert_eq!(link.load(), 1);
        assert!(link.stream(0).unwrap().is_some());
    }
}

#[test]
fn a_newcomer_does_not_wait_for_a_full_link_while_another_has_room() {
    let (front, links) = front(2);
    let sessions = [(); 3].map(|()| open(&links[1]));
    fill(&links[0]);
    let chosen = block_on(poll_once(front.link(Route::Direct))).expect("no wait");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &links[1]));
    empty(&links[0]);
    let chosen = block_on(poll_once(front.link(Route::Direct))).expect("no wait");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &links[0]));
    drop(sessions);
}

#[test]
fn who_wants_a_middle_proxy_gets_a_link_whose_back_reaches_them() {
    let (front, links) = front(2);
    links[0].frame(Frame::Middle { is_reached: false }).unwrap();
    let sessions = [(); 3].map(|()| open(&links[1]));
    for (route, chosen) in [(Route::Direct, 0), (Route::Middle, 1)] {
        let link = block_on(poll_once(front.link(route))).expect("no wait");
        assert!(Rc::ptr_eq(&link.unwrap(), &links[chosen]));
    }
    links[1].lacks_middle.set(true);
    let open = |has_other_route| {
        let request = request(Route::Middle, has_other_route);
        let opened = block_on(poll_once(front.open_session(request, Rc::new(Client))));
        opened.expect("no wait").map(drop)
    };
    assert_eq!(open(true), Err(OpenError::MiddleUnavailable));
    // The back is to say why.
    assert_eq!(open(false), Ok(()));
    drop(sessions);
}

#[test]
fn a_newcomer_waits_for_whichever_link_has_room_first() {
    let (front, links) = front(3);
    let sessions = [(); 3].map(|()| open(&links[1]));
    links[2].retire();
    for turn in 0..3 {
        links[..2].iter().for_each(|link| fill(link));
        let mut wait = Box::pin(front.link(Route::Direct));
        assert!(block_on(poll_once(&mut wait)).is_none());
        let roomy = match turn {
            // The newest may be another one.
            2 => {
                let link = FrontLink::new(Rc::downgrade(&front), test_link::connection());
                front.add(&link);
                link
            }
            turn => {
                empty(&links[turn]);
                links[turn].clone()
            }
        };
        let chosen = block_on(poll_once(&mut wait)).expect("there is room");
        assert!(Rc::ptr_eq(&chosen.unwrap(), &roomy));
    }
    drop(sessions);
}

#[test]
fn a_newcomer_is_not_put_on_a_link_that_does_not_answer() {
    let (front, links) = front(2);
    let sessions = [(); 3].map(|()| open(&links[1]));
    silence(&links[0]);
    let chosen = block_on(poll_once(front.link(Route::Direct))).expect("no wait");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &links[1]));
    // One that is only full is waited for, whichever it is.
    fill(&links[1]);
    let mut wait = Box::pin(front.link(Route::Direct));
    assert!(block_on(poll_once(&mut wait)).is_none());
    empty(&links[1]);
    let chosen = block_on(poll_once(&mut wait)).expect("there is room");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &links[1]));
    silence(&links[1]);
    for link in [&links[1], &links[0]] {
        let mut wait = Box::pin(front.link(Route::Direct));
        assert!(block_on(poll_once(&mut wait)).is_none(), "none answers");
        link.connection.hear();
        let chosen = block_on(poll_once(&mut wait)).expect("it answers");
        assert!(Rc::ptr_eq(&chosen.unwrap(), link));
        silence(link);
    }
    // The wait for one that dies goes on for the next.
    let mut wait = Box::pin(front.link(Route::Direct));
    assert!(block_on(poll_once(&mut wait)).is_none());
    for link in &links {
        link.connection.shut();
        front.remove(link);
    }
    assert!(block_on(poll_once(&mut wait)).is_none());
    let next = FrontLink::new(Rc::downgrade(&front), test_link::connection());
    front.add(&next);
    let chosen = block_on(poll_once(&mut wait)).expect("there is another");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &next));
    drop(sessions);
}

#[test]
fn a_link_that_says_nothing_ends_on_time() {
    let silence = Silence {
        ping_every: Duration::from_secs(5),
        ..SHORT
    };
    let context = Rc::new(LinkContext {
        silence,
        ..test_link::context()
    });
    let share = Share::new(&context.whole(), "somebody");
    let (connection, mut driver, _far) = test_link::driven_of(&context, share);
    let link = FrontLink::new(Weak::<Front>::new(), connection.clone());
    let context = &connection.context;
    let start = context.reactor.now();
    let fault = context
        .reactor
        .block_on(&context.executor, driver.run(&*link));
    let took = context.reactor.now() - start;
    assert!(matches!(fault, Fault::Silent), "{fault}");
    assert!(took >= silence.silence_limit && took < silence.ping_every / 2);
}

#[test]
fn only_who_may_go_direct_is_told_that_middle_proxies_were_out_of_reach() {
    let (front, links) = front(1);
    front.middle_unavailable(DcId(2));
    let open = |has_other_route| {
        let request = request(Route::Middle, has_other_route);
        let opened = block_on(poll_once(front.open_session(request, Rc::new(Client))));
        opened.expect("no wait").map(drop)
    };
    assert_eq!(open(true), Err(OpenError::MiddleUnavailable));
    assert_eq!(open(false), Ok(()));
    drop(links);
}

#[test]
fn the_client_that_holds_most_is_closed_on_whichever_link_it_is() {
    let (front, links) = front(2);
    let receive = |link: &FrontLink, number: u32, count: usize| {
        let stream = link.stream(number).unwrap().unwrap();
        stream.receive(&mut vec![1; count]).unwrap();
        link.evict_largest();
    };
    let greedy = Rc::<Slow>::default();
    let mut sessions = vec![open_for(&links[0], greedy.clone())];
    receive(&links[0], 0, 1 << 16);
    let limit = front.context.buffers.total_bytes() / 2;
    let part = 60_000;
    for number in 0..(limit / part) as u32 {
        assert!(greedy.0.get().is_none());
        let modest = Rc::<Slow>::default();
        sessions.push(open_for(&links[1], modest));
        receive(&links[1], number, part);
    }
    assert_eq!(greedy.0.get(), Some(SessionEnd::TooSlow));
    assert_eq!(links[1].load(), sessions.len() - 1);
    drop(sessions);
    front
        .share
        .with(|whole, user| assert_eq!(whole.held_by(user), 0));
}
