//! What becomes of those who are coming while a listener gets other rules, or goes.

use std::io::Write;
use std::rc::Rc;

use super::app::App;
use super::handshakes::{UNKNOWN, header};
use super::{ListenerHandle, OTHER_SECRET, SECRET, Setup, World, listen};
use crate::config::ListenAddress;
use crate::metrics::{CloseReason, RejectReason};
use crate::net::Listener;
use crate::wire::secret::Secret;
use crate::wire::transport::Transport;

const ANY: &str = "127.0.0.1:0";

fn listen_at(world: &World, place: &str, ours: &[Rc<Listener>], secret: Secret) -> ListenerHandle {
    let place = ListenAddress::new(place.parse().unwrap());
    let opened = Listener::open_all(&world.reactor, &[place], ours, &[]);
    let opened = opened.map_err(|(_, error)| error).unwrap();
    let mut rules = Setup::default().rules;
    rules.secrets.retain(|named| named.secret.key == secret);
    listen(&world.context, opened[0].1.clone(), rules)
}

#[test]
fn a_listener_that_goes_takes_those_who_are_there_already() {
    Setup::default().run(async |world| {
        let going = listen_at(&world, "127.0.0.1:0", &[], SECRET);
        let mut waiting = Vec::new();
        for _ in 0..5 {
            let mut stream = std::net::TcpStream::connect(going.address()).unwrap();
            stream
                .write_all(&header(Transport::Padded, &SECRET))
                .unwrap();
            waiting.push(stream);
        }
        let address = going.address();
        drop(going.close().await);
        assert!(std::net::TcpStream::connect(address).is_err());
        let opened = || world.telegram.opened.borrow().len();
        world.until("five sessions", || opened() == 5).await;
    });
}

#[test]
fn a_listener_that_goes_leaves_its_addresses_to_others() {
    Setup::default().run(async |world| {
        let wide = listen_at(&world, "0.0.0.0:0", &[], SECRET);
        let port = wide.address().port();
        // They come before the other listener is there, and are its clients.
        let (here, there) = (format!("127.0.0.1:{port}"), format!("127.0.0.9:{port}"));
        let mut waiting = Vec::new();
        for (address, secret) in [(&here, OTHER_SECRET), (&there, SECRET), (&here, SECRET)] {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream
                .write_all(&header(Transport::Padded, &secret))
                .unwrap();
            waiting.push(stream);
        }
        let ours = [wide.socket().clone()];
        let narrow = listen_at(&world, &here, &ours, OTHER_SECRET);
        wide.retire(|_| true, [&narrow].into_iter());
        let rejected = &world.metrics.rejected;
        let opened = || world.telegram.opened.borrow().len();
        world
            .until("two sessions and a stranger", || {
                opened() == 2 && rejected.get(RejectReason::UnknownSecret) == 1
            })
            .await;
        // A secret that is gone is taken nowhere.
        wide.retire(|secret| *secret != SECRET, [].into_iter());
        let mut late = std::net::TcpStream::connect(there).unwrap();
        late.write_all(&header(Transport::Padded, &SECRET)).unwrap();
        world
            .until("another stranger", || {
                rejected.get(RejectReason::UnknownSecret) == 2
            })
            .await;
        // The other listener goes by its own rules all the time.
        let mut other = std::net::TcpStream::connect(here).unwrap();
        other
            .write_all(&header(Transport::Padded, &OTHER_SECRET))
            .unwrap();
        world.until("one more session", || opened() == 3).await;
    });
}

/// It would be counted nowhere, and go by no limits.
#[test]
fn who_has_begun_under_another_name_of_its_secret_comes_again() {
    Setup::default().run(async |world| {
        let mut setup = Setup::default();
        setup.rules.secrets[1].name = "renamed".into();
        let renamed = [("first".to_owned(), "renamed".to_owned())];
        let secrets = setup.rules.secrets.iter();
        let limits = secrets.map(|named| (&*named.name, named.limits));
        let address = world.listener.address();
        let app = || App::connect(&world.reactor, address, Transport::Padded, &SECRET);
        let opened = || world.telegram.opened.borrow().len();
        let _inside = app().await;
        world.until("a session", || opened() == 1).await;
        let header = header(Transport::Padded, &SECRET);
        let mut half = std::net::TcpStream::connect(address).unwrap();
        half.write_all(&header[..30]).unwrap();
        let handshaking = &world.metrics.handshaking;
        world.until("its place", || handshaking.get() == 1).await;

        let gate = &world.context.gate;
        let rules = gate.prepare(&setup.guard, Vec::new()).unwrap();
        gate.reconfigure(&setup.guard, rules, &renamed, limits);
        world.listener.set_rules(setup.rules.clone());
        half.write_all(&header[30..]).unwrap();
        let ended = || world.metrics.closed.get(CloseReason::SecretRemoved) == 1;
        world.until("its end", ended).await;
        // Who was there stays, and newcomers are counted with it.
        let _again = app().await;
        world.until("another session", || opened() == 2).await;
        assert_eq!(gate.account("renamed").unwrap().live(), 2);
        assert_eq!(world.metrics.clients.get(), 2);
    });
}

/// A listener's rules are replaced, or it is closed, under those who have begun.
#[test]
fn a_handshake_goes_by_the_rules_it_began_with_as_long_as_its_secret_is_good() {
    #[derive(Clone, Copy, PartialEq)]
    enum Then {
        Replaced,
        Twice,
        Retired,
        StandsIn,
        Closed,
    }
    use Then::*;
    for then in [Replaced, Twice, Retired, StandsIn, Closed] {
        Setup::default().run(async |world| {
            let listener = Rc::new(Listener::bind(&world.reactor, ANY.parse().unwrap()).unwrap());
            let listener = listen(&world.context, listener, Setup::default().rules);
            let half_done = |secret: Secret| {
                let header = header(Transport::Padded, &secret);
                let mut stream = std::net::TcpStream::connect(listener.address()).unwrap();
                stream.write_all(&header[..30]).unwrap();
                (stream, header)
            };
            let mut streams = [UNKNOWN, OTHER_SECRET, SECRET].map(half_done);
            let handshaking = &world.metrics.handshaking;
            world.until("their places", || handshaking.get() == 3).await;
            // One secret goes, the other has another number, and the kind of client
            // that they are is not let in any more.
            let mut rules = Setup::default().rules;
            rules.secrets.retain(|named| named.secret.key == SECRET);
            rules.allow.dd = false;
            let is_kept = |secret: &Secret| *secret == SECRET;
            let mut open = Some(listener);
            if let Some(listener) = &open {
                match then {
                    Replaced => listener.set_rules(rules),
                    Twice => {
                        listener.set_rules(rules.clone());
                        rules.tls_domains = vec!["example.com".parse().unwrap()];
                        listener.set_rules(rules);
                    }
                    Retired | Closed => listener.retire(is_kept, [].into_iter()),
                    StandsIn => listener.stand_in(is_kept, [].into_iter()),
                }
            }
            if then == Closed {
                let closing = open.take().map(ListenerHandle::close);
                drop(closing.unwrap().await);
            }
            for (stream, header) in &mut streams {
                stream.write_all(&header[30..]).unwrap();
            }
            let metrics = &world.metrics;
            world
                .until("a stranger, one that goes and a client", || {
                    metrics.rejected.get(RejectReason::UnknownSecret) == 1
                        && metrics.closed.get(CloseReason::SecretRemoved) == 1
                        && world.telegram.opened.borrow().len() == 1
                })
                .await;
        });
    }
}

/// What a listener had for one of its addresses alone is replaced too.
#[test]
fn who_came_to_a_part_of_a_listener_goes_by_what_is_left_of_it() {
    Setup::default().run(async |world| {
        let address = world.listener.address();
        let rules = Setup::default().rules;
        world
            .listener
            .stand_in(|_| true, [(address, rules.clone())].into_iter());
        let mut streams = [OTHER_SECRET, SECRET].map(|secret| {
            let header = header(Transport::Padded, &secret);
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&header[..30]).unwrap();
            (stream, header)
        });
        let handshaking = &world.metrics.handshaking;
        world.until("their places", || handshaking.get() == 2).await;
        let is_kept = |secret: &Secret| *secret == SECRET;
        world
            .listener
            .stand_in(is_kept, [(address, rules)].into_iter());
        for (stream, header) in &mut streams {
            stream.write_all(&header[30..]).unwrap();
        }
        let closed = &world.metrics.closed;
        world
            .until("one that goes and a client", || {
                closed.get(CloseReason::SecretRemoved) == 1
                    && world.telegram.opened.borrow().len() == 1
            })
            .await;
    });
}

#[test]
fn new_rules_are_for_new_clients() {
    Setup::default().run(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let mut old = App::connect(reactor, address, Transport::Padded, &SECRET).await;
        world
            .until("a session", || world.telegram.opened.borrow().len() == 1)
            .await;
        let mut rules = Setup::default().rules;
        rules.secrets.retain(|named| named.secret.key != SECRET);
        world.listener.set_rules(rules);
        let stranger = App::connect(reactor, address, Transport::Padded, &SECRET).await;
        let rejected = &world.metrics.rejected;
        world
            .until("a rejection", || {
                rejected.get(RejectReason::UnknownSecret) == 1
            })
            .await;
        drop(stranger);
        old.send(&[0; 8]).await;
        let script = world.telegram.session().script;
        world
            .until("the old one's packet", || script.payloads() == [vec![0; 8]])
            .await;
    });
}
