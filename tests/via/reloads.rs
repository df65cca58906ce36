//! A reload that changes `--via` is for what comes after it.

use fake_telegram::built_binary;
use fake_telegram::client::{Fate, Kind};
use fake_telegram::harness::{Proxy, ProxyOptions, Route, Secured};
use fake_telegram::payload::echo;
use fake_telegram::telegram::{FakeTelegram, Flag, Options};
use fake_telegram::via::{Protocol, Via};
use fake_telegram::wait::{eventually, run, within};

use crate::{PASSWORD, Set, fate, served, server, set_via};

async fn reloaded(proxy: &mut Proxy, change: impl FnOnce(&mut Vec<Flag>)) -> Vec<String> {
    let lines = proxy.log().len();
    proxy.reload(change);
    let is_said = |proxy: &Proxy| {
        let log = proxy.log();
        log[lines..]
            .iter()
            .any(|line| line.contains("info reloaded: "))
    };
    eventually("a reload", || is_said(proxy)).await;
    proxy.log().split_off(lines)
}

#[test]
fn a_reload_holds_for_new_connections_and_leaves_old_ones() {
    run(async {
        let first = server(Protocol::Socks5, true);
        let mut set = Set::start(first, "socks5", |o| o.in_config_file()).await;
        let second = Via::start(server(Protocol::Http, true)).unwrap();
        let mut through_first = served(&set.proxy).await;

        let said = reloaded(&mut set.proxy, |flags| {
            set_via(flags, Some(second.url("http")))
        })
        .await;
        assert!(said.iter().any(|line| line.contains("via")), "{said:#?}");
        let mut through_second = served(&set.proxy).await;
        assert_eq!((set.asked(), set.asked_of(&second)), (1, 1));
        within("an echo", through_first.echo(&echo(2, 512)))
            .await
            .unwrap();

        reloaded(&mut set.proxy, |flags| set_via(flags, None)).await;
        let mut straight = served(&set.proxy).await;
        assert_eq!((set.asked(), set.asked_of(&second)), (1, 1));
        for client in [&mut through_first, &mut through_second, &mut straight] {
            within("an echo", client.echo(&echo(3, 512))).await.unwrap();
        }

        // And back, to the first, with its server resting or not.
        let url = set.via.url("socks5h");
        reloaded(&mut set.proxy, |flags| set_via(flags, Some(url))).await;
        let mut again = served(&set.proxy).await;
        assert_eq!((set.asked(), set.asked_of(&second)), (2, 1));
        for client in [
            &mut through_first,
            &mut through_second,
            &mut straight,
            &mut again,
        ] {
            within("an echo", client.echo(&echo(4, 512))).await.unwrap();
        }
        assert!(
            !set.proxy
                .log()
                .iter()
                .any(|line| line.contains(PASSWORD) || line.contains("xq%2F7"))
        );
        set.via.assert_clean();
        second.assert_clean();
        set.telegram.assert_clean();
    });
}

/// Who corrects the URL need not wait for the wrong one's rest.
#[test]
fn a_reload_ends_the_rest_of_a_wrong_server() {
    run(async {
        let mut set = Set::start(server(Protocol::Socks5, true), "socks5", |o| {
            o.in_config_file()
        })
        .await;
        let right = set.via.url("socks5");
        let wrong = right.replace("an%3Ana", "nobody");
        assert_ne!(right, wrong);
        reloaded(&mut set.proxy, |flags| set_via(flags, Some(wrong))).await;
        let fate = fate(&set.proxy, Kind::Padded).await;
        assert_eq!(fate, Fate::Closed);
        reloaded(&mut set.proxy, |flags| set_via(flags, Some(right))).await;
        served(&set.proxy).await;
        set.via.assert_clean();
    });
}

/// A front hears of it on the link that it has.
#[test]
fn a_front_hears_that_its_back_reaches_middle_proxies_again() {
    run(async {
        let telegram = Options {
            tag: Some([0xab; 16]),
            ..Options::default()
        };
        let telegram = FakeTelegram::start(telegram).unwrap();
        let via = Via::start(server(Protocol::Socks5, true)).unwrap();
        let secured = Secured::default();
        let back = ProxyOptions::back(built_binary!(), &telegram, &secured);
        let back = back.set("--via", via.url("socks5")).in_config_file();
        let mut back = back.start().await;
        let backs = [back.address()];
        let front =
            ProxyOptions::front(built_binary!(), &telegram, Route::Middle, &secured, &backs);
        let front = front.set("--route", "auto").start().await;
        front.linked(1).await;
        let counts = || {
            let counters = telegram.counters();
            (counters.middle_accepted() > 0, counters.direct_accepted())
        };
        let mut direct = served(&front).await;
        assert_eq!(counts(), (false, 1));

        // The link says so with the first client that comes.
        reloaded(&mut back, |flags| set_via(flags, None)).await;
        served(&front).await;
        let mut middle = served(&front).await;
        assert_eq!(counts(), (true, 2));

        let url = via.url("socks5");
        reloaded(&mut back, |flags| set_via(flags, Some(url))).await;
        assert_eq!(fate(&front, Kind::Padded).await, Fate::Closed);
        served(&front).await;
        assert_eq!(counts(), (true, 3));
        for client in [&mut direct, &mut middle] {
            within("an echo", client.echo(&echo(2, 512))).await.unwrap();
        }
        telegram.assert_clean();
        via.assert_clean();
    });
}
