//! Crowds that prove nothing, each in a network namespace of its own where that
//! can be had.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use fake_telegram::built_binary;
use fake_telegram::client::{Kind, is_close};
use fake_telegram::harness::namespace::apart;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, start};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, patience, run, within};

fn rejected(proxy: &Proxy, reason: &str) -> u64 {
    proxy.counted("rejected_total", &format!("reason=\"{reason}\""))
}

/// Whether the peer has hung up.
fn is_gone(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Half-open connections of every sort, 3,000 in all, while only 200 may be
/// there at a time.
#[test]
fn half_open_connections_push_out_each_other() {
    apart("half_open_connections_push_out_each_other", || {
        run(async {
            const CROWD: usize = 3000;
            let change = |o: ProxyOptions| {
                o.set("--max-handshakes", 200)
                    .set("--flood-limit", "off")
                    .set("--handshake-timeout", 60)
            };
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let mut good = proxy.served_client(2).await;
            let before = proxy.resident_memory();
            let mut crowd: Vec<TcpStream> = Vec::new();
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
                crowd.push(stream);
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
            // The last 200 have stayed, the others are gone.
            let newest = crowd.len() - 150;
            let (old, new) = crowd.split_at_mut(newest);
            eventually("the end of the oldest", || {
                old[..150].iter_mut().all(is_gone)
            })
            .await;
            assert!(!new.iter_mut().any(is_gone));
            assert!(rejected(&proxy, "evicted") >= CROWD as u64 / 4);
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
            let change = |o: ProxyOptions| o.set("--flood-limit", "1,20");
            let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
            let flooder: IpAddr = Ipv4Addr::new(127, 66, 0, 1).into();
            let mut held = Vec::new();
            for _ in 0..60 {
                held.push(connect_from(flooder, proxy.address()).unwrap());
            }
            eventually("a refusal", || rejected(&proxy, "flood") >= 20).await;
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
            assert_eq!(rejected(&proxy, "flood"), 0);
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
            assert_eq!(rejected(&proxy, "timed_out"), 20);
            proxy.served_client(2).await;
            telegram.assert_clean();
        });
    });
}
