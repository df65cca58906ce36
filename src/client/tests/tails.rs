//! What goes into which record.

use std::rc::Rc;
use std::time::Duration;

use smol_mtproxy_ciphers::CtrStream;

use super::app::App;
use super::relays::payload;
use super::telegram::Answer;
use super::{SECRET, Setup, World};
use crate::backend::{SessionEnd, Sink};
use crate::config::{RouteChoice, ServerErrors};
use crate::metrics::CloseReason;
use crate::wire::fake_tls::SHORTEST_RECORD;
use crate::wire::transport::Transport;

async fn connect(world: &World) -> (App, Rc<dyn Sink>) {
    let address = world.listener.address();
    let mut app = App::connect_tls(&world.reactor, address, &SECRET).await;
    app.send(&payload(8, 0)).await;
    let is_open = || !world.telegram.opened.borrow().is_empty();
    world.until("a session", is_open).await;
    (app, world.telegram.session().sink)
}

fn direct() -> Setup {
    let mut setup = Setup::default();
    setup.rules.route = RouteChoice::Own(Default::default());
    setup
}

fn assert_none_is_short(app: &App) {
    let lengths = app.records_read();
    let is_short = |length: &&usize| **length < SHORTEST_RECORD;
    assert_eq!(lengths.iter().find(is_short), None, "{lengths:?}");
}

fn answer(sink: &Rc<dyn Sink>, payload: &[u8], piece: usize) {
    sink.begin_packet(payload.len());
    for piece in payload.chunks(piece) {
        assert_eq!(sink.offer(&mut piece.to_vec(), 1 << 20), piece.len());
    }
    sink.end_packet();
}

#[test]
fn no_piece_of_a_packet_has_a_short_record() {
    Setup::default().run(async |world| {
        let (mut app, sink) = connect(&world).await;
        for piece in 1..40 {
            for length in [16, 40, 600, 16_384 - 4, 16_384, 16_404] {
                let answers = payload(length, piece);
                answer(&sink, &answers, piece);
                assert_eq!(app.receive().await, answers);
            }
        }
        assert_none_is_short(&app);
        assert_eq!(world.buffers.used_bytes(), 0);
    });
}

/// The DC's own connection, or a back's: packets are found in what is encrypted.
#[test]
fn no_piece_of_an_encrypted_packet_has_a_short_record() {
    direct().run(async |world| {
        world.telegram.answers.borrow_mut().push_back(Answer::Bytes);
        let (mut app, sink) = connect(&world).await;
        let mut to_client = CtrStream::new(world.telegram.session().request.to_client);
        for piece in 1..40 {
            for length in [16, 40, 600, 20_000] {
                let answer = payload(length, piece);
                let header = Transport::Padded.write_header(length, 0);
                let mut bytes = [&header, &answer[..]].concat();
                to_client.apply(&mut bytes);
                for piece in bytes.chunks_mut(piece) {
                    assert_eq!(sink.offer(piece, 1 << 20), piece.len());
                }
                assert_eq!(app.receive().await, answer);
            }
        }
        assert_none_is_short(&app);
        // A quick-ack goes with what follows, and by itself if nothing does.
        let mut ack = [1, 2, 3, 0x84];
        to_client.apply(&mut ack);
        assert_eq!(sink.offer(&mut ack, 100), 4);
        assert_eq!(app.read(4).await, [1, 2, 3, 0x84]);
        assert_eq!(app.records_read().last(), Some(&4));
    });
}

#[test]
fn a_quick_ack_shares_the_next_record() {
    Setup::default().run(async |world| {
        let (mut app, sink) = connect(&world).await;
        let token = [1, 2, 3, 0x84];
        sink.quick_ack(token);
        sink.begin_packet(40);
        sink.offer(&mut [9; 20], 1000);
        sink.quick_ack(token);
        sink.offer(&mut [9; 20], 1000);
        sink.end_packet();
        assert_eq!(app.read(4).await, token);
        assert_eq!(app.receive().await, [9; 40]);
        assert_eq!(app.read(4).await, token);
        assert_eq!(world.metrics.quick_acks.get(), 2);
        // As many as fill a record.
        for _ in 0..5 {
            sink.quick_ack(token);
        }
        assert_eq!(app.read(20).await, token.repeat(5));
        assert_none_is_short(&app);
    });
}

#[test]
fn a_quick_ack_that_nothing_follows_is_dropped() {
    Setup::default().run(async |world| {
        let (mut app, sink) = connect(&world).await;
        sink.quick_ack([1, 2, 3, 0x84]);
        world.reactor.sleep(Duration::from_millis(150)).await;
        answer(&sink, &[9; 40], 40);
        assert_eq!(app.receive().await, [9; 40]);
        assert_none_is_short(&app);
        assert_eq!(world.metrics.quick_acks_dropped.get(), 1);
        assert_eq!(world.metrics.quick_acks.get(), 0);
    });
}

#[test]
fn errors_fill_a_record() {
    for filter in [ServerErrors::Deliver, ServerErrors::FilterFirst] {
        let mut setup = Setup::default();
        setup.clients.filter_server_errors = filter;
        setup.run(async |world| {
            let (mut app, sink) = connect(&world).await;
            for (code, piece) in [(-429, 1), (-404, 4), (-404, 3)] {
                let error = i32::to_le_bytes(code);
                answer(&sink, &error, piece);
                assert_eq!(app.receive().await, error);
                assert_eq!(app.receive().await, error);
            }
            assert_none_is_short(&app);
        });
    }
}

/// No app's packets are as short, but it must have them.
#[test]
fn what_is_short_and_no_error_arrives_a_little_later() {
    Setup::default().run(async |world| {
        let (mut app, sink) = connect(&world).await;
        answer(&sink, &[7; 8], 3);
        assert_eq!(app.receive().await, [7; 8]);
        answer(&sink, &[7; 4], 4);
        answer(&sink, &[7; 40], 40);
        assert_eq!(app.receive().await, [7; 4]);
        assert_eq!(app.receive().await, [7; 40]);
        let short = app.records_read().iter().filter(|one| **one < 17).count();
        assert_eq!(short, 1);
    });
}

#[test]
fn the_last_record_of_a_session_is_an_alert_s() {
    for end in [SessionEnd::ClosedByTelegram, SessionEnd::MidAnswer] {
        for (offered, last) in [(None, &[19][..]), (Some(40), &[19]), (Some(990), &[])] {
            Setup::default().run(async |world| {
                let (mut app, sink) = connect(&world).await;
                answer(&sink, &[9; 40], 40);
                assert_eq!(app.receive().await, [9; 40]);
                if let Some(offered) = offered {
                    sink.begin_packet(1000);
                    sink.offer(&mut vec![9; offered], 10_000);
                    app.read(offered - 20).await;
                }
                sink.end(end);
                assert_eq!(app.records_to_the_end().await, last, "{offered:?}");
                assert_eq!(world.metrics.closed.get(end.into()), 1);
            });
        }
    }
}

/// An acknowledgement that a DC sent goes before it, as the stream wants it.
#[test]
fn what_was_held_is_in_the_last_record() {
    direct().run(async |world| {
        world.telegram.answers.borrow_mut().push_back(Answer::Bytes);
        let (mut app, sink) = connect(&world).await;
        let mut to_client = CtrStream::new(world.telegram.session().request.to_client);
        let mut ack = [1, 2, 3, 0x84];
        to_client.apply(&mut ack);
        sink.offer(&mut ack, 100);
        sink.end(SessionEnd::ClosedByTelegram);
        let plain = app.read(19).await;
        assert_eq!(plain[..4], [1, 2, 3, 0x84]);
        let next = Transport::Padded
            .parse_header(&plain[4..])
            .unwrap()
            .unwrap();
        assert!(!next.quick_ack && next.body_len > 15 && next.body_len < 1 << 20);
        assert_eq!(app.records_read().last(), Some(&19));
        assert!(app.is_closed().await);
    });
}

/// Its stream lacks what came between: nothing said behind that is what it seems.
#[test]
fn nothing_is_said_behind_what_was_lost() {
    for (first, last) in [(1000, &[19][..]), (984, &[])] {
        let mut setup = Setup::default();
        let limits = &mut setup.rules.secrets[1].limits;
        limits.set("quota", "1000").unwrap();
        setup.run(async |world| {
            let (mut app, sink) = connect(&world).await;
            let script = world.telegram.session().script;
            let is_counted = || !script.pushed.borrow().is_empty();
            world.until("what it sends", is_counted).await;
            sink.begin_packet(1000);
            sink.offer(&mut vec![9; first], 10_000);
            // The quota is used up.
            if first < 1000 {
                sink.offer(&mut vec![9; 1000 - first], 10_000);
            }
            sink.end_packet();
            assert!(app.read(first).await.ends_with(&[9; 64]));
            let told = app.records_to_the_end().await;
            assert_eq!(told.last().copied(), last.first().copied(), "{told:?}");
            assert_eq!(world.metrics.closed.get(CloseReason::QuotaUsed), 1);
        });
    }
}

#[test]
fn who_leaves_or_breaks_the_records_is_told_nothing_or_goodbye() {
    Setup::default().run(async |world| {
        let (mut app, _) = connect(&world).await;
        app.socket
            .write_all(&[0x15, 3, 3, 0, 2, 1, 0])
            .await
            .unwrap();
        assert_eq!(app.records_to_the_end().await, [19]);
        assert_eq!(world.metrics.closed.get(CloseReason::BadRecord), 1);
    });
    Setup::default().run(async |world| {
        let (mut app, _) = connect(&world).await;
        app.socket.shutdown_write().unwrap();
        assert_eq!(app.records_to_the_end().await, [0; 0]);
        assert_eq!(world.metrics.closed.get(CloseReason::ClientClosed), 1);
    });
}
