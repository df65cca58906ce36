use super::app::App;
use super::{SECRET, Setup, World};
use crate::config::{FrontingChoice, SitePlace};
use crate::metrics::RejectReason;
use crate::net::{Listener, Socket};
use crate::wire::dc::DcId;
use crate::wire::obfuscated2::{self, HEADER_LEN};
use crate::wire::transport::Transport;

/// The kernel may give a stranger on this machine, or a relay's connection, the
/// address and port from which we are connected to the site.
#[test]
fn who_comes_from_where_a_site_has_answered_is_not_ourselves() {
    let any_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = any_port.local_addr().unwrap();
    drop(any_port);
    let mut setup = Setup::default();
    setup.fronting.choice = FrontingChoice::Site(SitePlace::Host {
        name: "127.0.0.1".into(),
        port: site.port(),
    });
    setup.run(async |world| {
        let listener = Listener::bind(&world.reactor, site).unwrap();
        let address = world.listener.address();
        let stranger = Socket::connect(&world.reactor, address).await.unwrap();
        stranger.write_all(b"GET /").await.unwrap();
        let visit = listener.accept().await.unwrap();
        let (ours, sites) = (visit.peer_address().unwrap(), &world.context.sites);
        world.until("a visit", || sites.is_from_us(ours)).await;
        visit.write_all(b"HTTP").await.unwrap();
        stranger.read_exact(&mut [0; 4]).await.unwrap();
        world.until("a place", || !sites.is_from_us(ours)).await;
        drop(stranger);
    });
}

fn header() -> [u8; HEADER_LEN] {
    let fill = &mut crate::net::fill_random;
    let (header, _) = obfuscated2::dial(Transport::Padded, DcId(1), Some(&SECRET), fill);
    header.bytes
}

async fn connect(world: &World) -> Socket {
    let address = world.listener.address();
    Socket::connect(&world.reactor, address).await.unwrap()
}

async fn is_closed(socket: &Socket) -> bool {
    matches!(socket.read(&mut [0; 16]).await, Ok(0) | Err(_))
}

/// Both came while there was a place: only one finds it with its proof.
#[test]
fn the_last_place_is_of_who_proves_a_secret_first() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 1;
    setup.run(async |world| {
        let silent = [connect(&world).await, connect(&world).await];
        world
            .until("two unproven", || world.context.connections() == 2)
            .await;
        let address = world.listener.address();
        let first = App::connect(&world.reactor, address, Transport::Padded, &SECRET).await;
        world
            .until("a session", || world.metrics.clients.get() == 1)
            .await;
        // The house is full: who comes now is closed, who is there may still try.
        assert!(is_closed(&connect(&world).await).await);
        let rejected = &world.metrics.rejected;
        assert_eq!(rejected.get(RejectReason::TooManyClients), 1);
        let [late, other] = silent;
        late.write_all(&header()).await.unwrap();
        assert!(is_closed(&late).await);
        assert_eq!(rejected.get(RejectReason::TooManyClients), 2);
        drop(first);
        world
            .until("a place", || world.metrics.clients.get() == 0)
            .await;
        other.write_all(&header()).await.unwrap();
        world
            .until("another session", || world.metrics.clients.get() == 1)
            .await;
        drop((late, other));
        assert_eq!(world.context.drain(super::DEADLINE).await, 0);
        assert_eq!(world.context.connections(), 0);
    });
}

/// At the limit of all places strangers go who are waiting for their end, even
/// while fewer than --max-handshakes are there.
#[test]
fn who_was_turned_away_makes_room_first() {
    let mut setup = Setup::default();
    setup.clients.max_clients = 4;
    setup.clients.beside = 3;
    setup.run(async |world| {
        let silent = [connect(&world).await, connect(&world).await];
        let stranger = connect(&world).await;
        stranger.write_all(&[7; 64]).await.unwrap();
        let unknown = || world.metrics.rejected.get(RejectReason::UnknownSecret);
        world.until("a stranger", || unknown() == 1).await;
        let mut crowd = Vec::new();
        for _ in 0..2 {
            crowd.push(connect(&world).await);
        }
        assert!(is_closed(&stranger).await);
        let evicted = || world.metrics.rejected.get(RejectReason::Evicted);
        assert_eq!((evicted(), world.context.connections()), (0, 4));
        // Now the oldest.
        crowd.push(connect(&world).await);
        assert!(is_closed(&silent[0]).await);
        assert_eq!((evicted(), world.context.connections()), (1, 4));
    });
}

/// Who had to wait for a place at the site is left when the site's time is over from
/// then on, not from when the kernel took the connection.
#[cfg(feature = "check")]
#[test]
fn a_wait_for_a_place_is_not_of_the_sites_time() {
    use std::time::Duration;

    use crate::client::sites::{Ending, Manners};
    use crate::config::Config;

    let any_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = any_port.local_addr().unwrap();
    drop(any_port);
    let place: SitePlace = site.to_string().parse().unwrap();
    let mut setup = Setup::default();
    setup.fronting.choice = FrontingChoice::Site(place.clone());
    setup.guard.flood = Config::of(&[("--flood-limit", "1,1")]).guard.flood;
    setup.run(async |world| {
        let listener = Listener::bind(&world.reactor, site).unwrap();
        let patience = Duration::from_millis(1500);
        let silent = Ending {
            after: patience,
            ..Ending::FIN
        };
        let manners = Manners {
            silent: Some(silent),
            ..Manners::default()
        };
        world.context.sites.learn(&place, manners);
        let mut crowd = Vec::new();
        for number in 0..5 {
            let stranger = connect(&world).await;
            let line = format!("GET /{number} ");
            stranger.write_all(line.as_bytes()).await.unwrap();
            crowd.push((stranger, listener.accept().await.unwrap()));
        }
        let late = connect(&world).await;
        let flood = || world.metrics.rejected.get(RejectReason::Flood);
        world.until("a flood", || flood() == 5).await;
        let closed = world.reactor.timeout(patience, is_closed(&late)).await;
        assert_eq!(closed, None);
        crowd.clear();
        let start = world.reactor.now();
        assert!(is_closed(&late).await);
        let time = world.reactor.now() - start;
        assert!(time >= patience - Duration::from_millis(50), "{time:?}");
        assert_eq!(world.metrics.fronted.get(RejectReason::SiteAnswered), 1);
    });
}
