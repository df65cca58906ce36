//! A proxy whose control group allows little memory, as a service of systemd with
//! `MemoryMax=`: its defaults follow that, and it is never killed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{ControlGroup, Proxy, ProxyOptions, Route, skipped, start};
use fake_telegram::wait::{eventually, is_emulated, run};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

const MIB: u64 = 1 << 20;
const REPLAYS: &str = "reason=\"replay\"";

/// A group in another one; `None`, and a word why, where there are none.
fn nested(above: u64, own: u64) -> Option<ControlGroup> {
    let group = match is_emulated() {
        true => Err("the memory would be the emulator's"),
        false => ControlGroup::nested(above, own).ok_or("none can be made here (not root?)"),
    };
    let told = |why: &str| skipped(&format!("no control group: {why}"));
    group.map_err(told).ok()
}

#[test]
fn defaults_follow_the_lowest_limit_of_the_groups_above() {
    run(async {
        for (above, own) in [(24, 48), (48, 24)] {
            let Some(group) = nested(above * MIB, own * MIB) else {
                return;
            };
            let lower = match own {
                24 => group.limit_file(),
                _ => group.above().unwrap().limit_file(),
            };
            let change = |o: ProxyOptions| o.inside(&group);
            let (_telegram, proxy) = start(built_binary!(), Route::Direct, change).await;
            let chosen = "at most 384 clients, 1024 KiB of buffers";
            eventually(chosen, || proxy.log_contains(chosen)).await;
            assert!(proxy.log_contains("info 24 MiB of the machine's "));
            assert!(proxy.log_contains(&format!("are allowed by {}: ", lower.display())));
            proxy.stop().await;
        }
    });
}

/// Shakes hands from an address of its own, so that ports do not run out, and
/// leaves; returns once the proxy has seen that.
fn visit(proxy: SocketAddr, from: Ipv4Addr, first: &[u8]) {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from((from, 0))).unwrap();
    connect(&socket, &proxy).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.write_all(first).unwrap();
    // It fails where the proxy was faster.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 64]);
}

/// So many handshakes, each of another client; some at a time.
fn visits(proxy: &Proxy, count: usize) {
    const AT_A_TIME: usize = 8;
    thread::scope(|scope| {
        for number in 0..AT_A_TIME {
            let client = proxy.client(Kind::Padded);
            scope.spawn(move || {
                for round in 0..count / AT_A_TIME {
                    let from = Ipv4Addr::new(127, 9, number as u8, 1 + (round % 16) as u8);
                    visit(client.proxy, from, &client.first_bytes());
                }
            });
        }
    });
}

/// In 24 MiB; with the first of them refused as a replay at the end.
async fn shake_hands(count: usize, may_grow: u64) {
    let Some(group) = nested(32 * MIB, 24 * MIB) else {
        return;
    };
    let change = |o: ProxyOptions| o.set("--log-level", "info").inside(&group);
    let (telegram, mut proxy) = start(built_binary!(), Route::Middle, change).await;
    let first = proxy.client(Kind::Padded).first_bytes();
    visit(proxy.address(), Ipv4Addr::LOCALHOST, &first);
    // The code and the connections that it needs.
    visits(&proxy, 200);
    let before = proxy.resident_memory();
    visits(&proxy, count);
    let accepted = proxy.counted("handshakes_total", "outcome=\"accepted\"");
    assert_eq!(accepted, count as u64 + 201, "{:#?}", proxy.log());
    let after = proxy.resident_memory();
    println!(
        "{} KiB before and {} KiB after {count} handshakes, {:?} KiB in the group at most",
        before >> 10,
        after >> 10,
        group.most_used().map(|bytes| bytes >> 10)
    );
    assert!(after < 20 * MIB, "{} KiB", after >> 10);
    assert!(after < before + may_grow, "{before} bytes, then {after}");
    assert_eq!(proxy.counted("rejected_total", REPLAYS), 0);
    visit(proxy.address(), Ipv4Addr::LOCALHOST, &first);
    assert_eq!(proxy.counted("rejected_total", REPLAYS), 1);
    assert!(proxy.is_running());
    telegram.assert_clean();
}

#[test]
fn handshakes_take_memory_in_steps() {
    run(shake_hands(4000, 2 * MIB));
}

#[test]
#[ignore = "a hundred thousand handshakes take half a minute; `make test-release` makes them"]
fn a_hundred_thousand_handshakes_fit_and_the_first_is_still_known() {
    run(shake_hands(100_000, 5 * MIB));
}
