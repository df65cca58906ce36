//! A line: a relay that hands on each byte a while after it came, and so many a
//! second.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;
use smol::io::AsyncWriteExt;
use smol::{Async, LocalExecutor, Timer};

use crate::harness::free_address;
use crate::socket::{connect_from, read_at_most};

/// Bytes handed on at a time.
const PIECE: usize = 16 << 10;

/// Pieces on their way.
const UNDER_WAY: usize = 64;

/// What a line is like, each way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    pub delay: Duration,
    /// Bytes a second; `None`: as many as come.
    pub rate: Option<u32>,
}

/// Has a loopback address of its own. Runs until it is dropped.
pub struct Relay {
    address: SocketAddr,
    /// Told to cut what is connected now.
    cut: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    pub fn start(target: SocketAddr, line: Line) -> Self {
        let listener = TcpListener::bind(free_address()).expect("it was free");
        let address = listener.local_addr().expect("it is bound");
        let (cut, told) = bounded(1);
        let thread = std::thread::spawn(move || {
            let executor = LocalExecutor::new();
            let serving = serve(&executor, listener, target, line, told);
            let _ = smol::block_on(executor.run(serving));
        });
        Self {
            address,
            cut,
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self) {
        let _ = self.cut.send_blocking(());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve<'a>(
    executor: &LocalExecutor<'a>,
    listener: TcpListener,
    target: SocketAddr,
    line: Line,
    told: Receiver<()>,
) -> io::Result<()> {
    let listener = Async::new(listener)?;
    let mut live = Vec::new();
    loop {
        let accepted = async { Some(listener.accept().await) };
        let interrupted = async {
            match told.recv().await {
                Ok(()) => None,
                Err(_) => Some(Err(io::ErrorKind::Interrupted.into())),
            }
        };
        match interrupted.or(accepted).await {
            None => live.clear(),
            Some(accepted) => {
                let (near, _) = accepted?;
                live.push(executor.spawn(async move {
                    let _ = carry(near, target, line).await;
                }));
            }
        }
    }
}

async fn carry(near: Async<TcpStream>, target: SocketAddr, line: Line) -> io::Result<()> {
    let here = near.get_ref().local_addr()?.ip();
    let far = connect_from(here, target).await?;
    for end in [&near, &far] {
        end.get_ref().set_nodelay(true)?;
    }
    let (near, far) = (Arc::new(near), Arc::new(far));
    let there = one_way(&near, &far, line);
    let back_again = one_way(&far, &near, line);
    there.or(back_again).await
}

/// Ends when either end does, as links have no half-closed state.
async fn one_way(from: &Async<TcpStream>, to: &Async<TcpStream>, line: Line) -> io::Result<()> {
    let (sender, receiver) = bounded::<(Instant, Vec<u8>)>(UNDER_WAY);
    let reading = async {
        loop {
            let bytes = read_at_most(from, PIECE).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            let _ = sender.send((Instant::now() + line.delay, bytes)).await;
        }
    };
    let writing = async {
        while let Ok((due, bytes)) = receiver.recv().await {
            Timer::at(due).await;
            if let Some(rate) = line.rate {
                Timer::after(Duration::from_secs(1) * bytes.len() as u32 / rate).await;
            }
            let mut to = to;
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    let outcome = reading.or(writing).await;
    let _ = to.get_ref().shutdown(Shutdown::Write);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::read_some;
    use crate::wait::within;

    #[test]
    fn bytes_take_their_time_and_a_cut_ends_them() {
        smol::block_on(async {
            let server = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
            let target = server.get_ref().local_addr().unwrap();
            let line = Line {
                delay: Duration::from_millis(30),
                rate: Some(100_000),
            };
            let relay = Relay::start(target, line);
            let client = Async::<TcpStream>::connect(relay.address()).await.unwrap();
            let (served, _) = within("a connection", server.accept()).await.unwrap();
            let sent = Instant::now();
            (&client).write_all(b"ping").await.unwrap();
            let got = within("bytes", read_some(&served)).await.unwrap();
            assert_eq!(got, b"ping");
            assert!(sent.elapsed() >= line.delay);
            let sent = Instant::now();
            (&served).write_all(&[7; 20_000]).await.unwrap();
            let mut left = 20_000;
            while left > 0 {
                left -= within("bytes", read_some(&client)).await.unwrap().len();
            }
            assert!(sent.elapsed() >= Duration::from_millis(200));
            relay.cut();
            let got = within("the end", read_some(&client)).await;
            assert!(got.is_err() || got.is_ok_and(|bytes| bytes.is_empty()));
        });
    }
}
