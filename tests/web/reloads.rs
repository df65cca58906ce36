//! What a reload changes of web fronts: for new clients.

use fake_telegram::client::Kind;
use fake_telegram::harness::ProxyOptions;
use fake_telegram::payload::echo;
use fake_telegram::wait::{eventually, run, within};
use fake_telegram::web_front::{Kind as Front, Options, WebFront};

use crate::{AT_ONCE, Set, served_within};

#[test]
fn new_clients_go_to_the_front_of_the_new_config() {
    run(async {
        let in_file = |o: ProxyOptions| o.in_config_file().set("--ws-spare", 0);
        let mut set = Set::start_with("ws", |_| {}, in_file).await;
        let mut old = served_within(&set.proxy, AT_ONCE).await;
        let options = Options {
            authority: set.front.options().authority.clone(),
            ..Options::new(Front::Telegram)
        };
        let other = WebFront::start(&set.telegram, options).unwrap();
        let (from, to) = (set.front.address(), other.address());
        set.proxy.reload(|flags| {
            for (_, value) in flags.iter_mut().filter(|(name, _)| *name == "--ws") {
                *value = value.replace(&from.to_string(), &to.to_string());
            }
        });
        let reloads = |set: &Set| set.proxy.counted("config_reloads_total", "");
        eventually("a reload", || reloads(&set) == 1).await;
        let mut new = served_within(&set.proxy, AT_ONCE).await;
        assert_eq!(other.tally().opened, [2]);
        assert_eq!(set.front.tally().opened, [2]);
        set.proxy.reload(|flags| {
            let flag = flags.iter_mut().find(|(name, _)| *name == "--route");
            flag.unwrap().1 = "direct,ws".to_owned();
        });
        eventually("a reload", || reloads(&set) == 2).await;
        // For DC 2 the route that worked last goes before the first of the list.
        let mut direct = crate::served(&set.proxy, Kind::FakeTls, 4).await.0;
        assert_eq!(set.telegram.counters().direct_accepted(), 1);
        for client in [&mut old, &mut new, &mut direct] {
            within("an echo", client.echo(&echo(1, 64))).await.unwrap();
        }
        set.assert_clean();
    });
}

#[test]
fn authorities_that_cannot_be_used_leave_everything_as_it_was() {
    run(async {
        let in_file = |o: ProxyOptions| o.in_config_file().set("--ws-spare", 0);
        let mut set = Set::start_with("ws", |_| {}, in_file).await;
        let place = set.proxy.directory().join("web-ca.pem");
        std::fs::write(&place, "none").unwrap();
        set.proxy.reload(|_| {});
        let failures = |set: &Set| set.proxy.counted("config_reload_failures_total", "");
        eventually("a refusal", || failures(&set) == 1).await;
        let is_said = || set.proxy.log_contains("no certificate is in it");
        eventually("a word about it", is_said).await;
        // Those of the start still hold, though nobody has used them yet.
        served_within(&set.proxy, AT_ONCE).await;
        set.assert_clean();
    });
}
