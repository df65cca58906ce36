//! Clients that come as streams of a WEB session, over an end in memory.

use std::time::Duration;

use fake_telegram::client::Codec;
use fake_telegram::transport::Unit;
use smol_mtproxy_ciphers::CtrStream;

use super::app::{App, codec};
use super::handshakes::{UNKNOWN, header};
use super::lines::{Dc, direct};
use super::relays::{SIZES, TRANSPORTS, answer, payload};
use super::telegram::Answer;
use super::{OTHER_SECRET, SECRET, Setup, World};
use crate::backend::{OpenError, SessionEnd};
use crate::client::{Peer, WebArrival, serve_stream};
use crate::config::Allow;
use crate::connection::{MemoryApp, memory_stream};
use crate::metrics::{ClientKind, CloseReason, RejectReason};
use crate::net::CHUNK_LEN;
use crate::wire::secret::Secret;
use crate::wire::transport::{MAX_PACKET, Transport};

/// An app's connection to a DC, in a stream.
struct WebApp {
    end: MemoryApp,
    codec: Codec,
}

impl WebApp {
    /// Has said nothing yet.
    fn open(world: &World, transport: Transport, secret: &Secret) -> Self {
        Self::open_in_session(world, transport, secret, SECRET, false)
    }

    fn open_in_session(
        world: &World,
        transport: Transport,
        secret: &Secret,
        of_session: Secret,
        padded_only: bool,
    ) -> Self {
        let (end, app) = memory_stream();
        let arrival = WebArrival {
            peer: Peer {
                client: "192.0.2.7:4711".parse().unwrap(),
                local: "192.0.2.1:443".parse().unwrap(),
            },
            rules: world.listener.rules(),
            secret: of_session,
            padded_only,
            end,
        };
        let serving = serve_stream(world.context.clone(), arrival);
        world.context.executor.spawn(serving).detach();
        Self {
            end: app,
            codec: codec(transport, secret),
        }
    }

    /// It is a client of [`SECRET`] then, whose session is open.
    async fn connect(world: &World, transport: Transport) -> Self {
        let before = world.telegram.opened.borrow().len();
        let mut app = Self::open(world, transport, &SECRET);
        app.say_header();
        let is_open = || world.telegram.opened.borrow().len() > before;
        world.until("a session", is_open).await;
        app
    }

    fn say_header(&mut self) {
        let header = self.codec.seal(Vec::new());
        self.end.send(&header);
    }

    fn send(&mut self, payload: &[u8]) {
        let packet = self.codec.packet(payload, false, &[1, 2, 3]);
        self.end.send(&packet);
    }

    async fn receive(&mut self) -> Vec<u8> {
        loop {
            match self.codec.next_unit().unwrap() {
                Some(Unit::Packet { payload, .. }) => return payload,
                Some(Unit::QuickAck(token)) => panic!("a quick-ack {token:02x?}"),
                None => self.read_more().await,
            }
        }
    }

    async fn read(&mut self, length: usize) -> Vec<u8> {
        loop {
            match self.codec.next_bytes(length) {
                Some(bytes) => return bytes,
                None => self.read_more().await,
            }
        }
    }

    async fn read_more(&mut self) {
        let mut buffer = [0; 10_000];
        let length = self.end.read(&mut buffer).await;
        assert_ne!(length, 0, "closed, and more was to come");
        self.codec.push(&buffer[..length]).unwrap();
    }

    /// Until the proxy closes it, which it does once, and says nothing before.
    async fn is_closed(&self) {
        assert_eq!(self.end.read(&mut [0]).await, 0);
        assert_eq!(self.end.closes(), 1);
    }
}

/// Nobody was let in, for this reason alone, and nothing is left of who came.
async fn expect_rejected(world: &World, reason: RejectReason) {
    let gone = || world.context.connections() == 0;
    world.until("nobody", gone).await;
    assert_eq!(world.metrics.rejected.get(reason), 1, "{reason}");
    assert_eq!(world.metrics.rejected.total(), 1, "{reason}");
    assert_eq!(world.metrics.handshaking.get(), 0);
    assert!(world.telegram.opened.borrow().is_empty(), "{reason}");
}

#[test]
fn a_form_comes_in_by_its_secret_whatever_a_listener_allows() {
    for transport in TRANSPORTS {
        for padded_only in [false, true] {
            let mut setup = Setup::default();
            setup.rules.allow = Allow {
                classic: false,
                dd: false,
                tls: false,
            };
            setup.run(async |world| {
                let mut app =
                    WebApp::open_in_session(&world, transport, &SECRET, SECRET, padded_only);
                app.say_header();
                if padded_only && transport != Transport::Padded {
                    app.is_closed().await;
                    return expect_rejected(&world, RejectReason::WebNotPadded).await;
                }
                let is_open = || !world.telegram.opened.borrow().is_empty();
                world.until("a session", is_open).await;
                let request = world.telegram.session().request;
                assert_eq!(request.transport, transport);
                assert_eq!(request.client.to_string(), "192.0.2.7:4711");
                assert_eq!(request.local.to_string(), "192.0.2.1:443");
                assert_eq!(world.metrics.clients_by_kind.get(ClientKind::Web), 1);
                assert_eq!(world.context.connections(), 1);
            });
        }
    }
}

#[test]
fn packets_go_both_ways_however_they_are_cut() {
    for transport in TRANSPORTS {
        Setup::default().run(async |world| {
            let mut app = WebApp::connect(&world, transport).await;
            for (seed, size) in SIZES.into_iter().enumerate() {
                app.send(&payload(size, seed));
            }
            let script = world.telegram.session().script;
            let came = || script.pushed.borrow().len() == SIZES.len();
            world.until("all packets", came).await;
            for (seed, size) in SIZES.into_iter().enumerate() {
                assert!(script.payloads()[seed] == payload(size, seed), "{size}");
            }
            for (seed, size) in SIZES.into_iter().enumerate() {
                let sent = payload(size, seed);
                let answering = answer(&world, &sent, 40_000, 100_000);
                let ((), received) = smol::future::zip(answering, app.receive()).await;
                assert!(received == sent, "{size}");
            }
        });
    }
}

/// In real time, because the kernel has a part in it.
#[test]
fn a_line_is_relayed_without_a_pipe() {
    for transport in TRANSPORTS {
        direct().run_in_real_time(async |world| {
            let mut dc = Dc::prepare(&world).await;
            let mut app = WebApp::connect(&world, transport).await;
            app.codec.expect_no_packets();
            let mut to_client = CtrStream::new(world.telegram.session().request.to_client);
            for (round, size) in [64, 70_000, 3_000_000, 64].into_iter().enumerate() {
                let upload = payload(size.min(MAX_PACKET), round);
                app.send(&upload);
                let header = transport.write_header(upload.len(), 3);
                let came = match transport {
                    Transport::Padded => header.len() + upload.len() + 3,
                    _ => transport.write_header(upload.len(), 0).len() + upload.len(),
                };
                let came = dc.read(came).await;
                let padding = if transport == Transport::Padded { 3 } else { 0 };
                assert!(came[..came.len() - padding].ends_with(&upload));

                let answer = payload(size, round + 50);
                let mut bytes = answer.clone();
                to_client.apply(&mut bytes);
                let sending = dc.socket.write_all(&bytes);
                let (sent, received) = smol::future::zip(sending, app.read(size)).await;
                sent.unwrap();
                assert!(received == answer, "{transport:?} {size}");
            }
            drop(dc);
            app.is_closed().await;
            let closed = &world.metrics.closed;
            assert_eq!(closed.get(CloseReason::ClosedByTelegram), 1);
        });
    }
}

#[test]
fn who_takes_nothing_holds_up_its_line_alone() {
    direct().run_in_real_time(async |world| {
        let dc = Dc::prepare(&world).await;
        let mut app = WebApp::connect(&world, Transport::Padded).await;
        app.codec.expect_no_packets();
        app.end.set_room(10_000);
        let mut to_client = CtrStream::new(world.telegram.session().request.to_client);
        let answer = payload(8_000_000, 1);
        let mut bytes = answer.clone();
        to_client.apply(&mut bytes);
        let receiving = async {
            let mut received = app.read(10_000).await;
            // Not more than one read is waiting.
            world.reactor.sleep(Duration::from_millis(50)).await;
            assert!(world.buffers.used_bytes() <= 80_000);
            while received.len() < answer.len() {
                let room = 700_000.min(answer.len() - received.len());
                app.end.set_room(room);
                received.extend(app.read(room).await);
            }
            received
        };
        let (sent, received) = smol::future::zip(dc.socket.write_all(&bytes), receiving).await;
        sent.unwrap();
        assert!(received == answer);
    });
}

#[test]
fn a_wrong_beginning_closes_its_stream_and_nothing_else() {
    let random = (0..64).map(|i: u8| i.wrapping_mul(73)).collect();
    for (bytes, of_session, reason) in [
        (random, SECRET, RejectReason::WebSecret),
        (
            header(Transport::Padded, &OTHER_SECRET),
            SECRET,
            RejectReason::WebSecret,
        ),
        (
            header(Transport::Padded, &UNKNOWN),
            UNKNOWN,
            RejectReason::UnknownSecret,
        ),
        (
            header(Transport::Padded, &SECRET)[..63].to_vec(),
            SECRET,
            RejectReason::TimedOut,
        ),
        (Vec::new(), SECRET, RejectReason::TimedOut),
    ] {
        Setup::default().run(async |world| {
            let start = world.reactor.now();
            let app =
                WebApp::open_in_session(&world, Transport::Padded, &SECRET, of_session, false);
            for byte in &bytes {
                app.end.send(&[*byte]);
            }
            app.is_closed().await;
            let waited = world.reactor.now() - start;
            let is_slow = reason == RejectReason::TimedOut;
            assert_eq!(waited >= super::DEADLINE, is_slow, "{reason}");
            expect_rejected(&world, reason).await;
        });
    }
}

#[test]
fn who_leaves_before_its_header_is_whole_has_left() {
    Setup::default().run(async |world| {
        let app = WebApp::open(&world, Transport::Padded, &SECRET);
        app.end.send(&[1; 20]);
        app.end.close();
        app.is_closed().await;
        expect_rejected(&world, RejectReason::Abandoned).await;
    });
}

#[test]
fn what_went_out_from_here_is_a_circle() {
    Setup::default().run(async |world| {
        world.telegram.is_circle.set(true);
        let mut app = WebApp::open(&world, Transport::Padded, &SECRET);
        app.say_header();
        app.is_closed().await;
        expect_rejected(&world, RejectReason::Loop).await;
    });
}

#[test]
fn a_header_comes_once_by_whichever_way() {
    Setup::default().run(async |world| {
        let header = header(Transport::Padded, &SECRET);
        let open = || WebApp::open(&world, Transport::Padded, &SECRET);
        let first = open();
        first.end.send(&header);
        let opened = || world.telegram.opened.borrow().len();
        world.until("a session", || opened() == 1).await;
        let again = open();
        again.end.send(&header);
        again.is_closed().await;
        assert_eq!(world.metrics.rejected.get(RejectReason::Replay), 1);
        assert!(!first.end.is_closed());

        let address = world.listener.address();
        let socket = crate::net::Socket::connect(&world.reactor, address).await;
        socket.unwrap().write_all(&header).await.unwrap();
        let rejected = || world.metrics.rejected.get(RejectReason::Replay) == 2;
        world.until("another replay", rejected).await;
        assert_eq!(opened(), 1);
    });
}

#[test]
fn streams_are_clients_of_all_limits() {
    let mut setup = Setup::default();
    let limits = &mut setup.rules.secrets[1].limits;
    limits.set("max-connections", "2").unwrap();
    setup.run(async |world| {
        let _first = WebApp::connect(&world, Transport::Padded).await;
        let second = WebApp::connect(&world, Transport::Abridged).await;
        let connect = || {
            let mut app = WebApp::open(&world, Transport::Padded, &SECRET);
            app.say_header();
            app
        };
        connect().is_closed().await;
        let refused = || world.metrics.rejected.get(RejectReason::SecretConnections);
        assert_eq!(refused(), 1);
        assert_eq!(world.metrics.clients.get(), 2);
        second.end.close();
        let left = || world.metrics.clients.get() == 1;
        world.until("one client", left).await;
        let _third = WebApp::connect(&world, Transport::Padded).await;
        assert_eq!(refused(), 1);
    });
}

/// Which of those of a full secret goes is found out by way of their carriers.
#[test]
fn whose_carrier_does_not_answer_gives_its_place_to_a_newcomer() {
    for (first_answers, second_answers) in [(true, true), (false, true), (false, false)] {
        let mut setup = Setup::default();
        let limits = &mut setup.rules.secrets[1].limits;
        limits.set("max-connections", "1").unwrap();
        setup.run(async |world| {
            let first = WebApp::connect(&world, Transport::Padded).await;
            first.end.set_askable(first_answers);
            let mut second = WebApp::open(&world, Transport::Padded, &SECRET);
            second.end.set_askable(second_answers);
            second.say_header();
            world.until("a question", || second.end.asked() == 1).await;
            let over = || first.end.is_closed() || second.end.is_closed();
            world.until("one that goes", over).await;
            // Nobody goes while it may be that the network fails.
            let first_goes = !first_answers && second_answers;
            assert_eq!(first.end.is_closed(), first_goes);
            let settled = || first.end.asked() + second.end.asked() == 0;
            world.until("no more questions", settled).await;
            let closed = world.metrics.closed.get(CloseReason::NoAnswer);
            assert_eq!(closed, u64::from(first_goes));
            assert_eq!(world.metrics.clients.get(), 1);
        });
    }
}

#[test]
fn a_full_house_closes_the_stream() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 2;
    setup.run(async |world| {
        let _web = WebApp::connect(&world, Transport::Padded).await;
        let address = world.listener.address();
        let _plain = App::connect(&world.reactor, address, Transport::Padded, &SECRET).await;
        let is_full = || world.context.connections() == 2 && world.metrics.clients.get() == 2;
        world.until("a full house", is_full).await;
        let mut late = WebApp::open(&world, Transport::Padded, &SECRET);
        late.say_header();
        late.is_closed().await;
        let rejected = &world.metrics.rejected;
        assert_eq!(rejected.get(RejectReason::TooManyClients), 1);
    });
}

/// Its own stream is no client before its header, and takes nobody's place.
#[test]
fn silent_streams_take_no_place() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 1;
    setup.run(async |world| {
        let silent: Vec<_> = (0..50)
            .map(|_| WebApp::open(&world, Transport::Padded, &SECRET))
            .collect();
        let _client = WebApp::connect(&world, Transport::Padded).await;
        assert_eq!(world.metrics.clients.get(), 1);
        // A stop waits for them all the same.
        assert_eq!(world.context.connections(), 51);
        drop(silent);
        let is_alone = || world.context.connections() == 1;
        world.until("the silent ones are gone", is_alone).await;
    });
}

#[test]
fn a_secret_that_goes_takes_its_streams_along() {
    Setup::default().run(async |world| {
        let app = WebApp::connect(&world, Transport::Padded).await;
        assert_eq!(world.context.end_other_secrets(|key| *key == SECRET), 0);
        assert_eq!(world.context.end_other_secrets(|_| false), 1);
        app.is_closed().await;
        let closed = &world.metrics.closed;
        assert_eq!(closed.get(CloseReason::SecretRemoved), 1);
    });
    // While its header is awaited.
    Setup::default().run(async |world| {
        let mut app = WebApp::open(&world, Transport::Padded, &SECRET);
        smol::future::yield_now().await;
        let mut rules = Setup::default().rules;
        rules.secrets.retain(|named| named.secret.key != SECRET);
        world.listener.set_rules(rules);
        app.say_header();
        app.is_closed().await;
        let closed = &world.metrics.closed;
        assert_eq!(closed.get(CloseReason::SecretRemoved), 1);
    });
}

#[test]
fn a_used_quota_ends_a_stream() {
    let mut setup = Setup::default();
    let limits = &mut setup.rules.secrets[1].limits;
    limits.set("quota", "100K").unwrap();
    setup.run(async |world| {
        let mut app = WebApp::connect(&world, Transport::Padded).await;
        for seed in 0..3 {
            app.send(&payload(50_000, seed));
        }
        app.is_closed().await;
        assert_eq!(world.metrics.closed.get(CloseReason::QuotaUsed), 1);
        let mut late = WebApp::open(&world, Transport::Padded, &SECRET);
        late.say_header();
        late.is_closed().await;
        let rejected = &world.metrics.rejected;
        assert_eq!(rejected.get(RejectReason::QuotaUsed), 1);
    });
}

#[test]
fn what_is_not_taken_waits_within_its_allowance() {
    Setup::default().run(async |world| {
        let mut app = WebApp::connect(&world, Transport::Padded).await;
        app.end.set_room(0);
        let sent = payload(600_000, 3);
        let session = world.telegram.session();
        let taking = async {
            let stuck = || session.sink.undelivered() > 0;
            world.until("something waits", stuck).await;
            world.reactor.sleep(super::DEADLINE / 2).await;
            assert!(session.sink.undelivered() <= 20_000 + CHUNK_LEN);
            while app.codec.next_unit().unwrap().is_none() {
                app.end.set_room(1000);
                app.read_more().await;
            }
        };
        let answering = answer(&world, &sent, 30_000, 20_000);
        smol::future::zip(answering, taking).await;
        assert_eq!(session.sink.undelivered(), 0);
    });
}

#[test]
fn who_takes_nothing_at_all_is_closed_in_time() {
    let mut setup = Setup::default();
    setup.clients.idle_timeout = 2 * super::DEADLINE;
    setup.run(async |world| {
        let app = WebApp::connect(&world, Transport::Padded).await;
        app.end.set_room(0);
        let start = world.reactor.now();
        let sink = world.telegram.session().sink;
        sink.begin_packet(1000);
        assert_eq!(sink.offer(&mut payload(1000, 1), 10_000), 1000);
        app.is_closed().await;
        assert!(world.reactor.now() - start >= super::DEADLINE);
        assert_eq!(world.metrics.closed.get(CloseReason::SendTimeout), 1);
    });
}

#[test]
fn who_closes_is_told_to_the_other_side() {
    Setup::default().run(async |world| {
        // What was sent before is handed on.
        let mut app = WebApp::connect(&world, Transport::Padded).await;
        app.send(&payload(100_000, 1));
        app.end.close();
        app.is_closed().await;
        let session = world.telegram.session();
        assert!(session.script.payloads() == [payload(100_000, 1)]);
        let closed = &world.metrics.closed;
        assert_eq!(closed.get(CloseReason::ClientClosed), 1);
        // A late answer goes nowhere.
        session.sink.begin_packet(8);
        assert_eq!(session.sink.offer(&mut [1; 8], 100), 8);
        session.sink.end_packet();
    });
    Setup::default().run(async |world| {
        // What came before the end arrives, also if it has to wait.
        let mut app = WebApp::connect(&world, Transport::Padded).await;
        app.end.set_room(7);
        let sink = world.telegram.session().sink;
        sink.begin_packet(1000);
        assert_eq!(sink.offer(&mut payload(1000, 1), 10_000), 1000);
        sink.end_packet();
        sink.end(SessionEnd::ClosedByTelegram);
        for _ in 0..200 {
            app.end.set_room(7);
            smol::future::yield_now().await;
        }
        assert!(app.receive().await == payload(1000, 1));
        app.is_closed().await;
        let closed = &world.metrics.closed;
        assert_eq!(closed.get(CloseReason::ClosedByTelegram), 1);
    });
}

#[test]
fn a_session_that_does_not_open_closes_its_stream() {
    Setup::default().run(async |world| {
        let answers = &world.telegram.answers;
        let fails = Answer::Fail(OpenError::UnknownDc);
        answers.borrow_mut().push_back(fails);
        let app = WebApp::connect(&world, Transport::Padded).await;
        app.is_closed().await;
        assert_eq!(world.metrics.closed.get(CloseReason::UnknownDc), 1);
        let gone = || world.context.connections() == 0;
        world.until("nobody", gone).await;
    });
}

#[test]
fn whose_stream_is_held_up_is_not_read() {
    Setup::default().run(async |world| {
        let mut app = WebApp::connect(&world, Transport::Padded).await;
        let script = world.telegram.session().script;
        script.set_full(true);
        app.send(&payload(1000, 1));
        world.reactor.sleep(Duration::from_secs(1)).await;
        assert!(app.end.unread() >= 1000 && script.payloads().is_empty());
        script.set_full(false);
        let came = || script.payloads() == [payload(1000, 1)];
        world.until("the packet", came).await;
        assert_eq!(app.end.unread(), 0);
    });
}
