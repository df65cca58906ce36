use proptest::prelude::*;

use super::*;
use crate::config::LimitError;

const DAY_SECONDS: u64 = 86_400;

fn limits(options: &[(&str, &str)]) -> Result<SecretLimits, LimitError> {
    let mut limits = SecretLimits::default();
    for (option, value) in options {
        limits.set(option, value)?;
    }
    Ok(limits)
}

fn ledger(options: &[(&str, &str)]) -> Ledger {
    Ledger::new([("alice", limits(options).unwrap())], "")
}

fn admit(ledger: &Ledger, client: &str, now: u64) -> Result<Membership, LimitRefusal> {
    let account = ledger.account("alice").unwrap();
    account.join(client.parse().unwrap(), now)
}

#[test]
fn expiry_and_quota_end_sessions() {
    let ledger = ledger(&[("expires", "1970-01-02"), ("quota", "1K")]);
    let day = DAY_SECONDS;
    let session = admit(&ledger, "192.0.2.1", 2 * day - 1).unwrap();
    assert_eq!(session.account().check(2 * day - 1), Ok(()));
    assert_eq!(session.account().check(2 * day), Err(LimitRefusal::Expired));
    let turn = session.account().turn();
    session.account().spend(&turn, 1023, Duration::ZERO);
    assert_eq!(
        session.account().pause(&turn, Duration::ZERO),
        Duration::ZERO
    );
    assert_eq!(session.account().check(5), Ok(()));
    session.account().spend(&turn, 1, Duration::ZERO);
    assert_eq!(session.account().check(5), Err(LimitRefusal::QuotaUsed));
    assert_eq!(
        admit(&ledger, "192.0.2.1", 5).err(),
        Some(LimitRefusal::QuotaUsed)
    );
}

#[test]
fn usage_is_kept() {
    let quota = limits(&[("quota", "100")]).unwrap();
    let first = Ledger::new([("alice", quota), ("bob of x", quota), ("eve", quota)], "");
    let spend = |ledger: &Ledger, name: &str, bytes| {
        let account = ledger.account(name).unwrap();
        let session = account.join("::1".parse().unwrap(), 1).unwrap();
        let turn = session.account().turn();
        session.account().spend(&turn, bytes, Duration::ZERO);
    };
    spend(&first, "alice", 7);
    spend(&first, "bob of x", 100);
    assert_eq!(first.usage(), "7 alice\n100 bob of x\n");
    let mut second = Ledger::new([("alice", quota)], &first.usage());
    assert_eq!(second.account("alice").unwrap().used(), 7);
    // Bob was taken away and comes back: his use is not forgotten.
    assert_eq!(second.usage(), first.usage());
    second.set_limits([("alice", quota), ("bob of x", quota)]);
    let bob = second.account("bob of x").unwrap();
    let refused = bob.join("::1".parse().unwrap(), 1).err();
    assert_eq!(refused, Some(LimitRefusal::QuotaUsed));
    assert_eq!(Ledger::new([], "nonsense\n-1 a\n\n").usage(), "");
}

#[test]
fn the_rate_is_kept_in_the_long_run() {
    let ledger = ledger(&[("rate", "1000")]);
    let session = admit(&ledger, "192.0.2.1", 1).unwrap();
    let mut clock = Duration::from_secs(100);
    let mut sent = 0;
    let turn = session.account().turn();
    while clock < Duration::from_secs(110) {
        sent += 300;
        session.account().spend(&turn, 300, clock);
        clock += session
            .account()
            .pause(&turn, clock)
            .max(Duration::from_millis(1));
    }
    assert!((10_000..=10_800).contains(&sent), "{sent}");
}

/// A download in large answers, which nobody can hold up, holds up itself.
#[test]
fn who_takes_little_does_not_wait_for_who_takes_much() {
    let ledger = ledger(&[("rate", "128K")]);
    let sessions = ["192.0.2.1", "192.0.2.2"].map(|client| admit(&ledger, client, 1).unwrap());
    let account = sessions[0].account();
    let [heavy, light] = [account.turn(), account.turn()];
    let clock = Duration::from_secs(100);
    account.spend(&heavy, 1 << 20, clock);
    assert!(account.pause(&heavy, clock) > Duration::from_secs(7));
    assert_eq!(account.pause(&light, clock), Duration::ZERO);
    account.spend(&light, 1000, clock);
    assert_eq!(account.pause(&light, clock), Duration::ZERO);
    // Whoever comes now waits for what is owed.
    assert!(account.pause(&account.turn(), clock) > Duration::from_secs(7));
    // Its part is half.
    account.spend(&light, 1 << 20, clock);
    assert!(account.pause(&light, clock) > Duration::from_secs(14));
}

#[test]
fn an_end_is_news_once() {
    let mut ledger = ledger(&[("expires", "1970-01-02"), ("quota", "1K")]);
    let day = DAY_SECONDS;
    let news = |ledger: &Ledger, now| ledger.newly_ended(now);
    let alice = |end| vec![("alice".to_owned(), end)];
    assert_eq!(news(&ledger, day), []);
    assert_eq!(news(&ledger, 2 * day), alice(LimitRefusal::Expired));
    assert_eq!(news(&ledger, 3 * day), []);
    ledger.set_limits([("alice", limits(&[("quota", "1K")]).unwrap())]);
    assert_eq!(news(&ledger, 3 * day), []);
    let account = ledger.account("alice").unwrap().clone();
    account.spend(&account.turn(), 1024, Duration::ZERO);
    assert_eq!(news(&ledger, 3 * day), alice(LimitRefusal::QuotaUsed));
    assert_eq!(news(&ledger, 3 * day), []);
    // One that is gone ends for nobody.
    ledger.set_limits([("bob", limits(&[("expires", "1970-01-05")]).unwrap())]);
    ledger.set_limits([]);
    assert_eq!(news(&ledger, 9 * day), []);
}

const RATE: u64 = 100_000;

/// A phone changes its address within its /64 whenever it likes.
#[test]
fn what_one_subscriber_has_counts_as_one_address() {
    let ledger = ledger(&[("max-ips", "2")]);
    let admit = |client| admit(&ledger, client, 1);
    let _phone = admit("2001:db8:0:1::1").unwrap();
    let _again = admit("2001:db8:0:1:ffff::2").unwrap();
    let _other = admit("192.0.2.1").unwrap();
    let _mapped = admit("::ffff:192.0.2.1").unwrap();
    for third in ["2001:db8:0:2::1", "192.0.2.2", "::ffff:192.0.2.2"] {
        let refused = admit(third).err();
        assert_eq!(refused, Some(LimitRefusal::TooManyAddresses), "{third}");
    }
}

proptest! {
    /// Whatever the order of names: each has one account, found by its name, and they
    /// are listed by it.
    #[test]
    fn accounts_are_those_of_a_map(
        names in proptest::collection::vec("[a-e]{1,2}", 0..20),
        renamed in proptest::collection::vec(("[a-e]{1,2}", "[a-e]{1,2}"), 0..5),
    ) {
        let secrets = names.iter().map(|name| (name.as_str(), SecretLimits::default()));
        let mut ledger = Ledger::new(secrets, "7 bb\n3 a\n");
        let mut model = std::collections::BTreeMap::from([("bb", 7), ("a", 3)]);
        for name in &names {
            model.entry(name).or_insert(0);
        }
        for (old, new) in &renamed {
            ledger.rename(old, new);
            if let Some(used) = model.remove(old.as_str()) {
                model.insert(new, used);
            }
        }
        for (name, used) in &model {
            prop_assert_eq!(ledger.account(name).map(|account| account.used()), Some(*used));
        }
        let lines: String = model.iter().filter(|(_, used)| **used > 0)
            .map(|(name, used)| format!("{used} {name}\n")).collect();
        prop_assert_eq!(ledger.usage(), lines);
    }

    /// However sessions come, take, rest and go: together they keep to the rate,
    /// but for what may come at once.
    #[test]
    fn sessions_together_keep_to_the_rate(
        steps in proptest::collection::vec(
            (any::<proptest::sample::Index>(), 0u64..100, 0u8..20), 1..800),
    ) {
        let ledger = ledger(&[("rate", &RATE.to_string())]);
        let account = ledger.account("alice").unwrap().clone();
        let mut inside: Vec<(Membership, Box<Turn>)> = Vec::new();
        let (start, mut passed, mut taken) = (Duration::from_secs(9), Duration::ZERO, 0);
        let mut most = 1;
        for (who, pause, action) in steps {
            passed += Duration::from_millis(pause / 4);
            if inside.is_empty() || action == 0 && inside.len() < 12 {
                let session = admit(&ledger, "::1", 1).unwrap();
                inside.push((session, Box::new(account.turn())));
                most = most.max(inside.len() as u64);
            } else if action == 1 {
                inside.swap_remove(who.index(inside.len()));
            } else {
                // As many as can take what they may.
                let begin = who.index(inside.len());
                let count = inside.len().min(usize::from(action));
                for (_, turn) in inside.iter().cycle().skip(begin).take(count) {
                    if account.pause(turn, start + passed).is_zero() {
                        let bytes = account.portion().unwrap();
                        account.spend(turn, bytes, start + passed);
                        taken += bytes;
                    }
                }
            }
            let allowed = RATE * passed.as_millis() as u64 / 1000;
            // Half a second's for all, and once more in their own turns.
            let at_once = RATE + (most + 1) * RATE / 8;
            prop_assert!(taken <= allowed + at_once, "{taken} > {allowed} + {at_once}");
        }
    }

    /// Live sessions and addresses against a plain list; `Some` leaves.
    #[test]
    fn counts_follow_the_living(
        most in 0u32..6,
        max_ips in 0u32..4,
        steps in proptest::collection::vec(
            (0u8..5, proptest::option::of(any::<proptest::sample::Index>())), 1..80),
    ) {
        let (connections, ips) = (most.to_string(), max_ips.to_string());
        let ledger = ledger(&[("max-connections", &connections), ("max-ips", &ips)]);
        let mut inside: Vec<(u8, Membership)> = Vec::new();
        for (host, leave) in steps {
            if let Some(who) = leave && !inside.is_empty() {
                inside.remove(who.index(inside.len()));
                continue;
            }
            let mut hosts: Vec<u8> = inside.iter().map(|(host, _)| *host).collect();
            hosts.sort_unstable();
            hosts.dedup();
            let wanted = if inside.len() >= most as usize {
                Some(LimitRefusal::TooManyConnections)
            } else if !hosts.contains(&host) && hosts.len() >= max_ips as usize {
                Some(LimitRefusal::TooManyAddresses)
            } else {
                None
            };
            match admit(&ledger, &format!("192.0.2.{host}"), 1) {
                Ok(session) => {
                    prop_assert_eq!(None, wanted);
                    inside.push((host, session));
                }
                Err(refusal) => prop_assert_eq!(Some(refusal), wanted),
            }
        }
        drop(inside);
        let account = ledger.account("alice").unwrap();
        prop_assert_eq!(account.live(), 0);
        prop_assert!(account.addresses.borrow().is_empty());
    }
}
