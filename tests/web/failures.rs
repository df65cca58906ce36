//! The web front fails at every step: the next route is taken soon, and at once by
//! those who come later.

use fake_telegram::harness::ProxyOptions;
use fake_telegram::wait::{eventually, run};
use fake_telegram::web_front::manners::{Answer, Certificate, Ill, Manners, Step};

use crate::{AT_ONCE, NEXT, Set, Set0, refused, served_within};

fn no_spare(options: ProxyOptions) -> ProxyOptions {
    options.set("--ws-spare", 0)
}

/// Clients are served by `direct` while the front is as `spoil` makes it.
async fn fails(what: &str, spoil: impl Fn(&mut Manners)) {
    let prepare = |set: &Set0| set.front.behave(|manners| spoil(manners));
    let set = Set::start_with("ws,direct", prepare, no_spare).await;
    let first = served_within(&set.proxy, NEXT).await;
    let asked = set.front.tally().accepted;
    assert!(asked > 0, "{what}: the front was not tried");
    for _ in 0..3 {
        served_within(&set.proxy, AT_ONCE).await;
    }
    assert_eq!(set.front.tally().accepted, asked, "{what}: it did not rest");
    assert_eq!(set.telegram.counters().direct_accepted(), 4, "{what}");
    assert!(set.tried("direct", "opened") >= 4, "{what}");
    drop(first);
    set.assert_clean();
}

#[test]
fn the_front_ends_or_falls_silent_at_a_step() {
    for step in [
        Step::Accepted,
        Step::Hello,
        Step::Shaken,
        Step::Requested,
        Step::MidAnswer,
    ] {
        for ill in [Ill::Reset, Ill::End, Ill::Silent] {
            let what = format!("{step:?} {ill:?}");
            run(fails(&what, |manners| manners.ill = Some((step, ill))));
        }
    }
}

#[test]
fn the_front_answers_otherwise() {
    for answer in [
        Answer::Status(200),
        Answer::Status(302),
        Answer::Status(403),
        Answer::Status(502),
        Answer::WrongAccept,
        Answer::NoAccept,
        Answer::Endless,
        Answer::Nonsense,
    ] {
        let what = format!("{answer:?}");
        run(fails(&what, |manners| manners.answer = answer.clone()));
    }
}

#[test]
fn nobody_is_served_behind_a_wrong_certificate() {
    for certificate in [
        Certificate::WrongName,
        Certificate::Expired,
        Certificate::Stranger,
    ] {
        let what = format!("{certificate:?}");
        run(fails(&what, |manners| manners.certificate = certificate));
        run(async {
            let prepare = |set: &Set0| set.front.behave(|m| m.certificate = certificate);
            let set = Set::start_with("ws", prepare, no_spare).await;
            refused(&set.proxy).await;
            let told = || set.proxy.log_contains("certificate");
            eventually("a word about it", told).await;
            assert_eq!(set.front.tally().visits, []);
        });
    }
}

#[test]
fn an_answer_without_a_sub_protocol_will_do() {
    run(async {
        let prepare = |set: &Set0| set.front.behave(|m| m.answer = Answer::NoProtocol);
        let set = Set::start_with("ws", prepare, no_spare).await;
        served_within(&set.proxy, NEXT).await;
        set.assert_clean();
    });
}

#[test]
fn the_front_is_not_there() {
    run(async {
        let prepare = |set: &Set0| set.front.refuse(true);
        let set = Set::start_with("ws,direct", prepare, no_spare).await;
        served_within(&set.proxy, AT_ONCE).await;
        served_within(&set.proxy, AT_ONCE).await;
        assert!(set.tried("ws", "useless") >= 1);
    });
}

/// With nothing else there is no rest that keeps anybody waiting.
#[test]
fn a_front_that_comes_back_is_found() {
    run(async {
        let prepare = |set: &Set0| set.front.refuse(true);
        let set = Set::start_with("ws", prepare, no_spare).await;
        refused(&set.proxy).await;
        set.front.refuse(false);
        served_within(&set.proxy, NEXT).await;
        set.front.behave(|m| m.answer = Answer::Status(502));
        refused(&set.proxy).await;
        set.front.behave(|m| m.answer = Answer::Upgrade);
        served_within(&set.proxy, NEXT).await;
        set.assert_clean();
    });
}

#[test]
fn a_front_that_ends_in_the_middle_ends_its_client() {
    for (step, ill) in [
        (Step::Upgraded, Ill::Reset),
        (Step::Upgraded, Ill::End),
        (Step::Opened, Ill::Reset),
        (Step::Opened, Ill::End),
        (Step::MidFrame, Ill::Reset),
        (Step::MidFrame, Ill::End),
    ] {
        run(async {
            let set = Set::start_with("ws", |_| {}, no_spare).await;
            set.front.behave(|m| m.ill = Some((step, ill)));
            refused(&set.proxy).await;
            set.front.behave(|m| m.ill = None);
            served_within(&set.proxy, NEXT).await;
            eventually("their ends", || set.front.tally().live == 0).await;
            set.assert_clean();
        });
    }
}
