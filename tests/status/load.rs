//! What an open page costs those who use the proxy.

use std::time::{Duration, Instant};

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{Route, start};
use fake_telegram::payload::echo;
use fake_telegram::wait::run;

use super::asking::{Asker, token};

/// Of processor time, of a build that is not optimized: ten a second stay far below what an
/// echo takes longer then.
const MOST: Duration = Duration::from_millis(10);

#[test]
fn an_open_page_takes_little_time() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        let token = token(&proxy);
        let mut client = proxy.client(Kind::Padded).dc(2).served().await.unwrap();
        client.echo(&echo(1, 64)).await.unwrap();
        let targets = [
            "/v1/status",
            "/v1/secrets",
            "/v1/routes",
            "/v1/history",
            "/",
            "/readyz",
        ];
        let (before, rounds) = (proxy.processor_seconds(), 20);
        let mut slowest = Duration::ZERO;
        for _ in 0..rounds {
            for target in targets {
                assert_eq!(
                    Asker::of(&proxy).token(&token).get(target).status,
                    200,
                    "{target}"
                );
            }
            let began = Instant::now();
            client.echo(&echo(1, 64)).await.unwrap();
            slowest = slowest.max(began.elapsed());
        }
        let asked = rounds * targets.len();
        let took = (proxy.processor_seconds() - before) / asked as f64;
        println!(
            "{:.3} ms of processor time an answer; slowest echo {slowest:?}",
            took * 1000.0
        );
        assert!(took < MOST.as_secs_f64(), "{took} s an answer");
        telegram.assert_clean();
    });
}
