//! What the proxy takes of a small machine's memory. A router's binary
//! (`SMOL_MTPROXY_BIN`) is held to the promises of doc/routers.md; a debug
//! build, whose code alone is larger than that, to what it takes without its code.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::harness::{self, ControlGroup, Proxy, ProxyOptions, Route, Secured, Split};
use fake_telegram::payload::{Command, echo};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{run, within};
use fake_telegram::web_app::{Bulk, Options as WebApp};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const CLIENTS: usize = 1000;

/// By so many all the code has been used that more of them use.
const BEFORE: usize = 500;
#[cfg(feature = "tls")]
const WEB_CLIENTS: usize = 300;

const WEB_HOST: &str = "proxy.example.com";
const WEB_SESSIONS: usize = 500;
/// So many of them are of one address, which may not begin as many at once.
const OF_ADDRESS: usize = 20;

/// Bytes that an idle proxy may take, and one with a thousand idle clients.
fn limits() -> (u64, u64) {
    match std::env::var_os("SMOL_MTPROXY_BIN") {
        Some(_) => (1600 * KIB, 4 * MIB),
        None => (2 * MIB, 4 * MIB),
    }
}

/// What those are limits of.
fn taken(proxy: &Proxy) -> u64 {
    match std::env::var_os("SMOL_MTPROXY_BIN") {
        Some(_) => proxy.resident_memory(),
        None => proxy.own_memory(),
    }
}

/// One test at a time: what another's process has mapped stays as it is.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of a file that was just written the kernel maps much larger pieces than are
/// needed: half a megabyte of the program would be resident for no use.
fn forget_cached_binary() {
    let file = std::fs::File::open(harness::binary(built_binary!())).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// What a router with 32 MB chooses for itself.
fn small(options: ProxyOptions) -> ProxyOptions {
    options
        .set("--buffers", "1M")
        .set("--replay-cache", 16_384)
        .set("--max-clients", 2 * CLIENTS)
        .set("--hibernate", 1)
        .set("--log-level", "info")
}

async fn crowd(proxy: &Proxy, kind: Kind) -> Vec<Client> {
    let mut clients = Vec::with_capacity(CLIENTS);
    for number in 0..CLIENTS {
        let mut client = proxy.client(kind).connect().await.unwrap();
        let outcome = within("an echo", client.echo(&echo(1, 64))).await;
        outcome.unwrap_or_else(|error| panic!("client {number}: {error}"));
        clients.push(client);
    }
    clients
}

#[test]
fn idle_clients_take_little() {
    let _alone = alone();
    run(async {
        let (idle_limit, crowd_limit) = limits();
        for route in Route::ALL {
            forget_cached_binary();
            // How much the kernel maps at once is not the same each time.
            let mut tries = 3;
            let (telegram, proxy, idle) = loop {
                let (telegram, proxy) = harness::start(built_binary!(), route, small).await;
                let idle = taken(&proxy);
                tries -= 1;
                if idle <= idle_limit || tries == 0 {
                    break (telegram, proxy, idle);
                }
            };
            assert!(idle <= idle_limit, "{route:?}: {} KiB idle", idle / KIB);
            let clients = crowd(&proxy, Kind::FakeTls).await;
            // They hibernate after a second.
            let deadline = Instant::now() + Duration::from_secs(10);
            let mut full = taken(&proxy);
            while full > crowd_limit && Instant::now() < deadline {
                smol::Timer::after(Duration::from_millis(100)).await;
                full = taken(&proxy);
            }
            println!(
                "{route:?}: {} KiB idle, {} KiB with {CLIENTS} fake-TLS clients, {} bytes each",
                idle / KIB,
                full / KIB,
                full.saturating_sub(idle) / CLIENTS as u64
            );
            assert!(full <= crowd_limit, "{route:?}: {} KiB", full / KIB);
            drop(clients);
            telegram.assert_clean();
        }
    });
}

/// Behind web servers that show as much as public ones do; and one packet of 1 MiB in
/// flight each way, of clients whose peers stand still, has no room of that size.
#[cfg(feature = "tls")]
#[test]
fn a_web_front_takes_little_more() {
    use fake_telegram::web_front::{self, Authority, WebFront};
    // The binary may be the small build.
    if std::env::var_os("SMOL_MTPROXY_LISTS").is_some() {
        return;
    }
    let _alone = alone();
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let mut options = web_front::Options::new(web_front::Kind::Telegram);
        options.authority = std::sync::Arc::new(Authority::at_length());
        let front = WebFront::start(&telegram, options).unwrap();
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
        let options = options.set("--route", "ws").web_front(&front);
        let proxy = small(options).start().await;
        proxy.served_client(2).await;
        let before = proxy.resident_memory();
        let mut clients = Vec::with_capacity(WEB_CLIENTS);
        for _ in 0..WEB_CLIENTS {
            clients.push(proxy.served_client(2).await);
        }
        // They hibernate after a second.
        let limit = 9 * KIB * WEB_CLIENTS as u64;
        let deadline = Instant::now() + Duration::from_secs(10);
        let grown = || proxy.resident_memory().saturating_sub(before);
        while grown() > limit && Instant::now() < deadline {
            smol::Timer::after(Duration::from_millis(100)).await;
        }
        let idle = grown();
        println!("{} bytes each", idle / WEB_CLIENTS as u64);
        assert!(idle <= limit, "{} KiB", idle / KIB);

        let packet = Command::Swallow.payload_of(1 << 20);
        let wish = Command::SendMe {
            total: 4 << 20,
            size: 1 << 20,
        };
        for client in clients.iter_mut().take(8) {
            within("a packet", client.send(&packet)).await.unwrap();
            within("its answer", client.recv_packet()).await.unwrap();
            // Nobody reads what comes of this.
            client.send(&wish.payload()).await.unwrap();
        }
        smol::Timer::after(Duration::from_secs(1)).await;
        let more = grown().saturating_sub(idle);
        println!("{} KiB more with packets of 1 MiB under way", more / KIB);
        // The buffers, and what is made once.
        assert!(more <= 2 * MIB, "{} KiB", more / KIB);
        drop(clients);
        telegram.assert_clean();
    });
}

/// Apps of the WEB proxy: a session with a stream, ten streams more in it, and what goes to
/// an app that is slow to take it, which stays where it came from.
#[test]
fn web_sessions_take_little() {
    let _alone = alone();
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let start = async || {
            let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
            let site = options.directory().join("site");
            std::fs::create_dir(&site).unwrap();
            for_web(options).web(WEB_HOST, site.display()).start().await
        };
        let app = |proxy: &Proxy, group: u8| {
            let app = proxy.web_app(WEB_HOST);
            app.forwarded_for(&format!("192.0.2.{group}"))
        };
        weigh_web_sessions(start, &app).await;
        telegram.assert_clean();
    });
}

/// The same by TLS, which has keys and records.
#[cfg(feature = "tls")]
#[test]
fn web_sessions_by_tls_take_little() {
    use fake_telegram::web_front::Authority;
    // The binary may be the small build.
    if std::env::var_os("SMOL_MTPROXY_LISTS").is_some_and(|from| from == "file") {
        return;
    }
    let _alone = alone();
    run(async {
        let telegram = FakeTelegram::start(Default::default()).unwrap();
        let authority = Authority::at_length();
        let start = async || {
            let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
            let options = for_web(options).web_by_tls(WEB_HOST, &authority);
            options.start().await
        };
        let app = |proxy: &Proxy, group: u8| {
            let app = proxy.web_app_by_tls(WEB_HOST, &authority);
            app.source([127, 0, 2, group].into())
        };
        weigh_web_sessions(start, &app).await;
        telegram.assert_clean();
    });
}

fn for_web(options: ProxyOptions) -> ProxyOptions {
    small(options).set("--max-clients", 4 * CLIENTS)
}

/// `app` is one at the address of a group of [`OF_ADDRESS`].
async fn weigh_web_sessions(start: impl AsyncFn() -> Proxy, app: &dyn Fn(&Proxy, u8) -> WebApp) {
    let proxy = start().await;
    let limit = 8 * MIB;
    let grown = grown_by(&proxy, app, WEB_SESSIONS, 1, limit).await;
    let each = grown / WEB_SESSIONS as u64;
    println!("{each} bytes for a session with a stream");
    assert!(grown <= limit && each <= 12 * KIB, "{grown} bytes");

    let mut slow = web_sessions(&proxy, app, 200, 1, 1).await;
    let grown = read_slowly(&proxy, &mut slow[0]).await;
    println!("{} KiB for a slow reader", grown / KIB);
    assert!(grown <= MIB, "{grown} bytes");

    // The allocator of router binaries rounds up to powers of two.
    let one_more = match std::env::var_os("SMOL_MTPROXY_BIN") {
        Some(_) => 2560,
        None => 2 * KIB,
    };
    let (few, further) = (WEB_SESSIONS / 5, WEB_SESSIONS as u64 / 5 * 10);
    let theirs = each * few as u64;
    let limit = theirs + further * one_more;
    let grown = grown_by(&start().await, app, few, 11, limit).await;
    println!(
        "{} bytes for one more",
        grown.saturating_sub(theirs) / further
    );
    assert!(grown <= limit, "{grown} bytes");
}

/// By how much resident memory has grown once so many sessions are idle, if that is no more
/// than `limit`; at last all the same.
async fn grown_by(
    proxy: &Proxy,
    app: &dyn Fn(&Proxy, u8) -> WebApp,
    sessions: usize,
    streams: usize,
    limit: u64,
) -> u64 {
    // What all of them use is made by some of them.
    let first = web_sessions(proxy, app, 1, 10, 2).await;
    let before = proxy.resident_memory();
    let open = web_sessions(proxy, app, 2, sessions, streams).await;
    // They hibernate after a second.
    smol::Timer::after(Duration::from_secs(2)).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let grown = || proxy.resident_memory().saturating_sub(before);
    while grown() > limit && Instant::now() < deadline {
        smol::Timer::after(Duration::from_millis(100)).await;
    }
    let grown = grown();
    drop((first, open));
    grown
}

/// Sessions that have been served in each stream; each [`OF_ADDRESS`] of them are of one.
async fn web_sessions(
    proxy: &Proxy,
    app: &dyn Fn(&Proxy, u8) -> WebApp,
    group: u8,
    count: usize,
    streams: usize,
) -> Vec<Bulk> {
    let mut sessions = Vec::with_capacity(count);
    for number in 0..count {
        let app = app(proxy, group + (number / OF_ADDRESS) as u8);
        let session = within("a session", Bulk::open(&app, streams)).await;
        sessions.push(session.unwrap());
    }
    sessions
}

/// What there is more at most while an app reads some of a long answer, at 1 MB/s.
async fn read_slowly(proxy: &Proxy, app: &mut Bulk) -> u64 {
    let before = proxy.resident_memory();
    let wish = app.begin_download(1_000_000_000, 500_000);
    within("a wish", wish).await.unwrap();
    let began = Instant::now();
    let (mut most, mut read) = (0, 0);
    while read < 5_000_000 {
        read += within("bytes", app.receive()).await.unwrap();
        let is_due = began + Duration::from_micros(read as u64);
        smol::Timer::at(is_due).await;
        most = most.max(proxy.resident_memory().saturating_sub(before));
    }
    most
}

/// However they come: 50 at a time here, whose first words wait for their DC. The
/// promise is 600 bytes for each, without the code that is used for the first
/// time; the allocator of router binaries rounds up to powers of two.
#[test]
fn a_back_keeps_little_of_idle_clients() {
    let _alone = alone();
    run(async {
        let is_ours = std::env::var_os("SMOL_MTPROXY_BIN").is_none();
        let limit = if is_ours { 700 } else { 1100 };
        for route in Route::ALL {
            let change = |o: ProxyOptions| o.set("--log-level", "info");
            let secured = Secured::default();
            let split = Split::start(built_binary!(), route, &secured, change).await;
            let executor = smol::LocalExecutor::new();
            let mut clients = Vec::with_capacity(BEFORE + CLIENTS);
            let mut before = 0;
            while clients.len() < BEFORE + CLIENTS {
                let tasks = [(); 50].map(|()| executor.spawn(split.front.served_client(2)));
                for task in tasks {
                    clients.push(executor.run(task).await);
                }
                if clients.len() == BEFORE {
                    before = split.back.resident_memory();
                }
            }
            let grown = split.back.resident_memory().saturating_sub(before);
            let each = grown / CLIENTS as u64;
            println!("{route:?}: {each} bytes each");
            assert!(each <= limit, "{route:?}: {each} bytes each");
            drop(clients);
            split.back.cleared().await;
            split.telegram.assert_clean();
        }
    });
}

/// 32 MiB for the process and its share of the kernel: a thousand clients
/// download all the same, and nobody is killed.
#[test]
fn a_thousand_clients_download_in_32_mib() {
    let _alone = alone();
    let Some(group) = ControlGroup::with_memory(32 * MIB) else {
        println!("skipped: no memory control group can be made here (not root?)");
        return;
    };
    run(async {
        for route in Route::ALL {
            let change = |o: ProxyOptions| small(o).set("--send-timeout", 600).inside(&group);
            let (telegram, mut proxy) = harness::start(built_binary!(), route, change).await;
            let clients = crowd(&proxy, Kind::Padded).await;
            let executor = smol::LocalExecutor::new();
            let tasks: Vec<_> = clients
                .into_iter()
                .map(|client| executor.spawn(download(client)))
                .collect();
            let downloading = async {
                for task in tasks {
                    within("a download", task).await;
                }
            };
            executor.run(downloading).await;
            assert!(proxy.is_running(), "{:#?}", proxy.log());
            telegram.assert_clean();
        }
    });
}

async fn download(mut client: Client) {
    let (total, size) = (256 << 10, 64 << 10);
    client.read_at_most(16 << 10, Duration::from_millis(1));
    let wish = Command::SendMe { total, size };
    client.send(&wish.payload()).await.unwrap();
    client.take_download(total, size).await.unwrap();
}
