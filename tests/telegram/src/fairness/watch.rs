//! The others: clients that want nothing but their echoes, and a clock.

use std::io;
use std::time::{Duration, Instant};

use smol::{LocalExecutor, Timer};

use super::outcome::Waits;
use crate::client::{Client, Options, is_close};
use crate::payload::echo;
use crate::wait::{before, within};

/// Between two echoes.
const PAUSE: Duration = Duration::from_millis(20);

/// Before a client that was cut comes again.
const AGAIN: Duration = Duration::from_millis(50);

/// One of the others.
#[derive(Clone)]
pub struct Watch {
    pub name: String,
    pub client: Options,
    /// Bytes of each echo.
    pub length: usize,
    /// Comes anew for every echo.
    pub is_new: bool,
    /// Shares less with the attackers than the rest: wants another DC, or goes
    /// another route.
    pub is_elsewhere: bool,
}

impl Watch {
    pub fn new(name: &str, client: Options, length: usize) -> Self {
        Self {
            name: name.to_owned(),
            client,
            length,
            is_new: false,
            is_elsewhere: false,
        }
    }

    pub fn elsewhere(self) -> Self {
        Self {
            is_elsewhere: true,
            ..self
        }
    }

    /// A new client for each echo.
    pub fn newcomer(name: &str, client: Options) -> Self {
        Self {
            is_new: true,
            ..Self::new(name, client, 64)
        }
    }
}

/// Those who are there before anything happens.
pub struct Others(Vec<(Watch, Option<Client>)>);

impl Others {
    /// All have been served.
    pub async fn arrive(watches: Vec<Watch>) -> Self {
        let mut others = Vec::new();
        for watch in watches {
            let mut client = watch.client.connect().await.expect("the proxy accepts");
            let outcome = within("an echo", client.echo(&echo(0, watch.length))).await;
            outcome.unwrap_or_else(|error| panic!("{}: {error}", watch.name));
            let client = Some(client).filter(|_| !watch.is_new);
            others.push((watch, client));
        }
        Self(others)
    }

    /// They have not come yet.
    pub fn expected(watches: Vec<Watch>) -> Self {
        Self(watches.into_iter().map(|watch| (watch, None)).collect())
    }

    /// Echoes for `time`; who waits for one longer than `most` gives up.
    pub async fn watch(self, time: Duration, most: Duration) -> Vec<Waits> {
        let executor = LocalExecutor::new();
        let end = Instant::now() + time;
        let others = self.0.into_iter();
        let tasks: Vec<_> = others
            .map(|(watch, client)| executor.spawn(echoes(watch, client, end, most)))
            .collect();
        let waiting = async {
            let mut waits = Vec::new();
            for task in tasks {
                waits.push(task.await);
            }
            waits
        };
        executor.run(waiting).await
    }
}

async fn echoes(watch: Watch, mut client: Option<Client>, end: Instant, most: Duration) -> Waits {
    let mut waits = Waits {
        name: watch.name.clone(),
        is_elsewhere: watch.is_elsewhere,
        ..Waits::default()
    };
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let payload = echo(number, watch.length);
        let sent = Instant::now();
        let served = served(&watch, &mut client, &payload, &mut waits.cuts);
        let is_served = before(most, served).await.is_some();
        waits.in_order.push(sent.elapsed());
        if !is_served {
            break;
        }
        if watch.is_new {
            client = None;
        }
        Timer::after(PAUSE).await;
    }
    waits
}

/// Returns once the echo has come, however often the client must come again.
async fn served(watch: &Watch, client: &mut Option<Client>, payload: &[u8], cuts: &mut usize) {
    while let Err(error) = attempt(watch, client, payload).await {
        assert!(is_close(&error), "{}: {error}", watch.name);
        *client = None;
        *cuts += 1;
        Timer::after(AGAIN).await;
    }
}

async fn attempt(watch: &Watch, client: &mut Option<Client>, payload: &[u8]) -> io::Result<()> {
    let client = match client {
        Some(client) => client,
        None => client.insert(watch.client.connect().await?),
    };
    client.echo(payload).await
}
