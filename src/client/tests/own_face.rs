//! Where our own TLS is the face of a port, an answer to an `ee` client and what follows it
//! are as a stranger sees them there.

use std::time::Duration;

use super::app::{hello, read_server_flight, unix_now};
use super::{SECRET, Setup, World};
use crate::client::{OwnFace, SHAKE_LIMIT};
use crate::config::FrontingChoice;
use crate::net::{Socket, fill_random};

const HOST: &str = "web.example.org";

/// The test's only host, asked for by whatever name.
fn run(test: impl AsyncFnOnce(std::rc::Rc<World>)) {
    let mut setup = Setup::default();
    setup.clients.handshake_timeout = Duration::from_millis(100);
    setup.fronting.choice = FrontingChoice::Own;
    setup.run(async move |world| {
        world.context.sites.show_own(OwnFace {
            profiles: vec![(HOST.parse().unwrap(), None)],
        });
        test(world).await;
    });
}

/// Whose hello was answered, and how long that took.
async fn answered(world: &World) -> (Socket, Duration) {
    let address = world.listener.address();
    let socket = Socket::connect(&world.reactor, address).await.unwrap();
    let mut number = [0; 8];
    fill_random(&mut number);
    let name = format!("site{}.example", u64::from_ne_bytes(number));
    let hello = hello(&SECRET, unix_now(), Some(&name));
    let began = world.reactor.now();
    socket.write_all(&hello).await.unwrap();
    read_server_flight(&socket).await;
    (socket, world.reactor.now() - began)
}

async fn rest(socket: &Socket) -> Vec<u8> {
    let (mut rest, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match socket.read(&mut buffer).await.unwrap() {
            0 => return rest,
            length => rest.extend_from_slice(&buffer[..length]),
        }
    }
}

#[test]
fn an_answer_takes_as_long_as_by_the_hosts_key() {
    run(async |world| {
        let key_takes = Duration::from_millis(300);
        let (_, time) = answered(&world).await;
        assert!(time < key_takes, "{time:?}");
        let host = HOST.parse().unwrap();
        world.context.sites.own_answered(&host, key_takes);
        let (_, time) = answered(&world).await;
        assert!(time >= key_takes, "{time:?}");
    });
}

#[test]
fn who_says_no_more_is_left_when_our_own_tls_would() {
    run(async |world| {
        let began = world.reactor.now();
        let (socket, _) = answered(&world).await;
        assert_eq!(rest(&socket).await, [0; 0]);
        let passed = world.reactor.now() - began;
        let late = passed.checked_sub(SHAKE_LIMIT);
        assert!(late.is_some_and(|late| late.as_secs() < 5), "{passed:?}");
    });
}

/// Two ChangeCipherSpecs are none too many, one more is; a first byte of no record is one
/// at once, another version of TLS 1 is not.
#[test]
fn what_comes_instead_is_judged_as_by_our_own_tls() {
    const CCS: &[u8] = &[0x14, 3, 3, 0, 1, 1];
    run(async |world| {
        for (bytes, alert) in [(&b"G"[..], 24), (&CCS.repeat(3), 0), (&[0x17, 2, 0], 24)] {
            let began = world.reactor.now();
            let (socket, _) = answered(&world).await;
            socket.write_all(bytes).await.unwrap();
            assert_eq!(rest(&socket).await.len(), alert, "{bytes:x?}");
            assert!(world.reactor.now() - began < SHAKE_LIMIT);
        }
        let (socket, _) = answered(&world).await;
        let began = world.reactor.now();
        socket.write_all(&[0x17, 3, 1, 0, 64]).await.unwrap();
        assert_eq!(rest(&socket).await, [0; 0]);
        assert!(
            world.reactor.now() - began > SHAKE_LIMIT / 2,
            "it is waited for"
        );
    });
}
