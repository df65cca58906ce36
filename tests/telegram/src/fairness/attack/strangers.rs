//! Connections that prove nothing.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use smol::io::AsyncWriteExt;
use smol::{Async, Timer};

use super::Attack;
use crate::socket::{connect_from, drain, reset_on_close};

/// Each says `beginning` and no more. Who is hung up on stays away.
pub fn strangers(target: SocketAddr, count: usize, beginning: Vec<u8>) -> Attack {
    Attack::launch(count, move |_, tally| {
        let beginning = beginning.clone();
        async move {
            let Ok(stream) = Async::<TcpStream>::connect(target).await else {
                return tally.began();
            };
            let _ = (&stream).write_all(&beginning).await;
            tally.began();
            drain(&stream).await;
            tally.was_cut();
        }
    })
}

/// Addresses of loopback from which [`knockers`] come.
const SOURCES: u64 = 200;

/// Connections of theirs that are open at a time.
const KNOCKING: usize = 400;

const TICK: Duration = Duration::from_millis(5);

/// `rate` connections a second from 200 addresses, which say nothing.
pub fn knockers(target: SocketAddr, rate: u64) -> Attack {
    Attack::launch(1, move |_, tally| async move {
        let began = Instant::now();
        let mut held = VecDeque::new();
        let mut count = 0;
        loop {
            while count < began.elapsed().as_millis() as u64 * rate / 1000 {
                let source = Ipv4Addr::new(127, 200, 1, (count % SOURCES) as u8 + 1);
                if let Ok(stream) = connect_from(source.into(), target).await {
                    reset_on_close(&stream);
                    held.push_back(stream);
                    tally.add(1);
                }
                if held.len() > KNOCKING {
                    held.pop_front();
                }
                count += 1;
                if count == KNOCKING as u64 {
                    tally.began();
                }
            }
            Timer::after(TICK).await;
        }
    })
}
