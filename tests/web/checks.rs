//! What `check` says of the routes.
#![cfg(feature = "check")]

use fake_telegram::wait::run;
use fake_telegram::web_front::manners::{Ill, Manners};

use crate::Set;

async fn start(route: &str, spoil: impl Fn(&mut Manners)) -> Set {
    let prepare = |set: &crate::Set0| set.front.behave(|manners| spoil(manners));
    Set::start_with(route, prepare, |options| options.in_config_file()).await
}

/// What it says, and where the front is.
async fn check(set: &Set, more: &'static [&'static str]) -> (String, String) {
    let config = set.proxy.directory().join("proxy.conf");
    let config = config.display().to_string();
    let mut command = set.proxy.prepared(&["check", "--config", &config]);
    command.args(more);
    let output = smol::unblock(move || command.output().unwrap()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    (text, set.front.address().to_string())
}

fn has(said: &str, begin: &str, end: &str) {
    let is_it = |line: &str| line.starts_with(begin) && line.ends_with(end);
    assert!(said.lines().any(is_it), "{begin}…{end} in {said}");
}

#[test]
fn good_is_what_telegram_answers_by() {
    run(async {
        let set = start("ws,direct", |_| {}).await;
        let (said, front) = check(&set, &[]).await;
        for dc in [1, 2, 3, 4, 5, 203] {
            let host = if dc == 203 { 2 } else { dc };
            let ws =
                format!("ok    DC {dc} ws: {front} as kws{host}.web.telegram.org, TLS 1.3, in ");
            has(&said, &ws, " ms");
            has(&said, &format!("ok    DC {dc} direct: 127."), " ms");
        }
        let (said, _) = check(&set, &["--json"]).await;
        assert!(said.contains(r#""subject":"DC 2 ws""#), "{said}");
        assert!(said.contains(r#""route":"ws""#) && said.contains(r#""route":"direct""#));
        set.assert_clean();
    });
}

#[test]
fn what_is_wrong_is_said_with_the_way_out() {
    run(async {
        let filter = Some(("web.telegram.org".to_owned(), Ill::Reset));
        let set = start("ws,direct", |manners| manners.filter = filter.clone()).await;
        let (said, front) = check(&set, &[]).await;
        let why = "no answer to the TLS hello (name filtered?); try --ws-sni";
        has(&said, &format!("warn  DC 2 ws: {front}: {why}"), "");
        has(&said, "ok    DC 2 direct: ", " ms");
        set.assert_clean();
        let redirected = ["kws5", "kws5-1"].map(|name| format!("{name}.web.telegram.org"));
        let set = start("ws", |manners| manners.redirected = redirected.to_vec()).await;
        let (said, front) = check(&set, &[]).await;
        has(
            &said,
            &format!("fail  DC 5 ws: 302, not served at {front}"),
            "",
        );
        has(&said, "ok    DC 4 ws: ", " ms");
        assert!(!said.contains("no DC answers"), "{said}");
        set.assert_clean();
    });
}

#[test]
fn a_front_that_takes_everything_and_answers_nothing_is_no_way() {
    run(async {
        let set = start("ws", |manners| manners.swallows = true).await;
        let (said, front) = check(&set, &[]).await;
        let begin = format!("fail  DC 2 ws: {front} as kws2.web.telegram.org, TLS 1.3: ");
        has(&said, &begin, "something on the way swallows it");
        has(&said, "fail  Telegram: no DC answers by --route ws: ", "");
    });
}
