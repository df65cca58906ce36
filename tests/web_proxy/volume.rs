//! Much of it: bytes, idle sessions, and a reader that is slow.

use std::time::Duration;

use fake_telegram::client::Kind;
use fake_telegram::harness::{ProxyOptions, Route};
use fake_telegram::payload::{Command, echo};
use fake_telegram::wait::{is_emulated, run, within};
use fake_telegram::web_app::{App, Carrier, Gateway};
use smol::Timer;

use crate::{Inside, Set, served};

const MEBIBYTE: usize = 1 << 20;

#[test]
fn thirty_megabytes_both_ways() {
    run(async {
        for route in Route::ALL {
            both_ways(&Set::start(route).await).await;
        }
    });
}

pub async fn both_ways(set: &Set) {
    for carrier in Carrier::ALL {
        let gateway = Gateway::start(&set.app().carrier(carrier)).await.unwrap();
        let mut client = served(&gateway, Kind::Padded, 2).await;
        let download = client.download(30 << 20, 500_000);
        within("a download", download).await.unwrap();
        // Each comes back, and is compared.
        for round in 0..30 {
            let request = echo(round, MEBIBYTE);
            within("an echo", client.echo(&request)).await.unwrap();
        }
        gateway.session().await.unwrap().assert_clean();
    }
    set.telegram.assert_clean();
}

#[test]
fn twenty_streams_at_once() {
    run(async {
        let set = Set::start(Route::Direct).await;
        for carrier in Carrier::ALL {
            let app = set.app().carrier(carrier).app(App::Android);
            let gateway = Gateway::start(&app).await.unwrap();
            let executor = smol::LocalExecutor::new();
            let mut tasks = Vec::new();
            for number in 0..20 {
                let mut client = served(&gateway, Kind::Padded, 2).await;
                tasks.push(executor.spawn(async move {
                    for round in 0..4 {
                        client.echo(&echo(number * 10 + round, 300_000)).await?;
                        client.download(700_000, 100_000).await?;
                    }
                    std::io::Result::Ok(())
                }));
            }
            let all = executor.run(async {
                for task in tasks {
                    task.await.unwrap();
                }
            });
            within("all of them", all).await;
            gateway.session().await.unwrap().assert_clean();
        }
        set.telegram.assert_clean();
    });
}

/// What a slow one does not take stays where it is: at the DC.
#[test]
fn a_slow_reader_costs_no_memory() {
    run(async {
        for carrier in Carrier::ALL {
            read_slowly(&Set::start(Route::Direct).await, carrier).await;
        }
    });
}

pub async fn read_slowly(set: &Set, carrier: Carrier) {
    let (session, mut inside) = crate::session(&set.app(), carrier).await;
    let before = set.proxy.resident_memory();
    let ask = Command::SendMe {
        total: 64 << 20,
        size: MEBIBYTE as u32,
    };
    let packet = inside.codec.packet(&ask.payload(), false, &[]);
    inside.stream.write(&packet).await.unwrap();
    let mut most = 0;
    for _ in 0..40 {
        Timer::after(Duration::from_millis(50)).await;
        let bytes = within("bytes", inside.stream.peek()).await.unwrap();
        inside.stream.used(bytes.len());
        most = most.max(set.proxy.resident_memory());
    }
    let grown = most.saturating_sub(before);
    let limit = if is_emulated() { u64::MAX } else { 3 << 20 };
    assert!(grown < limit, "{carrier:?}: {grown} bytes more");
    // Its session's others do not notice.
    let mut other = Inside::open(&session, Kind::Padded, 4);
    within("an echo", other.echo(&echo(2, 64))).await.unwrap();
    session.assert_clean();
}

/// As many as a small server has, with a stream each that has been served.
#[test]
fn five_hundred_idle_sessions_are_light() {
    run(async {
        let change = |o: ProxyOptions| o.set("--max-clients", 4000).set("--hibernate", 1);
        let set = Set::start_with(Route::Direct, change).await;
        // What is made for the first one is not counted.
        let first = crate::session(&set.app(), Carrier::WebSocket).await;
        let before = set.proxy.resident_memory();
        let mut sessions = Vec::new();
        for number in 0..500 {
            let address = format!("192.0.{}.{}", 2 + number / 250, 1 + number % 250);
            let app = set.app().forwarded_for(&address);
            let carrier = Carrier::ALL[number % 2];
            sessions.push(crate::session(&app, carrier).await);
        }
        Timer::after(Duration::from_secs(3)).await;
        let grown = set.proxy.resident_memory().saturating_sub(before);
        println!("{} bytes for each", grown / 500);
        let limit = if is_emulated() { u64::MAX } else { 10 << 20 };
        assert!(grown < limit, "500 sessions take {grown} bytes");
        for (session, inside) in &mut sessions {
            within("an echo", inside.echo(&echo(2, 64))).await.unwrap();
            session.assert_clean();
        }
        drop(first);
        set.telegram.assert_clean();
    });
}
