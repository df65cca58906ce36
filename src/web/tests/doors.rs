//! Doors for web servers in front of us: whom they say that a request is from.

use std::net::IpAddr;
use std::rc::Rc;

use super::app::{Http, begin, bootstrap, request, session_from};
use super::world::{CAPABILITY, Clients, World, run, run_with};
use crate::config::WebListen;
use crate::net::Listener;
use crate::web::{WebListenerHandle, listen};

pub(super) fn door(world: &Rc<World>, trust: &str) -> WebListenerHandle {
    let anywhere = "127.0.0.1:0".parse().unwrap();
    let listener = Rc::new(Listener::bind(&world.reactor, anywhere).unwrap());
    let door = WebListen {
        addr: listener.address(),
        optional: false,
        trust: vec![trust.parse().unwrap()],
        header: "X-Forwarded-For".to_owned(),
    };
    listen(&world.context, listener, door)
}

/// Whom the only session is counted for, that was begun through a door with these fields.
async fn told(world: &Rc<World>, door: &WebListenerHandle, fields: &str) -> IpAddr {
    let token = bootstrap(world, "192.0.2.1").await;
    let mut http = world.connect_to(door.socket().address()).await;
    let host = super::world::HOST;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 9\r\n{fields}\r\n"
    );
    http.send(&[head.as_bytes(), super::app::HELLO].concat())
        .await;
    assert_eq!(http.answer().await.unwrap().status, 200);
    let sessions = world.context.sessions.all();
    let [session] = sessions.as_slice() else {
        panic!("{} sessions", sessions.len());
    };
    let address = session.peer.client.ip();
    session.end(crate::metrics::WebEnd::ClosedByApp);
    address
}

#[test]
fn a_trusted_web_server_says_who_asks() {
    run(&[Clients::Idle], |world| async move {
        let door = door(&world, "127.0.0.0/8");
        for (fields, address) in [
            ("", "127.0.0.1"),
            ("X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"),
            (
                "x-forwarded-for: 10.0.0.1, 198.51.100.8\r\n",
                "198.51.100.8",
            ),
            (
                "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 198.51.100.9\r\n",
                "198.51.100.9",
            ),
            ("X-Forwarded-For: 198.51.100.7:4711\r\n", "198.51.100.7"),
            ("X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1"),
            ("X-Forwarded-For: 2001:db8::2\r\n", "2001:db8::2"),
            ("X-Forwarded-For: unknown\r\n", "127.0.0.1"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(told(&world, &door, fields).await, address, "{fields}");
        }
    });
    run(&[Clients::Idle], |world| async move {
        let door = door(&world, "192.0.2.0/24");
        let fields = "X-Forwarded-For: 198.51.100.7\r\n";
        let address: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(told(&world, &door, fields).await, address, "nobody we know");
    });
}

#[test]
fn a_relay_says_who_connects() {
    let flags = [("--proxy-protocol", "127.0.0.1")];
    run_with(&[Clients::Idle], &flags, |world| async move {
        let door = door(&world, "192.0.2.0/24");
        let mut http = world.connect_to(door.socket().address()).await;
        let token = {
            let page = request("GET", &format!("/?bridge={CAPABILITY}"), &[], &[]);
            let header = b"PROXY TCP4 198.51.100.7 192.0.2.2 4711 443\r\n";
            http.send(&[header, &*page].concat()).await;
            let page = http.answer().await.unwrap();
            let text = String::from_utf8(page.body).unwrap();
            let mut quoted = text.split('"').filter(|text| text.len() == 43);
            quoted.next().unwrap().to_owned()
        };
        assert_eq!(begin(&mut http, &token).await.status, 200);
        let session = world.context.sessions.all()[0].clone();
        assert_eq!(session.peer.client, "198.51.100.7:4711".parse().unwrap());
        let mut silent = world.connect_to(door.socket().address()).await;
        silent.send(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(silent.has_ended().await);
    });
}

/// A poll of this session that nobody answers, through the door for `client`.
async fn poll(world: &Rc<World>, door: &WebListenerHandle, client: &str, token: &str) -> Http {
    let http = world.connect_to(door.socket().address()).await;
    let bearer = format!("Bearer {token}");
    let fields = [
        ("Authorization", bearer.as_str()),
        ("X-Down-Cursor", "0"),
        ("X-Forwarded-For", client),
    ];
    http.send(&request("POST", "/api/v1/down", &fields, &[]))
        .await;
    http
}

/// What a web server asks for one address at a time has that address's part, however many
/// connections there are for others.
#[test]
fn one_address_behind_a_web_server_leaves_connections_for_others() {
    run(&[Clients::Idle], |world| async move {
        world.context.set_most(400, 200);
        let door = door(&world, "127.0.0.0/8");
        let mut polls = Vec::new();
        for _ in 0..50 {
            let token = session_from(&world, "192.0.2.1").await;
            polls.push(poll(&world, &door, "198.51.100.7", &token).await);
        }
        let seats = || world.context.connections.of("198.51.100.7");
        world.until("all have a place", || seats() == 50).await;
        let token = session_from(&world, "192.0.2.1").await;
        let mut refused = poll(&world, &door, "198.51.100.7", &token).await;
        assert_eq!(refused.answer().await.unwrap().status, 503);
        // The same connection brings requests of others, and others come by others.
        let page = format!("/?bridge={CAPABILITY}");
        let ask = |client| request("GET", &page, &[("X-Forwarded-For", client)], &[]);
        refused.send(&ask("198.51.100.8")).await;
        assert_eq!(refused.answer().await.unwrap().status, 200);
        refused.send(&ask("198.51.100.7")).await;
        assert_eq!(refused.answer().await.unwrap().status, 503);
        drop(polls.pop());
        world.until("one has gone", || seats() == 49).await;
        refused.send(&ask("198.51.100.7")).await;
        assert_eq!(refused.answer().await.unwrap().status, 200);
        // What waits on it is nobody's.
        world.until("it is answered", || seats() == 49).await;
    });
}

/// Whose a connection is that a relay tells of is known from its beginning.
#[test]
fn one_address_behind_a_relay_leaves_connections_for_others() {
    let flags = [("--proxy-protocol", "127.0.0.1")];
    run_with(&[Clients::Idle], &flags, |world| async move {
        world.context.set_most(400, 200);
        let door = door(&world, "192.0.2.0/24");
        let connect = async |client: &str| {
            let http = world.connect_to(door.socket().address()).await;
            let header = format!("PROXY TCP4 {client} 192.0.2.2 4711 443\r\n");
            http.send(header.as_bytes()).await;
            http
        };
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(connect("198.51.100.7").await);
        }
        let seats = || world.context.connections.of("198.51.100.7");
        world.until("all have a place", || seats() == 50).await;
        assert!(connect("198.51.100.7").await.has_ended().await);
        let mut other = connect("198.51.100.8").await;
        let page = format!("/?bridge={CAPABILITY}");
        other.send(&request("GET", &page, &[], &[])).await;
        assert_eq!(other.answer().await.unwrap().status, 200);
    });
}
