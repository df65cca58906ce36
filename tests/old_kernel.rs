//! A kernel, or a sandbox, that lacks the socket options which are a comfort: here
//! it lacks all.

use fake_telegram::built_binary;
use fake_telegram::client::Kind;
use fake_telegram::harness::{self, Proxy, Route, Secured, Split, Strace, free_address};
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};

const WORDS: [&str; 3] = [
    "info no TCP_NODELAY here (Protocol not available (os error 92)): ",
    "info no keepalive of our own here (",
    "info no TCP_USER_TIMEOUT here (",
];

/// Every option that is set from now on is refused.
async fn refuse_options(proxy: &Proxy) -> Option<Strace> {
    Strace::inject(proxy, "setsockopt", "error=ENOPROTOOPT", None).await
}

fn count(proxy: &Proxy, word: &str) -> usize {
    let log = proxy.log();
    log.iter().filter(|line| line.contains(word)).count()
}

#[test]
fn clients_are_served_without_comforts_and_the_log_says_so_once() {
    run(async {
        for route in Route::ALL {
            let change = |o: harness::ProxyOptions| o.in_config_file();
            let (telegram, mut proxy) = harness::start(built_binary!(), route, change).await;
            // Who fetches them needs time limits, which are no comfort.
            eventually("Telegram's lists", || count(&proxy, ": new from ") == 3).await;
            let Some(_refusing) = refuse_options(&proxy).await else {
                return;
            };
            let mut clients = Vec::new();
            for kind in Kind::ALL {
                let mut client = proxy.client(kind).connect().await.unwrap();
                within("an echo", client.echo(&echo(1, 512))).await.unwrap();
                clients.push(client);
            }
            for word in WORDS {
                eventually(word, || count(&proxy, word) == 1).await;
            }
            // A listener that comes later.
            let another = free_address();
            proxy.reload(|flags| flags.push(("--listen", another.to_string())));
            eventually("another listener", || {
                proxy.log_contains(&format!("listening on {another}"))
            })
            .await;
            eventually("a word about it", || {
                count(&proxy, "info no SO_REUSEADDR here (") == 1
            })
            .await;
            let mut client = Kind::Padded.options(another).connect().await.unwrap();
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
            for word in WORDS {
                assert_eq!(count(&proxy, word), 1, "{:#?}", proxy.log());
            }
            telegram.assert_clean();
        }
    });
}

#[test]
fn links_stand_without_comforts() {
    run(async {
        let secured = Secured::default();
        let split = Split::start(built_binary!(), Route::Middle, &secured, |o| o).await;
        let (telegram, back, front) = (split.telegram, split.back, split.front);
        let Some(_refusing) = refuse_options(&front).await else {
            return;
        };
        let back = back.stop().await.start().await;
        front.linked(1).await;
        front.served_client(2).await;
        let Some(_refusing) = refuse_options(&back).await else {
            return;
        };
        let front = front.stop().await.start().await;
        front.linked(1).await;
        front.served_client(2).await;
        for word in WORDS {
            eventually(word, || count(&back, word) == 1).await;
        }
        telegram.assert_clean();
    });
}
