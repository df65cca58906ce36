//! What good clients feel of a crowd that proves nothing, and what it takes.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fake_telegram::client::Kind;
use fake_telegram::harness::{Proxy, ProxyOptions, Route};
use fake_telegram::payload;
use fake_telegram::telegram::FakeTelegram;
use smol::{LocalExecutor, Timer};

use crate::helper::{Helper, Role};
use crate::latency::Waits;
use crate::process;
use crate::processors::Apart;

/// Good clients, and the pause of each between two messages.
const GOOD: usize = 20;
const PAUSE: Duration = Duration::from_millis(10);
/// Of measuring; a flood lasts two seconds longer.
const SECONDS: u64 = 5;

/// What a flood does.
pub struct Flood {
    pub alone: Waits,
    /// While the flood hits a server that only hangs up.
    pub elsewhere: Waits,
    pub flooded: Waits,
    /// Bad handshakes a second that reached the proxy.
    pub rate: f64,
    /// Nothing but what was flooded ran on that processor.
    pub has_own_processor: bool,
    /// Part of one processor that the proxy used while flooded.
    pub processor: f64,
    /// Bytes resident before, and at the flood's end.
    pub resident: (u64, u64),
}

/// A proxy with the flags that it has by itself, but for the log and a front
/// site, which strangers here cannot have.
async fn start(
    binary: &str,
    telegram: &FakeTelegram,
    change: impl FnOnce(ProxyOptions) -> ProxyOptions,
) -> Proxy {
    let options = ProxyOptions::new(binary, telegram, Route::Middle);
    change(options.set("--log-level", "info")).start().await
}

pub async fn flood(binary: &str, telegram: &FakeTelegram) -> io::Result<Flood> {
    let apart = Apart::new()?;
    let proxy = start(binary, telegram, |options| options).await;
    apart.give_first(proxy.pid())?;
    let alone = good_clients(&proxy).await?;
    let (elsewhere, _) = {
        let mut server = Helper::start(Role::Hangup)?;
        let target = server.hear()?;
        apart.give_first(server.pid())?;
        during_flood(&proxy, target).await?
    };
    let before = (proxy.resident_memory(), proxy.processor_seconds());
    let started = Instant::now();
    let (flooded, rate) = during_flood(&proxy, proxy.address()).await?;
    let processor = proxy.processor_seconds() - before.1;
    Ok(Flood {
        alone,
        elsewhere,
        flooded,
        rate,
        has_own_processor: apart.is_possible(),
        processor: processor / started.elapsed().as_secs_f64(),
        resident: (before.0, proxy.resident_memory()),
    })
}

/// The good clients' waits while `target` is flooded, and the flood's rate.
async fn during_flood(proxy: &Proxy, target: SocketAddr) -> io::Result<(Waits, f64)> {
    let mut flood = Helper::start(Role::Flood(target, SECONDS + 2))?;
    Timer::after(Duration::from_secs(1)).await;
    let waits = good_clients(proxy).await?;
    Ok((waits, flood.hear()?))
}

async fn good_clients(proxy: &Proxy) -> io::Result<Waits> {
    let executor = LocalExecutor::new();
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let tasks: Vec<_> = (0..GOOD)
        .map(|_| executor.spawn(good_client(proxy, end)))
        .collect();
    let waits = async {
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await?);
        }
        io::Result::Ok(Waits::new(waits))
    };
    executor.run(waits).await
}

async fn good_client(proxy: &Proxy, end: Instant) -> io::Result<Vec<Duration>> {
    let mut client = proxy.client(Kind::Padded).connect().await?;
    let message = payload::echo(1, 64);
    client.echo(&message).await?;
    let mut waits = Vec::new();
    while Instant::now() < end {
        Timer::after(PAUSE).await;
        let sent = Instant::now();
        client.echo(&message).await?;
        waits.push(sent.elapsed());
    }
    Ok(waits)
}

/// What half-open connections take.
pub struct Crowd {
    pub count: u64,
    /// Bytes of one of them.
    pub each: f64,
    /// Bytes before they came.
    pub empty: u64,
    /// Bytes once their time was up.
    pub after: u64,
}

/// Room for as many as are opened, else with the flags that it has by itself.
pub async fn half_open(binary: &str, telegram: &FakeTelegram, count: u64) -> io::Result<Crowd> {
    let proxy = start(binary, telegram, |options| {
        options
            .set("--max-clients", count + 100)
            .set("--max-handshakes", count)
    });
    let proxy = proxy.await;
    let mut good = proxy.served_client(2).await;
    let empty = process::resident(proxy.pid())?;
    let mut crowd = Helper::start(Role::Crowd(proxy.address(), count))?;
    let count: u64 = crowd.hear()?;
    let full = process::resident(proxy.pid())?;
    let seated = proxy.counted("handshaking", "");
    good.echo(&payload::echo(1, 64)).await?;
    proxy.served_client(2).await;
    // Past the handshakes' timeout of 10 s.
    Timer::after(Duration::from_secs(11)).await;
    let left = proxy.counted("handshaking", "");
    if left > 0 {
        return Err(io::Error::other(format!("{left} half-open ones stay")));
    }
    Ok(Crowd {
        count: count.min(seated),
        each: full.saturating_sub(empty) as f64 / count.max(1) as f64,
        empty,
        after: proxy.resident_memory(),
    })
}
