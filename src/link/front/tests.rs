use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use smol::future::{block_on, poll_once};
use smol_mtproxy_ciphers::StreamKey;

use super::Front;
use super::link::FrontLink;
use crate::backend::{Route, Session, SessionEnd, SessionRequest, Sink, Stream};
use crate::config::LinkConfig;
use crate::link::driver::Side;
use crate::link::security::Security;
use crate::link::test_link;
use crate::wire::dc::DcId;
use crate::wire::link::Role;
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

    fn end(&self, end: SessionEnd) {
        self.0.set(Some(end));
    }
}

impl Wake for Client {
    fn wake(self: Arc<Self>) {}
}

/// A front with links that go nowhere.
fn front(links: usize) -> (Rc<Front>, Vec<Rc<FrontLink>>) {
    let config = LinkConfig {
        backs: Vec::new(),
        listen: Vec::new(),
        tls: None,
        key: None,
        plain_on_public: false,
        wait: Duration::ZERO,
        connections: links,
    };
    let security = Security::load(&config, Role::Front).unwrap();
    let front = Front::new(test_link::context(), security, config.wait);
    let connection = || test_link::connection_of(&front.context, front.account.clone());
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
    link.connection.tell_room();
}

fn open(link: &Rc<FrontLink>) -> Box<dyn Stream> {
    open_for(link, Rc::new(Client))
}

fn open_for(link: &Rc<FrontLink>, client: Rc<dyn Sink>) -> Box<dyn Stream> {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let request = SessionRequest {
        route: Route::Direct,
        dc: DcId(2),
        client: nobody,
        local: nobody,
        tag: None,
        transport: Transport::Padded,
        to_client: StreamKey {
            key: [0; 32],
            iv: [0; 16],
        },
    };
    match link.open(request, client) {
        Session::Bytes(stream) => stream,
        _ => panic!("a direct session is one of bytes"),
    }
}

#[test]
fn who_leaves_does_not_wait_for_the_link_any_more() {
    let link = FrontLink::new(Weak::new(), test_link::connection());
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
    assert!(!link.connection.tell_room());
}

#[test]
fn a_newcomer_does_not_wait_for_a_full_link_while_another_has_room() {
    let (front, links) = front(2);
    let sessions = [(); 3].map(|()| open(&links[1]));
    fill(&links[0]);
    let chosen = block_on(poll_once(front.link())).expect("no wait");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &links[1]));
    empty(&links[0]);
    let chosen = block_on(poll_once(front.link())).expect("no wait");
    assert!(Rc::ptr_eq(&chosen.unwrap(), &links[0]));
    drop(sessions);
}

#[test]
fn a_newcomer_waits_for_whichever_link_has_room_first() {
    let (front, links) = front(3);
    let sessions = [(); 3].map(|()| open(&links[1]));
    links[2].retire();
    for turn in 0..3 {
        links[..2].iter().for_each(|link| fill(link));
        let mut wait = Box::pin(front.link());
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
fn the_client_that_holds_most_is_closed_on_whichever_link_it_is() {
    let (front, links) = front(2);
    let receive = |link: &FrontLink, number: u32, count: usize| {
        let stream = link.stream(number).unwrap().unwrap();
        stream.receive(&mut vec![1; count]).unwrap();
        link.relieve();
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
        .account
        .with(|whole, user| assert_eq!(whole.held_by(user), 0));
}
