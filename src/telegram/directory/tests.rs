use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

#[cfg(feature = "tls")]
use fake_telegram::control::Http;
use fake_telegram::harness::TemporaryDirectory;
use fake_telegram::telegram::{FakeTelegram, Options};

use smol::future::poll_once;

use super::lists::List;
use super::*;
use crate::config::Config;
#[cfg(feature = "tls")]
use crate::metrics::RefreshOutcome;
use crate::net::{Executor, Reactor};

/// A directory in `data_dir` with these flags.
pub(in crate::telegram) fn directory(
    data_dir: &TemporaryDirectory,
    flags: &[(&'static str, String)],
    clock: &Clock,
) -> (Rc<Directory>, Rc<Metrics>) {
    let metrics = Rc::new(Metrics::default());
    let config = config(flags);
    let data_dir = DataDir::new(data_dir.path());
    let directory = Directory::new(Live::new(config), data_dir, &metrics, clock);
    (directory, metrics)
}

/// Of these flags.
pub(in crate::telegram) fn config(flags: &[(&'static str, String)]) -> TelegramConfig {
    let flags = flags.iter().map(|(flag, value)| (*flag, value.as_str()));
    Config::of(&flags.collect::<Vec<_>>()).telegram
}

fn fake() -> FakeTelegram {
    FakeTelegram::start(Options {
        middle_dcs: vec![1, 2, -2],
        ..Options::default()
    })
    .unwrap()
}

/// Runs the directory's task until `done`.
fn run_until(reactor: &Rc<Reactor>, directory: &Rc<Directory>, done: impl Fn() -> bool) {
    let executor = Executor::default();
    let running = directory.clone();
    let task_reactor = reactor.clone();
    let task = executor.spawn(async move { running.run(&task_reactor).await });
    reactor.block_on(&executor, async {
        let took = reactor.until(Duration::from_secs(20), done).await;
        assert!(took.is_some(), "it never came");
        task.cancel().await;
    });
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn starts_with_the_snapshot() {
    let data_dir = TemporaryDirectory::new();
    let (directory, _) = directory(&data_dir, &[], &Clock::machine());
    assert_eq!(directory.secret().len(), 128);
    let dc4 = directory.middle(DcId(4));
    assert_eq!(dc4[0], address("91.108.4.136:8888"));
    assert_eq!(dc4[1], address("[2001:67c:4e8:f004::d]:8888"));
    assert_eq!(directory.middle_dc(DcId(77)), DcId(2));
    assert_eq!(
        directory.middle(DcId(77))[0],
        address("149.154.161.144:8888")
    );
    let media = directory.direct(DcId(-2)).unwrap();
    assert_eq!(media[0], address("149.154.167.51:443"));
    let cdn = directory.direct(DcId(203)).unwrap();
    assert_eq!(cdn, [address("91.105.192.100:443")]);
    let test = directory.direct(DcId(10_002)).unwrap();
    assert_eq!(test, [address("149.154.167.40:443")]);
    assert_eq!(directory.direct(DcId(77)), None);
}

#[test]
fn overrides_take_the_place_of_built_in_addresses() {
    let data_dir = TemporaryDirectory::new();
    let flags = [
        ("--dc", "2=127.0.0.1:1".to_owned()),
        ("--dc", "-2=127.0.0.1:2".to_owned()),
        ("--dc", "3=127.0.0.1:3".to_owned()),
    ];
    let (directory, _) = directory(&data_dir, &flags, &Clock::machine());
    let only = |id| directory.direct(DcId(id)).unwrap();
    assert_eq!(only(2), [address("127.0.0.1:1")]);
    assert_eq!(only(-2), [address("127.0.0.1:2")]);
    assert_eq!(only(-3), [address("127.0.0.1:3")]);
    assert_ne!(only(10_002), only(2));
}

#[test]
fn fetched_lists_are_used_and_kept() {
    let data_dir = TemporaryDirectory::new();
    let telegram = fake();
    let mut last = Vec::new();
    for flags in [
        telegram.proxy_flags(),
        telegram.proxy_flags_with_files(data_dir.path()).unwrap(),
    ] {
        if !cfg!(feature = "tls") && flags[0].1.starts_with("http") {
            continue;
        }
        let reactor = Reactor::virtual_time().unwrap();
        let (directory, metrics) = directory(&data_dir, &flags, reactor.clock());
        // The last list is kept a moment after it is counted.
        let source = flags.iter().find(|flag| flag.0 == "--telegram-config-v6");
        let source = format!("# kept from {}\n", source.unwrap().1);
        let file = data_dir.path().join(List::ConfigV6.name());
        let is_kept = || fs::read(&file).is_ok_and(|file| file.starts_with(source.as_bytes()));
        run_until(&reactor, &directory, || {
            metrics.refreshes.total() >= 3 && is_kept()
        });
        assert_eq!(*directory.secret(), *telegram.options().secret);
        assert_eq!(directory.middle(DcId(2)), telegram.middle_addresses(2));
        assert_eq!(directory.middle_dcs(), [DcId(-2), DcId(1), DcId(2)]);
        last = flags;
    }
    // The next start knows them without asking anybody.
    let (again, _) = directory(&data_dir, &last, &Clock::machine());
    assert_eq!(*again.secret(), *telegram.options().secret);
    assert_eq!(again.middle(DcId(1)), telegram.middle_addresses(1));
    // But not one with other sources.
    let (other, _) = directory(&data_dir, &[], &Clock::machine());
    assert_ne!(*other.secret(), *telegram.options().secret);
    assert_eq!(other.middle(DcId(1))[0], address("149.154.175.50:8888"));
}

#[test]
#[cfg(feature = "tls")]
fn nothing_that_a_server_answers_makes_it_worse() {
    let data_dir = TemporaryDirectory::new();
    let telegram = fake();
    for manners in [
        Http::Down,
        Http::Status(503),
        Http::Portal,
        Http::Garbage,
        Http::Truncated,
        Http::Empty,
        Http::Config("proxy_for 2 nonsense;".to_owned()),
    ] {
        telegram.behave_http(manners.clone());
        let mut flags = telegram.proxy_flags();
        flags.retain(|(flag, _)| *flag == "--telegram-config");
        flags.push(("--telegram-secret", "no-such-file".to_owned()));
        flags.push(("--telegram-config-v6", "no-such-file".to_owned()));
        let reactor = Reactor::virtual_time().unwrap();
        let (directory, metrics) = directory(&data_dir, &flags, reactor.clock());
        run_until(&reactor, &directory, || metrics.refreshes.total() >= 3);
        assert_eq!(
            metrics.refreshes.get(RefreshOutcome::Fetched),
            0,
            "{manners:?}"
        );
        assert_eq!(directory.secret().len(), 128);
        let dc2 = directory.middle(DcId(2));
        assert_eq!(dc2[0], address("149.154.161.144:8888"), "{manners:?}");
    }
}

#[test]
fn a_damaged_copy_on_disk_is_passed_over() {
    let data_dir = TemporaryDirectory::new();
    let config = config(&[]);
    for list in List::ALL {
        let file = list_file::to_file(&list.kept_source(&config), b"default");
        fs::write(data_dir.path().join(list.name()), file).unwrap();
    }
    let (directory, _) = directory(&data_dir, &[], &Clock::machine());
    assert_eq!(directory.secret().len(), 128);
    assert_eq!(directory.middle(DcId(1)).len(), 2);
}

#[test]
#[cfg(feature = "tls")]
fn repeated_failures_fetch_at_once() {
    let data_dir = TemporaryDirectory::new();
    let telegram = fake();
    let mut flags = telegram.proxy_flags();
    flags.push(("--refresh", "1".to_owned()));
    let reactor = Reactor::virtual_time().unwrap();
    let (directory, metrics) = directory(&data_dir, &flags, reactor.clock());
    let dead = address("127.0.0.1:9");
    run_until(&reactor, &directory, || {
        if metrics.refreshes.total() == 3 {
            for _ in 0..refresh::FAILURES {
                directory.report_failure(dead);
            }
        }
        metrics.refreshes.total() >= 6
    });
}

#[test]
fn what_a_reload_wants_early_is_not_forgotten() {
    let data_dir = TemporaryDirectory::new();
    let none = ("--telegram-config", "none".to_owned());
    let reactor = Reactor::virtual_time().unwrap();
    let (directory, _) = directory(&data_dir, &[none], reactor.clock());
    reactor.block_on(&Executor::default(), async {
        let floor = Duration::from_millis(1);
        let pause = async || {
            let hour = Duration::from_secs(3600);
            let pause = directory.pause.wait(&reactor, floor, hour);
            reactor.timeout(Duration::from_secs(20), pause).await
        };
        let follow = async {
            directory.follow_config().await;
            None
        };
        let mut follow = std::pin::pin!(follow);
        assert!(poll_once(&mut follow).await.is_none());
        let mut pause = async || smol::future::or(&mut follow, pause()).await;
        // While the lists were being fetched.
        directory.pause.begin();
        let file = ("--telegram-config", "/a/file".to_owned());
        directory.config.set(config(&[file]));
        assert!(pause().await.is_some());
        // While nothing may be fetched again yet.
        directory.pause.begin();
        let reload = async {
            directory.config.set(config(&[]));
        };
        let (paused, ()) = smol::future::zip(pause(), reload).await;
        assert!(paused.is_some());
    });
}

/// As after a start without network: the lists come soon after it does.
#[test]
#[cfg(feature = "tls")]
fn lists_that_could_not_be_had_are_fetched_again_soon() {
    let data_dir = TemporaryDirectory::new();
    let telegram = fake();
    telegram.behave_http(Http::Down);
    let reactor = Reactor::virtual_time().unwrap();
    let flags = telegram.proxy_flags();
    let (directory, metrics) = directory(&data_dir, &flags, reactor.clock());
    let failed = || metrics.refreshes.get(RefreshOutcome::FetchFailed);
    run_until(&reactor, &directory, || {
        if failed() >= 2 {
            telegram.behave_http(Http::Normal);
        }
        metrics.refreshes.get(RefreshOutcome::Fetched) >= 3
    });
}
