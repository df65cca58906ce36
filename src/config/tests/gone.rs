//! Secrets, domains and forms of invites that a reload takes from people.

use super::*;

#[test]
fn a_secret_is_gone_when_its_key_is() {
    let key = |digit: char| KEY.replace('0', &digit.to_string());
    let changes = |old: &[(&str, String)], new: &[(&str, String)]| {
        let with = |flags: &[(&str, String)]| {
            let flags: Vec<_> = flags
                .iter()
                .map(|(flag, value)| (*flag, &**value))
                .collect();
            config(&flags)
        };
        let found = with(old).differences(&with(new));
        (found.renamed, found.removed)
    };
    let secret = |name: &str, digit| ("--secret", format!("{name}={}", key(digit)));
    let own = |port, digit| {
        (
            "--listen",
            format!("192.0.2.1:{port},secret={}", key(digit)),
        )
    };
    let renamed = |from: &str, to: &str| vec![(from.to_owned(), to.to_owned())];
    let (a, b, c) = (secret("a", '1'), secret("b", '2'), secret("c", '1'));
    let both = [a.clone(), b.clone()];
    assert_eq!(
        changes(&both, std::slice::from_ref(&b)),
        (vec![], vec!["a".to_owned()])
    );
    assert_eq!(changes(&both, &[b.clone(), a.clone()]), (vec![], vec![]));
    assert_eq!(changes(&both, &[c, b.clone()]), (renamed("a", "c"), vec![]));
    // A name with another key.
    assert_eq!(
        changes(&both, &[secret("a", '3'), b.clone()]),
        (vec![], vec!["a".to_owned()])
    );
    // Two names change places.
    let swapped = [secret("a", '2'), secret("b", '1')];
    assert_eq!(changes(&both, &swapped), (vec![], vec![]));
    // To a listener and away from it.
    let of_listener = [own(1, '1'), b.clone()];
    assert_eq!(
        changes(&both, &of_listener),
        (renamed("a", "192.0.2.1:1"), vec![])
    );
    let elsewhere = [own(2, '1'), b.clone()];
    let moved = renamed("192.0.2.1:1", "192.0.2.1:2");
    assert_eq!(changes(&of_listener, &elsewhere), (moved, vec![]));
    let gone = vec!["192.0.2.1:1".to_owned()];
    assert_eq!(changes(&of_listener, &[b]), (vec![], gone));
}

#[test]
fn domains_that_links_may_name_no_more() {
    let lost = |old: &[&str], new: &[&str]| {
        let with = |domains: &[&str]| {
            let flags: Vec<_> = domains
                .iter()
                .map(|domain| ("--tls-domain", *domain))
                .collect();
            config(&[&[("--secret", KEY)], &flags[..]].concat())
        };
        let found = with(old).differences(&with(new));
        let lost: Vec<_> = found.lost_domains.iter().map(ToString::to_string).collect();
        (lost.join(" "), found.lost_other_domains)
    };
    let told = |text: &str, others| (text.to_owned(), others);
    assert_eq!(
        lost(&["a.example"], &["b.example"]),
        told("a.example", false)
    );
    assert_eq!(
        lost(&["a.example"], &["b.example", "a.example"]),
        told("", false)
    );
    assert_eq!(lost(&["a.example"], &[]), told("", false));
    assert_eq!(lost(&[], &["a.example"]), told("", true));
    assert_eq!(lost(&[], &[]), told("", false));
}

#[test]
fn forms_of_links_that_work_no_more() {
    let with = |flags: &[(&str, &str)]| config(&[&[("--secret", KEY)], flags].concat());
    let all = [("--allow", "classic,dd,tls"), ("--tls-domain", "a.example")];
    let lost = |old: &[_], new: &[_]| with(old).differences(&with(new)).lost_forms;
    assert_eq!(lost(&all, &[all[1]]), ["classic"]);
    assert_eq!(lost(&all, &[("--allow", "classic")]), ["dd", "tls (ee…)"]);
    assert!(lost(&all[..1], &[]).ends_with(&["classic"]));
    assert!(lost(&[], &[("--allow", "dd")]).is_empty(), "without a site");
    assert!(lost(&[all[1]], &all).is_empty());
    let salted = [all[1], ("--sni-salt", "a")];
    let other_salt = |old: &[_], new: &[_]| with(old).differences(&with(new)).other_salt;
    assert!(other_salt(&all, &salted) && other_salt(&salted, &[all[1]]));
    assert!(!other_salt(&salted, &salted));
}
