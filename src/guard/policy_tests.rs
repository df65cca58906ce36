use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::guard::table::ReadTable;

fn visitor(client: &str) -> Visitor<'static> {
    Visitor {
        listener: "main",
        secret: "alice",
        tls_domain: None,
        client: client.parse().unwrap(),
    }
}

fn policies(rules: &[&str], tables: &[Rc<Table>]) -> Result<Policies, PolicyError> {
    let rules: Vec<Rule> = rules
        .iter()
        .map(|rule| rule.parse())
        .collect::<Result<_, _>>()?;
    Policies::new(&rules, tables, None)
}

fn table(name: &str, text: &str) -> Rc<Table> {
    let table = ReadTable::from_text(name, Path::new("table"), text);
    Rc::new(Table::from(table.unwrap()))
}

#[test]
fn a_table_that_is_missing_is_named() {
    let error = policies(&["in-table:secret:friends"], &[]).err().unwrap();
    assert!(error.to_string().contains("--table friends=FILE"));
}

#[test]
fn tables_let_in_and_keep_out() {
    let banned = table("banned", "192.0.2.0/24\n2001:db8::/32\n");
    let friends = table("friends", "site.example\n");
    let both = policies(
        &[
            "not-in-table:client-subnet/32/128:banned",
            "in-table:tls-domain:friends",
        ],
        &[banned, friends.clone()],
    )
    .unwrap();
    let ask = |client: &str, tls_domain| {
        let who = Visitor {
            tls_domain,
            ..visitor(client)
        };
        both.permit(&who).map(|permit| permit.is_counted())
    };
    assert_eq!(ask("198.51.100.1", Some("Site.Example")), Ok(false));
    assert_eq!(
        ask("192.0.2.4", Some("site.example")),
        Err(Refusal::InTable)
    );
    assert_eq!(
        ask("::ffff:192.0.2.4", Some("site.example")),
        Err(Refusal::InTable)
    );
    assert_eq!(
        ask("2001:db8::1", Some("site.example")),
        Err(Refusal::InTable)
    );
    assert_eq!(
        ask("198.51.100.1", Some("other.example")),
        Err(Refusal::NotInTable)
    );
    assert_eq!(ask("198.51.100.1", None), Err(Refusal::NotInTable));
    friends.add("other.example").unwrap();
    assert_eq!(ask("198.51.100.1", Some("other.example")), Ok(false));
}

#[test]
fn a_later_refusal_gives_the_place_back() {
    let banned = table("later", "192.0.2.1\n");
    let rules = [
        "max-connections:listener:1",
        "not-in-table:client-ipv4:later",
    ];
    let policies = policies(&rules, &[banned]).unwrap();
    assert_eq!(
        policies.permit(&visitor("192.0.2.1")).err(),
        Some(Refusal::InTable)
    );
    let permit = policies.permit(&visitor("192.0.2.2")).unwrap();
    assert!(permit.is_counted());
    assert!(policies.permit(&visitor("192.0.2.2")).is_err());
}

#[test]
fn counts_live_through_a_reload() {
    let rule: Rule = "max-connections:secret:1".parse().unwrap();
    let old = Policies::new(std::slice::from_ref(&rule), &[], None).unwrap();
    let permit = old.permit(&visitor("192.0.2.1")).unwrap();
    let new = Policies::new(&[rule], &[], Some(&old)).unwrap();
    drop(old);
    assert!(new.permit(&visitor("192.0.2.1")).is_err());
    drop(permit);
    assert!(new.permit(&visitor("192.0.2.1")).is_ok());
}

#[test]
fn a_smaller_number_counts_who_is_in_already() {
    let rules =
        |texts: &[&str]| -> Vec<Rule> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    let ask = |policies: &Policies| policies.permit(&visitor("192.0.2.1"));
    let old = rules(&["max-connections:secret:3", "max-connections:secret:3"]);
    let old = Policies::new(&old, &[], None).unwrap();
    let _inside = [ask(&old).unwrap(), ask(&old).unwrap()];
    // A rule that is there twice still counts everybody once.
    let new = rules(&["max-connections:secret:4", "max-connections:secret:3"]);
    let new = Policies::new(&new, &[], Some(&old)).unwrap();
    let _third = ask(&new).unwrap();
    assert!(ask(&new).is_err());
    let fewer = rules(&["max-connections:secret:2"]);
    let fewer = Policies::new(&fewer, &[], Some(&new)).unwrap();
    assert!(ask(&fewer).is_err());
}

proptest! {
    /// Live permits against a plain list of who is in; `Some` leaves.
    #[test]
    fn limits_count_the_living(
        most in 0u32..4,
        steps in proptest::collection::vec(
            (0u8..2, 0u8..6, proptest::option::of(any::<proptest::sample::Index>())), 1..80),
    ) {
        let rule = format!("max-connections:listener+client-subnet/30:{most}");
        let policies = policies(&[&rule], &[]).unwrap();
        let mut inside: Vec<((u8, u8), Permit)> = Vec::new();
        for (listener, host, leave) in steps {
            if let Some(who) = leave && !inside.is_empty() {
                inside.remove(who.index(inside.len()));
                continue;
            }
            let group = (listener, host / 4);
            let who = Visitor {
                listener: ["a", "b"][usize::from(listener)],
                client: IpAddr::V4([192, 0, 2, host].into()),
                ..visitor("::1")
            };
            let live = inside.iter().filter(|(other, _)| *other == group).count();
            match policies.permit(&who) {
                Ok(permit) => {
                    prop_assert!(live < most as usize);
                    inside.push((group, permit));
                }
                Err(refusal) => {
                    prop_assert_eq!(refusal, Refusal::TooManyConnections);
                    prop_assert_eq!(live, most as usize);
                }
            }
        }
        drop(inside);
        prop_assert!(policies.checks.iter().all(|check| check.counter.live.borrow().is_empty()));
    }
}
