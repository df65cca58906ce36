//! Connections that prove nothing, from 200 addresses of loopback.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use fake_telegram::client::Kind;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, connect, send, socket_with};

use crate::helper;

const SOURCES: u64 = 200;

/// Bad handshakes a second, each held for a fifth of one.
pub const FLOOD_RATE: u64 = 10_000;
const FLOOD_HELD: usize = 2_000;
/// No flood lasts longer.
const MOST_SECONDS: u64 = 30;

/// Half-open connections opened a second: all are there before the first one's
/// handshake times out.
const CROWD_RATE: u64 = 5_000;
const MOST_CROWD: u64 = 20_000;

/// Different handshakes made in advance, of each sort.
const HANDSHAKES: usize = 500;

/// Floods `target` for `seconds`, then says how many handshakes a second it sent.
pub fn flood(target: SocketAddr, seconds: u64) -> io::Result<()> {
    let handshakes = bad_handshakes(target);
    let total = FLOOD_RATE * seconds.min(MOST_SECONDS);
    let mut held = VecDeque::with_capacity(FLOOD_HELD + 1);
    let mut sent = 0;
    let started = Instant::now();
    paced(total, FLOOD_RATE, |number| {
        let bytes = &handshakes[number as usize % handshakes.len()];
        if let Some(stranger) = stranger(number, target, bytes)? {
            held.push_back(stranger);
            sent += 1;
        }
        if held.len() > FLOOD_HELD {
            held.pop_front();
        }
        Ok(())
    })?;
    let rate = sent as f64 / started.elapsed().as_secs_f64();
    helper::say(&format!("{rate:.0}"))
}

/// Opens `count` connections that stop in the middle of a hello, says how many
/// it has, and keeps them until its owner is gone.
pub fn crowd(target: SocketAddr, count: u64) -> io::Result<()> {
    let hello = Kind::FakeTls.options(target).first_bytes();
    let beginning = &hello[..hello.len() / 2];
    let mut held = Vec::new();
    paced(count.min(MOST_CROWD), CROWD_RATE, |number| {
        held.extend(stranger(number, target, beginning)?);
        Ok(())
    })?;
    helper::say(&held.len().to_string())?;
    helper::until_left_alone();
    Ok(())
}

/// Streams and hellos made with a key that nobody has.
fn bad_handshakes(target: SocketAddr) -> Vec<Vec<u8>> {
    let kinds = [Kind::Padded, Kind::FakeTls].iter().cycle();
    let kinds = kinds.take(2 * HANDSHAKES);
    kinds
        .map(|kind| kind.options(target).key([9; 16]).first_bytes())
        .collect()
}

/// Calls `next` `total` times, `rate` times a second if it is fast enough.
fn paced(total: u64, rate: u64, mut next: impl FnMut(u64) -> io::Result<()>) -> io::Result<()> {
    let started = Instant::now();
    let mut done = 0;
    while done < total {
        let due = (started.elapsed().as_micros() as u64 * rate / 1_000_000).min(total);
        for number in done..due {
            next(number)?;
        }
        done = due;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A connection on which `bytes` have been sent; none where it was not accepted
/// at once.
fn stranger(number: u64, target: SocketAddr, bytes: &[u8]) -> io::Result<Option<OwnedFd>> {
    if !target.ip().is_loopback() {
        return Err(io::Error::other(format!("{target} is not on loopback")));
    }
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let source = Ipv4Addr::new(127, 66, 0, (number % SOURCES) as u8 + 1);
    bind(&socket, &SocketAddr::from((source, 0)))?;
    match connect(&socket, &target) {
        // On loopback it is connected all the same.
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    match send(&socket, bytes, SendFlags::NOSIGNAL) {
        Ok(_) => Ok(Some(socket)),
        Err(Errno::AGAIN | Errno::NOTCONN | Errno::CONNRESET | Errno::PIPE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
