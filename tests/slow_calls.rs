//! The one thread waits for nobody: who reads the log, the disk, files that are
//! none, peers of the operator's pages. A client echoes all the while.

use std::cell::Cell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::crypto::hex;
use fake_telegram::harness::{self, Metrics, Process, Proxy, ProxyOptions, Route, Strace};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, patience, run, within};
use smol::future::zip;

/// What an echo may take while something stands still for ever.
const CALM: Duration = Duration::from_secs(2);

/// By which each slow call is delayed.
const DELAY: Duration = Duration::from_secs(2);

/// The longest echo while `doing` is done.
async fn longest_echo<T>(client: &mut Client, doing: impl Future<Output = T>) -> (T, Duration) {
    let is_done = Cell::new(false);
    let doing = async {
        let outcome = doing.await;
        is_done.set(true);
        outcome
    };
    let echoing = async {
        let mut longest = Duration::ZERO;
        for number in 0.. {
            let began = Instant::now();
            let outcome = within("an echo", client.echo(&echo(number, 64))).await;
            outcome.unwrap();
            longest = longest.max(began.elapsed());
            if is_done.get() {
                break;
            }
            smol::Timer::after(Duration::from_millis(20)).await;
        }
        longest
    };
    zip(doing, echoing).await
}

/// Strangers, each of whom is worth a line at `debug`.
async fn strangers(proxy: &Proxy, count: usize) {
    let address = proxy.address();
    smol::unblock(move || {
        for _ in 0..count {
            let mut stranger = TcpStream::connect(address).unwrap();
            // It may be hung up on already.
            let _ = stranger.write_all(&[b'x'; 100]);
        }
    })
    .await;
}

fn talkative(options: ProxyOptions) -> ProxyOptions {
    options
        .set("--log-level", "debug")
        .set("--flood-limit", "off")
        .set("--reset", "on-handshake-error")
}

/// Waits on another thread: echoes go on.
async fn lost(proxy: &Proxy) -> u64 {
    let address = proxy.metrics_address().to_owned();
    let scraped = smol::unblock(move || Metrics::scrape(&address)).await;
    scraped
        .unwrap()
        .sum("smol_mtproxy_log_lines_lost_total", &[]) as u64
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    run(async {
        let change = |mut o: ProxyOptions| {
            // Their invites and codes are more than a pipe takes.
            for number in 0..60 {
                let key = hex(&[number; 16]);
                o = o.add("--secret", format!("s{number}={key}"));
            }
            talkative(o).unread_log()
        };
        let (telegram, mut proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let mut client = proxy.served_client(2).await;
        let filling = async {
            while lost(&proxy).await == 0 {
                strangers(&proxy, 500).await;
            }
        };
        let ((), longest) = longest_echo(&mut client, filling).await;
        let lost = lost(&proxy).await;
        println!("{longest:?} at most, {lost} lines lost");
        assert!(longest < CALM, "{longest:?}");
        proxy.served_client(2).await;

        proxy.read_log();
        eventually("a word about lost lines", || {
            proxy.log_contains("lost: the reader of the log stood still")
        })
        .await;
        let before = proxy.log().len();
        strangers(&proxy, 1).await;
        eventually("lines again", || proxy.log().len() > before).await;
        telegram.assert_clean();
        proxy.stop().await;
    });
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_it_from_ending() {
    run(async {
        let change = |o: ProxyOptions| talkative(o).unread_log();
        let (_telegram, mut proxy) = harness::start(built_binary!(), Route::Direct, change).await;
        while lost(&proxy).await == 0 {
            strangers(&proxy, 500).await;
        }
        proxy.signal("TERM");
        let began = Instant::now();
        assert_eq!(proxy.exit_status().await.code(), Some(0));
        assert!(began.elapsed() < 4 * CALM, "{:?}", began.elapsed());
    });
}

#[test]
fn a_log_that_is_read_loses_nothing_even_at_the_end() {
    run(async {
        let (_telegram, mut proxy) =
            harness::start(built_binary!(), Route::Direct, talkative).await;
        strangers(&proxy, 1000).await;
        eventually("the strangers", || {
            proxy.counted("rejected_total", "") >= 1000
        })
        .await;
        assert_eq!(lost(&proxy).await, 0);
        proxy.signal("TERM");
        assert_eq!(proxy.exit_status().await.code(), Some(0));
        eventually("the last line", || proxy.log_contains("stopping")).await;
    });
}

/// How many lines of log come first.
const CRASHES_AFTER: &str = "SMOL_MTPROXY_CRASHES_AFTER";

/// A process that crashes, for the test below.
#[test]
#[ignore = "it crashes on purpose, when another test starts it"]
fn crashes() {
    // Who runs every test that is ignored does not mean this one.
    let Ok(lines) = std::env::var(CRASHES_AFTER) else {
        return;
    };
    smol_mtproxy::testing::detach().unwrap();
    for number in 0..lines.parse().unwrap() {
        smol_mtproxy::testing::info(&format!("line {number} {}", "x".repeat(100)));
    }
    panic!("on purpose,\nin two lines");
}

fn crash(lines: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crashes", "--ignored", "--nocapture"])
        .env(CRASHES_AFTER, lines.to_string())
        .stdout(Stdio::null());
    command
}

#[test]
fn a_crash_is_the_last_line_and_ends_though_nobody_reads_it() {
    let output = crash(1000).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("Z ")).collect();
    assert_eq!(lines.len(), 1001, "{log}");
    for (number, line) in lines.iter().take(1000).enumerate() {
        assert!(line.contains(&format!("info line {number} ")), "{line}");
    }
    let last = lines[1000];
    assert!(last.contains("error crashed: panicked at"), "{last}");
    assert!(
        last.ends_with(": on purpose, in two lines; please report it"),
        "{last}"
    );

    let mut child = Process::start(crash(10_000).stderr(Stdio::piped()));
    run(async {
        eventually("its end", || child.try_wait().unwrap().is_some()).await;
    });
    let mut log = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut log).unwrap();
    assert!(
        log.contains("info line 0 ") && !log.contains("crashed"),
        "{log}"
    );
}

fn make_fifo(path: &Path) {
    let _ = fs::remove_file(path);
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
}

fn failures(proxy: &Proxy) -> u64 {
    proxy.counted("config_reload_failures_total", "")
}

fn with_table(options: ProxyOptions) -> ProxyOptions {
    let table = options.directory().join("banned");
    fs::write(&table, "192.0.2.1\n").unwrap();
    options
        .add("--table", format!("banned={}", table.display()))
        .add("--policy", "not-in-table:client-ipv4:banned")
        .in_config_file()
}

#[test]
fn pipes_and_devices_in_the_place_of_files_change_nothing() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, with_table).await;
        let mut client = proxy.served_client(2).await;
        let places = ["banned", "proxy.conf"].map(|name| proxy.directory().join(name));
        for (round, path) in places.iter().enumerate() {
            let text = fs::read(path).unwrap();
            make_fifo(path);
            let failed = async {
                proxy.signal("HUP");
                let name = path.display().to_string();
                eventually("a line that names the file and the way out", || {
                    proxy.log().iter().any(|line| {
                        line.contains(&name) && line.contains("a pipe, and only regular files")
                    })
                })
                .await;
            };
            let ((), longest) = longest_echo(&mut client, failed).await;
            assert!(longest < CALM, "{longest:?}");
            assert_eq!(failures(&proxy), round as u64 + 1);
            proxy.served_client(2).await;
            fs::remove_file(path).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::remove_file(&places[0]).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &places[0]).unwrap();
        proxy.signal("HUP");
        eventually("a line about the device", || {
            proxy.log_contains("a device, and only regular files")
        })
        .await;
        telegram.assert_clean();
    });
}

#[test]
fn a_file_that_is_too_large_is_refused_with_the_way_out() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Direct, with_table).await;
        let table = proxy.directory().join("banned");
        fs::write(&table, "192.0.2.1\n".repeat(420_000)).unwrap();
        proxy.signal("HUP");
        eventually("a line with the way out", || {
            proxy.log_contains("is over 4 MiB; write neighbouring addresses as networks")
        })
        .await;
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

#[test]
fn many_reloads_at_once_are_one_after_another() {
    run(async {
        let (telegram, mut proxy) =
            harness::start(built_binary!(), Route::Middle, with_table).await;
        let mut client = proxy.served_client(2).await;
        let guest = [0x5a; 16];
        let reloads = async {
            for _ in 0..50 {
                proxy.signal("HUP");
            }
            proxy.reload(|flags| flags.push(("--secret", format!("guest={}", hex(&guest)))));
            for _ in 0..50 {
                proxy.signal("HUP");
            }
            eventually("the guest's secret", || {
                proxy.log_contains("reloaded: --secret")
            })
            .await;
        };
        let ((), longest) = longest_echo(&mut client, reloads).await;
        assert!(longest < CALM, "{longest:?}");
        let options = proxy.client(Kind::Padded).key(guest);
        let mut client = options.connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        assert_eq!(failures(&proxy), 0);
        telegram.assert_clean();
        proxy.stop().await;
    });
}

#[test]
fn silent_peers_of_the_metrics_are_in_nobodys_way() {
    run(async {
        let (_telegram, proxy) = harness::start(built_binary!(), Route::Direct, |o| o).await;
        let connect = || TcpStream::connect(proxy.metrics_address()).unwrap();
        let mut silent: Vec<_> = (0..4).map(|_| connect()).collect();
        // One who asks and does not read the answer.
        let mut slow = connect();
        slow.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut shortest = patience();
        for _ in 0..3 {
            let began = Instant::now();
            proxy.metrics();
            shortest = shortest.min(began.elapsed());
        }
        assert!(shortest < CALM, "{shortest:?}");
        // However many: the oldest goes.
        silent.extend((0..20).map(|_| connect()));
        let began = Instant::now();
        proxy.metrics();
        assert!(began.elapsed() < CALM, "{:?}", began.elapsed());
        silent[0].set_read_timeout(Some(patience())).unwrap();
        assert_eq!(silent[0].read(&mut [0; 1]).unwrap_or(0), 0);
        let mut page = String::new();
        slow.read_to_string(&mut page).unwrap();
        assert!(page.contains("smol_mtproxy_uptime_seconds"), "{page}");
    });
}

/// Delays these system calls of it; of `path` alone, if it is given. `None` where
/// processes may not be traced.
async fn delay(proxy: &Proxy, delay: Duration, calls: &str, path: Option<&Path>) -> Option<Strace> {
    let what = format!("delay_enter={}", delay.as_micros());
    Strace::inject(proxy, calls, &what, path).await
}

/// Does `doing`, which waits for a delayed call, up to three times.
async fn calm_during<T, F: Future<Output = T>>(
    client: &mut Client,
    doing: impl Fn() -> F,
    check: impl Fn(T),
) {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let (outcome, longest) = longest_echo(client, doing()).await;
        check(outcome);
        assert!(began.elapsed() >= DELAY, "nothing was delayed");
        println!("{longest:?} at most in {:?}", began.elapsed());
        shortest = shortest.min(longest);
        if shortest < DELAY / 2 {
            return;
        }
    }
    panic!("{shortest:?}");
}

#[test]
fn a_slow_disk_delays_who_saves_a_table_and_nobody_else() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, with_table).await;
        let mut client = proxy.served_client(2).await;
        let calls = "/^(fsync|fdatasync|rename|renameat|renameat2)$";
        let Some(_delays) = delay(&proxy, DELAY, calls, None).await else {
            return;
        };
        let saving = || async {
            let words = ["ctl", "table", "save", "banned"];
            let answer = smol::unblock(ctl(&proxy, &words));
            // Others are answered meanwhile.
            let listing = async {
                smol::Timer::after(Duration::from_millis(500)).await;
                let began = Instant::now();
                let listed = smol::unblock(ctl(&proxy, &["ctl", "table", "list", "banned"])).await;
                assert!(listed.status.success(), "{listed:?}");
                assert!(began.elapsed() < DELAY, "{:?}", began.elapsed());
            };
            zip(answer, listing).await.0
        };
        let check = |answer: Output| assert!(answer.status.success(), "{answer:?}");
        calm_during(&mut client, saving, check).await;
        telegram.assert_clean();
    });
}

/// A run of the binary's command for this proxy.
fn ctl(proxy: &Proxy, words: &[&str]) -> impl FnOnce() -> Output + Send + 'static {
    let mut command = proxy.prepared(words);
    move || command.output().unwrap()
}

#[test]
fn files_that_open_slowly_delay_a_reload_and_nobody_else() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, with_table).await;
        let mut client = proxy.served_client(2).await;
        for name in ["banned", "proxy.conf"] {
            let path = proxy.directory().join(name);
            let delays = delay(&proxy, DELAY, "/^open(at)?$", Some(&path));
            let Some(_delays) = delays.await else {
                return;
            };
            let reloading = || async {
                // Not the metrics, for which this thread would wait.
                let reloads = || {
                    let log = proxy.log();
                    log.iter().filter(|line| line.contains("reloaded:")).count()
                };
                let before = reloads();
                proxy.signal("HUP");
                eventually("a reload", || reloads() > before).await;
            };
            calm_during(&mut client, reloading, |()| ()).await;
        }
        telegram.assert_clean();
    });
}

#[test]
fn a_slow_disk_delays_no_handshake() {
    run(async {
        let change = |o: ProxyOptions| o.set("--replay-cache", "1024,keep");
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, change).await;
        let mut client = proxy.served_client(2).await;
        let path = proxy.directory().join("replays");
        let length = || fs::metadata(&path).map_or(0, |found| found.len());
        eventually("the file", || length() > 0).await;
        let Some(_delays) = delay(&proxy, DELAY, "/^(pwrite64|fdatasync)$", None).await else {
            return;
        };
        let coming = || async {
            let before = length();
            let began = Instant::now();
            proxy.served_client(2).await;
            let handshake = began.elapsed();
            eventually("a longer file", || length() > before).await;
            handshake
        };
        let check = |handshake| assert!(handshake < DELAY, "{handshake:?}");
        calm_during(&mut client, coming, check).await;
        telegram.assert_clean();
    });
}

/// A disk that is slow is waited for, one that is gone for a few seconds.
#[test]
fn the_last_write_has_its_time_and_no_more() {
    run(async {
        for (time, is_kept) in [(DELAY / 2, true), (15 * DELAY, false)] {
            let change = |o: ProxyOptions| {
                o.add("--secret", format!("alice={},quota=1G", hex(&[0xa1; 16])))
                    .set("--replay-cache", "1024,keep")
            };
            let (_telegram, mut proxy) =
                harness::start(built_binary!(), Route::Direct, change).await;
            let alice = proxy.client(Kind::Padded).key([0xa1; 16]);
            let mut client = alice.connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            drop(client);
            let delays = delay(&proxy, time, "/^(fsync|fdatasync)$", None);
            let Some(delays) = delays.await else {
                return;
            };
            proxy.signal("TERM");
            if !is_kept {
                eventually("a word about the disk", || {
                    proxy.log_contains("--data-dir has not taken the last files")
                })
                .await;
                // A process that is traced ends when who traces it lets it.
                drop(delays);
            }
            assert_eq!(proxy.exit_status().await.code(), Some(0));
            for name in ["usage", "replays"] {
                let path = proxy.directory().join(name);
                assert!(path.exists() || !is_kept, "{name}");
            }
        }
    });
}
