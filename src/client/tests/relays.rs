use super::app::App;
use super::telegram::Answer;
use super::{SECRET, Setup, World};
use crate::backend::{OpenError, Route, SessionEnd};
use crate::config::RouteChoice;
use crate::metrics::{CloseReason, RouteKind};
use crate::net::CHUNK_LEN;
use crate::wire::dc::DcId;
use crate::wire::secret::AdTag;
use crate::wire::transport::{MAX_PACKET, Transport};

pub(crate) const TRANSPORTS: [Transport; 3] = [
    Transport::Abridged,
    Transport::Intermediate,
    Transport::Padded,
];

/// Around the sizes where headers, records, reads and chunks change.
pub(crate) const SIZES: [usize; 10] = [
    4, 64, 500, 508, 4096, 16_380, 16_384, 65_536, 300_004, MAX_PACKET,
];

pub(crate) fn payload(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i * 7 + i / 251 + seed) as u8)
        .collect()
}

async fn connect(world: &World, transport: Transport) -> App {
    App::connect(&world.reactor, world.listener.address(), transport, &SECRET).await
}

/// Sends an answer as a DC connection would: offers, and again what was not
/// taken once the client has room.
pub(crate) async fn answer(world: &World, payload: &[u8], piece: usize, allowance: usize) {
    let session = world.telegram.session();
    session.sink.begin_packet(payload.len());
    for part in payload.chunks(piece) {
        let mut part = part.to_vec();
        let mut offered = 0;
        while offered < part.len() {
            let resumed = session.script.resumed.get();
            offered += session.sink.offer(&mut part[offered..], allowance);
            assert!(session.sink.undelivered() <= allowance + 4096);
            if offered < part.len() {
                let is_resumed = || session.script.resumed.get() > resumed;
                world.until("a resume", is_resumed).await;
            }
        }
    }
    session.sink.end_packet();
}

async fn exchange(world: &World, app: &mut App) {
    for (seed, size) in SIZES.into_iter().enumerate() {
        app.send(&payload(size, seed)).await;
    }
    world
        .until("a session", || !world.telegram.opened.borrow().is_empty())
        .await;
    let script = world.telegram.session().script;
    let all = || script.pushed.borrow().len() == SIZES.len();
    world.until("all packets", all).await;
    for (seed, size) in SIZES.into_iter().enumerate() {
        let (quick_ack, received) = &script.pushed.borrow()[seed];
        assert_eq!((*quick_ack, received.len()), (false, size));
        assert!(*received == payload(size, seed));
    }
    for (seed, size) in SIZES.into_iter().enumerate() {
        let expected = payload(size, seed + 100);
        for piece in [usize::MAX, 1001] {
            let sending = answer(world, &expected, piece.min(60_000), 64 * 1024);
            let ((), received) = smol::future::zip(sending, app.receive()).await;
            assert!(received == expected, "{size} in pieces of {piece}");
        }
    }
}

#[test]
fn packets_of_all_sizes_both_ways() {
    for transport in TRANSPORTS {
        Setup::default().run(async |world| {
            let mut app = connect(&world, transport).await;
            exchange(&world, &mut app).await;
            let request = world.telegram.session().request;
            assert_eq!((request.dc, request.transport), (DcId(2), transport));
            assert_eq!(request.client, app.socket.local_address().unwrap());
            drop(app);
            let script = world.telegram.session().script;
            world
                .until("the session's end", || script.closed.get())
                .await;
            let metrics = &world.metrics;
            assert_eq!(metrics.closed.get(CloseReason::ClientClosed), 1);
            assert_eq!(metrics.sessions_by_route.get(RouteKind::Middle), 1);
            assert_eq!(metrics.dcs.of(DcId(2)).sessions.get(), 0);
            world
                .until("no buffers", || world.buffers.used_bytes() == 0)
                .await;
            assert_eq!(world.context.drain(super::DEADLINE).await, 0);
        });
    }
}

#[test]
fn packets_of_all_sizes_through_fake_tls() {
    Setup::default().run(async |world| {
        let address = world.listener.address();
        let mut app = App::connect_tls(&world.reactor, address, &SECRET).await;
        exchange(&world, &mut app).await;
    });
}

#[test]
fn packets_come_through_byte_by_byte() {
    for transport in TRANSPORTS {
        Setup::default().run(async |world| {
            let mut app = connect(&world, transport).await;
            let mut bytes = app.packet(&payload(64, 1), false);
            bytes.extend(app.packet(&payload(1024, 2), true));
            app.socket.set_nodelay();
            for byte in bytes {
                app.socket.write_all(&[byte]).await.unwrap();
                smol::future::yield_now().await;
            }
            world
                .until("a session", || !world.telegram.opened.borrow().is_empty())
                .await;
            let script = world.telegram.session().script;
            world
                .until("both", || script.pushed.borrow().len() == 2)
                .await;
            let expected = [(false, payload(64, 1)), (true, payload(1024, 2))];
            assert_eq!(*script.pushed.borrow(), expected);
        });
    }
}

#[test]
fn quick_acks_wait_for_the_packet_under_way() {
    for (transport, token) in [
        (Transport::Abridged, [4, 3, 2, 1]),
        (Transport::Intermediate, [1, 2, 3, 4]),
    ] {
        Setup::default().run(async |world| {
            let mut app = connect(&world, transport).await;
            app.send(&payload(8, 0)).await;
            world
                .until("a session", || !world.telegram.opened.borrow().is_empty())
                .await;
            let sink = world.telegram.session().sink;
            sink.quick_ack([1, 2, 3, 4]);
            assert_eq!(app.read(4).await, token);
            sink.begin_packet(8);
            sink.quick_ack([1, 2, 3, 4]);
            assert_eq!(sink.offer(&mut [9; 4], 1000), 4);
            sink.quick_ack([1, 2, 3, 4]);
            assert_eq!(sink.offer(&mut [8; 4], 1000), 4);
            sink.end_packet();
            assert_eq!(app.receive().await, [9, 9, 9, 9, 8, 8, 8, 8]);
            assert_eq!(app.read(8).await, [token, token].concat());
            assert_eq!(world.metrics.quick_acks.get(), 3);
        });
    }
}

#[test]
fn a_client_that_does_not_read_does_not_collect_quick_acks() {
    Setup::default().run(async |world| {
        let mut app = connect(&world, Transport::Abridged).await;
        app.send(&payload(8, 0)).await;
        world
            .until("a session", || !world.telegram.opened.borrow().is_empty())
            .await;
        let sink = world.telegram.session().sink;
        while sink.undelivered() == 0 {
            sink.begin_packet(50_000);
            assert_eq!(sink.offer(&mut [9; 50_000], 1 << 20), 50_000);
            sink.end_packet();
        }
        for _ in 0..100_000 {
            sink.quick_ack([1, 2, 3, 4]);
        }
        assert!(sink.undelivered() <= 50_004 + CHUNK_LEN);
    });
}

#[test]
fn a_packet_over_the_limit_closes_the_client() {
    Setup::default().run(async |world| {
        let mut app = connect(&world, Transport::Intermediate).await;
        app.send(&payload(8, 0)).await;
        let bytes = app.packet(&payload(MAX_PACKET + 4, 0), false);
        let _ = app.socket.write_all(&bytes).await;
        assert!(app.is_closed().await);
        assert_eq!(world.metrics.closed.get(CloseReason::PacketTooLong), 1);
        assert_eq!(world.telegram.session().script.payloads(), [payload(8, 0)]);
    });
}

#[test]
fn the_end_of_a_session_reaches_the_client() {
    for end in [SessionEnd::ClosedByTelegram, SessionEnd::MidSend] {
        Setup::default().run(async |world| {
            let mut app = connect(&world, Transport::Intermediate).await;
            app.send(&payload(8, 0)).await;
            world
                .until("a session", || !world.telegram.opened.borrow().is_empty())
                .await;
            let session = world.telegram.session();
            world
                .until("the packet", || session.script.pushed.borrow().len() == 1)
                .await;
            session.sink.begin_packet(4);
            session.sink.offer(&mut [5; 4], 100);
            session.sink.end_packet();
            session.sink.end(end);
            assert_eq!(app.receive().await, [5; 4]);
            assert!(app.is_closed().await);
            world
                .until("the close", || session.script.closed.get())
                .await;
            assert_eq!(world.metrics.closed.get(end.into()), 1);
            // A client that is gone takes everything.
            assert_eq!(session.sink.offer(&mut [0; 100], 0), 100);
        });
    }
}

#[test]
fn bytes_sessions_carry_the_decrypted_stream() {
    Setup::default().run(async |world| {
        world.telegram.answers.borrow_mut().push_back(Answer::Bytes);
        let address = world.listener.address();
        let mut app = App::connect_tls(&world.reactor, address, &SECRET).await;
        app.send(&payload(40_000, 3)).await;
        world
            .until("a session", || !world.telegram.opened.borrow().is_empty())
            .await;
        let session = world.telegram.session();
        let expected = [
            &40_003u32.to_le_bytes()[..],
            &payload(40_000, 3),
            &[1, 2, 3],
        ]
        .concat();
        world
            .until("all bytes", || {
                session.script.bytes().len() >= expected.len()
            })
            .await;
        assert!(session.script.bytes() == expected);
        assert_eq!(world.metrics.client_packets_in.get(), 1);
    });
}

#[test]
fn auto_goes_direct_when_no_middle_proxy_answers() {
    let mut setup = Setup::default();
    setup.rules.route = RouteChoice::Auto;
    setup.rules.tag = Some(AdTag([3; 16]));
    setup.run(async |world| {
        let failure = Answer::Fail(OpenError::MiddleUnavailable);
        let answers = [failure, Answer::Bytes];
        world.telegram.answers.borrow_mut().extend(answers);
        let mut app = connect(&world, Transport::Padded).await;
        app.send(&payload(8, 0)).await;
        world
            .until("a second try", || world.telegram.opened.borrow().len() == 2)
            .await;
        let routes = world
            .telegram
            .opened
            .borrow()
            .iter()
            .map(|o| o.request.route)
            .collect::<Vec<_>>();
        assert_eq!(routes, [Route::Middle, Route::Direct]);
    });
}

#[test]
fn a_client_is_closed_when_nothing_can_be_opened() {
    Setup::default().run(async |world| {
        let failure = Answer::Fail(OpenError::MiddleUnavailable);
        world.telegram.answers.borrow_mut().push_back(failure);
        let mut app = connect(&world, Transport::Padded).await;
        assert!(app.is_closed().await);
        assert_eq!(world.metrics.closed.get(CloseReason::MiddleUnavailable), 1);
        assert_eq!(world.telegram.opened.borrow().len(), 1);
    });
}
