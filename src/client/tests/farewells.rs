//! What those see whose hello was answered, and who are no clients.

use std::time::Duration;

use super::app::{App, hello, read_server_flight, unix_now};
use super::{SECRET, Setup, World};
use crate::config::Reset;
use crate::metrics::RejectReason;
use crate::net::{Socket, fill_random};
use crate::wire::dc::DcId;
use crate::wire::obfuscated2;
use crate::wire::transport::Transport;

const CCS: &[u8] = &[0x14, 3, 3, 0, 1, 1];

/// So brief that nobody is given less.
fn brief() -> Setup {
    let mut setup = Setup::default();
    setup.clients.handshake_timeout = Duration::from_millis(100);
    setup
}

/// A connection whose hello, not the same as another's, was answered; `more` comes
/// with the hello.
async fn answered(world: &World, more: &[u8]) -> Socket {
    let address = world.listener.address();
    let socket = Socket::connect(&world.reactor, address).await.unwrap();
    let mut number = [0; 8];
    fill_random(&mut number);
    let name = format!("site{}.example", u64::from_ne_bytes(number));
    let hello = hello(&SECRET, unix_now(), Some(&name));
    let all = [&hello, more].concat();
    socket.write_all(&all).await.unwrap();
    read_server_flight(&socket).await;
    socket
}

/// What comes until the end, which is no reset.
async fn rest(socket: &Socket) -> Vec<u8> {
    let mut rest = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer).await.unwrap() {
            0 => return rest,
            length => rest.extend_from_slice(&buffer[..length]),
        }
    }
}

fn record(kind: u8, length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut record = vec![kind, 3, 3, high, low];
    record.resize(5 + usize::from(length), 7);
    record
}

fn is_encrypted_alert(bytes: &[u8]) -> bool {
    bytes.len() == 24 && bytes.starts_with(&[0x17, 3, 3, 0, 19])
}

#[test]
fn what_no_server_can_decrypt_gets_an_encrypted_alert_and_the_end() {
    brief().run(async |world| {
        for bytes in [
            [CCS, &record(0x17, 64)].concat(),
            [CCS, &record(0x17, 500)].concat(),
            [CCS, &record(0x17, 16_000)].concat(),
            record(0x17, 16_641)[..5].to_vec(),
            record(0x16, 64),
            record(0x15, 40),
            record(0x17, 0),
            [CCS, &record(0x17, 17)].concat(),
            vec![0x14, 3, 3, 0, 1, 2],
            CCS.repeat(33),
            vec![0x17, 3, 1, 0, 64],
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            record(0x14, 2),
        ] {
            let socket = answered(&world, b"").await;
            socket.write_all(&bytes).await.unwrap();
            let said = rest(&socket).await;
            assert!(is_encrypted_alert(&said), "{bytes:02x?}: {said:02x?}");
            // The same of one that has not waited for the answer.
            let socket = answered(&world, &bytes).await;
            let said = rest(&socket).await;
            assert!(is_encrypted_alert(&said), "{bytes:02x?}: {said:02x?}");
        }
        let rejected = &world.metrics.rejected;
        let count = |reason| rejected.get(reason);
        let garbled = count(RejectReason::BadHello) + count(RejectReason::BadTransport);
        assert_eq!((garbled, rejected.total()), (26, 26));
    });
}

#[test]
fn who_leaves_is_told_nothing() {
    brief().run(async |world| {
        for alert in [[2, 40], [1, 0]] {
            let socket = answered(&world, b"").await;
            let alert = [&[0x15, 3, 3, 0, 2], &alert[..]].concat();
            socket.write_all(&alert).await.unwrap();
            assert_eq!(rest(&socket).await, [0; 0]);
        }
        for half in [&b""[..], CCS, &record(0x17, 64)[..30]] {
            let socket = answered(&world, b"").await;
            socket.write_all(half).await.unwrap();
            socket.shutdown_write().unwrap();
            assert_eq!(rest(&socket).await, [0; 0]);
        }
    });
}

/// A server judges by the whole of a record.
#[test]
fn half_a_record_is_waited_for() {
    brief().run(async |world| {
        let bytes = [CCS, &record(0x17, 500)].concat();
        let (most, last) = bytes.split_at(bytes.len() - 1);
        let socket = answered(&world, b"").await;
        socket.write_all(most).await.unwrap();
        let early = world
            .reactor
            .timeout(Duration::from_millis(300), rest(&socket));
        assert_eq!(early.await, None);
        socket.write_all(last).await.unwrap();
        assert!(is_encrypted_alert(&rest(&socket).await));
    });
}

/// Who was answered gets the time that a site gives.
#[test]
fn a_client_may_be_slow_after_its_hello() {
    brief().run(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let pause = Duration::from_millis(400);
        let mut app = App::connect_slowly(reactor, address, &SECRET, pause).await;
        app.send(&[1; 8]).await;
        let opened = || world.telegram.opened.borrow().len() == 1;
        world.until("a session", opened).await;
        assert_eq!(world.metrics.rejected.total(), 0);
    });
}

/// What was answered and is no client goes first when there is no room.
#[test]
fn who_waits_for_the_end_makes_room() {
    let mut setup = brief();
    setup.clients.max_clients = 4;
    setup.clients.beside = 3;
    setup.run(async |world| {
        let rejected = |reason| world.metrics.rejected.get(reason);
        let mut answered_once = Vec::new();
        for number in 1..=12 {
            let half = &record(0x17, 500)[..200];
            answered_once.push(answered(&world, half).await);
            let is_over = || rejected(RejectReason::BadTransport) == number;
            world.until("a rejection", is_over).await;
            assert!(world.context.connections() <= 4);
        }
        let gone = answered_once.drain(..8).map(|socket| async move {
            let end = socket.read(&mut [0; 16]).await;
            assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        });
        for gone in gone {
            let left = world.reactor.timeout(super::DEADLINE, gone).await;
            left.expect("it has to go");
        }
    });
}

#[test]
fn whoever_wants_resets_gets_them() {
    let mut setup = brief();
    setup.clients.reset = Reset::OnHandshakeError;
    setup.run(async |world| {
        let socket = answered(&world, b"").await;
        socket.write_all(&record(0x16, 64)).await.unwrap();
        let start = world.reactor.now();
        assert!(socket.read(&mut [0; 9]).await.is_err());
        assert!(world.reactor.now() - start < Duration::from_secs(10));
    });
}

/// As a site does that has been looked at.
#[cfg(feature = "check")]
#[test]
fn endings_are_the_sites() {
    use crate::client::sites::{Ending, How, Manners};
    use crate::config::{FrontingChoice, SitePlace};

    let place: SitePlace = "127.0.0.1:9".parse().unwrap();
    let mut setup = brief();
    setup.fronting.choice = FrontingChoice::Site(place.clone());
    setup.run(async |world| {
        let sites = &world.context.sites;
        let garbled = record(0x17, 64);
        sites.learn(
            &place,
            Manners {
                unfinished: Some(Ending {
                    after: Duration::from_millis(500),
                    ..Ending::FIN
                }),
                garbled: Some(Ending {
                    record: Some(17),
                    ..Ending::FIN
                }),
                ..Manners::default()
            },
        );
        let socket = answered(&world, b"").await;
        socket.write_all(&garbled).await.unwrap();
        let said = rest(&socket).await;
        assert!(said.len() == 22 && said.starts_with(&[0x17, 3, 3, 0, 17]));

        let start = world.reactor.now();
        let socket = answered(&world, b"").await;
        let half = answered(&world, &garbled[..50]).await;
        assert_eq!(rest(&socket).await, [0; 0]);
        assert_eq!(rest(&half).await, [0; 0]);
        let time = world.reactor.now() - start;
        assert!(time >= Duration::from_millis(450), "{time:?}");
        assert!(time < Duration::from_secs(30), "{time:?}");

        let reset = Ending {
            how: How::Reset,
            ..Ending::FIN
        };
        let resets = Manners {
            garbled: Some(reset),
            ..Manners::default()
        };
        sites.learn(&place, resets);
        let socket = answered(&world, &garbled).await;
        assert!(socket.read(&mut [0; 9]).await.is_err());
    });
}

/// The site gives it time, but no longer the place of a secret: others need that, and
/// who is only slow has it again if it is free.
#[test]
fn who_does_not_go_on_keeps_no_place_of_a_secret() {
    let mut setup = brief();
    for secret in &mut setup.rules.secrets {
        secret.limits.set("max-connections", "1").unwrap();
    }
    setup.run(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let gone = answered(&world, b"").await;
        reactor.sleep(Duration::from_millis(150)).await;
        let slowly = Duration::from_millis(300);
        let mut slow = App::connect_slowly(reactor, address, &SECRET, slowly).await;
        slow.send(&[1; 8]).await;
        let opened = || world.telegram.opened.borrow().len() == 1;
        world.until("a session", opened).await;
        let full = RejectReason::SecretConnections;
        assert_eq!(world.metrics.rejected.get(full), 0);
        // Too late for the other one.
        gone.write_all(&header_in_a_record()).await.unwrap();
        assert!(is_encrypted_alert(&rest(&gone).await));
        assert_eq!(world.metrics.rejected.get(full), 1);
    });
}

/// What a client sends first behind its hello.
fn header_in_a_record() -> Vec<u8> {
    let padded = Transport::Padded;
    let (header, _) = obfuscated2::dial(padded, DcId(2), Some(&SECRET), &mut fill_random);
    let length = header.bytes.len() as u8;
    [CCS, &[0x17, 3, 3, 0, length], &header.bytes].concat()
}
