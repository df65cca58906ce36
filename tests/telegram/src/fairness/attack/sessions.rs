//! Clients that want sessions, not what these are for.

use std::time::{Duration, Instant};

use smol::Timer;

use super::Attack;
use crate::client::Options;
use crate::payload::echo;

/// Each has one echo and sits there. Who is cut comes again after a while.
pub fn sitters(client: Options, count: usize) -> Attack {
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            let mut has_begun = false;
            loop {
                if let Ok(mut client) = client.connect().await {
                    if client.echo(&echo(0, 64)).await.is_ok() {
                        tally.add(1);
                        if !has_begun {
                            tally.began();
                            has_begun = true;
                        }
                        let _ = client.recv().await;
                    }
                    tally.was_cut();
                }
                Timer::after(Duration::from_millis(500)).await;
            }
        }
    })
}

/// Each comes, has one echo and leaves, `rate` times a second.
pub fn comers_and_goers(client: Options, count: usize, rate: u32) -> Attack {
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            tally.began();
            loop {
                let next = Instant::now() + Duration::from_secs(1) / rate;
                if let Ok(mut client) = client.connect().await
                    && client.echo(&echo(0, 64)).await.is_ok()
                {
                    tally.add(1);
                }
                Timer::at(next).await;
            }
        }
    })
}
