//! Clients that send, and those that use up what their secret may.

use std::sync::Arc;

use smol::future::yield_now;
use smol::io::AsyncReadExt;

use super::{Attack, Tally, for_ever};
use crate::client::{Client, Options};
use crate::payload::{Command, echo};

/// Each sends packets of `length` bytes as fast as it can.
pub fn uploaders(client: Options, count: usize, length: usize) -> Attack {
    let packet: &'static [u8] = Command::Ignore.payload_of(length).leak();
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            let connected = client.connect().await;
            tally.began();
            if let Ok(mut client) = connected {
                while client.send(packet).await.is_ok() {
                    tally.add(packet.len());
                    // Where the kernel takes all, nothing else would run here.
                    yield_now().await;
                }
                tally.was_cut();
            }
            for_ever().await;
        }
    })
}

/// Whether spenders send or receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    Downloads,
    Uploads,
}

/// Each has a session, waits until all have one, then moves up to `total` bytes.
/// The amount is what they received.
pub fn spenders(client: Options, count: usize, spending: Spending, total: u32) -> Attack {
    const PART: u32 = 64 << 10;
    let gate = Arc::new(smol::lock::Barrier::new(count));
    Attack::launch(count, move |_, tally| {
        let (client, gate) = (client.clone(), gate.clone());
        async move {
            let mut served = None;
            if let Ok(mut client) = client.connect().await
                && client.echo(&echo(0, 64)).await.is_ok()
            {
                served = Some(client);
            }
            tally.began();
            gate.wait().await;
            if let Some(client) = served {
                match spending {
                    Spending::Downloads => download(client, total, PART, &tally).await,
                    Spending::Uploads => upload(client, total, PART).await,
                }
            }
            tally.is_done();
        }
    })
}

async fn download(mut client: Client, total: u32, size: u32, tally: &Tally) {
    let request = Command::SendMe { total, size };
    if client.send(&request.payload()).await.is_err() {
        return;
    }
    let mut stream = client.into_stream();
    let mut buffer = vec![0; 64 << 10];
    let mut left = total as usize;
    while left > 0 {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return tally.was_cut(),
            Ok(length) => {
                tally.add(length);
                left = left.saturating_sub(length);
                yield_now().await;
            }
        }
    }
}

async fn upload(mut client: Client, total: u32, size: u32) {
    let packet = Command::Ignore.payload_of(size as usize);
    for _ in 0..total / size {
        if client.send(&packet).await.is_err() {
            return;
        }
        yield_now().await;
    }
    // All of it is in the kernel; whether it is taken shows at its end.
    let _ = client.recv().await;
}
