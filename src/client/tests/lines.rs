use std::rc::Rc;
use std::time::Duration;

use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use super::app::App;
use super::relays::payload;
use super::telegram::Answer;
use super::{SECRET, Setup, World};
use crate::config::RouteChoice;
use crate::connection::{Line, OnTrial};
use crate::metrics::CloseReason;
use crate::net::{CHUNK_LEN, Listener, Socket};
use crate::wire::transport::{MAX_PACKET, Transport};

/// The DC's end of a line, and what decrypts what comes on it.
pub(crate) struct Dc {
    pub(crate) socket: Socket,
    from_proxy: CtrStream,
}

impl Dc {
    /// A line for the next session.
    pub(crate) async fn prepare(world: &World) -> Self {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(&world.reactor, anywhere).unwrap();
        let address = listener.address();
        let connecting = Socket::connect(&world.reactor, address);
        let (ours, theirs) = smol::future::zip(connecting, listener.accept()).await;
        let key = StreamKey {
            key: [8; 32],
            iv: [9; 16],
        };
        let line = Line::plain(ours.unwrap(), CtrStream::new(key.clone()));
        let answers = &world.telegram.answers;
        let line = OnTrial::new(line, None);
        answers.borrow_mut().push_back(Answer::Line(line));
        Self {
            socket: theirs.unwrap(),
            from_proxy: CtrStream::new(key),
        }
    }

    pub(crate) async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.socket.read_exact(&mut bytes).await.unwrap();
        self.from_proxy.apply(&mut bytes);
        bytes
    }
}

async fn connect(world: &Rc<World>, transport: Option<Transport>) -> (App, Dc) {
    let dc = Dc::prepare(world).await;
    let (reactor, address) = (&world.reactor, world.listener.address());
    let mut app = match transport {
        Some(transport) => App::connect(reactor, address, transport, &SECRET).await,
        None => App::connect_tls(reactor, address, &SECRET).await,
    };
    app.expect_no_packets();
    let is_open = || !world.telegram.opened.borrow().is_empty();
    world.until("a session", is_open).await;
    (app, dc)
}

pub(crate) fn direct() -> Setup {
    let mut setup = Setup::default();
    setup.rules.route = RouteChoice::Own(Default::default());
    setup
}

const KINDS: [Option<Transport>; 4] = [
    Some(Transport::Abridged),
    Some(Transport::Intermediate),
    Some(Transport::Padded),
    None,
];

#[test]
fn a_line_is_encrypted_anew_one_way_and_untouched_the_other() {
    for kind in KINDS {
        direct().run(async |world| {
            let (mut app, mut dc) = connect(&world, kind).await;
            let key = world.telegram.session().request.to_client;
            let mut to_client = CtrStream::new(key);
            for (round, size) in [64, 5_000, 70_000, 3_000_000, 64, MAX_PACKET]
                .into_iter()
                .enumerate()
            {
                let upload = payload(size.min(MAX_PACKET), round);
                let (header, padding): (Vec<u8>, &[u8]) = match kind.unwrap_or(Transport::Padded) {
                    Transport::Padded => (
                        Transport::Padded.write_header(upload.len(), 3).to_vec(),
                        &[1, 2, 3],
                    ),
                    other => (other.write_header(upload.len(), 0).to_vec(), &[]),
                };
                let expected = [&header, &upload[..], padding].concat();
                let (received, ()) =
                    smol::future::zip(dc.read(expected.len()), app.send(&upload)).await;
                assert!(received == expected, "{kind:?} {size}");

                let answer = payload(size, round + 50);
                let mut bytes = answer.clone();
                to_client.apply(&mut bytes);
                let (sent, received) =
                    smol::future::zip(dc.socket.write_all(&bytes), app.read(size)).await;
                sent.unwrap();
                assert!(received == answer, "{kind:?} {size}");
            }
            assert_eq!(world.metrics.client_packets_in.get(), 6);
            assert_eq!(world.buffers.used_bytes(), 0);
        });
    }
}

#[test]
fn what_the_dc_sent_before_closing_arrives() {
    for kind in KINDS {
        direct().run(async |world| {
            let (mut app, dc) = connect(&world, kind).await;
            let mut to_client = CtrStream::new(world.telegram.session().request.to_client);
            // More than both sockets hold, so that the end comes while some waits.
            let answer = payload(24 << 20, 0);
            let mut bytes = answer.clone();
            to_client.apply(&mut bytes);
            let sending = async {
                dc.socket.write_all(&bytes).await.unwrap();
                drop(dc);
            };
            let (received, ()) = smol::future::zip(app.read(answer.len()), sending).await;
            assert!(received == answer, "{kind:?}");
            assert!(app.is_closed().await);
            assert_eq!(world.metrics.closed.get(CloseReason::ClosedByTelegram), 1);
        });
    }
}

/// What was spliced before the kernel refused arrives too, and what is copied
/// then.
#[test]
fn a_line_goes_on_without_splice() {
    for early in [true, false] {
        direct().run(async |world| {
            let (mut app, dc) = connect(&world, Some(Transport::Padded)).await;
            let mut to_client = CtrStream::new(world.telegram.session().request.to_client);
            let answer = payload(24 << 20, 0);
            let mut bytes = answer.clone();
            to_client.apply(&mut bytes);
            let pipes = &world.context.pipes;
            if early {
                pipes.refuse();
            }
            let receiving = async {
                let metrics = &world.metrics;
                let under_way = || metrics.dc_bytes_in.get() - metrics.client_bytes_out.get();
                let is_stuck = || early || under_way() > 2 * CHUNK_LEN as u64;
                world.until("bytes in a pipe", is_stuck).await;
                pipes.refuse();
                app.read(answer.len()).await
            };
            let (received, sent) = smol::future::zip(receiving, dc.socket.write_all(&bytes)).await;
            sent.unwrap();
            assert!(received == answer, "{early}");
            assert_eq!(world.buffers.used_bytes(), 0);
        });
    }
}

#[test]
fn a_client_that_leaves_closes_its_line() {
    direct().run(async |world| {
        let (app, dc) = connect(&world, Some(Transport::Padded)).await;
        drop(app);
        let mut byte = [0];
        assert!(!matches!(dc.socket.read(&mut byte).await, Ok(1)));
        assert_eq!(world.context.drain(super::DEADLINE).await, 0);
    });
}

#[test]
fn a_client_that_leaves_while_its_dc_does_not_read_is_gone() {
    for kind in [Some(Transport::Padded), None] {
        direct().run(async |world| {
            let (mut app, dc) = connect(&world, kind).await;
            // Until the DC's connection takes no more of it, and a little.
            let packet = payload(50_000, 0);
            while world.buffers.used_bytes() == 0 {
                app.send(&packet).await;
                world.reactor.sleep(Duration::from_millis(1)).await;
            }
            app.send(&packet).await;
            drop(app);
            assert_eq!(world.context.drain(super::DEADLINE).await, 0);
            assert_eq!(world.metrics.closed.get(CloseReason::ClientClosed), 1);
            assert_eq!(world.buffers.used_bytes(), 0);
            drop(dc);
        });
    }
}

#[test]
fn the_packet_limit_holds_on_lines() {
    direct().run(async |world| {
        let (mut app, _dc) = connect(&world, Some(Transport::Padded)).await;
        let bytes = app.packet(&payload(MAX_PACKET + 4, 0), false);
        let _ = app.socket.write_all(&bytes).await;
        assert!(app.is_closed().await);
        assert_eq!(world.metrics.closed.get(CloseReason::PacketTooLong), 1);
    });
}

#[test]
fn a_client_that_takes_nothing_of_its_line_is_closed() {
    for kind in [Some(Transport::Padded), None] {
        let mut setup = direct();
        setup.clients.send_timeout = Duration::from_millis(150);
        setup.run(async |world| {
            let (_app, dc) = connect(&world, kind).await;
            let bytes = vec![0; 64 << 20];
            assert!(dc.socket.write_all(&bytes).await.is_err());
            assert_eq!(world.metrics.closed.get(CloseReason::SendTimeout), 1);
            assert_eq!(world.buffers.used_bytes(), 0);
        });
    }
}
