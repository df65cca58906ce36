use std::time::Duration;

use super::app::{App, hello, unix_now};
use super::{OTHER_SECRET, SECRET, Setup, World};
use crate::metrics::{ClientKind, RejectReason};
use crate::net::Socket;
use crate::wire::fake_tls::DECODE_ERROR_ALERT;
use crate::wire::obfuscated2;
use crate::wire::secret::Secret;
use crate::wire::transport::Transport;

pub(crate) const UNKNOWN: Secret = Secret([1; 16]);

/// Sends `bytes`, then waits until the proxy closes; what it sent meanwhile.
async fn probe(world: &World, bytes: &[u8]) -> Vec<u8> {
    let socket = Socket::connect(&world.reactor, world.listener.address()).await;
    let socket = socket.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read) = socket.read(&mut buffer).await
        && read > 0
    {
        answer.extend_from_slice(&buffer[..read]);
    }
    answer
}

fn brief() -> Setup {
    let mut setup = Setup::default();
    setup.clients.handshake_timeout = Duration::from_millis(200);
    setup
}

pub(crate) fn header(transport: Transport, secret: &Secret) -> Vec<u8> {
    let fill = &mut crate::net::fill_random;
    let (header, _) = obfuscated2::dial(transport, crate::wire::dc::DcId(1), Some(secret), fill);
    header.bytes.to_vec()
}

#[test]
fn every_secret_of_the_listener_lets_in() {
    Setup::default().run(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let mut apps = Vec::new();
        for secret in [SECRET, OTHER_SECRET] {
            apps.push(App::connect(reactor, address, Transport::Abridged, &secret).await);
            apps.push(App::connect_tls(reactor, address, &secret).await);
        }
        world
            .until("four sessions", || {
                world.telegram.opened.borrow().len() == 4
            })
            .await;
        let by_kind = &world.metrics.clients_by_kind;
        assert_eq!(by_kind.get(ClientKind::FakeTls), 2);
        assert_eq!(by_kind.get(ClientKind::Abridged), 2);
        assert_eq!(world.metrics.clients.get(), 4);
        drop(apps);
        assert_eq!(world.context.drain(super::DEADLINE).await, 0);
        assert_eq!(world.metrics.clients.get(), 0);
        assert_eq!(world.metrics.handshaking.get(), 0);
    });
}

#[test]
fn strangers_see_a_silent_server_until_the_deadline() {
    let late = unix_now() - 3600;
    for (bytes, reason) in [
        (
            header(Transport::Padded, &UNKNOWN),
            RejectReason::UnknownSecret,
        ),
        (
            b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n........".to_vec(),
            RejectReason::Http,
        ),
        (
            hello(&UNKNOWN, unix_now(), Some("example.com")),
            RejectReason::UnknownSecret,
        ),
        (
            hello(&SECRET, late, Some("example.com")),
            RejectReason::ClockSkew,
        ),
        (
            hello(&SECRET, unix_now(), Some("example.org")),
            RejectReason::UnknownServerName,
        ),
        (
            hello(&SECRET, unix_now(), Some("example.com"))[..80].to_vec(),
            RejectReason::TimedOut,
        ),
        (Vec::new(), RejectReason::TimedOut),
    ] {
        let mut setup = brief();
        setup.rules.tls_domains = vec!["example.com".parse().unwrap()];
        setup.run(async |world| {
            let start = world.reactor.now();
            assert_eq!(probe(&world, &bytes).await, [0u8; 0], "{reason}");
            let took = world.reactor.now() - start;
            assert!(took >= Duration::from_millis(190), "{reason}");
            assert_eq!(world.metrics.rejected.get(reason), 1, "{reason}");
            assert_eq!(world.metrics.rejected.total(), 1);
            assert!(world.telegram.opened.borrow().is_empty());
        });
    }
}

#[test]
fn a_hello_that_cannot_be_read_gets_an_alert() {
    let mut malformed = hello(&SECRET, unix_now(), Some("example.com"));
    malformed[43] = 200;
    for (bytes, reason) in [
        (malformed, RejectReason::BadHello),
        (hello(&SECRET, unix_now(), None), RejectReason::NoServerName),
    ] {
        brief().run(async |world| {
            assert_eq!(probe(&world, &bytes).await, DECODE_ERROR_ALERT, "{reason}");
            assert_eq!(world.metrics.rejected.get(reason), 1, "{reason}");
        });
    }
}

#[test]
fn only_what_is_allowed_comes_in() {
    for (transport, reason) in [
        (Transport::Abridged, RejectReason::ClassicNotAllowed),
        (Transport::Intermediate, RejectReason::ClassicNotAllowed),
        (Transport::Padded, RejectReason::PaddedNotAllowed),
    ] {
        let mut setup = brief();
        setup.rules.allow.classic = false;
        setup.rules.allow.dd = false;
        setup.rules.allow.tls = false;
        setup.run(async |world| {
            assert_eq!(probe(&world, &header(transport, &SECRET)).await, [0u8; 0]);
            assert_eq!(world.metrics.rejected.get(reason), 1);
            let hello = hello(&SECRET, unix_now(), Some("example.com"));
            assert_eq!(probe(&world, &hello).await, [0u8; 0]);
            assert_eq!(world.metrics.rejected.get(RejectReason::TlsNotAllowed), 1);
        });
    }
}

/// A socket that takes `secret` alone, at `place`.
#[test]
fn clients_over_the_limit_are_closed_and_counted() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 1;
    setup.run(async |world| {
        let (reactor, address) = (&world.reactor, world.listener.address());
        let first = App::connect(reactor, address, Transport::Padded, &SECRET).await;
        world
            .until("a session", || world.telegram.opened.borrow().len() == 1)
            .await;
        let mut second = App::connect(reactor, address, Transport::Padded, &SECRET).await;
        assert!(second.is_closed().await);
        assert_eq!(world.metrics.rejected.get(RejectReason::TooManyClients), 1);
        drop(first);
        world
            .until("a free place", || world.context.connections() == 0)
            .await;
        let _third = App::connect(reactor, address, Transport::Padded, &SECRET).await;
        world
            .until("a session", || world.telegram.opened.borrow().len() == 2)
            .await;
    });
}
