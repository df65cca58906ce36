//! Memory of clients that do nothing, and of one that does not read.

use std::io;
use std::time::{Duration, Instant};

use fake_telegram::payload::Command;
use smol::Timer;

use crate::load::connect;
use crate::subject::Subject;

/// Memory of one process's idle clients.
pub struct Idle {
    /// Bytes before any client, after one has come and gone.
    pub empty: u64,
    /// Bytes per client on top of that.
    pub each: f64,
    /// Bytes after all have left.
    pub after: u64,
}

/// That of each of the subject's parts.
pub async fn idle(subject: &Subject, clients: usize) -> io::Result<Vec<Idle>> {
    connect(subject, 1).await?;
    let empty = settled(subject, |_| true).await?;
    let held = connect(subject, clients).await?;
    // Past the hibernation limit of 1 s.
    Timer::after(Duration::from_secs(3)).await;
    let full = subject.resident()?;
    drop(held);
    let after = settled(subject, |now| sum(now) < sum(&full)).await?;
    let parts = empty.into_iter().zip(full).zip(after);
    let parts = parts.map(|((empty, full), after)| Idle {
        empty,
        each: full.saturating_sub(empty) as f64 / clients as f64,
        after,
    });
    Ok(parts.collect())
}

/// How much memory 1 MiB answers take to a client that does not read.
pub async fn slow_answer(subject: &Subject) -> io::Result<u64> {
    let mut clients = connect(subject, 1).await?;
    let before = settled(subject, |_| true).await?;
    let wish = Command::SendMe {
        total: 32 << 20,
        size: 1 << 20,
    };
    for client in &mut clients {
        client.send(&wish.payload()).await?;
    }
    Timer::after(Duration::from_secs(3)).await;
    let after = subject.resident()?;
    Ok(sum(&after).saturating_sub(sum(&before)))
}

fn sum(parts: &[u64]) -> u64 {
    parts.iter().sum()
}

async fn settled(subject: &Subject, done: impl Fn(&[u64]) -> bool) -> io::Result<Vec<u64>> {
    let deadline = Instant::now() + Duration::from_secs(4);
    loop {
        Timer::after(Duration::from_secs(2)).await;
        let now = subject.resident()?;
        if done(&now) || Instant::now() > deadline {
            return Ok(now);
        }
    }
}
