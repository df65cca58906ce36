use super::*;

const SITE: &str = "192.0.2.80:443";

fn loops(public: Option<&str>, own: &[&str]) -> Loops {
    let public = public.map(|ip| ip.parse().unwrap());
    let loops = Loops::new(Box::new(move || public));
    for address in own {
        loops.listening(address.parse().unwrap());
    }
    loops
}

fn begin(loops: &Loops, from: &str, received: &[u8]) -> Result<Begun, Circle> {
    let from: SocketAddr = from.parse().unwrap();
    through(loops, from, from, received)
}

fn through(
    loops: &Loops,
    client: SocketAddr,
    sender: SocketAddr,
    received: &[u8],
) -> Result<Begun, Circle> {
    loops.begin(&Comer {
        client,
        sender,
        received,
        site: &[SITE.parse().unwrap()],
    })
}

#[test]
fn our_own_addresses() {
    let is_ours = |loops: &Loops, address: &str| loops.is_ours(address.parse().unwrap());
    let everywhere = loops(Some("192.0.2.7"), &["0.0.0.0:443"]);
    for (address, ours) in [
        ("127.0.0.1:443", true),
        ("[::ffff:127.0.0.1]:443", true),
        ("127.0.0.1:8443", false),
        ("[::1]:443", false),
        ("192.0.2.7:443", true),
        ("192.0.2.7:8443", false),
        ("192.0.2.8:443", false),
    ] {
        assert_eq!(is_ours(&everywhere, address), ours, "{address}");
    }
    let one = loops(None, &["127.0.0.1:443"]);
    assert!(is_ours(&one, "127.0.0.1:443"));
    assert!(!is_ours(&one, "127.0.0.2:443"));
    one.not_listening("127.0.0.1:443".parse().unwrap());
    assert!(!is_ours(&one, "127.0.0.1:443"));
}

#[test]
fn who_may_be_ourselves() {
    let loops = loops(Some("198.51.100.7"), &[]);
    let site = [SITE.parse().unwrap()];
    for (ip, may_be) in [
        ("127.0.0.1", true),
        ("10.1.2.3", true),
        ("172.17.0.1", true),
        ("192.168.1.1", true),
        ("169.254.1.1", true),
        ("100.64.3.4", true),
        ("::1", true),
        ("fd00::1", true),
        ("fe80::1", true),
        ("::ffff:10.0.0.1", true),
        // Ours as the internet sees it, and the site's.
        ("198.51.100.7", true),
        ("192.0.2.80", true),
        ("::ffff:192.0.2.80", true),
        ("198.51.100.8", false),
        ("203.0.113.9", false),
        ("2001:db8::1", false),
        ("2a00::1", false),
    ] {
        assert_eq!(
            loops.may_be_ours(ip.parse().unwrap(), &site),
            may_be,
            "{ip}"
        );
    }
}

#[test]
fn what_goes_round_in_circles_ends() {
    let loops = loops(None, &[]);
    let from = |n: u32| format!("10.0.0.1:{}", 1000 + n);
    let begun: Vec<_> = (0..20).map(|n| begin(&loops, &from(n), b"hello")).collect();
    assert_eq!(begun.iter().flatten().count(), MAX_ROUNDS as usize);
    assert_eq!(begin(&loops, SITE, b"hello").err(), Some(Circle::Alike));
    assert!(begin(&loops, SITE, b"another").is_ok());
    for begun in begun.into_iter().flatten() {
        loops.answered(begun);
    }
    assert!(begin(&loops, SITE, b"hello").is_ok());
    assert!((0..20).all(|n| begin(&loops, &from(n), b"").is_ok()));
}

#[test]
fn a_crowd_from_elsewhere_is_no_circle() {
    let loops = loops(Some("198.51.100.7"), &[]);
    let mut held = Vec::new();
    for n in 0..1000 {
        let from = format!("203.0.113.9:{}", 30_000 + 2 * n);
        let mut begun = begin(&loops, &from, b"hello").ok().unwrap();
        // Now and then of the same port as somebody's.
        let ours = format!("198.51.100.7:{}", 30_001 + 7 * n % 2000);
        let client = from.parse().unwrap();
        loops.dialled(&mut begun, client, b"hello", ours.parse().unwrap());
        held.push(begun);
    }
    // Nor does it make one of what comes from our network.
    assert!(begin(&loops, "10.0.0.1:1", b"hello").is_ok());
    for begun in held {
        loops.answered(begun);
    }
    assert!(loops.dialled.borrow().is_empty() && loops.unanswered.borrow().len() == 1);
}

/// A NAT elsewhere that keeps ports: each comes from the port of the one
/// before, whatever the address, and has a few bytes more or less.
#[test]
fn a_chain_is_known_by_its_ports() {
    let loops = loops(None, &[]);
    let mut chain = Vec::new();
    let mut from: SocketAddr = "203.0.113.9:1000".parse().unwrap();
    for round in 0..20u16 {
        let received = &b"hello, site"[..5 + usize::from(round) % 3];
        match through(&loops, from, from, received) {
            Ok(mut begun) => {
                let ours = SocketAddr::new([192, 0, 2, 7].into(), 40_000 + round);
                loops.dialled(&mut begun, from, received, ours);
                from.set_port(ours.port());
                chain.push(begun);
            }
            Err(circle) => {
                assert_eq!(circle, Circle::Ports);
                break;
            }
        }
    }
    assert_eq!(chain.len(), MAX_ROUNDS as usize);
    // What begins otherwise comes from the same port by chance.
    assert!(through(&loops, from, from, b"GET /").is_ok());
    for begun in chain {
        loops.answered(begun);
    }
    assert!(through(&loops, from, from, b"hello").is_ok());
}

/// A relay that hears from us who comes, and tells it us.
#[test]
fn a_client_that_is_told_again_and_again_is_a_chain() {
    let loops = loops(None, &[]);
    let client = "203.0.113.9:1000".parse().unwrap();
    let mut chain = Vec::new();
    for round in 0..20 {
        let relay = SocketAddr::new([192, 0, 2, 8].into(), 50_000 + round);
        let begun = through(&loops, client, relay, b"hello");
        let Ok(mut begun) = begun else {
            assert_eq!(begun.err(), Some(Circle::Ports));
            break;
        };
        let ours = SocketAddr::new([192, 0, 2, 7].into(), 40_000 + round);
        loops.dialled(&mut begun, client, b"hello", ours);
        chain.push(begun);
    }
    assert_eq!(chain.len(), MAX_ROUNDS as usize);
    // Another of its connections, what it says besides, and one that only has
    // its port.
    let relay: SocketAddr = "192.0.2.8:60000".parse().unwrap();
    for (client, received) in [
        ("203.0.113.9:1001", "hello"),
        ("203.0.113.9:1000", "GET /"),
        ("203.0.113.10:1000", "hello"),
    ] {
        let begun = through(&loops, client.parse().unwrap(), relay, received.as_bytes());
        assert!(begun.is_ok_and(|begun| begun.rounds == 0), "{client}");
    }
    for begun in chain {
        loops.answered(begun);
    }
    assert!(loops.dialled.borrow().is_empty() && loops.told.borrow().is_empty());
}

#[test]
fn what_comes_from_where_we_are_on_the_way_is_ours() {
    let loops = loops(None, &[]);
    let ours: SocketAddr = "192.0.2.7:40000".parse().unwrap();
    let relay: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    let stranger = "203.0.113.9:1000".parse().unwrap();
    let mut begun = through(&loops, stranger, relay, b"hello").ok().unwrap();
    loops.dialled(&mut begun, stranger, b"hello", ours);
    assert!(loops.is_from_us("[::ffff:192.0.2.7]:40000".parse().unwrap()));
    for sender in [ours, relay] {
        let came_back = through(&loops, ours, sender, b"other").err();
        assert_eq!(came_back, Some(Circle::Ports));
        // A relay's own port says nothing.
        assert!(through(&loops, stranger, sender, b"other").is_ok());
    }
    loops.answered(begun);
    assert!(through(&loops, ours, ours, b"hello").is_ok());
}
