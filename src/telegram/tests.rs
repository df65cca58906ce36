//! The Telegram side against the strict fake, without clients: a recording
//! sink in their place.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fake_telegram::control::{Accept, Close, Cut};
use fake_telegram::harness::TemporaryDirectory;
use fake_telegram::payload::{self, Command};
use fake_telegram::telegram::{FakeTelegram, Options};
use smol_mtproxy_ciphers::{CtrStream, StreamKey};

mod dark;
mod house;
mod losses;
mod moves;
mod outages;
mod parked;
mod searches;
mod slow;
#[cfg(feature = "tls")]
mod tunnels;
#[cfg(feature = "tls")]
mod ws;

use super::directory::tests::config;
use super::directory::{Directory, PublicAddress};
use super::*;
use crate::backend::{Body, Packet, SessionEnd, Stream, Taking};
use crate::log::Throttle;
use crate::metrics::{ConnectionEnd, Metrics, MigrationOutcome};
use crate::net::{BufferPool, CHUNK_LEN, Executor, Reactor, Rope, Scratch};
use crate::wire::transport::Transport;
use house::*;

#[test]
fn small_and_large_packets_are_echoed_with_both_checksums() {
    House::run(ON_DEMAND, |house| async move {
        for refuse_crc32c in [false, true] {
            house.fake.behave(|b| {
                b.refuse_crc32c = refuse_crc32c;
                b.pad_nonce = refuse_crc32c;
            });
            let session = house.open().await;
            for length in [40, 44, 1000, 65_536, 300_000, 1 << 20] {
                house.echo(&session, &payload::echo(7, length)).await;
            }
            house.rotate(Close::Fin).await;
        }
    });
}

#[test]
fn idle_sessions_survive_every_kind_of_rotation() {
    House::run(&[("--clients-per-connection", "20")], |house| async move {
        let mut sessions = Vec::new();
        for label in 0..50 {
            let session = house.open().await;
            house.echo(&session, &payload::echo(label, 48)).await;
            sessions.push(session);
        }
        for how in [Close::Fin, Close::Reset, Close::Drop] {
            house.rotate(how).await;
            for session in &sessions {
                house.echo(session, &payload::echo(99, 64)).await;
                assert_eq!(session.sink.ended.get(), None);
            }
        }
    });
}

#[test]
fn a_waiting_client_is_closed_at_once_and_a_queued_packet_moves() {
    House::run(ON_DEMAND, |house| async move {
        let waiting = house.open().await;
        house.echo(&waiting, &payload::echo(1, 40)).await;
        let idle = house.open().await;
        house.echo(&idle, &payload::echo(1, 40)).await;
        house
            .fake
            .behave(|b| b.cut = Some(Cut::AfterRequest(Close::Fin)));
        waiting.push(&payload::echo(2, 64));
        house
            .until("the waiting one is closed", || {
                waiting.sink.ended.get() == Some(SessionEnd::MidSend)
            })
            .await;
        house.echo(&idle, &payload::echo(3, 64)).await;

        // Nothing is read any more: what is pushed stays queued.
        house.fake.behave(|b| b.stop_reading = true);
        let filler = house.open().await;
        for _ in 0..8 {
            filler.push(&payload::echo(0, 1 << 20));
        }
        house.reactor.sleep(Duration::from_millis(200)).await;
        idle.push(&payload::echo(4, 64));
        let before = idle.sink.packets.borrow().len();
        house.reactor.sleep(Duration::from_millis(50)).await;
        house.rotate(Close::Reset).await;
        house.fake.behave(|b| b.stop_reading = false);
        house
            .until("the queued packet was answered", || {
                idle.sink.packets.borrow().len() > before
            })
            .await;
        assert_eq!(filler.sink.ended.get(), Some(SessionEnd::MidSend));
        assert!(house.migrated(MigrationOutcome::MovedQueued) >= 1);
    });
}

#[test]
fn an_answer_cut_in_its_middle_closes_its_client() {
    House::run(ON_DEMAND, |house| async move {
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        house
            .fake
            .behave(|b| b.cut = Some(Cut::MidAnswer(Close::Fin)));
        session.push(&payload::echo(2, 100_000));
        house
            .until("it is closed", || {
                session.sink.ended.get() == Some(SessionEnd::MidAnswer)
            })
            .await;
    });
}

#[test]
fn a_full_sink_holds_back_telegram_and_goes_on_where_it_stopped() {
    House::run(ON_DEMAND, |house| async move {
        let session = house.open().await;
        session.sink.full.set(true);
        let total = 8 << 20;
        session.push(
            &Command::SendMe {
                total,
                size: 1 << 20,
            }
            .payload(),
        );
        house.reactor.sleep(Duration::from_millis(300)).await;
        let held = house.telegram.shared.buffers.used_bytes();
        assert!(held <= 2 * crate::net::SCRATCH_LEN, "{held} bytes are held");
        session.sink.full.set(false);
        session.stream.resume();
        house
            .until("all has come", || session.sink.packets.borrow().len() == 8)
            .await;
        for (index, packet) in session.sink.packets.borrow().iter().enumerate() {
            assert!(*packet == payload::streamed(index as u32, 1 << 20));
        }
        assert_eq!(house.telegram.shared.buffers.used_bytes(), 0);
    });
}

/// A crowd of sessions waits for buffers: each chunk that comes free lets in
/// the one that waits longest and leaves the others asleep; when none of them
/// takes what is free, all get in.
#[test]
fn buffers_that_come_free_wake_sessions_in_turn() {
    const CROWD: usize = 100;
    House::run(ON_DEMAND, |house| async move {
        let buffers = house.telegram.shared.buffers.clone();
        let take = |bytes| {
            let mut rope = Rope::default();
            rope.append(&buffers, &vec![0; bytes]);
            rope
        };
        let mut held: Vec<_> = (0..10).map(|_| take(CHUNK_LEN)).collect();
        let rest = take(buffers.total_bytes());
        assert_eq!(buffers.free_bytes(), 0);
        let polls = Rc::new(Cell::new(0));
        let let_in = Rc::new(RefCell::new(Vec::new()));
        for number in 0..CROWD {
            let session = house.open().await;
            let (buffers, polls, let_in) = (buffers.clone(), polls.clone(), let_in.clone());
            let crowding = async move {
                std::future::poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    session.stream.poll_ready(cx)
                })
                .await;
                let mut chunk = Rope::default();
                chunk.append(&buffers, &[0]);
                let_in.borrow_mut().push((number, chunk, session));
            };
            let executor = &house.telegram.shared.executor;
            executor.spawn(crowding).detach();
        }
        house.until("a crowd", || polls.get() == CROWD).await;
        let count = || let_in.borrow().len();
        for round in 1..=held.len() {
            let before = polls.get();
            held.pop();
            house.until("one gets in", || count() == round).await;
            house.reactor.sleep(Duration::from_millis(5)).await;
            assert_eq!((count(), buffers.free_bytes()), (round, 0));
            let woken = polls.get() - before;
            assert!(woken <= 2, "{woken} were woken for a chunk");
        }
        let order: Vec<usize> = let_in.borrow().iter().map(|one| one.0).collect();
        assert!(order.is_sorted(), "{order:?}");
        drop(rest);
        house.until("all get in", || count() == CROWD).await;
        let_in.borrow_mut().clear();
    });
}

#[test]
fn connections_that_opened_together_are_renewed_apart() {
    House::run(&[("--dc-connections", "2")], |house| async move {
        let start = house.reactor.now();
        house.telegram.warm_up();
        house.connected(2).await;
        let session = house.open().await;
        house.echo(&session, &payload::echo(1, 40)).await;
        let drained = || house.metrics.connection_ends.get(ConnectionEnd::Drained);
        house.until("one is renewed", || drained() >= 1).await;
        let took = house.reactor.now() - start;
        // Between once and twice RENEW_AGE, and what a look at it every now and
        // then adds: Telegram ends it from 30 s on.
        assert!((10..=25).contains(&took.as_secs()), "{took:?}");
        house.echo(&session, &payload::echo(2, 40)).await;
        assert_eq!(session.sink.ended.get(), None);
    });
}

#[test]
fn unreachable_middle_proxies_are_reported_and_tried_again() {
    House::run(ON_DEMAND, |house| async move {
        house.fake.behave(|b| b.accept = Accept::Refuse);
        let refused = house.try_open(Route::Middle).await;
        assert!(matches!(refused, Err(OpenError::MiddleUnavailable)));
        assert!(house.metrics.connect_failures.total() >= 1);
        house.fake.behave(|b| b.accept = Accept::Normal);
        let start = house.reactor.now();
        let session = loop {
            match house.try_open(Route::Middle).await {
                Ok((Session::Packets(stream), sink)) => break TestSession { stream, sink },
                _ => {
                    let time = house.reactor.now() - start;
                    assert!(time < DEADLINE, "it is never tried again");
                }
            }
            house.reactor.sleep(Duration::from_millis(50)).await;
        };
        house.echo(&session, &payload::echo(5, 40)).await;
    });
}

#[test]
fn direct_lines_reach_the_dc() {
    House::run(ON_DEMAND, |house| async move {
        let Ok((Session::Line(mut line), _)) = house.try_open(Route::Direct).await else {
            panic!("no line");
        };
        let mut packet = 64u32.to_le_bytes().to_vec();
        let payload = payload::echo(1, 64);
        packet.extend_from_slice(&payload);
        let sent = line.send(&house.telegram.shared.buffers, &mut packet);
        assert_eq!(sent.unwrap(), packet.len());
        let (mut answer, mut space) = (Vec::new(), [0; 100]);
        while answer.len() < packet.len() {
            let mut take = |data: &mut [u8]| answer.extend_from_slice(data);
            let reading = poll_fn(|cx| line.poll_read(cx, &mut space, 50, &mut take));
            assert!((1..=50).contains(&reading.await.unwrap()));
        }
        CtrStream::new(TO_CLIENT).apply(&mut answer);
        assert_eq!(answer[4..], payload[..]);
    });
}
