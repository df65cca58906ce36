//! HAProxy and its kind in front of us.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind, is_close};
use fake_telegram::harness::{Process, Proxy, ProxyOptions, Route, free_address, start};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, patience, run, within};

const TOLD: &str = "203.0.113.7:51234";

fn v1(client: &str, local: &str) -> Vec<u8> {
    let (client, local): (SocketAddr, SocketAddr) =
        (client.parse().unwrap(), local.parse().unwrap());
    let family = if client.is_ipv4() { 4 } else { 6 };
    format!(
        "PROXY TCP{family} {} {} {} {}\r\n",
        client.ip(),
        local.ip(),
        client.port(),
        local.port()
    )
    .into_bytes()
}

/// With TLVs behind the addresses, as relays send them.
fn v2(client: &str, local: &str) -> Vec<u8> {
    let ends: [SocketAddr; 2] = [client.parse().unwrap(), local.parse().unwrap()];
    let mut body = Vec::new();
    for end in ends {
        match end.ip() {
            IpAddr::V4(address) => body.extend(address.octets()),
            IpAddr::V6(address) => body.extend(address.octets()),
        }
    }
    for end in ends {
        body.extend(end.port().to_be_bytes());
    }
    body.extend([&[0x03, 0, 4][..], &[1, 2, 3, 4]].concat());
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    header.push(if ends[0].is_ipv4() { 0x11 } else { 0x21 });
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

async fn start_behind(relays: &str, more: &[(&'static str, &str)]) -> (FakeTelegram, Proxy) {
    start(built_binary!(), Route::Middle, |o: ProxyOptions| {
        let options = o
            .set("--proxy-protocol", relays)
            .set("--handshake-timeout", 2);
        more.iter()
            .fold(options, |o, (flag, value)| o.add(flag, value))
    })
    .await
}

#[test]
fn telegram_hears_of_the_client_not_of_the_relay() {
    run(async {
        let (telegram, proxy) = start_behind("127.0.0.0/8", &[]).await;
        for (client, local) in [
            (TOLD, "192.0.2.1:443"),
            ("[2001:db8::7]:51234", "[2001:db8::1]:443"),
        ] {
            for kind in Kind::ALL {
                for greeting in [v1(client, local), v2(client, local)] {
                    let options = proxy.client(kind).greeting(greeting);
                    let mut connected = within("a handshake", options.connect()).await.unwrap();
                    within("an echo", connected.echo(&echo(1, 64)))
                        .await
                        .unwrap();
                    let session = telegram.session_of(client.parse().unwrap());
                    assert!(session.is_some(), "{:?}", telegram.sessions());
                    drop(connected);
                    eventually("its end", || telegram.sessions().is_empty()).await;
                }
            }
            let farewell = format!("{client} left after");
            eventually("a word about it", || proxy.log_contains(&farewell)).await;
        }
        telegram.assert_clean();
    });
}

#[test]
fn the_header_and_the_client_may_come_byte_by_byte() {
    run(async {
        let (telegram, proxy) = start_behind("127.0.0.1", &[]).await;
        let hello = proxy.client(Kind::FakeTls).first_bytes();
        for greeting in [v1(TOLD, "192.0.2.1:443"), v2(TOLD, "192.0.2.1:443")] {
            let mut stream = TcpStream::connect(proxy.address()).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(patience())).unwrap();
            let hello = match greeting.starts_with(b"PROXY") {
                true => hello.clone(),
                false => proxy.client(Kind::FakeTls).first_bytes(),
            };
            for byte in greeting.iter().chain(&hello[..40]) {
                stream.write_all(&[*byte]).unwrap();
            }
            stream.write_all(&hello[40..]).unwrap();
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[..3], [0x16, 3, 3]);
        }
        telegram.assert_clean();
    });
}

#[test]
fn only_listed_relays_are_believed() {
    run(async {
        let (telegram, proxy) = start_behind("127.9.9.0/24,::1", &[]).await;
        let relay: IpAddr = Ipv4Addr::new(127, 9, 9, 9).into();
        let greeting = v2(TOLD, "192.0.2.1:443");
        // Another one's header is what any other garbage is.
        let mut liar = proxy.client(Kind::Padded).greeting(greeting.clone());
        let mut client = liar.connect().await.unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        assert_eq!(proxy.rejected("unknown_secret"), 1);
        assert!(telegram.session_of(TOLD.parse().unwrap()).is_none());
        // Who is no relay needs none.
        proxy.served_client(2).await;
        // The relay itself has to send one.
        liar = proxy.client(Kind::Padded).source(relay);
        let mut client = liar.connect().await.unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        assert_eq!(proxy.rejected("bad_proxy_header"), 1);
        eventually("a word about it", || proxy.log_contains("send-proxy-v2")).await;
        let mut client = liar.greeting(greeting).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        telegram.assert_clean();
    });
}

#[test]
fn policies_and_floods_count_the_told_address() {
    run(async {
        let flags = [
            ("--policy", "max-connections:client-ipv4:1"),
            ("--flood-limit", "1,5"),
            ("--reset", "on-handshake-error"),
        ];
        let (telegram, proxy) = start_behind("127.0.0.1", &flags).await;
        let of = |last: u8| v2(&format!("203.0.113.{last}:4000"), "192.0.2.1:443");
        let connect = async |last: u8| {
            let options = proxy.client(Kind::Padded).greeting(of(last));
            let mut client = options.connect().await.ok()?;
            let outcome = within("an answer or an end", client.echo(&echo(1, 64))).await;
            match outcome {
                Ok(()) => Some(client),
                Err(error) if is_close(&error) => None,
                Err(error) => panic!("{error}"),
            }
        };
        let first = connect(1).await;
        assert!(first.is_some());
        assert!(connect(1).await.is_none(), "one an address");
        let second = connect(2).await;
        assert!(second.is_some());
        assert_eq!(proxy.rejected("policy_connections"), 1);
        let mut silent = Vec::new();
        for _ in 0..12 {
            let mut stream = TcpStream::connect(proxy.address()).unwrap();
            stream.write_all(&of(3)).unwrap();
            silent.push(stream);
        }
        eventually("a refusal", || proxy.rejected("flood") >= 3).await;
        assert!(connect(4).await.is_some(), "another one behind the relay");
        telegram.assert_clean();
    });
}

#[test]
fn a_health_check_is_the_relay_itself() {
    run(async {
        let (telegram, proxy) = start_behind("127.0.0.1", &[]).await;
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec();
        for greeting in [local, b"PROXY UNKNOWN\r\n".to_vec()] {
            let options = proxy.client(Kind::Padded).greeting(greeting);
            let mut client = options.connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            assert!(telegram.session_of(client.local_addr()).is_some());
        }
        telegram.assert_clean();
    });
}

/// Debian's HAProxy, in front of `target`.
fn haproxy(folder: &Path, frontend: SocketAddr, target: SocketAddr, send: &str) -> Process {
    let file = folder.join("haproxy.cfg");
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             frontend all\n  bind {frontend}\n  default_backend proxy\n\
             backend proxy\n  source 127.0.0.1\n  server proxy {target} {send}\n"
    );
    std::fs::write(&file, config).unwrap();
    // Not in everybody's PATH.
    let debians = Path::new("/usr/sbin/haproxy");
    let program = if debians.exists() {
        debians
    } else {
        Path::new("haproxy")
    };
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file);
    // `sh cross/setup.sh test` installs it.
    Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

#[test]
fn haproxy_in_front() {
    run(async {
        for send in [
            "send-proxy",
            "send-proxy-v2",
            "send-proxy-v2 check inter 100ms",
        ] {
            let (telegram, proxy) = start_behind("127.0.0.1", &[]).await;
            let frontend = free_address();
            let _haproxy = haproxy(proxy.directory(), frontend, proxy.address(), send);
            eventually("haproxy", || TcpStream::connect(frontend).is_ok()).await;
            for (number, kind) in Kind::ALL.into_iter().enumerate() {
                let source: IpAddr = Ipv4Addr::new(127, 55, 0, number as u8 + 1).into();
                let options = kind.options(frontend).source(source);
                let mut client = within("a handshake", options.connect()).await.unwrap();
                within("an echo", client.echo(&echo(1, 5000)))
                    .await
                    .unwrap();
                let session = telegram.session_of(client.local_addr());
                assert!(session.is_some(), "{send} {:?}", telegram.sessions());
            }
            assert_eq!(proxy.rejected("bad_proxy_header"), 0);
            telegram.assert_clean();
        }
    });
}
