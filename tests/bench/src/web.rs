//! The WEB proxy: clients that come as streams of sessions, over WebSockets by TLS on the
//! proxy's port.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use fake_telegram::client::Kind;
use fake_telegram::harness::{ProxyOptions, Route};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::web_app::{Bulk, Options};
use fake_telegram::web_front::Authority;
use smol::{LocalExecutor, Timer};

use crate::busy::Meter;
use crate::load::{Cost, PART};
use crate::subject::{Subject, fit};

const HOST: &str = "proxy.example.com";

/// Its name in the table.
pub const NAME: &str = "web dd";

/// Sessions of one address, which may not begin all at once.
const OF_ADDRESS: usize = 20;

/// What a slow app reads in a second, and for how long.
const SLOW: usize = 1_000_000;
const SLOWLY: Duration = Duration::from_secs(20);
/// What it has asked for.
const WISH: u32 = 1_000_000_000;

/// A proxy with a WEB host, and the app that comes to it.
pub struct Web {
    pub subject: Subject,
    app: Options,
}

impl Web {
    pub async fn start(binary: &str, telegram: &FakeTelegram) -> Self {
        let authority = Authority::at_length();
        let options = fit(ProxyOptions::new(binary, telegram, Route::Direct));
        let proxy = options.web_by_tls(HOST, &authority).start().await;
        let app = proxy.web_app_by_tls(HOST, &authority);
        let subject = Subject::of(NAME, "direct dd", proxy, Kind::Padded);
        Self { subject, app }
    }

    /// So many sessions of so many streams, all of which have been served. Some
    /// have an address together.
    pub async fn sessions(&self, sessions: usize, streams: usize) -> io::Result<Vec<Bulk>> {
        let mut open = Vec::with_capacity(sessions);
        for number in 0..sessions {
            let last = 2 + (number / OF_ADDRESS) as u8;
            let source = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
            let app = self.app.clone().source(source);
            open.push(Bulk::open(&app, streams).await?);
        }
        Ok(open)
    }

    /// All streams at once receive `megabytes` in all.
    pub async fn download(
        &self,
        sessions: usize,
        streams: usize,
        megabytes: u32,
    ) -> io::Result<Cost> {
        let clients = (sessions * streams) as u32;
        let each = megabytes * 1_000_000 / clients;
        let open = self.sessions(sessions, streams).await?;
        let meter = Meter::start(&self.subject)?;
        all(open, |mut bulk| async move {
            bulk.download(each, PART.min(each)).await
        })
        .await?;
        Ok(Cost {
            amount: f64::from(each) * f64::from(clients),
            taken: meter.stop()?,
        })
    }

    /// All streams at once send `megabytes` in all, each part acknowledged.
    pub async fn upload(
        &self,
        sessions: usize,
        streams: usize,
        megabytes: u32,
    ) -> io::Result<Cost> {
        let clients = (sessions * streams) as u32;
        let parts = megabytes * 1_000_000 / clients / PART;
        let open = self.sessions(sessions, streams).await?;
        let part = Command::Swallow.payload_of(PART as usize);
        let part = &part;
        let meter = Meter::start(&self.subject)?;
        all(open, |mut bulk| async move {
            for _ in 0..parts {
                bulk.ask_all(part).await?;
            }
            Ok(())
        })
        .await?;
        Ok(Cost {
            amount: f64::from(parts) * f64::from(PART) * f64::from(clients),
            taken: meter.stop()?,
        })
    }

    /// All streams send 64 bytes and wait for them to come back.
    pub async fn echo(&self, sessions: usize, streams: usize, messages: u32) -> io::Result<Cost> {
        let clients = (sessions * streams) as u32;
        let each = messages / clients;
        let open = self.sessions(sessions, streams).await?;
        let message = echo(1, 64);
        let message = &message;
        let meter = Meter::start(&self.subject)?;
        all(open, |mut bulk| async move {
            for _ in 0..each {
                bulk.ask_all(message).await?;
            }
            Ok(())
        })
        .await?;
        Ok(Cost {
            amount: f64::from(each) * f64::from(clients),
            taken: meter.stop()?,
        })
    }

    /// Resident bytes of so many sessions that have been idle for longer than
    /// `--hibernate 1`, on top of what one has left behind.
    pub async fn idle(&self, sessions: usize, streams: usize) -> io::Result<u64> {
        drop(self.sessions(1, 1).await?);
        Timer::after(Duration::from_secs(2)).await;
        let empty = self.resident()?;
        let held = self.sessions(sessions, streams).await?;
        Timer::after(Duration::from_secs(3)).await;
        let full = self.resident()?;
        drop(held);
        Ok(full.saturating_sub(empty))
    }

    /// By how much the resident memory grows at most while an app reads slowly.
    pub async fn slow(&self) -> io::Result<u64> {
        let mut open = self.sessions(1, 1).await?;
        for bulk in &mut open {
            bulk.download(20_000_000, PART).await?;
        }
        open = self.sessions(1, 1).await?;
        let before = self.resident()?;
        let mut most = 0;
        for bulk in &mut open {
            bulk.begin_download(WISH, PART).await?;
            let (started, mut read) = (Instant::now(), 0);
            while started.elapsed() < SLOWLY {
                while (read as f64) < started.elapsed().as_secs_f64() * SLOW as f64 {
                    read += bulk.receive().await?;
                }
                Timer::after(Duration::from_millis(20)).await;
                most = most.max(self.resident()?);
            }
        }
        Ok(most.saturating_sub(before))
    }

    fn resident(&self) -> io::Result<u64> {
        Ok(self.subject.resident()?.iter().sum())
    }
}

/// Has each session do its work, all at once.
async fn all<F>(open: Vec<Bulk>, work: impl Fn(Bulk) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = open
        .into_iter()
        .map(|bulk| executor.spawn(work(bulk)))
        .collect();
    executor
        .run(async {
            for task in tasks {
                task.await?;
            }
            io::Result::Ok(())
        })
        .await
}
