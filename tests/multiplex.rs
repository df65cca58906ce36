//! Many clients on few connections.

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Kind};
use fake_telegram::harness::{self, Proxy, Route};
use fake_telegram::payload::echo;
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{eventually, is_emulated, run, within};

const CLIENTS: u32 = 200;

/// One client of each kind and several DCs in turn.
async fn connect(proxy: &Proxy, number: u32) -> Client {
    let kind = Kind::ALL[number as usize % Kind::ALL.len()];
    let dc = [2, 2, 2, -4, 203][number as usize % 5];
    proxy.client(kind).dc(dc).connect().await.unwrap()
}

async fn exchange(mut client: Client, number: u32) -> Client {
    for round in 0..10 {
        let size = 8 + 4 * ((number * 37 + round * 101) % 5000) as usize;
        let request = echo(number << 8 | round, size);
        let outcome = within("an echo", client.echo(&request)).await;
        outcome.unwrap_or_else(|error| panic!("client {number}, round {round}: {error}"));
    }
    client
}

/// All clients at once, each doing its exchange.
async fn crowd(proxy: &Proxy) -> Vec<Client> {
    let executor = smol::LocalExecutor::new();
    let tasks = (0..CLIENTS).map(|number| {
        executor.spawn(async move { exchange(connect(proxy, number).await, number).await })
    });
    let tasks: Vec<_> = tasks.collect();
    let collecting = async {
        let mut clients = Vec::new();
        for task in tasks {
            clients.push(task.await);
        }
        clients
    };
    executor.run(collecting).await
}

async fn all_end(telegram: &FakeTelegram) {
    eventually("the end of all sessions", || {
        telegram.sessions().is_empty() && telegram.counters().direct_live() == 0
    })
    .await;
}

#[test]
fn two_hundred_clients_share_connections() {
    run(async {
        let limit = |o: harness::ProxyOptions| o.set("--clients-per-connection", 20);
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, limit).await;
        let clients = crowd(&proxy).await;
        assert_eq!(telegram.sessions().len(), CLIENTS as usize);
        // DC 2 has 120 of them, each of the two others 40.
        for (dc, at_least) in [(2, 5), (-4, 2), (203, 2)] {
            let connections = telegram.connections();
            let loads = connections.iter().filter(|one| one.dc == dc);
            let loads: Vec<usize> = loads.map(|one| one.sessions).collect();
            // Clients wait a second for a roomy connection, in which an emulated
            // proxy does not always make one.
            let spread = loads.len() >= at_least && loads.iter().all(|load| *load <= 40);
            assert!(spread || is_emulated(), "DC {dc}: {loads:?}");
        }
        drop(clients);
        all_end(&telegram).await;
        assert_eq!(telegram.counters().close_conns(), CLIENTS.into());
        eventually("no client in the metrics", || {
            proxy.counted("clients", "") == 0
        })
        .await;
        telegram.assert_clean();
        proxy.stop().await;
    });
}

#[test]
fn few_clients_share_one_connection() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, |o| o).await;
        let mut clients = Vec::new();
        for number in 0..20 {
            let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
            within("an echo", client.echo(&echo(number, 64)))
                .await
                .unwrap();
            clients.push(client);
        }
        assert_eq!(telegram.connections().len(), 1);
        let shared = |what| proxy.counted(&format!("clients_per_connection_{what}"), "");
        assert_eq!((shared("count"), shared("sum")), (20, (1..=20).sum()));
        telegram.assert_clean();
    });
}

#[test]
fn connections_can_be_kept_open_from_the_start() {
    run(async {
        let kept = |o: harness::ProxyOptions| o.set("--dc-connections", 2);
        let (telegram, _proxy) = harness::start(built_binary!(), Route::Middle, kept).await;
        eventually("two connections to DC 2", || {
            let connections = telegram.connections();
            connections.iter().filter(|one| one.dc == 2).count() == 2
        })
        .await;
        telegram.assert_clean();
    });
}

#[test]
fn two_hundred_direct_clients() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Direct, |o| o).await;
        let clients = crowd(&proxy).await;
        assert_eq!(telegram.counters().direct_live(), CLIENTS.into());
        drop(clients);
        all_end(&telegram).await;
        telegram.assert_clean();
        proxy.stop().await;
    });
}

#[test]
fn pings_are_answered_and_sent() {
    run(async {
        let (telegram, proxy) = harness::start(built_binary!(), Route::Middle, |o| o).await;
        let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
        within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        for _ in 0..5 {
            telegram.ping();
        }
        eventually("five pongs", || telegram.counters().pongs_received() == 5).await;
        eventually("a ping of the proxy", || {
            telegram.counters().pings_received() > 0
        })
        .await;
        telegram.assert_clean();
    });
}
