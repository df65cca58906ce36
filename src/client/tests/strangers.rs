use super::Setup;
use crate::config::{FrontingChoice, SitePlace};
use crate::net::{Listener, Socket};

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
