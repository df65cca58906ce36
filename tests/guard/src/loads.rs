//! What clients do while the proxy is counted.

use std::io;

use fake_telegram::client::{Client, Options};
use fake_telegram::payload::{Command, echo};

use crate::setup::served;

/// One answer or upload of this size, as Telegram's apps use them.
const PART: u32 = 512 << 10;

/// Receives so many MiB.
pub async fn download(client: &mut Client, mebibytes: u32) -> io::Result<()> {
    client.download(mebibytes << 20, PART).await
}

/// Sends so many MiB in packets of `size`, each acknowledged.
pub async fn upload(client: &mut Client, mebibytes: u32, size: usize) -> io::Result<()> {
    let part = Command::Swallow.payload_of(size);
    for _ in 0..(mebibytes << 20) as usize / size {
        client.send(&part).await?;
        client.recv_packet().await?;
    }
    Ok(())
}

/// The size of uploads' packets that apps use.
pub const UPLOADED: usize = PART as usize;

/// Sends 64 bytes and waits for them, so many times.
pub async fn echoes(client: &mut Client, count: u32) -> io::Result<()> {
    let message = echo(1, 64);
    for _ in 0..count {
        client.echo(&message).await?;
    }
    Ok(())
}

/// One client after the other comes, is served once and leaves.
pub async fn visits(options: &Options, count: u32) -> io::Result<()> {
    for label in 0..count {
        served(options, label).await?;
    }
    Ok(())
}

/// One connection after the other comes, says nothing and leaves.
pub async fn silent_visits(options: &Options, count: u32) -> io::Result<()> {
    for _ in 0..count {
        smol::net::TcpStream::connect(options.proxy).await?;
    }
    Ok(())
}
