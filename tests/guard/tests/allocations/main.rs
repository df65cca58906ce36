//! The data path allocates nothing: once a session is under way, the proxy's
//! thread asks for no memory however much goes through it.
//!
//! What it may ask for all the same stands in [`BY_DESIGN`]. This program is its own
//! proxy: started with `proxy` it runs the real one on its first thread, and
//! counts between two marks.

mod allocator;

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake_telegram::client::Kind;
use fake_telegram::harness::Route;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait;
use proxy_guard::loads::{UPLOADED, download, echoes, upload};
use proxy_guard::marks;
use proxy_guard::setup::{
    Between, Door, Entrance, Layout, Link, Part, Watch, Watched, Way, be_proxy, calm, form, served,
};

/// What asks for memory on purpose while data flows.
struct Reason {
    /// A part of a line of its backtraces.
    place: &'static str,
    whose: Whose,
    #[expect(dead_code, reason = "to be read here")]
    why: &'static str,
}

/// Which allocations below such a line are meant, and when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// All, whatever flows.
    All,
    /// Those of timers, whatever flows.
    Timers,
    /// Those of [`POOLS`]; a client that waits for each answer never causes them.
    Pools,
    /// Those of this very file; again, no client that waits causes them.
    Own,
}

const fn always(place: &'static str, why: &'static str) -> Reason {
    let whose = Whose::All;
    Reason { place, whose, why }
}

const fn timers(place: &'static str, why: &'static str) -> Reason {
    let whose = Whose::Timers;
    Reason { place, whose, why }
}

const fn chunks(place: &'static str, why: &'static str) -> Reason {
    let whose = Whose::Pools;
    Reason { place, whose, why }
}

const fn own(place: &'static str, why: &'static str) -> Reason {
    let whose = Whose::Own;
    Reason { place, whose, why }
}

impl Reason {
    fn covers(&self, backtrace: &str, path: &str) -> bool {
        let is_of_pools = || POOLS.iter().any(|pool| path.starts_with(pool));
        match self.whose {
            Whose::All => backtrace.contains(self.place),
            Whose::Timers => backtrace.contains(self.place) && path.starts_with(TIMERS),
            Whose::Pools => backtrace.contains(self.place) && is_of_pools(),
            Whose::Own => path.starts_with(self.place),
        }
    }
}

/// Where timers have their places.
const TIMERS: &str = "src/net/reactor/timers.rs";

/// Where chunks are made, and who may have how many of them is noted.
const POOLS: &[&str] = &[
    "src/net/buffer_pool.rs",
    "src/net/claims.rs",
    "src/net/reservation.rs",
    "src/net/room.rs",
    "src/net/room/",
    "src/net/rope.rs",
];

const BY_DESIGN: &[Reason] = &[
    always(
        "/concurrent-queue-",
        "smol's executor queues the tasks that were woken in blocks of 31",
    ),
    always(
        "src/cli/run/replays.rs",
        "the file of replays is written every few seconds, whatever flows",
    ),
    always(
        "src/cli/run/welcome.rs",
        "the links are printed once, when the addresses are known",
    ),
    always(
        "src/telegram/directory",
        "lists and the public address are asked for, whatever flows",
    ),
    always(
        "src/telegram/pool/lanes.rs",
        "whose connection is slow is looked at by the clock",
    ),
    timers(
        "src/web/carrier/websocket.rs",
        "small credit is granted by the clock, fifty times a second at most",
    ),
    always(
        "src/ciphers/ctr_stream.rs",
        "a direction that was silent for --hibernate expands its key again",
    ),
    chunks(
        "src/client/unframe.rs",
        "a packet that does not come in one read is collected in chunks",
    ),
    own(
        "src/wire/tls/partial.rs",
        "a record that does not come in one read waits for its rest, in a place as long as the \
         longest of them",
    ),
    own(
        "src/client/out/write.rs",
        "what would be too short a record waits for the next bytes, in a box",
    ),
    chunks(
        "src/client/out/write.rs",
        "what the client's kernel refuses is kept",
    ),
    chunks(
        "Outbound::push_packet",
        "the chunks of a packet that was collected go into the connection's queue",
    ),
    chunks(
        "src/telegram/middle/answer_reader.rs",
        "the rest of one read waits while the client takes no more",
    ),
    chunks(
        "src/link/front/stream.rs",
        "what the client does not take waits on the front, and who has room again is noted",
    ),
    chunks(
        "src/link/stream_flow.rs",
        "what a stream may not send yet, or not whole in its turn, waits",
    ),
    chunks(
        "src/link/back/packets.rs",
        "a packet that does not come in one read of the link is collected in chunks",
    ),
    own(
        "src/connection/enciphered.rs",
        "what a DC refuses waits in a box that stays until the client is silent",
    ),
    chunks("src/connection/enciphered.rs", "what a DC refuses waits"),
    own(
        "src/connection/websocket.rs",
        "what a web front refuses waits in a box that stays until the client is silent",
    ),
    chunks(
        "src/connection/websocket.rs",
        "what a web front refuses waits",
    ),
    chunks(
        "src/web/session/incoming.rs",
        "what an app sends waits for its stream's client",
    ),
    chunks(
        "src/web/carrier/outlet.rs",
        "what a WEB app refuses of a frame waits",
    ),
    chunks(
        "src/tls/writer.rs",
        "what of sealed records is refused waits",
    ),
    own(
        "src/wire/tls/opener.rs",
        "the first part of a record waits for the rest",
    ),
    chunks(
        "src/net/one_way.rs",
        "what a client or DC refuses that was read and not spliced is kept",
    ),
];

const LAYOUTS: &[Layout] = &[
    layout(Route::Direct, Link::None),
    by(Way::Via),
    #[cfg(feature = "tls")]
    by(Way::Ws),
    #[cfg(feature = "tls")]
    by(Way::Upstream),
    layout(Route::Middle, Link::None),
    through(Door::Web),
    #[cfg(feature = "tls")]
    through(Door::WebTls),
    layout(Route::Direct, Link::Key),
    layout(Route::Middle, Link::Key),
    #[cfg(feature = "tls")]
    layout(Route::Direct, Link::Tls),
    #[cfg(feature = "tls")]
    layout(Route::Middle, Link::Tls),
];

const fn layout(route: Route, link: Link) -> Layout {
    Layout {
        route,
        way: Way::Straight,
        link,
        door: Door::Own,
    }
}

const fn by(way: Way) -> Layout {
    Layout {
        way,
        ..layout(Route::Direct, Link::None)
    }
}

const fn through(door: Door) -> Layout {
    Layout {
        door,
        ..layout(Route::Direct, Link::None)
    }
}

/// MiB each way, and messages of 64 bytes.
const MEBIBYTES: u32 = 8;
const ECHOES: u32 = 1000;

/// What comes with the traffic comes each time; what only now has grown to its size, on a
/// busy machine, does not.
const TRIES: usize = 3;

/// The load of one count.
#[derive(Clone, Copy, Debug)]
enum Load {
    Down,
    Up,
    Echoes,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((first, words)) if first == "proxy" => {
            allocator::watch_this_thread();
            ExitCode::from(be_proxy(words, answer))
        }
        // As Cargo's own harness does.
        Some((first, _)) if first == "--list" => {
            println!("allocations: test");
            ExitCode::SUCCESS
        }
        _ if words.iter().any(|word| word == "--ignored") => ExitCode::SUCCESS,
        _ => all(),
    }
}

/// The first of two marks begins the count, the second tells it.
fn answer() -> String {
    static IS_UNDER_WAY: AtomicBool = AtomicBool::new(false);
    if !IS_UNDER_WAY.fetch_xor(true, Ordering::Relaxed) {
        allocator::begin();
        return String::new();
    }
    let (count, noted) = allocator::end();
    let mut told = format!("{count}\n");
    for backtrace in noted {
        let text = backtrace.to_string();
        let path = path_of(&text);
        let reason = BY_DESIGN
            .iter()
            .position(|known| known.covers(&text, &path));
        let reason = reason.map_or_else(String::new, |reason| reason.to_string());
        told.push_str(&format!("{reason} {path}\n"));
    }
    told
}

/// The proxy's own lines on the way to an allocation, innermost first.
fn path_of(backtrace: &str) -> String {
    let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("tests/guard");
    let places = backtrace.lines().filter_map(|line| {
        let place = line.trim().strip_prefix("at ")?;
        // Shortened, if this directory is the root.
        let place = place.strip_prefix(root).or(place.strip_prefix("./"))?;
        let is_ours = place.starts_with("src/");
        is_ours.then(|| place.rsplit_once(':').map_or(place, |(line, _)| line))
    });
    places.take(6).collect::<Vec<_>>().join(" < ")
}

fn all() -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    for layout in LAYOUTS {
        let mut outcomes = Vec::new();
        wait::run(async {
            outcomes = counts(*layout).await.expect("the load gets through");
        });
        for (name, trouble) in outcomes {
            match trouble {
                None => passed += 1,
                Some(trouble) => {
                    failed += 1;
                    println!("{name}: {trouble}");
                }
            }
        }
    }
    // As Cargo's own harness does, for those who count.
    let result = if failed > 0 { "FAILED" } else { "ok" };
    println!("test result: {result}. {passed} passed; {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}

/// Each load of a layout, and what was wrong.
async fn counts(layout: Layout) -> io::Result<Vec<(String, Option<String>)>> {
    let telegram = FakeTelegram::start(Options::default())?;
    let watch = Watch::new(command);
    let between = Between::start(&telegram, layout.way).await?;
    let mut entrance = Entrance::new(layout.door);
    let lead = |options| entrance.lead(between.lead(calm(options)));
    let parts = watch.start(&telegram, layout, lead).await?;
    entrance.open(&parts[0].proxy).await?;
    let mut outcomes = Vec::new();
    let kinds = match (layout.link, layout.way) {
        // No stream begins with a hello.
        _ if layout.door != Door::Own => &[Kind::Padded, Kind::Abridged],
        // Packets framed anew have to be as long as Telegram's, which these are not.
        #[cfg(feature = "tls")]
        (_, Way::Upstream) => &[Kind::Padded, Kind::FakeTls],
        (Link::None, _) => &Kind::ALL[..],
        // A link carries the same of all forms: packets, or bytes.
        _ => &[Kind::Padded, Kind::FakeTls],
    };
    for &kind in kinds {
        let mut client = served(&entrance.client(&parts[0].proxy, kind), 0).await?;
        for load in [Load::Down, Load::Up, Load::Echoes] {
            // What is there once, and what grows to its size.
            run(&mut client, load, 4).await?;
            let mut trouble = None;
            for _ in 0..TRIES {
                mark(&parts)?;
                run(&mut client, load, 1).await?;
                let told = mark(&parts)?;
                trouble = told.iter().find_map(|told| trouble_of(load, told));
                if trouble.is_none() {
                    break;
                }
            }
            let name = format!("{} {} {load:?}", layout.name(), form(kind));
            outcomes.push((name, trouble));
        }
    }
    telegram.assert_clean();
    Ok(outcomes)
}

fn mark(parts: &[Part]) -> io::Result<Vec<String>> {
    // What the last bytes bring with them is done.
    std::thread::sleep(Duration::from_millis(5));
    parts.iter().map(|part| marks::ask(&part.marks)).collect()
}

async fn run(client: &mut fake_telegram::client::Client, load: Load, part: u32) -> io::Result<()> {
    match load {
        Load::Down => download(client, MEBIBYTES / part).await,
        Load::Up => upload(client, MEBIBYTES / part, UPLOADED).await,
        Load::Echoes => echoes(client, ECHOES / part).await,
    }
}

/// Allocations that nobody meant; where they were made, each place once.
fn trouble_of(load: Load, told: &str) -> Option<String> {
    let (count, noted) = told.split_once('\n')?;
    let noted = noted.lines().filter_map(|line| line.split_once(' '));
    let unmeant = noted.filter(|(reason, _)| {
        let reason = reason
            .parse()
            .ok()
            .and_then(|reason: usize| BY_DESIGN.get(reason));
        let is_echo = matches!(load, Load::Echoes);
        let is_always = |whose| matches!(whose, Whose::All | Whose::Timers);
        reason.is_none_or(|reason| !is_always(reason.whose) && is_echo)
    });
    let mut places: Vec<_> = unmeant.map(|(_, place)| place).collect();
    places.sort_unstable();
    places.dedup();
    let list = places.join("\n    ");
    (!places.is_empty()).then(|| format!("of {count} allocations some at\n    {list}"))
}

fn command(watched: &Watched<'_>) -> Vec<String> {
    let program = std::env::current_exe().expect("this program has a path");
    let words = [program.as_path(), "proxy".as_ref(), watched.marks];
    words
        .iter()
        .map(|word| word.display().to_string())
        .collect()
}
