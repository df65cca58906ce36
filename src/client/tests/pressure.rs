use std::time::Duration;

use super::app::App;
use super::relays::payload;
use super::telegram::Opened;
use super::{SECRET, Setup, World};
use crate::backend::Sink;
use crate::metrics::{CloseReason, Revocation};
use crate::net::{CHUNK_LEN, Destination, Rope};
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
    setup.clients.send_timeout = SOON;
    setup.run(async |world| {
        let (_app, session) = connect(&world, Transport::Padded).await;
        let (script, data) = (&session.script, payload(FLOOD, 0));
        let mut taken = offer_until_refused(&*session.sink, &data, 100_000);
        // A busy kernel takes the last of what it takes a moment late.
        loop {
            let resumes = script.resumed.get();
            let goes_on = || script.closed.get() || script.resumed.get() > resumes;
            world.until("the close", goes_on).await;
            if script.closed.get() {
                break;
            }
            taken += session.sink.offer(&mut data[taken..].to_vec(), 100_000);
        }
        assert_eq!(world.metrics.closed.get(CloseReason::SendTimeout), 1);
        assert_eq!(world.buffers.used_bytes(), 0);
    });
}

#[test]
fn a_client_that_stops_inside_a_packet_is_closed() {
    let mut setup = Setup::default();
    setup.clients.send_timeout = SOON;
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
    setup.clients.hibernate = SOON / 10;
    setup.clients.idle_timeout = SOON * 4;
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
    setup.clients.idle_timeout = LONG;
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
        assert!(world.buffers.reservable_bytes(Destination(2)) < MAX_PACKET);
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

/// Another client than those before it.
async fn join(world: &World) -> (App, Opened) {
    let address = world.listener.address();
    let before = world.telegram.opened.borrow().len();
    let app = App::connect(&world.reactor, address, Transport::Intermediate, &SECRET).await;
    let is_open = || world.telegram.opened.borrow().len() > before;
    world.until("a session", is_open).await;
    let opened = world.telegram.opened.borrow()[before].clone();
    (app, opened)
}

fn held_buffers(world: &World) -> u64 {
    world.metrics.closed.get(CloseReason::HeldBuffers)
}

#[test]
fn who_announces_large_packets_does_not_hold_up_others() {
    for sent in [0, 1, 5000, MAX_PACKET / 2] {
        let setup = Setup {
            buffers: 2 * MAX_PACKET,
            ..Setup::default()
        };
        setup.run(async |world| {
            let mut holders = Vec::new();
            let executor = smol::LocalExecutor::new();
            for number in 0..20 {
                let (mut app, _) = join(&world).await;
                let bytes = app.packet(&payload(MAX_PACKET, number), false);
                let task = executor.spawn(async move {
                    // It may be given up for others.
                    let _ = app.socket.write_all(&bytes[..4 + sent]).await;
                    app
                });
                holders.push(task);
            }
            let (mut app, session) = join(&world).await;
            let test = async {
                let most = || world.buffers.claims().waiters + held_buffers(&world) as usize > 10;
                if sent > MAX_PACKET / 4 {
                    world.until("a crowd", most).await;
                }
                for (number, size) in [64, 300_000, 64, 300_000].into_iter().enumerate() {
                    let start = world.reactor.now();
                    app.send(&payload(size, number)).await;
                    let is_there = || session.script.payloads().len() > number;
                    world.until("its packet", is_there).await;
                    let took = world.reactor.now() - start;
                    assert!(took < Duration::from_secs(5), "{sent} {size}: {took:?}");
                }
                assert_eq!(session.script.payloads()[3], payload(300_000, 3));
                if sent < CHUNK_LEN {
                    assert_eq!(held_buffers(&world), 0);
                }
            };
            executor.run(test).await;
            drop((app, holders));
            assert_eq!(world.context.drain(super::DEADLINE).await, 0);
            assert_eq!(world.buffers.claims().bytes, 0);
            assert_eq!(world.buffers.free_bytes(), world.buffers.total_bytes());
        });
    }
}

#[test]
fn a_client_that_stops_inside_a_packet_goes_when_another_needs_its_buffers() {
    let setup = Setup {
        buffers: MAX_PACKET + MAX_PACKET / 4,
        ..Setup::default()
    };
    setup.run(async |world| {
        let (mut silent, held) = join(&world).await;
        let bytes = silent.packet(&payload(MAX_PACKET, 0), false);
        silent.socket.write_all(&bytes[..600_000]).await.unwrap();
        let is_held = || world.buffers.claims().bytes >= 600_000 - 2 * CHUNK_LEN;
        world.until("half a packet", is_held).await;
        assert_eq!(world.buffers.claims().holders, 1);
        let (mut other, session) = join(&world).await;
        // This has room beside it, and the next one has not.
        other.send(&payload(200_000, 1)).await;
        let first = || session.script.payloads().len() == 1;
        world.until("a packet beside it", first).await;
        assert_eq!(held_buffers(&world), 0);
        other.send(&payload(MAX_PACKET, 2)).await;
        let second = || session.script.payloads().len() == 2;
        world.until("a packet in its place", second).await;
        assert!(silent.is_closed().await);
        assert!(held.script.closed.get());
        assert_eq!(held_buffers(&world), 1);
        let revocations = &world.metrics.buffer_revocations;
        assert_eq!(revocations.get(Revocation::Blocking), 1);
        assert!(world.metrics.buffer_waits.get() > 0);
        assert_eq!(world.buffers.free_bytes(), world.buffers.total_bytes());
    });
}

#[test]
fn many_uploads_at_once_all_arrive() {
    let setup = Setup {
        buffers: 2 * MAX_PACKET,
        ..Setup::default()
    };
    setup.run(async |world| {
        let executor = smol::LocalExecutor::new();
        let mut uploads = Vec::new();
        for number in 0..20 {
            let (mut app, session) = join(&world).await;
            let (reactor, size) = (world.reactor.clone(), MAX_PACKET / 2);
            uploads.push(executor.spawn(async move {
                let bytes = app.packet(&payload(size, number), false);
                for piece in bytes.chunks(size / 20) {
                    app.socket.write_all(piece).await.unwrap();
                    reactor.sleep(Duration::from_millis(20)).await;
                }
                (app, session)
            }));
        }
        let arriving = async {
            for (number, upload) in uploads.into_iter().enumerate() {
                let (_app, session) = upload.await;
                let is_there = || session.script.payloads().len() == 1;
                world.until("an upload", is_there).await;
                assert!(session.script.payloads()[0] == payload(MAX_PACKET / 2, number));
            }
        };
        executor.run(arriving).await;
        assert_eq!(held_buffers(&world), 0);
        assert_eq!(world.buffers.claims().bytes, 0);
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
