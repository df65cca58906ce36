//! Clients that ask for much and take little.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use smol::Timer;

use super::{Attack, Tally, for_ever};
use crate::client::{Client, Options};
use crate::payload::{Command, streamed};

/// Bytes of one answer, as apps ask for.
const PART: u32 = 512 << 10;

async fn asking(options: &Options, total: u32, size: u32) -> io::Result<Client> {
    let mut client = options.connect().await?;
    let request = Command::SendMe { total, size };
    client.send(&request.payload()).await?;
    Ok(client)
}

/// Each asks for `total` bytes and takes none.
pub fn non_readers(client: Options, count: usize, total: u32) -> Attack {
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            let _held = asking(&client, total, PART).await;
            tally.began();
            for_ever().await;
        }
    })
}

/// Each asks for `total` bytes and takes 5 KB of them a second: it never takes
/// nothing.
pub fn drip_readers(client: Options, count: usize, total: u32) -> Attack {
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            let asking = asking(&client, total, PART).await;
            tally.began();
            if let Ok(mut client) = asking {
                client.read_at_most(1024, Duration::from_millis(200));
                while client.recv().await.is_ok() {}
                tally.was_cut();
            }
        }
    })
}

/// Asks for `total` bytes and takes 1 MB of them a second, until it may hurry. It
/// fails if it does not get each of them.
pub fn slow_reader(client: Options, total: u32) -> Attack {
    Attack::launch(1, move |_, tally| {
        let client = client.clone();
        async move {
            let outcome = read_slowly(&client, total, &tally).await;
            if let Err(error) = outcome {
                tally.failed(format!("the slow reader: {error}"));
            }
            tally.is_done();
        }
    })
}

async fn read_slowly(options: &Options, total: u32, tally: &Arc<Tally>) -> io::Result<()> {
    let mut client = asking(options, total, PART).await?;
    tally.began();
    client.read_at_most(32 << 10, Duration::from_millis(32));
    for index in 0..total.div_ceil(PART) {
        let answer = client.recv_packet().await?;
        if answer != streamed(index, PART as usize) {
            let why = format!("answer {index} is damaged");
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        tally.add(answer.len());
        if tally.hurry.load(Relaxed) {
            client.read_at_most(256 << 10, Duration::ZERO);
        }
    }
    Ok(())
}

/// Each asks for 1 MiB and hangs up in its middle, `rate` times a second.
pub fn leavers(client: Options, count: usize, rate: u32) -> Attack {
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            tally.began();
            loop {
                let next = Instant::now() + Duration::from_secs(1) / rate;
                if let Ok(mut client) = asking(&client, 1 << 20, 64 << 10).await {
                    let _ = client.recv().await;
                    tally.add(1);
                }
                Timer::at(next).await;
            }
        }
    })
}
