//! Whole proxies against the fake Telegram, which with the clients is outside of
//! callgrind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use fake_telegram::client::{Client, Kind};
use fake_telegram::control::Close;
use fake_telegram::harness::Route;
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait;
use proxy_guard::loads::{UPLOADED, download, echoes, silent_visits, upload, visits};
use proxy_guard::marks;
use proxy_guard::setup::{
    Between, Door, Entrance, Layout, Link, Part, Watch, Watched, Way, calm, form, served,
};

use crate::callgrind;
use crate::figures::Figures;

/// Of so many counts the median is taken.
const ROUNDS: usize = 5;

/// What is too much is counted so many times more before it is believed.
pub const MORE_TRIES: usize = 2;

/// All counts of one layout take no longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// MiB, messages, clients and silent connections of a round.
const MEBIBYTES: u32 = 4;
const ECHOES: u32 = 200;
const VISITS: u32 = 40;
const SILENT: u32 = 100;
const ROTATED: u32 = 1000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Silent,
    Visits(Kind),
    Echoes(Kind),
    Down(Kind),
    Up(Kind),
    Rotation,
}

impl Load {
    /// What one figure is of, and how many of these a round has.
    fn unit(self) -> (String, u32) {
        match self {
            Self::Silent => ("a silent client, in and out".to_owned(), SILENT),
            Self::Visits(kind) => (format!("{}, a client, in and out", form(kind)), VISITS),
            Self::Echoes(kind) => (format!("{}, echo of 64 bytes", form(kind)), ECHOES),
            Self::Down(kind) => (format!("{}, 1 MiB down", form(kind)), MEBIBYTES),
            Self::Up(kind) => (format!("{}, 1 MiB up", form(kind)), MEBIBYTES),
            Self::Rotation => (format!("dd, {ROTATED} sessions rotated"), 1),
        }
    }
}

fn layouts() -> Vec<(Layout, Vec<Load>)> {
    let layout = |route, link| Layout {
        route,
        way: Way::Straight,
        link,
        door: Door::Own,
    };
    let by = |way| Layout {
        way,
        ..layout(Route::Direct, Link::None)
    };
    let through = |door| Layout {
        door,
        ..layout(Route::Direct, Link::None)
    };
    let (dd, ee) = (Kind::Padded, Kind::FakeTls);
    let of = |kind| {
        [
            Load::Visits(kind),
            Load::Echoes(kind),
            Load::Down(kind),
            Load::Up(kind),
        ]
    };
    let split = || vec![Load::Echoes(dd), Load::Down(dd), Load::Up(dd)];
    // Not what is spliced to the client, or handed on as it is: how many pieces a MiB has
    // is the kernel's affair, and each costs the same few instructions.
    let mut direct = vec![Load::Silent];
    direct.extend([of(dd), of(ee)].concat());
    direct.retain(|load| *load != Load::Down(dd));
    let mut without_download = of(dd).to_vec();
    without_download.retain(|load| *load != Load::Down(dd));
    vec![
        // The longest first.
        (layout(Route::Middle, Link::None), vec![Load::Rotation]),
        (layout(Route::Middle, Link::None), [of(dd), of(ee)].concat()),
        (layout(Route::Direct, Link::None), direct),
        (
            by(Way::Via),
            vec![
                Load::Visits(dd),
                Load::Echoes(dd),
                Load::Up(dd),
                Load::Down(ee),
            ],
        ),
        #[cfg(feature = "tls")]
        (by(Way::Ws), [of(dd), of(ee)].concat()),
        #[cfg(feature = "tls")]
        (by(Way::Upstream), of(dd).to_vec()),
        (through(Door::Web), without_download),
        #[cfg(feature = "tls")]
        (through(Door::WebTls), of(dd).to_vec()),
        (layout(Route::Direct, Link::Key), split()),
        (layout(Route::Middle, Link::Key), split()),
        #[cfg(feature = "tls")]
        (layout(Route::Direct, Link::Tls), split()),
        #[cfg(feature = "tls")]
        (layout(Route::Middle, Link::Tls), split()),
    ]
}

fn name(layout: Layout, load: Load) -> String {
    format!("{} {}", layout.name(), load.unit().0)
}

/// Those whose name begins so.
pub fn measure(wanted: &str) -> io::Result<Figures> {
    let mut jobs = layouts();
    for (layout, loads) in &mut jobs {
        loads.retain(|load| name(*layout, *load).starts_with(wanted));
    }
    jobs.retain(|(_, loads)| !loads.is_empty());
    let jobs = Mutex::new(jobs.into_iter());
    let figures = Mutex::new(Ok(Figures::new()));
    let next = || jobs.lock().ok()?.next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((layout, loads)) = next() {
                    let counted = smol::block_on(wait::before(PATIENCE, count(layout, &loads)));
                    let counted = counted.unwrap_or_else(|| {
                        Err(io::Error::other("the proxy does not come to an end"))
                    });
                    let Ok(mut figures) = figures.lock() else {
                        return;
                    };
                    match (counted, &mut *figures) {
                        (Ok(counted), Ok(figures)) => figures.extend(counted),
                        (Err(error), Ok(_)) => {
                            let why = format!("{}: {error}", layout.name());
                            *figures = Err(io::Error::other(why));
                        }
                        (_, Err(_)) => {}
                    }
                }
            });
        }
    });
    figures
        .into_inner()
        .unwrap_or_else(|_| Err(io::Error::other("a count has panicked")))
}

/// The medians of one layout.
async fn count(layout: Layout, loads: &[Load]) -> io::Result<Figures> {
    let telegram = FakeTelegram::start(Options::default())?;
    let watch = Watch::new(command);
    let between = Between::start(&telegram, layout.way).await?;
    let mut entrance = Entrance::new(layout.door);
    let lead = |options| entrance.lead(between.lead(calm(options)));
    let parts = watch.start(&telegram, layout, lead).await?;
    entrance.open(&parts[0].proxy).await?;
    let mut counter = Counter {
        parts: &parts,
        marks: 0,
    };
    let mut figures = Figures::new();
    for load in loads {
        let mut clients = clients(&entrance, &parts, *load).await?;
        // What is there once is there.
        run(&entrance, &parts, &telegram, *load, &mut clients).await?;
        counter.mark().await?;
        let mut counts = Vec::new();
        for _ in 0..ROUNDS {
            run(&entrance, &parts, &telegram, *load, &mut clients).await?;
            counts.push(counter.mark().await?);
        }
        counts.sort_unstable();
        let each = u64::from(load.unit().1);
        if std::env::var_os("GUARD_SPREAD").is_some() {
            let (least, most) = (counts[0], counts[ROUNDS - 1]);
            let spread = (most as f64 / least as f64 - 1.0) * 100.0;
            println!("{:44} spread {spread:.1} %", name(layout, *load));
        }
        figures.insert(name(layout, *load), counts[ROUNDS / 2] / each);
    }
    telegram.assert_clean();
    Ok(figures)
}

async fn clients(entrance: &Entrance, parts: &[Part], load: Load) -> io::Result<Vec<Client>> {
    let (count, kind) = match load {
        Load::Silent | Load::Visits(_) => (0, Kind::Padded),
        Load::Echoes(kind) | Load::Down(kind) | Load::Up(kind) => (1, kind),
        Load::Rotation => (ROTATED, Kind::Padded),
    };
    let options = entrance.client(&parts[0].proxy, kind);
    let mut clients = Vec::new();
    for label in 0..count {
        clients.push(served(&options, label).await?);
    }
    Ok(clients)
}

async fn run(
    entrance: &Entrance,
    parts: &[Part],
    telegram: &FakeTelegram,
    load: Load,
    clients: &mut [Client],
) -> io::Result<()> {
    let proxy = &parts[0].proxy;
    match (load, clients) {
        (Load::Silent, _) => silent_visits(&entrance.client(proxy, Kind::Padded), SILENT).await,
        (Load::Visits(kind), _) => visits(&entrance.client(proxy, kind), VISITS).await,
        (Load::Echoes(_), [client, ..]) => echoes(client, ECHOES).await,
        (Load::Down(_), [client, ..]) => download(client, MEBIBYTES).await,
        (Load::Up(_), [client, ..]) => upload(client, MEBIBYTES, UPLOADED).await,
        (Load::Rotation, clients) => {
            telegram.rotate_all(Close::Fin);
            // A packet before the proxy has noticed may be lost with its connection.
            settled(parts).await?;
            for (label, client) in (0..).zip(clients) {
                client.echo(&echo(label, 64)).await?;
            }
            Ok(())
        }
        (_, []) => Err(io::Error::other("this load needs a client")),
    }
}

/// Reads the counts of all processes of a proxy.
struct Counter<'a> {
    parts: &'a [Part],
    marks: usize,
}

impl Counter<'_> {
    /// Instructions since the last mark.
    async fn mark(&mut self) -> io::Result<u64> {
        settled(self.parts).await?;
        self.marks += 1;
        let mut sum = 0;
        for part in self.parts {
            marks::ask(&part.marks)?;
            sum += callgrind::part(&part.marks.with_extension("out"), self.marks)?;
        }
        Ok(sum)
    }
}

/// Waits until the processes wait, for a network that gives them nothing more.
async fn settled(parts: &[Part]) -> io::Result<()> {
    const LOOKS: u32 = 4;
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut before, mut same) = (BTreeMap::new(), 0);
    while same < LOOKS {
        smol::Timer::after(Duration::from_millis(10)).await;
        let mut now = BTreeMap::new();
        for part in parts {
            now.insert(part.proxy.pid(), at_rest(part.proxy.pid())?);
        }
        let is_same = now.values().all(Option::is_some) && now == before;
        same = if is_same { same + 1 } else { 0 };
        before = now;
        if Instant::now() > deadline {
            return Err(io::Error::other("the proxy is busy for a minute"));
        }
    }
    Ok(())
}

/// The processor time of a process all of whose threads sleep.
fn at_rest(pid: u32) -> io::Result<Option<u64>> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = fs::read_to_string(thread?.path().join("stat"))?;
        let mut fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        if fields.next() != Some("S") {
            return Ok(None);
        }
        // utime and stime, the 14th and 15th of all.
        let times = fields
            .skip(10)
            .take(2)
            .filter_map(|time| time.parse::<u64>().ok());
        sum += times.sum::<u64>();
    }
    Ok(Some(sum))
}

fn command(watched: &Watched<'_>) -> Vec<String> {
    let output = watched.marks.with_extension("out");
    let mut words = callgrind::words(&output).expect("this program has a path");
    words.extend(["proxy".to_owned(), watched.marks.display().to_string()]);
    words
}
