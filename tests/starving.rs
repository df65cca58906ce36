//! DCs that fall silent, with no other way to them: nothing is dropped that could be
//! kept.

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Client, Fate, Kind};
use fake_telegram::harness::{Proxy, Route, Secured, Split, start};
use fake_telegram::payload::{Command, echo, streamed};
use fake_telegram::telegram::FakeTelegram;
use fake_telegram::wait::{before, eventually, run, within};

/// Longer than a route has for its first byte.
const WATCHED: Duration = Duration::from_secs(8);
const KIB: u32 = 1 << 10;

/// Nothing comes for as long as it is watched, and no end.
async fn is_kept(clients: &mut [Client]) {
    let began = Instant::now();
    for client in clients {
        let left = WATCHED.saturating_sub(began.elapsed());
        let left = left.max(Duration::from_millis(50));
        if let Some(came) = before(left, client.recv()).await {
            panic!("{came:?} after {:?}", began.elapsed());
        }
    }
}

async fn clients(proxy: &Proxy) -> Vec<Client> {
    let mut clients = Vec::new();
    for kind in Kind::ALL {
        let client = proxy.client(kind).connect().await;
        clients.push(client.expect("the proxy accepts"));
    }
    clients
}

/// A DC that accepts and never answers keeps its clients, and serves the next ones
/// as soon as it can.
async fn silence_from_the_start(telegram: &FakeTelegram, front: &Proxy) {
    telegram.behave_dc(2, |dc| dc.direct_silent = true);
    let mut silent = clients(front).await;
    for client in &mut silent {
        client.send(&echo(1, 64)).await.unwrap();
    }
    is_kept(&mut silent).await;
    assert_eq!(front.counted("clients", ""), silent.len() as u64);
    telegram.behave_dc(2, |dc| dc.direct_silent = false);
    front.served_client(2).await;
    // One that is slow to answer has lost nothing.
    telegram.behave_dc(2, |dc| dc.mute = true);
    let mut slow = clients(front).await;
    for client in &mut slow {
        client.send(&echo(1, 64)).await.unwrap();
    }
    is_kept(&mut slow).await;
    telegram.behave_dc(2, |dc| dc.mute = false);
    for client in &mut slow {
        assert_eq!(client.fate_of(&echo(2, 64)).await, Fate::Answered);
    }
}

/// The rule by which what is not liked has its first 16 to 20 KiB and no more.
async fn silence_after_some(telegram: &FakeTelegram, front: &Proxy) {
    telegram.behave_dc(2, |dc| dc.direct_starves_after = Some(18 << 10));
    let mut starved = clients(front).await;
    for client in &mut starved {
        let (total, size) = (100 * KIB, 8 * KIB);
        client
            .send(&Command::SendMe { total, size }.payload())
            .await
            .unwrap();
        for index in 0..2 {
            let answer = within("what is let through", client.recv_packet()).await;
            assert!(answer.unwrap() == streamed(index, size as usize));
        }
        // It asks again, in vain.
        client.send(&echo(1, 64)).await.unwrap();
    }
    is_kept(&mut starved).await;
    assert_eq!(front.counted("clients", ""), starved.len() as u64);
    // Nor is it worse for who comes then, and for other DCs.
    let mut next = front.served_client(2).await;
    telegram.behave_dc(2, |dc| dc.direct_starves_after = None);
    next.download(200 * KIB, 20 * KIB).await.unwrap();
    let mut whole = front.served_client(2).await;
    whole.download(200 * KIB, 20 * KIB).await.unwrap();
    let mut other = front.served_client(4).await;
    other.download(200 * KIB, 20 * KIB).await.unwrap();
    drop(starved);
    drop((next, whole, other));
    eventually("their ends", || telegram.counters().direct_live() == 0).await;
    telegram.assert_clean();
}

#[test]
fn nobody_is_dropped_where_there_is_no_other_way() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        silence_from_the_start(&telegram, &proxy).await;
    });
}

#[test]
fn the_first_kibibytes_alone_drop_nobody_either() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        silence_after_some(&telegram, &proxy).await;
    });
}

#[test]
fn a_back_drops_nobody_either() {
    run(async {
        let split = Split::start(built_binary!(), Route::Direct, &Secured::default(), |o| o).await;
        silence_from_the_start(&split.telegram, &split.front).await;
    });
    run(async {
        let split = Split::start(built_binary!(), Route::Direct, &Secured::default(), |o| o).await;
        silence_after_some(&split.telegram, &split.front).await;
    });
}
