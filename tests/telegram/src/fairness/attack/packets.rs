//! Clients that announce large packets.

use std::io;
use std::time::Duration;

use smol::Timer;

use super::{Attack, Tally};
use crate::client::{Client, Options};
use crate::payload::echo;

/// The largest packet that clients send.
const LENGTH: usize = 1 << 20;

/// Bytes that announce a packet of a padded client.
const HEADER_LEN: usize = 4;

const DRIP: Duration = Duration::from_millis(250);

/// What follows the announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Nothing,
    Half,
    /// A byte now and then.
    Drip,
}

/// Each announces a packet of 1 MiB that it never ends. Who is cut stays away
/// or, if `stubborn`, comes again at once.
pub fn holders(client: Options, count: usize, hold: Hold, stubborn: bool) -> Attack {
    let packet = echo(0, LENGTH);
    let packet: &'static [u8] = packet.leak();
    Attack::launch(count, move |_, tally| {
        let client = client.clone();
        async move {
            let mut is_first = true;
            while is_first || stubborn {
                let _ = hold_one(&client, packet, hold, &tally, is_first).await;
                tally.was_cut();
                is_first = false;
                Timer::after(Duration::from_millis(50)).await;
            }
        }
    })
}

/// Ends when the proxy ends it.
async fn hold_one(
    options: &Options,
    packet: &[u8],
    hold: Hold,
    tally: &Tally,
    is_first: bool,
) -> io::Result<()> {
    let mut client = options.connect().await?;
    client.send_part(packet, HEADER_LEN).await?;
    if is_first {
        tally.began();
    }
    match hold {
        Hold::Nothing => {}
        Hold::Half => client.send_unframed(&packet[..LENGTH / 2]).await?,
        Hold::Drip => return drip(client, packet).await,
    }
    client.recv().await.map(|_| ())
}

async fn drip(mut client: Client, packet: &[u8]) -> io::Result<()> {
    for byte in packet.chunks(1) {
        client.send_unframed(byte).await?;
        Timer::after(DRIP).await;
    }
    Ok(())
}
