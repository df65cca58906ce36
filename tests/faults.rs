//! DCs that fail: the proxy serves who can be served, is not hammered with
//! silence, and comes back.

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::control::{Accept, Damage};
use fake_telegram::harness::{self, ProxyOptions, Route, start};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Options};
use fake_telegram::wait::{eventually, patience, run, within};

/// A DC that cannot be used: its clients are closed, others are served, it is
/// not hammered, and it is used again once it can be.
async fn outage(accept: Accept) {
    let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
    telegram.behave_dc(4, |b| b.accept = accept);
    let outage = async {
        for _ in 0..3 {
            let mut client = proxy.client(Kind::Padded).dc(4).connect().await.unwrap();
            let fate = client.fate_of(&echo(1, 64)).await;
            assert_eq!(fate, Fate::Closed, "{accept:?}");
        }
    };
    let others = async {
        for _ in 0..20 {
            proxy.served_client(2).await;
        }
    };
    let began = Instant::now();
    smol::future::zip(outage, others).await;
    let dials = telegram.counters().middle_accepted();
    let allowed = 10 + 5 * (began.elapsed().as_secs() + 1);
    assert!(
        dials < allowed,
        "{dials} connections in {:?}",
        began.elapsed()
    );
    telegram.behave_dc(4, |b| b.accept = Accept::Normal);
    let deadline = Instant::now() + patience();
    loop {
        let mut client = proxy.client(Kind::Padded).dc(4).connect().await.unwrap();
        if client.fate_of(&echo(1, 64)).await == Fate::Answered {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "DC 4 is never used again after {accept:?}"
        );
        smol::Timer::after(Duration::from_millis(100)).await;
    }
    telegram.assert_clean();
}

#[test]
fn a_dc_that_refuses_connections() {
    run(outage(Accept::Refuse));
}

#[test]
fn a_dc_that_drops_connections() {
    run(outage(Accept::Drop));
}

#[test]
#[ignore = "long; telegram::tests::outages has it in virtual time: make test-release"]
fn a_dc_that_drops_connections_after_the_handshake() {
    run(outage(Accept::DropAfterHandshake));
}

#[test]
fn a_dc_that_answers_with_a_handshake_error() {
    run(outage(Accept::HandshakeError(-7)));
}

#[test]
#[ignore = "long; telegram::tests::outages has it in virtual time: make test-release"]
fn a_dc_that_accepts_and_says_nothing() {
    run(outage(Accept::Silent));
}

#[test]
#[ignore = "long; telegram::tests::outages has it in virtual time: make test-release"]
fn a_dc_that_stops_in_the_handshake() {
    run(outage(Accept::SilentAfterNonce));
}

#[test]
fn a_wrong_clock_is_named() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
        telegram.behave_dc(2, |b| b.clock_skew = 120);
        let mut client = proxy.client(Kind::Padded).connect().await.unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        eventually("a word about the clock", || proxy.log_contains("clock")).await;
        assert!(proxy.counted("dc_connect_failures_total", "reason=\"clock_skew\"") >= 1);
        telegram.assert_clean();
    });
}

#[test]
fn damaged_frames_end_the_connection_and_not_the_clients() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
        let mut idle = proxy.served_client(2).await;
        let mut elsewhere = proxy.served_client(4).await;
        for damage in [Damage::Checksum, Damage::Sequence, Damage::Length] {
            let old = telegram.session_of(idle.local_addr()).unwrap().connection;
            telegram.damage(2, damage);
            eventually("the connection's end", || {
                telegram.connections().iter().all(|one| one.number != old)
            })
            .await;
            within("an echo", idle.echo(&echo(1, 64))).await.unwrap();
            within("an echo", elsewhere.echo(&echo(1, 64)))
                .await
                .unwrap();
        }
        assert_eq!(
            proxy.counted("dc_connection_ends_total", "reason=\"protocol\""),
            3
        );
        telegram.assert_clean();
    });
}

#[test]
fn a_damaged_answer_closes_the_client_that_got_it() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
        let mut idle = proxy.served_client(2).await;
        for damage in [Damage::Checksum, Damage::Sequence] {
            for size in [64, 1 << 20] {
                let mut client = proxy.served_client(2).await;
                telegram.behave_dc(2, |b| b.damage = Some(damage));
                client.send(&echo(2, size)).await.unwrap();
                // A short answer may be seen before its checksum is.
                within("a close", client.until_closed()).await.unwrap();
                within("an echo", idle.echo(&echo(1, 64))).await.unwrap();
            }
        }
        telegram.assert_clean();
    });
}

#[test]
fn telegram_closes_single_clients() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
        let mut neighbour = proxy.served_client(2).await;
        for kind in Kind::ALL {
            let mut client = proxy.client(kind).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            let address = client.local_addr();
            assert_eq!(telegram.close_sessions(|one| one.client == address), 1);
            assert_eq!(within("a close", client.until_closed()).await.unwrap(), []);
            within("an echo", neighbour.echo(&echo(1, 64)))
                .await
                .unwrap();
        }
        assert_eq!(
            proxy.counted("closed_total", "reason=\"closed_by_telegram\""),
            4
        );
        telegram.assert_clean();
    });
}

#[test]
fn unknown_messages_are_ignored() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
        let mut client = proxy.served_client(2).await;
        let connection = telegram.session_of(client.local_addr()).unwrap().connection;
        for _ in 0..20 {
            telegram.send_nonsense();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        }
        let session = telegram.session_of(client.local_addr()).unwrap();
        assert_eq!(session.connection, connection);
        assert_eq!(proxy.counted("unknown_rpc_total", ""), 20);
        telegram.assert_clean();
    });
}

/// A DC that is there but dead: pings are not answered, nothing is read.
#[test]
#[ignore = "long; telegram::tests::losses has it in virtual time: make test-release"]
fn a_stuck_connection_is_noticed() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Middle, |o| o).await;
        let mut client = proxy.served_client(2).await;
        let old = telegram.session_of(client.local_addr()).unwrap().connection;
        telegram.behave_dc(2, |b| b.ignore_pings = true);
        telegram.behave_dc(2, |b| b.mute = true);
        eventually("the stuck connection's end", || {
            telegram.connections().iter().all(|one| one.number != old)
        })
        .await;
        telegram.behave_dc(2, |b| b.ignore_pings = false);
        telegram.behave_dc(2, |b| b.mute = false);
        client.fate_of(&echo(1, 64)).await;
        proxy.served_client(2).await;
        assert_eq!(
            proxy.counted("dc_connection_ends_total", "reason=\"ping_timeout\""),
            1
        );
        telegram.assert_clean();
    });
}

#[test]
#[ignore = "long; telegram::tests::outages has it in virtual time: make test-release"]
fn direct_dcs_that_refuse_or_say_nothing() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        telegram.behave_dc(4, |b| b.direct_refuse = true);
        let mut client = proxy.client(Kind::Padded).dc(4).connect().await.unwrap();
        assert_eq!(client.fate_of(&echo(1, 64)).await, Fate::Closed);
        telegram.behave_dc(4, |b| b.direct_refuse = false);
        proxy.served_client(4).await;
        proxy.served_client(2).await;
        telegram.assert_clean();
    });
}

#[test]
fn a_direct_dc_with_two_addresses_falls_over() {
    run(async {
        let telegram = FakeTelegram::start(Options::default()).unwrap();
        // Nobody listens at the first address.
        let dead = harness::free_address();
        let options = ProxyOptions::new(built_binary!(), &telegram, Route::Direct);
        let alive = telegram.direct_addresses(2)[0];
        let proxy = options
            .set("--dc", format!("2={dead}"))
            .add("--dc", format!("2={alive}"))
            .start()
            .await;
        for _ in 0..4 {
            proxy.served_client(2).await;
        }
        telegram.assert_clean();
    });
}
