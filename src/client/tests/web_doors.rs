//! Who goes to a WEB host on a port of clients, and as what it counts there.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::app::{App, hello, unix_now};
use super::handshakes::{UNKNOWN, header};
use super::{SECRET, Setup, World};
use crate::client::{WebDoor, WebVisitor};
use crate::config::{Config, FrontingChoice, SitePlace};
use crate::metrics::RejectReason;
use crate::net::{Reactor, Socket};
use crate::wire::secret::{Domain, Secret};
use crate::wire::transport::Transport;

const HOST: &str = "web.example.org";

/// What serves WEB: it says `WEB`, and keeps who came for as long as it stays.
#[derive(Default)]
struct Door {
    /// Also those who ask for no host, or for another.
    is_only: bool,
    is_closed: Cell<bool>,
    came: RefCell<Vec<Came>>,
    left: Cell<usize>,
    conduct: Conduct,
}

struct Came {
    received: Vec<u8>,
    from: std::net::SocketAddr,
    waited: Duration,
}

/// What a visitor turns out to be.
#[derive(Clone, Copy, Default)]
enum Conduct {
    #[default]
    Undecided,
    Guest,
    Client,
}

/// Counts also who is made to go.
struct Leaving(Rc<DoorOf>);

struct DoorOf {
    door: Door,
    reactor: Rc<Reactor>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.door.left.set(self.0.door.left.get() + 1);
    }
}

struct Handle(Rc<DoorOf>);

impl WebDoor for Handle {
    fn takes(&self, sni: Option<&Domain>, _: &[u8]) -> bool {
        let is_host = sni.is_some_and(|name| name.as_str() == HOST);
        !self.0.door.is_closed.get() && (self.0.door.is_only || is_host)
    }

    fn serve(&self, visitor: WebVisitor) -> Pin<Box<dyn Future<Output = ()>>> {
        let of = self.0.clone();
        of.door.came.borrow_mut().push(Came {
            received: visitor.received.clone(),
            from: visitor.peer.client,
            waited: of.reactor.now() - visitor.accepted,
        });
        match of.door.conduct {
            Conduct::Undecided => {}
            Conduct::Guest => visitor.standing.become_guest(),
            Conduct::Client => visitor.standing.prove(),
        }
        Box::pin(async move {
            let _leaving = Leaving(of);
            visitor.socket.write_all(b"WEB").await.unwrap();
            while !matches!(visitor.socket.read(&mut [0; 100]).await, Ok(0) | Err(_)) {}
        })
    }
}

fn set_up(world: &World, door: Door) -> Rc<DoorOf> {
    let of = Rc::new(DoorOf {
        door,
        reactor: world.reactor.clone(),
    });
    world.context.set_door(Rc::new(Handle(of.clone())));
    of
}

impl DoorOf {
    fn count(&self) -> usize {
        self.door.came.borrow().len()
    }
}

fn only() -> Door {
    Door {
        is_only: true,
        ..Door::default()
    }
}

async fn connect(world: &World) -> Socket {
    let address = world.listener.address();
    Socket::connect(&world.reactor, address).await.unwrap()
}

/// Connects and says that; the door answers if it serves.
async fn visit(world: &World, said: &[u8]) -> Socket {
    let socket = connect(world).await;
    socket.write_all(said).await.unwrap();
    socket
}

async fn is_served(socket: &Socket) -> bool {
    let mut answer = [0; 3];
    socket.read_exact(&mut answer).await.is_ok() && &answer == b"WEB"
}

fn hello_for(secret: &Secret, name: Option<&str>) -> Vec<u8> {
    hello(secret, unix_now(), name)
}

#[test]
fn who_proves_nothing_and_asks_for_a_host_gets_it() {
    Setup::default().run(async |world| {
        let door = set_up(&world, Door::default());
        let hello = hello_for(&UNKNOWN, Some(HOST));
        // Byte by byte, and something behind it.
        let said = [&hello[..], b"early"].concat();
        let visitor = connect(&world).await;
        visitor.set_nodelay();
        for part in said.chunks(300) {
            visitor.write_all(part).await.unwrap();
            smol::future::yield_now().await;
        }
        assert!(is_served(&visitor).await);
        let came = door.door.came.take();
        assert!(said.starts_with(&came[0].received) && came[0].received.len() >= hello.len());
        assert_eq!(came[0].from, visitor.local_address().unwrap());
        // It is no client that was rejected.
        assert_eq!(world.metrics.rejected.total(), 0);
        assert_eq!(world.context.connections(), 1);
        drop(visitor);
        let gone = || world.context.connections() == 0;
        world.until("nobody", gone).await;
    });
}

#[test]
fn clients_come_in_as_ever() {
    for door in [Door::default(), only()] {
        Setup::default().run(async |world| {
            let door = set_up(&world, door);
            let (reactor, address) = (&world.reactor, world.listener.address());
            let mut apps = vec![App::connect_tls(reactor, address, &SECRET).await];
            for transport in [Transport::Abridged, Transport::Padded] {
                apps.push(App::connect(reactor, address, transport, &SECRET).await);
            }
            // Its header in two parts.
            let header = header(Transport::Padded, &SECRET);
            let slow = visit(&world, &header[..20]).await;
            reactor.sleep(Duration::from_millis(900)).await;
            slow.write_all(&header[20..]).await.unwrap();
            let clients = || world.metrics.clients.get();
            world.until("four clients", || clients() == 4).await;
            assert_eq!(door.count(), 0);
        });
    }
}

#[test]
fn a_hello_that_came_before_is_shown_the_host_it_names() {
    Setup::default().run(async |world| {
        let door = set_up(&world, Door::default());
        let hello = hello_for(&SECRET, Some(HOST));
        let _client = visit(&world, &hello).await;
        let proven = || world.context.connections() == 1 && world.metrics.handshaking.get() == 1;
        world.until("a client", proven).await;
        let again = visit(&world, &hello).await;
        assert!(is_served(&again).await);
        assert_eq!(door.door.came.borrow()[0].received, hello);
        // That is told: it may be a client.
        assert_eq!(world.metrics.rejected.get(RejectReason::Replay), 1);
        let late = hello_late();
        assert!(is_served(&visit(&world, &late).await).await);
        assert_eq!(world.metrics.rejected.get(RejectReason::ClockSkew), 1);
    });
}

fn hello_late() -> Vec<u8> {
    hello(&SECRET, unix_now() - 3600, Some(HOST))
}

#[test]
fn a_host_has_nothing_to_say_to_others() {
    for said in [
        hello_for(&UNKNOWN, Some("example.com")),
        hello_for(&UNKNOWN, None),
        vec![7; 64],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Vec::new(),
    ] {
        let mut setup = Setup::default();
        setup.clients.handshake_timeout = Duration::from_secs(1);
        setup.run(async |world| {
            let door = set_up(&world, Door::default());
            let stranger = visit(&world, &said).await;
            assert!(!is_served(&stranger).await);
            assert_eq!(door.count(), 0);
            assert_eq!(world.metrics.rejected.total(), 1);
        });
    }
}

#[test]
fn where_there_is_no_other_site_all_strangers_get_the_host() {
    let mut malformed = hello_for(&UNKNOWN, Some(HOST));
    malformed[43] = 200;
    let whole = hello_for(&UNKNOWN, Some(HOST));
    let at_once = Duration::ZERO..=Duration::from_millis(500);
    let soon = Duration::from_secs(1)..=Duration::from_secs(2);
    let in_the_end = Duration::from_secs(20)..=Duration::from_secs(21);
    for (said, when) in [
        (hello_for(&UNKNOWN, Some("example.com")), &at_once),
        (hello_for(&UNKNOWN, None), &at_once),
        (malformed, &at_once),
        (vec![7; 64], &at_once),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), &at_once),
        (b"SSH-2.0-x\r\n".to_vec(), &soon),
        (whole[..100].to_vec(), &in_the_end),
        (Vec::new(), &in_the_end),
    ] {
        Setup::default().run(async |world| {
            let door = set_up(&world, only());
            let stranger = visit(&world, &said).await;
            assert!(is_served(&stranger).await);
            let came = door.door.came.borrow();
            assert_eq!(came[0].received, said);
            let waited = came[0].waited;
            assert!(
                when.contains(&waited),
                "{waited:?} for {} bytes",
                said.len()
            );
        });
    }
}

/// Beside a site for all others, and however slowly the hello comes.
#[test]
fn a_site_has_those_who_do_not_ask_for_a_host() {
    let mut setup = Setup::default();
    let site = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site.set_nonblocking(true).unwrap();
    setup.fronting.choice = FrontingChoice::Site(SitePlace::Host {
        name: "127.0.0.1".into(),
        port: site.local_addr().unwrap().port(),
    });
    setup.run(async |world| {
        let door = set_up(&world, Door::default());
        let hello = hello_for(&UNKNOWN, Some(HOST));
        let visitor = connect(&world).await;
        visitor.write_all(&hello[..100]).await.unwrap();
        world.reactor.sleep(Duration::from_secs(3)).await;
        visitor.write_all(&hello[100..]).await.unwrap();
        assert!(is_served(&visitor).await);
        let came = hello.len() == door.door.came.borrow()[0].received.len();
        assert!(came && world.metrics.fronted_now.get() == 0);
        let fronted = &world.metrics.fronted;
        assert_eq!(fronted.total(), 0);
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], &hello_for(&UNKNOWN, None)] {
            let before = fronted.total();
            let _stranger = visit(&world, said).await;
            world
                .until("a visit", || fronted.total() == before + 1)
                .await;
        }
        assert_eq!(door.count(), 1);
    });
}

#[test]
fn whoever_has_said_its_last_is_heard_all_the_same() {
    Setup::default().run(async |world| {
        let door = set_up(&world, only());
        let stranger = visit(&world, b"\x16\x03\x01").await;
        stranger.shutdown_write().unwrap();
        assert!(is_served(&stranger).await);
        assert_eq!(door.door.came.borrow()[0].received, b"\x16\x03\x01");
        let silent = connect(&world).await;
        silent.shutdown_write().unwrap();
        assert!(!is_served(&silent).await);
    });
}

#[test]
fn a_full_house_and_a_circle_are_no_visitors() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 1;
    setup.run(async |world| {
        let door = set_up(&world, only());
        let early = connect(&world).await;
        let unproven = || world.context.connections() == 1;
        world.until("one", unproven).await;
        let address = world.listener.address();
        let _client = App::connect(&world.reactor, address, Transport::Padded, &SECRET).await;
        world
            .until("a client", || world.metrics.clients.get() == 1)
            .await;
        early
            .write_all(&header(Transport::Padded, &SECRET))
            .await
            .unwrap();
        assert!(!is_served(&early).await);
        assert_eq!(door.count(), 0);
    });
    Setup::default().run(async |world| {
        let door = set_up(&world, only());
        world.telegram.is_circle.set(true);
        let stranger = visit(&world, &header(Transport::Padded, &SECRET)).await;
        let rejected = || world.metrics.rejected.get(RejectReason::Loop) == 1;
        world.until("a circle", rejected).await;
        drop(stranger);
        assert_eq!(door.count(), 0);
    });
}

/// Three visitors where there is room for two who have proven nothing.
fn crowd(conduct: Conduct, max_strangers: usize, expected_left: usize, expected_there: usize) {
    let mut setup = Setup::default();
    setup.guard.max_handshakes = 2;
    setup.max_strangers = max_strangers;
    setup.run(async |world| {
        let door = Door {
            conduct,
            ..Door::default()
        };
        let door = set_up(&world, door);
        let hello = hello_for(&UNKNOWN, Some(HOST));
        let mut visitors = Vec::new();
        for number in 0..3 {
            visitors.push(visit(&world, &hello).await);
            world.until("a visit", || door.count() > number).await;
        }
        let left = || door.door.left.get() == expected_left;
        world.until("who goes", left).await;
        assert_eq!(world.context.connections(), expected_there);
        drop(visitors);
        world
            .until("nobody", || world.context.connections() == 0)
            .await;
        let left = || door.door.left.get() == 3;
        world.until("all ends", left).await;
        assert_eq!(world.metrics.fronted_now.get(), 0);
    });
}

#[test]
fn who_has_proven_nothing_makes_room_for_the_next() {
    crowd(Conduct::Undecided, 10, 1, 2);
}

#[test]
fn guests_give_their_seats_back_as_far_as_there_are_places_for_guests() {
    crowd(Conduct::Guest, 10, 0, 3);
    crowd(Conduct::Guest, 0, 1, 2);
}

#[test]
fn who_has_proven_a_secret_is_nobody_of_these() {
    crowd(Conduct::Client, 10, 0, 0);
}

#[test]
fn a_flood_comes_behind_others() {
    let mut setup = Setup::default();
    let config = Config::of(&[("--flood-limit", "1,2")]);
    setup.guard.flood = config.guard.flood;
    setup.max_strangers = 4;
    setup.run(async |world| {
        let door = set_up(&world, only());
        let hello = hello_for(&UNKNOWN, Some(HOST));
        let mut visitors = Vec::new();
        for _ in 0..5 {
            visitors.push(visit(&world, &hello).await);
        }
        // Two within the limit, and two of the flood have half of the guests' places.
        world.until("four", || door.count() == 4).await;
        world.reactor.sleep(Duration::from_secs(1)).await;
        assert_eq!(door.count(), 4);
        visitors.pop();
        visitors.remove(2);
        world.until("another", || door.door.left.get() == 1).await;
        assert_eq!(world.metrics.rejected.get(RejectReason::Flood), 3);
    });
    // Those who prove a secret count for no flood.
    let mut setup = Setup::default();
    let config = Config::of(&[("--flood-limit", "1,2")]);
    setup.guard.flood = config.guard.flood;
    setup.run(async |world| {
        let door = Door {
            conduct: Conduct::Client,
            ..Door::default()
        };
        let door = set_up(&world, door);
        let mut visitors = Vec::new();
        for number in 0..6 {
            visitors.push(visit(&world, &hello_for(&UNKNOWN, Some(HOST))).await);
            world.until("a visit", || door.count() > number).await;
        }
        assert_eq!(world.metrics.rejected.get(RejectReason::Flood), 0);
    });
}
