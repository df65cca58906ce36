//! Crowds that prove nothing, each in a network namespace of its own where that
//! can be had.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Kind, is_close};
use fake_telegram::harness::namespace::apart;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured, start};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, patience, run, within};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use smol_mtproxy_wire::link::{self, Frame};

/// Whether the peer has hung up.
fn is_gone(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Half-open connections of every sort, and strangers, 1,500 in all, while only 200 may be
/// there at a time.
#[test]
fn half_open_connections_push_out_each_other() {
    apart("half_open_connections_push_out_each_other", || {
        run(async {
            const CROWD: usize = 1500;
            let change = |o: ProxyOptions| {
                o.set("--max-handshakes", 200)
                    .set("--flood-limit", "off")
                    .set("--handshake-timeout", 60)
            };
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let mut good = proxy.served_client(2).await;
            let before = proxy.resident_memory();
            let mut crowd: Vec<(TcpStream, bool)> = Vec::new();
            let hello = proxy.client(Kind::FakeTls).first_bytes();
            let stranger = proxy.client(Kind::Padded).key([9; 16]).first_bytes();
            for number in 0..CROWD {
                // Silent, in the middle of a hello, and strangers: none leaves by
                // itself. Of the first ones only those are held that are open.
                if crowd.len() >= 600 {
                    crowd.drain(..300);
                }
                let mut stream = TcpStream::connect(proxy.address()).unwrap();
                let beginning = match number % 3 {
                    0 => &[][..],
                    1 => &hello[..900],
                    _ => &stranger[..],
                };
                stream.write_all(beginning).unwrap();
                crowd.push((stream, number % 3 == 2));
                if number % 200 == 0 {
                    within("an echo", good.echo(&echo(3, 64))).await.unwrap();
                    for kind in [Kind::Padded, Kind::FakeTls] {
                        let mut client = within("a handshake", proxy.client(kind).connect())
                            .await
                            .unwrap();
                        within("an echo", client.echo(&echo(4, 64))).await.unwrap();
                    }
                }
            }
            // The last 200 have stayed, but for those who were turned away: these
            // and the others are gone.
            let newest = crowd.len() - 150;
            let (old, new) = crowd.split_at_mut(newest);
            eventually("the end of the oldest", || {
                old[..150].iter_mut().all(|(stream, _)| is_gone(stream))
            })
            .await;
            for (stream, is_stranger) in new {
                assert!(*is_stranger || !is_gone(stream));
            }
            assert!(proxy.rejected("evicted") >= CROWD as u64 / 4);
            let grown = proxy.resident_memory().saturating_sub(before);
            assert!(
                grown < 8 << 20,
                "{grown} bytes for 200 half-open connections"
            );
            within("an echo", good.echo(&echo(5, 64))).await.unwrap();
            proxy.served_client(2).await;
            telegram.assert_clean();
        });
    });
}

fn connect_from(source: IpAddr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let connecting = fake_telegram::socket::connect_from(source, target);
    let stream = smol::block_on(connecting)?.into_inner()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(patience()))?;
    Ok(stream)
}

/// The same in a flood that keeps the kernel's queue full: a SYN that is lost is tried
/// anew after a second, sooner than the kernel does it.
fn connect_in_flood(source: Ipv4Addr, target: SocketAddr) -> TcpStream {
    let deadline = Instant::now() + patience();
    while Instant::now() < deadline {
        let stream = begin_to_connect(source, target).unwrap();
        let next = Instant::now() + Duration::from_secs(1);
        while Instant::now() < next {
            if stream.peer_addr().is_ok() {
                stream.set_nonblocking(false).unwrap();
                return stream;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    panic!("no place in the kernel's queue");
}

/// Waits for the end; whether it came as a reset.
fn ends_by_reset(mut stream: TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(0) => false,
        Ok(length) => panic!("{length} bytes came"),
        Err(error) if is_close(&error) => true,
        Err(error) => panic!("left open: {error}"),
    }
}

#[test]
fn an_address_that_floods_is_shut_out_alone() {
    apart("an_address_that_floods_is_shut_out_alone", || {
        run(async {
            let change =
                |o: ProxyOptions| o.set("--flood-limit", "1,20").set("--handshake-timeout", 2);
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let flooder: IpAddr = Ipv4Addr::new(127, 66, 0, 1).into();
            let mut held = Vec::new();
            for _ in 0..60 {
                held.push(connect_from(flooder, proxy.address()).unwrap());
            }
            eventually("a refusal", || proxy.rejected("flood") >= 20).await;
            // Good clients of another address may come as often as they like.
            for _ in 0..40 {
                let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
                within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            }
            let shut_out = async {
                loop {
                    // One a second is let in again: the flood goes on.
                    for _ in 0..5 {
                        held.push(connect_from(flooder, proxy.address()).unwrap());
                    }
                    let client = proxy.client(Kind::Padded).source(flooder);
                    let mut client = client.connect().await.unwrap();
                    if let Err(error) = client.echo(&echo(1, 64)).await {
                        return is_close(&error);
                    }
                }
            };
            assert!(within("a refusal", shut_out).await);
            telegram.assert_clean();
        });
    });
}

/// As behind a carrier's NAT: more than the burst at a time, all of them good.
#[test]
fn many_good_clients_of_one_address_are_no_flood() {
    apart("many_good_clients_of_one_address_are_no_flood", || {
        run(async {
            let change = |o: ProxyOptions| o.set("--flood-limit", "1,8");
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let mut crowd = Vec::new();
            for number in 0..80u32 {
                let kind = Kind::ALL[number as usize % Kind::ALL.len()];
                let mut client = proxy.client(kind).connect().await.unwrap();
                within("an echo", client.echo(&echo(number, 64)))
                    .await
                    .unwrap();
                crowd.push(client);
            }
            assert_eq!(proxy.rejected("flood"), 0);
            telegram.assert_clean();
        });
    });
}

#[test]
fn strangers_and_clients_are_reset_as_the_owner_wants() {
    apart("strangers_and_clients_are_reset_as_the_owner_wants", || {
        run(async {
            for (choice, stranger_reset, client_reset) in [
                ("never", false, false),
                ("on-handshake-error", true, false),
                ("always", true, true),
            ] {
                let change = |o: ProxyOptions| {
                    o.set("--reset", choice)
                        .set("--handshake-timeout", 1)
                        .set("--idle-timeout", 1)
                };
                let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
                let here = Ipv4Addr::LOCALHOST.into();
                let mut stranger = connect_from(here, proxy.address()).unwrap();
                let bytes = proxy.client(Kind::Padded).key([9; 16]).first_bytes();
                stranger.write_all(&bytes).unwrap();
                assert_eq!(ends_by_reset(stranger), stranger_reset, "{choice}");
                let client = proxy.served_client(2).await.into_stream();
                let client = client.into_inner().unwrap();
                client.set_nonblocking(false).unwrap();
                client.set_read_timeout(Some(patience())).unwrap();
                assert_eq!(ends_by_reset(client), client_reset, "{choice}");
                telegram.assert_clean();
            }
        });
    });
}

/// A byte now and then does not buy time.
#[test]
fn a_slow_beginning_meets_its_deadline() {
    apart("a_slow_beginning_meets_its_deadline", || {
        run(async {
            let change = |o: ProxyOptions| o.set("--handshake-timeout", 1);
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let hello = proxy.client(Kind::FakeTls).first_bytes();
            let mut drips = Vec::new();
            for _ in 0..20 {
                drips.push(TcpStream::connect(proxy.address()).unwrap());
            }
            let mut sent = 0;
            eventually("the end of all", || {
                for stream in &mut drips {
                    let _ = stream.write(&hello[sent % hello.len()..][..1]);
                }
                sent += 1;
                std::thread::sleep(Duration::from_millis(10));
                drips.iter_mut().all(is_gone)
            })
            .await;
            assert_eq!(proxy.rejected("timed_out"), 20);
            proxy.served_client(2).await;
            telegram.assert_clean();
        });
    });
}

/// Connects as fast as it can, until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    flooding: Vec<JoinHandle<()>>,
}

impl Flood {
    /// Each says `greeting` and no more.
    fn start(target: SocketAddr, sources: Vec<Ipv4Addr>, greeting: Vec<u8>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flooding = (0..2).map(|_| {
            let (stop, sources, greeting) = (stop.clone(), sources.clone(), greeting.clone());
            std::thread::spawn(move || flood(&stop, target, &sources, &greeting))
        });
        Self {
            flooding: flooding.collect(),
            stop,
        }
    }
}

/// Does not wait: whose SYN is lost would for a second.
fn begin_to_connect(source: Ipv4Addr, target: SocketAddr) -> std::io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

fn flood(stop: &AtomicBool, target: SocketAddr, sources: &[Ipv4Addr], greeting: &[u8]) {
    let mut held = VecDeque::new();
    for source in sources.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Ok(mut stream) = begin_to_connect(*source, target) {
            let _ = stream.write(greeting);
            held.push_back(stream);
        }
        if held.len() > 2000 {
            held.pop_front();
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for flooding in self.flooding.drain(..) {
            let _ = flooding.join();
        }
    }
}

/// Takes places in every way that there is without a secret; what is held.
fn hold_places(proxy: &Proxy, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    let beginning = match number % 4 {
        0 => Vec::new(),
        1 => proxy.client(Kind::FakeTls).first_bytes()[..900].to_vec(),
        2 => proxy.client(Kind::Padded).key([9; 16]).first_bytes(),
        // Shown the site.
        _ => b"GET / HTTP/1.0\r\n\r\n".to_vec(),
    };
    // It may be gone already.
    let _ = stream.write_all(&beginning);
    stream
}

/// Strangers of every sort want all the places that sessions leave.
#[test]
fn clients_find_a_place_while_sessions_leave_one() {
    let name = "clients_find_a_place_while_sessions_leave_one";
    apart(name, || {
        run(async {
            let site = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = site.local_addr().unwrap();
            let change = |o: ProxyOptions| {
                o.set("--max-clients", 100)
                    .set("--fronting", address)
                    .set("--flood-limit", "off")
                    .set("--handshake-timeout", 60)
            };
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let mut sessions = Vec::new();
            for _ in 0..60 {
                sessions.push(proxy.served_client(2).await);
            }
            let mut crowd: Vec<_> = (0..300).map(|n| hold_places(&proxy, n)).collect();
            eventually("a guest of the site", || proxy.counted("fronted", "") > 0).await;
            while sessions.len() < 100 {
                crowd.extend((0..20).map(|n| hold_places(&proxy, n)));
                let kind = Kind::ALL[sessions.len() % Kind::ALL.len()];
                let mut client = within("a place", proxy.client(kind).connect())
                    .await
                    .unwrap();
                within("an echo", client.echo(&echo(1, 64))).await.unwrap();
                sessions.push(client);
            }
            assert_eq!(proxy.rejected("too_many_clients"), 0);
            assert!(proxy.rejected("evicted") > 0);
            // All are sessions: nobody else comes in.
            let mut more = TcpStream::connect(proxy.address()).unwrap();
            eventually("a full house", || is_gone(&mut more)).await;
            let said = || proxy.log_contains("--max-clients are connected");
            eventually("a word about it", said).await;
            for client in &mut sessions {
                within("an echo", client.echo(&echo(5, 64))).await.unwrap();
            }
            telegram.assert_clean();
        });
    });
}

/// A client far away, whose handshake comes in two parts, while a few addresses
/// connect as fast as they can and say nothing.
#[test]
fn a_flood_of_few_addresses_does_not_push_out_a_client() {
    let name = "a_flood_of_few_addresses_does_not_push_out_a_client";
    apart(name, || {
        run(async {
            const ROUND_TRIP: Duration = Duration::from_millis(300);
            let change = |o: ProxyOptions| {
                o.set("--max-clients", 100)
                    .set("--max-handshakes", 64)
                    .set("--flood-limit", "off")
            };
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let target = proxy.address();
            let addresses = (1..=20).map(|last| Ipv4Addr::new(127, 66, 0, last));
            let flood = Flood::start(target, addresses.collect(), Vec::new());
            eventually("a flood", || proxy.rejected("evicted") > 500).await;
            for round in 0..5 {
                // Not one who is known already.
                let source = Ipv4Addr::new(127, 67, 0, round);
                let bytes = proxy.client(Kind::Padded).first_bytes();
                let mut client = connect_in_flood(source, target);
                smol::Timer::after(ROUND_TRIP).await;
                client.write_all(&bytes[..20]).unwrap();
                smol::Timer::after(ROUND_TRIP).await;
                client.write_all(&bytes[20..]).unwrap();
                let wanted = u64::from(round) + 1;
                eventually("a session", || {
                    assert!(!is_gone(&mut client), "pushed out in round {round}");
                    proxy.counted("handshakes_total", "outcome=\"accepted\"") == wanted
                })
                .await;
            }
            drop(flood);
            telegram.assert_clean();
        });
    });
}

/// Hands on what comes to and from `target`, from `source`, each byte so much
/// later.
fn far_away(source: Ipv4Addr, target: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = connect_from(source.into(), target) else {
                continue;
            };
            far.set_read_timeout(None).unwrap();
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || delayed(from, to, delay));
            }
        }
    });
    address
}

fn delayed(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        std::thread::sleep(delay);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// A front 300 ms away, while strangers connect to the link's port as fast as they
/// can: silent ones, also of its own address, and ones that begin as links do.
#[test]
fn strangers_do_not_keep_a_front_from_its_back() {
    let name = "strangers_do_not_keep_a_front_from_its_back";
    apart(name, || {
        run(async {
            let hello = Frame::Hello(link::Hello {
                side: link::LinkSide::Front,
                is_keyed: true,
                is_trial: false,
                lacks_middle: false,
                hears_middle: false,
                window: 32 * 1024,
                random: [7; 32],
            });
            let (front_is, others) = (Ipv4Addr::new(127, 68, 0, 1), Ipv4Addr::new(127, 68, 0, 2));
            for (source, greeting) in [
                (others, Vec::new()),
                (front_is, Vec::new()),
                (others, hello.encode().to_vec()),
            ] {
                let telegram = FakeTelegram::start(Default::default()).unwrap();
                let secured = Secured::default();
                let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
                let back = back.start().await;
                let flood = Flood::start(back.address(), vec![source], greeting);
                // Pushed out, or gone before the back came to see them.
                eventually("a crowd", || back.counted("link_ends_total", "") > 500).await;
                let place = far_away(front_is, back.address(), Duration::from_millis(150));
                let front = ProxyOptions::front(
                    built_binary!(),
                    &telegram,
                    Route::Middle,
                    &secured,
                    &[place],
                );
                let front = front.start().await;
                front.linked(1).await;
                front.served_client(2).await;
                eventually("a word about it", || {
                    back.log_contains("let only your fronts reach that port")
                })
                .await;
                drop(flood);
                telegram.assert_clean();
            }
        });
    });
}
