//! How long a client waits.

use std::io;
use std::time::{Duration, Instant};

use fake_telegram::payload;

use crate::busy::{Meter, Taken};
use crate::load;
use crate::subject::Subject;

/// Waits, shortest first.
pub struct Waits(Vec<Duration>);

impl Waits {
    pub fn new(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self(waits)
    }

    /// The wait in microseconds that so much of a hundred are no longer than.
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        let wait = self.0.get(at).copied().unwrap_or_default();
        wait.as_secs_f64() * 1e6
    }
}

/// One client alone sends 64 bytes and waits for them, `messages` times.
pub async fn echo(subject: &Subject, messages: u32) -> io::Result<(Waits, Taken)> {
    let mut waits = Vec::with_capacity(messages as usize);
    let message = payload::echo(1, 64);
    let mut clients = load::connect(subject, 1).await?;
    let meter = Meter::start(subject)?;
    for client in &mut clients {
        for _ in 0..messages {
            let sent = Instant::now();
            client.echo(&message).await?;
            waits.push(sent.elapsed());
        }
    }
    Ok((Waits::new(waits), meter.stop()?))
}
