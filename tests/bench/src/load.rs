//! The loads that move bytes.

use std::io;

use fake_telegram::client::Client;
use fake_telegram::payload::{self, Command};
use smol::LocalExecutor;
use smol::io::AsyncReadExt;

use crate::busy::{Meter, Taken};
use crate::subject::Subject;

/// Size of one answer and one uploaded part, as Telegram's apps use them.
pub const PART: u32 = 512 * 1024;

/// The least that an encrypted message has is 56 bytes: some peers take no shorter one.
const MESSAGE: usize = 64;

/// Connections opened at a time.
const CONNECTING: usize = 50;

/// What a load took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Bytes or operations.
    pub amount: f64,
    pub taken: Taken,
}

/// `clients` at once receive `megabytes` in all.
pub async fn download(subject: &Subject, clients: usize, megabytes: u32) -> io::Result<Cost> {
    let each = megabytes * 1_000_000 / clients as u32;
    let connected = connect(subject, clients).await?;
    let meter = Meter::start(subject)?;
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = connected
        .into_iter()
        .map(|mut client| {
            executor.spawn(async move {
                let wish = Command::SendMe {
                    total: each,
                    size: PART.min(each),
                };
                client.send(&wish.payload_of(MESSAGE)).await?;
                // Counting is all: what is measured is the proxy.
                let mut stream = client.into_stream();
                let mut buffer = vec![0; 256 * 1024];
                let mut left = each as usize;
                while left > 0 {
                    match stream.read(&mut buffer).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        read => left = left.saturating_sub(read),
                    }
                }
                io::Result::Ok(())
            })
        })
        .collect();
    executor
        .run(async {
            for task in tasks {
                task.await?;
            }
            io::Result::Ok(())
        })
        .await?;
    Ok(Cost {
        amount: f64::from(each) * clients as f64,
        taken: meter.stop()?,
    })
}

/// `clients` at once send `megabytes` in all, each part acknowledged.
pub async fn upload(subject: &Subject, clients: usize, megabytes: u32) -> io::Result<Cost> {
    let parts = megabytes * 1_000_000 / clients as u32 / PART;
    let part = Command::Swallow.payload_of(PART as usize);
    let part = &part;
    let taken = each_client(subject, clients, |mut client| async move {
        for _ in 0..parts {
            client.send(part).await?;
            client.recv_packet().await?;
        }
        Ok(())
    });
    Ok(Cost {
        amount: f64::from(parts) * f64::from(PART) * clients as f64,
        taken: taken.await?,
    })
}

/// `clients` at once send 64 bytes and wait for them to come back.
pub async fn echo(subject: &Subject, clients: usize, messages: u32) -> io::Result<Cost> {
    let each = messages / clients as u32;
    let taken = each_client(subject, clients, |mut client| async move {
        let message = payload::echo(1, MESSAGE);
        for _ in 0..each {
            client.echo(&message).await?;
        }
        Ok(())
    });
    Ok(Cost {
        amount: f64::from(each) * clients as f64,
        taken: taken.await?,
    })
}

/// Connects, handshakes, has one message echoed and leaves, `count` times.
pub async fn connects(subject: &Subject, count: usize) -> io::Result<Cost> {
    let meter = Meter::start(subject)?;
    let mut left = count;
    while left > 0 {
        let clients = left.min(CONNECTING);
        connect(subject, clients).await?;
        left -= clients;
    }
    Ok(Cost {
        amount: count as f64,
        taken: meter.stop()?,
    })
}

/// Runs `work` for each of `clients`.
async fn each_client<F>(
    subject: &Subject,
    clients: usize,
    work: impl Fn(Client) -> F,
) -> io::Result<Taken>
where
    F: Future<Output = io::Result<()>>,
{
    let connected = connect(subject, clients).await?;
    let meter = Meter::start(subject)?;
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = connected
        .into_iter()
        .map(|client| executor.spawn(work(client)))
        .collect();
    executor
        .run(async {
            for task in tasks {
                task.await?;
            }
            io::Result::Ok(())
        })
        .await?;
    meter.stop()
}

/// Connected clients, each with one message echoed.
pub async fn connect(subject: &Subject, clients: usize) -> io::Result<Vec<Client>> {
    let executor = LocalExecutor::new();
    let mut connected = Vec::with_capacity(clients);
    executor
        .run(async {
            while connected.len() < clients {
                let batch = CONNECTING.min(clients - connected.len());
                let tasks: Vec<_> = (0..batch)
                    .map(|_| {
                        executor.spawn(async {
                            let mut client = subject.client.connect().await?;
                            client.echo(&payload::echo(0, MESSAGE)).await?;
                            io::Result::Ok(client)
                        })
                    })
                    .collect();
                for task in tasks {
                    connected.push(task.await?);
                }
            }
            Ok(connected)
        })
        .await
}
