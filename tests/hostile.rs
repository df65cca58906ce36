//! Clients that mean no good, or too many of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind, is_close};
use fake_telegram::crypto::random;
use fake_telegram::harness::{Proxy, ProxyOptions, Route, start};
use fake_telegram::payload::echo;
use fake_telegram::tls::Clock;
use fake_telegram::wait::{before, eventually, patience, run, within};

/// More clients are allowed than there are descriptors for, and more strangers
/// come.
#[test]
fn descriptors_do_not_run_out() {
    run(async {
        for (route, files) in [
            (Route::Direct, 64),
            (Route::Direct, 200),
            (Route::Middle, 200),
        ] {
            let site = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = site.local_addr().unwrap();
            let change = |o: ProxyOptions| {
                o.max_files(files)
                    .set("--max-clients", 1000)
                    .set("--fronting", address)
                    .set("--flood-limit", "off")
            };
            let (telegram, proxy) = start(built_binary!(), route, change).await;
            eventually("what was lowered", || {
                proxy.log_contains("lowered --max-clients 1000 to")
            })
            .await;
            let mut crowd = Vec::new();
            for number in 0..300 {
                let mut stream = TcpStream::connect(proxy.address()).unwrap();
                if number % 3 == 0 {
                    // Some see the site, as long as they are there.
                    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
                }
                crowd.push(stream);
            }
            let mut clients = Vec::new();
            loop {
                crowd.push(TcpStream::connect(proxy.address()).unwrap());
                let client = before(Duration::from_secs(20), async {
                    let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
                    let fate = client.fate_of(&echo(1, 64)).await;
                    (fate == Fate::Answered).then_some(client)
                });
                match client.await.expect("an answer or an end") {
                    Some(client) => clients.push(client),
                    None => break,
                }
            }
            let lines = proxy.log();
            let said = lines.iter().find_map(|line| {
                let count = line.split("lowered --max-clients 1000 to ").nth(1)?;
                count.split(':').next()?.parse::<usize>().ok()
            });
            assert_eq!(said, Some(clients.len()), "{files}");
            assert!(proxy.counted("rejected_total", "reason=\"too_many_clients\"") >= 1);
            let full = format!(
                "{} clients are connected, as many as the limit of {files} open files has room \
                 for, closing new ones",
                clients.len()
            );
            eventually(&full, || proxy.log_contains(&full)).await;
            assert_eq!(proxy.counted("accept_pauses_total", ""), 0);
            assert!(!proxy.log_contains("cannot accept"));
            for client in &mut clients {
                within("an echo", client.echo(&echo(2, 64))).await.unwrap();
            }
            telegram.assert_clean();
        }
    });
}

/// What probers send. None of it may take a good client's place, and all of it
/// is gone after the handshake's deadline.
#[test]
fn garbage_and_half_open_clients() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                start(built_binary!(), route, |o| o.set("--handshake-timeout", 1)).await;
            let mut probes = Vec::new();
            for round in 0..25 {
                for beginning in beginnings(&proxy, round) {
                    let mut probe = TcpStream::connect(proxy.address()).unwrap();
                    probe.write_all(&beginning).unwrap();
                    probes.push(probe);
                }
                proxy.served_client(2).await;
            }
            for probe in &mut probes {
                probe.set_read_timeout(Some(patience())).unwrap();
                // Whatever it says, in the end it hangs up.
                let mut answer = Vec::new();
                match probe.read_to_end(&mut answer) {
                    Err(error) if !is_close(&error) => panic!("left open: {error}"),
                    _ => {}
                }
            }
            proxy.served_client(2).await;
            assert_eq!(telegram.counters().stray_close_conns(), 0);
            telegram.assert_clean();
        }
    });
}

fn beginnings(proxy: &Proxy, round: usize) -> Vec<Vec<u8>> {
    let hello = proxy.client(Kind::FakeTls).first_bytes();
    let header = proxy.client(Kind::Padded).first_bytes();
    let mut damaged = hello.clone();
    let place = round * 61 % damaged.len();
    damaged[place] ^= 0x40;
    vec![
        Vec::new(),
        random::<64>().to_vec(),
        random::<512>().to_vec(),
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n".to_vec(),
        header[..round * 2].to_vec(),
        hello[..round * 64].to_vec(),
        damaged,
        [&[0x16, 3, 1, 0xff, 0xff][..], &random::<64>()].concat(),
        [0; 128].to_vec(),
        [0xef; 64].to_vec(),
    ]
}

#[test]
fn clients_with_a_wrong_secret_are_not_served() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| {
            o.set("--handshake-timeout", 1)
        })
        .await;
        for kind in Kind::ALL {
            let options = proxy.client(kind).key([0x77; 16]);
            let served = async {
                let mut client = options.connect().await?;
                client.echo(&echo(1, 64)).await
            };
            let error = within("an end", served).await.unwrap_err();
            assert!(
                is_close(&error) || kind == Kind::FakeTls,
                "{kind:?}: {error}"
            );
        }
        assert_eq!(telegram.counters().requests(), 0);
        proxy.served_client(2).await;
        assert_eq!(
            proxy.counted("rejected_total", "reason=\"unknown_secret\""),
            4
        );
        telegram.assert_clean();
    });
}

#[test]
fn forbidden_kinds_are_not_served() {
    run(async {
        let change = |o: ProxyOptions| o.set("--allow", "dd").set("--handshake-timeout", 1);
        let (telegram, proxy) = start(built_binary!(), Route::Middle, change).await;
        for kind in Kind::ALL {
            let options = proxy.client(kind);
            let served = async {
                let mut client = options.connect().await?;
                client.echo(&echo(1, 64)).await
            };
            let outcome = within("an end", served).await;
            assert_eq!(
                outcome.is_ok(),
                kind == Kind::Padded,
                "{kind:?}: {outcome:?}"
            );
        }
        assert_eq!(
            proxy.counted("rejected_total", "reason=\"classic_not_allowed\""),
            2
        );
        assert_eq!(
            proxy.counted("rejected_total", "reason=\"tls_not_allowed\""),
            1
        );
        telegram.assert_clean();
    });
}

#[test]
fn a_hello_from_another_time_is_not_served() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| {
            o.set("--handshake-timeout", 1)
        })
        .await;
        for (clock, served) in [
            (Clock::Skewed(-60), true),
            (Clock::Skewed(300), true),
            (Clock::Skewed(-86_400), false),
            (Clock::Skewed(86_400), false),
        ] {
            let options = proxy
                .client(Kind::FakeTls)
                .hello(|hello| hello.clock = clock);
            let outcome = before(patience(), options.connect()).await.expect("an end");
            assert_eq!(outcome.is_ok(), served, "{clock:?}: {:?}", outcome.err());
        }
        assert_eq!(proxy.counted("rejected_total", "reason=\"clock_skew\""), 2);
        telegram.assert_clean();
    });
}

#[test]
fn a_replay_is_not_served() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| {
            o.set("--handshake-timeout", 1)
        })
        .await;
        for kind in [Kind::Padded, Kind::FakeTls] {
            let recorded = proxy.client(kind).first_bytes();
            let mut answers = Vec::new();
            for _ in 0..2 {
                let mut stream = TcpStream::connect(proxy.address()).unwrap();
                stream.write_all(&recorded).unwrap();
                stream.set_read_timeout(Some(patience())).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer);
                answers.push(answer.len());
            }
            if kind == Kind::FakeTls {
                assert!(answers[0] > 127, "the hello is not answered");
                assert_eq!(answers[1], 0, "its replay is");
            }
        }
        assert_eq!(proxy.counted("rejected_total", "reason=\"replay\""), 2);
        telegram.assert_clean();
    });
}

#[test]
fn idle_clients_are_closed_after_the_idle_timeout() {
    run(async {
        for route in Route::ALL {
            let (telegram, proxy) =
                start(built_binary!(), route, |o| o.set("--idle-timeout", 1)).await;
            let mut client = proxy.served_client(2).await;
            let began = Instant::now();
            assert_eq!(within("a close", client.until_closed()).await.unwrap(), []);
            assert!(began.elapsed() > Duration::from_millis(700), "too early");
            assert_eq!(proxy.counted("closed_total", "reason=\"idle_timeout\""), 1);
            telegram.assert_clean();
        }
    });
}

#[test]
fn more_clients_than_allowed_are_turned_away() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| {
            o.set("--max-clients", 5)
        })
        .await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(proxy.served_client(2).await);
        }
        let mut sixth = proxy.client(Kind::Padded).connect().await.unwrap();
        assert_eq!(sixth.fate_of(&echo(1, 64)).await, Fate::Closed);
        for client in &mut clients {
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        }
        clients.pop();
        eventually("the fifth client's end", || telegram.sessions().len() == 4).await;
        proxy.served_client(2).await;
        assert!(proxy.counted("rejected_total", "reason=\"too_many_clients\"") >= 1);
        telegram.assert_clean();
    });
}
