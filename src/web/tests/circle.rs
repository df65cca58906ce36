//! Sites that lead back to us, and others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::doors::door;
use super::world::{Clients, HOST, SECRET, World, run};
use crate::config::Config;
use crate::net::{Listener, Socket};
use crate::web::{Directories, covers};

/// What somebody does with a connection to the site.
#[derive(Clone, Copy)]
enum Site {
    /// Hands it on to this address, as a web server would.
    Relay(SocketAddr),
    /// Answers itself.
    Answers,
    /// Says nothing.
    Silent,
}

async fn serve(world: Rc<World>, listener: Listener, site: Site) {
    let client = listener.accept().await.unwrap();
    let mut asked = [0; 1024];
    let length = client.read(&mut asked).await.unwrap();
    let asked = asked.get(..length).unwrap();
    match site {
        Site::Relay(to) => {
            let server = Socket::connect(&world.reactor, to).await.unwrap();
            server.write_all(asked).await.unwrap();
            let mut answer = [0; 1024];
            let length = server.read(&mut answer).await.unwrap();
            client.write_all(&answer[..length]).await.unwrap();
        }
        Site::Answers => {
            let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
            client.write_all(answer).await.unwrap();
        }
        Site::Silent => drop(client.read(&mut [0; 1]).await),
    }
}

/// Who brings back what such a site is asked for.
async fn comes_round(world: &Rc<World>, site: Option<Site>) -> Option<IpAddr> {
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&world.reactor, anywhere).unwrap();
    let url = format!("http://{}/", listener.address());
    match site {
        Some(site) => {
            let serving = serve(world.clone(), listener, site);
            world.executor.spawn(serving).detach();
        }
        None => drop(listener),
    }
    let config = Config::of(&[
        ("--secret", SECRET),
        ("--web", HOST),
        ("--web-listen", "127.0.0.1:2"),
        ("--web-site", &url),
    ]);
    let directories = Directories::read(&config.web).unwrap();
    let covers = covers(
        &world.sites,
        &config.web,
        &config.sites.fronting,
        &directories,
    );
    let (host, cover) = &covers[0];
    world.context.comes_round(host.as_ref(), cover).await
}

#[test]
fn a_site_that_leads_back_is_known_and_no_other() {
    run(&[Clients::Idle], |world| async move {
        let door = door(&world, "192.0.2.0/24");
        let back = Site::Relay(door.socket().address());
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for (site, found) in [
            (Some(back), Some(localhost)),
            (Some(Site::Answers), None),
            (Some(Site::Silent), None),
            (None, None),
            // It is as before, and the code another.
            (Some(back), Some(localhost)),
        ] {
            assert_eq!(comes_round(&world, site).await, found);
        }
    });
}
