use std::time::Duration;

use super::app::App;
use super::relays::payload;
use super::telegram::Opened;
use super::{SECRET, Setup, World};
use crate::backend::Sink;
use crate::metrics::CloseReason;
use crate::net::{CHUNK_LEN, Rope};
use crate::wire::transport::{MAX_PACKET, Transport};

const SOON: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(3600);

async fn connect(world: &World, transport: Transport) -> (App, Opened) {
    let address = world.listener.address();
    let app = App::connect(&world.reactor, address, transport, &SECRET).await;
    let is_open = || !world.telegram.opened.borrow().is_empty();
    world.until("a session", is_open).await;
    (app, world.telegram.session())
}

/// Offers one packet until the sink refuses; how much it took.
fn offer_until_refused(sink: &dyn Sink, data: &[u8], allowance: usize) -> usize {
    sink.begin_packet(data.len());
    let mut taken = 0;
    for piece in data.chunks(50_000) {
        let mut piece = piece.to_vec();
        let accepted = sink.offer(&mut piece, allowance);
        taken += accepted;
        if accepted < piece.len() {
            return taken;
        }
    }
    panic!("the kernel took all of {} bytes", data.len());
}

/// More than any socket buffer on loopback takes.
const FLOOD: usize = 32 << 20;

#[test]
fn a_slow_client_gets_everything_and_holds_no_more_than_its_allowance() {
    for transport in [Transport::Abridged, Transport::Padded] {
        Setup::default().run(async |world| {
            let (mut app, session) = connect(&world, transport).await;
            let data = payload(FLOOD, 0);
            let allowance = 100_000;
            let mut taken = offer_until_refused(&*session.sink, &data, allowance);
            assert!(session.sink.undelivered() <= allowance + 4);
            assert!(world.buffers.used_bytes() <= allowance + 2 * CHUNK_LEN);
            assert_eq!(session.script.resumed.get(), 0);
            let sending = async {
                let mut resumes = 0;
                while taken < data.len() {
                    let is_resumed = || session.script.resumed.get() > resumes;
                    world.until("a resume", is_resumed).await;
                    resumes = session.script.resumed.get();
                    assert!(session.sink.undelivered() <= allowance / 2 + 4);
                    let mut rest = data[taken..].to_vec();
                    taken += session.sink.offer(&mut rest, allowance);
                }
                session.sink.end_packet();
            };
            let header = 4;
            let ((), received) = smol::future::zip(sending, app.read(header + FLOOD)).await;
            assert!(received[header..] == data);
            world
                .until("no buffers", || world.buffers.used_bytes() == 0)
                .await;
        });
    }
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let mut setup = Setup::default();
    setup.limits.send_timeout = SOON;
    setup.run(async |world| {
        let (_app, session) = connect(&world, Transport::Padded).await;
        offer_until_refused(&*session.sink, &payload(FLOOD, 0), 100_000);
        world
            .until("the close", || session.script.closed.get())
            .await;
        assert_eq!(world.metrics.closed.get(CloseReason::SendTimeout), 1);
        assert_eq!(world.buffers.used_bytes(), 0);
    });
}

#[test]
fn a_client_that_stops_inside_a_packet_is_closed() {
    let mut setup = Setup::default();
    setup.limits.send_timeout = SOON;
    setup.run(async |world| {
        let (mut app, session) = connect(&world, Transport::Padded).await;
        let bytes = app.packet(&payload(MAX_PACKET, 0), false);
        app.socket.write_all(&bytes[..100_000]).await.unwrap();
        assert!(app.is_closed().await);
        assert_eq!(world.metrics.closed.get(CloseReason::StalledPacket), 1);
        world
            .until("the close", || session.script.closed.get())
            .await;
        assert_eq!(world.buffers.free_bytes(), world.buffers.total_bytes());
    });
}

#[test]
fn an_idle_client_hibernates_and_wakes_up_and_is_closed_at_last() {
    let mut setup = Setup::default();
    setup.limits.hibernate = SOON / 10;
    setup.limits.idle_timeout = SOON * 4;
    setup.run(async |world| {
        let (mut app, session) = connect(&world, Transport::Padded).await;
        for round in 0..3 {
            world.reactor.sleep(SOON).await;
            app.send(&payload(64, round)).await;
            let sent = || session.script.pushed.borrow().len() == round + 1;
            world.until("the packet", sent).await;
            session.sink.begin_packet(8);
            session.sink.offer(&mut [round as u8; 8], 1000);
            session.sink.end_packet();
            assert_eq!(app.receive().await, [round as u8; 8]);
        }
        assert!(app.is_closed().await);
        assert_eq!(world.metrics.closed.get(CloseReason::IdleTimeout), 1);
    });
}

#[test]
fn a_client_is_not_read_while_telegram_is_full() {
    let mut setup = Setup::default();
    setup.limits.idle_timeout = LONG;
    setup.run(async |world| {
        let (mut app, session) = connect(&world, Transport::Intermediate).await;
        session.script.set_full(true);
        let packets = (0..FLOOD / 4000).map(|seed| app.packet(&payload(4000, seed), false));
        let flood = packets.collect::<Vec<_>>().concat();
        let mut sent = 0;
        // Until the kernel's buffers are full as well.
        loop {
            let written = app.socket.try_write(&flood[sent..]).unwrap();
            sent += written;
            assert!(sent < flood.len());
            if written == 0 {
                let writable = std::future::poll_fn(|cx| app.socket.poll_writable(cx));
                if world.reactor.timeout(SOON, writable).await.is_none() {
                    break;
                }
            }
        }
        assert!(session.script.pushed.borrow().len() < 64);
        session.script.set_full(false);
        let read = || session.script.pushed.borrow().len() == sent / 4004;
        world.until("the rest", read).await;
    });
}

#[test]
fn a_client_that_leaves_while_telegram_is_full_is_gone() {
    Setup::default().run(async |world| {
        let (mut app, session) = connect(&world, Transport::Intermediate).await;
        session.script.set_full(true);
        app.send(&payload(4000, 1)).await;
        drop(app);
        world
            .until("the close", || session.script.closed.get())
            .await;
        assert_eq!(world.metrics.closed.get(CloseReason::ClientClosed), 1);
        assert_eq!(world.context.drain(super::DEADLINE).await, 0);
        assert_eq!(session.script.pushed.borrow().len(), 0);
    });
}

#[test]
fn a_large_packet_waits_for_its_buffers_and_small_ones_get_by() {
    let setup = Setup {
        buffers: 2 * MAX_PACKET,
        ..Setup::default()
    };
    setup.run(async |world| {
        let (mut app, session) = connect(&world, Transport::Padded).await;
        let mut holder = Rope::default();
        holder.append(&world.buffers, &vec![0; MAX_PACKET + 64 * 1024]);
        assert!(world.buffers.reservable_bytes() < MAX_PACKET);
        let held = world.buffers.used_bytes();
        app.send(&payload(4000, 1)).await;
        world
            .until("a small one", || session.script.payloads().len() == 1)
            .await;
        let large = app.packet(&payload(MAX_PACKET, 2), false);
        let sending = app.socket.write_all(&large);
        let check = async {
            world
                .until("a wait", || world.metrics.buffer_waits.get() == 1)
                .await;
            assert!(world.buffers.used_bytes() <= held);
            holder.clear();
            world
                .until("the large one", || session.script.payloads().len() == 2)
                .await;
        };
        let (sent, ()) = smol::future::zip(sending, check).await;
        sent.unwrap();
        assert!(session.script.payloads()[1] == payload(MAX_PACKET, 2));
        assert_eq!(world.buffers.free_bytes(), world.buffers.total_bytes());
    });
}

#[test]
fn answers_get_by_without_buffers() {
    let setup = Setup {
        buffers: 16 * CHUNK_LEN,
        ..Setup::default()
    };
    setup.run(async |world| {
        let (mut app, session) = connect(&world, Transport::Padded).await;
        let mut holder = Rope::default();
        holder.append(&world.buffers, &[0; 16 * CHUNK_LEN]);
        assert_eq!(world.buffers.free_bytes(), 0);
        let data = payload(200_000, 0);
        let sending = async {
            session.sink.begin_packet(data.len());
            let mut taken = 0;
            while taken < data.len() {
                let resumes = session.script.resumed.get();
                let mut rest = data[taken..].to_vec();
                taken += session.sink.offer(&mut rest, 100_000);
                assert!(session.sink.undelivered() <= CHUNK_LEN + 16);
                let is_done = taken == data.len();
                let go_on = || is_done || session.script.resumed.get() > resumes;
                world.until("a resume", go_on).await;
            }
            session.sink.end_packet();
        };
        let ((), received) = smol::future::zip(sending, app.receive()).await;
        assert!(received == data);
    });
}

/// Among so many clients that none may keep its keys: nothing else wakes it.
#[test]
fn a_paced_client_is_read_on_in_a_crowd() {
    let mut setup = Setup::default();
    setup.rules.secrets[1].limits.rate = Some(40_000);
    setup.run(async |world| {
        world.context.awake.set(1 << 20);
        let (mut app, session) = connect(&world, Transport::Padded).await;
        for seed in 0..12 {
            app.send(&payload(4000, seed)).await;
        }
        let all = || session.script.payloads().len() == 12;
        world.until("all of it", all).await;
    });
}
