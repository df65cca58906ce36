use std::fmt;

use super::super::doors::OWN_SECRET;
use super::super::old_secret::OldSecret;
use super::super::secret::{LimitChange, SecretLimits};
use super::super::values::{BadValue, bad, check_name};
use super::{Entry, Line, Text, UNTIL, User, Users};
use crate::wire::calendar::time_text;
use crate::wire::secret::SharedSecret;

/// Every handshake is tried with each of them, and each takes memory.
pub(crate) const MAX_USERS: usize = 10_000;

/// Of one user, that are good at a time.
const MAX_OLD: usize = 4;

/// The first lines of a file that is new.
const HEAD: [&str; 2] = [
    "# The users of this proxy, which writes this file: see smol-mtproxy user --help.",
    "# By hand: NAME=SECRET,LIMIT=VALUE… a line, as --secret has it; then reload (SIGHUP).",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserChange {
    Add {
        name: String,
        secret: SharedSecret,
        limits: LimitChange,
    },
    Limit {
        name: String,
        limits: LimitChange,
    },
    /// Another secret in the old one's place, which is good until then.
    Rotate {
        name: String,
        secret: SharedSecret,
        until: Option<u64>,
    },
    Remove {
        name: String,
    },
}

/// Why users are not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserRefusal {
    NoUser(String),
    IsThere(String),
    Full(usize),
    ManyOld(String),
}

impl fmt::Display for UserRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser(name) => {
                write!(f, "there is no user {name}; `user list` has their names")
            }
            Self::IsThere(name) => write!(
                f,
                "there is a user {name}; change it with `user limit` or `user rotate`, or take \
                 another name"
            ),
            Self::Full(most) => write!(
                f,
                "there are {most} users, as many as this machine's memory is good for: remove some"
            ),
            Self::ManyOld(name) => write!(
                f,
                "{MAX_OLD} old secrets of {name} are still good; wait for the end of one, or leave \
                 --keep out, which ends all of them"
            ),
        }
    }
}

/// Names of users stand in links' captions, logs, lines of their file and paths of the API.
pub(crate) fn check_user_name(name: &str) -> Result<(), BadValue> {
    if name.parse::<SharedSecret>().is_ok() {
        return bad("the name is a secret, and names stand in logs: give another one");
    }
    if name.starts_with(['#', '-']) {
        return bad("a user's name does not begin with # or -");
    }
    if name == OWN_SECRET {
        return bad(format!(
            "{name} is what the secret is called that the proxy makes itself: take another name"
        ));
    }
    check_name(name).map(|_| ())
}

impl Users {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// With this change, at `now`, which is unix time; `most` is how many there may be.
    pub(crate) fn changed(
        &self,
        change: &UserChange,
        most: usize,
        now: u64,
    ) -> Result<Self, UserRefusal> {
        let mut new = self.clone();
        new.0.retain(|line| !line.is_over(now));
        match change {
            UserChange::Add {
                name,
                secret,
                limits,
            } => new.add(name, secret, limits, most.min(MAX_USERS))?,
            UserChange::Limit { name, limits } => {
                limits.apply_to(&mut new.get_mut(name)?.limits);
            }
            UserChange::Rotate {
                name,
                secret,
                until,
            } => new.rotate(name, secret, *until)?,
            UserChange::Remove { name } => {
                new.get_mut(name)?;
                new.0.retain(|line| line.name() != Some(name));
            }
        }
        new.0.iter_mut().for_each(Line::write);
        Ok(new)
    }

    fn add(
        &mut self,
        name: &str,
        secret: &SharedSecret,
        limits: &LimitChange,
        most: usize,
    ) -> Result<(), UserRefusal> {
        if self.has(name) {
            return Err(UserRefusal::IsThere(name.to_owned()));
        }
        if self.all().count() >= most {
            return Err(UserRefusal::Full(most));
        }
        if self.0.is_empty() {
            self.0.extend(HEAD.map(|text| Line {
                text: Text(text.to_owned()),
                entry: None,
            }));
        }
        let mut user = User {
            name: name.to_owned(),
            secret: secret.clone(),
            limits: SecretLimits::default(),
        };
        limits.apply_to(&mut user.limits);
        self.0.push(Line::of(Entry::User(user)));
        Ok(())
    }

    fn rotate(
        &mut self,
        name: &str,
        secret: &SharedSecret,
        until: Option<u64>,
    ) -> Result<(), UserRefusal> {
        let user = self.get_mut(name)?;
        let old = std::mem::replace(&mut user.secret, secret.clone());
        let is_old =
            |line: &Line| matches!(line.entry, Some(Entry::Old(_))) && line.name() == Some(name);
        let Some(until) = until else {
            self.0.retain(|line| !is_old(line));
            return Ok(());
        };
        if self.0.iter().filter(|line| is_old(line)).count() >= MAX_OLD {
            return Err(UserRefusal::ManyOld(name.to_owned()));
        }
        let place = self.0.iter().position(|line| line.name() == Some(name));
        let below = place.map_or(self.0.len(), |place| place + 1);
        self.0.insert(
            below,
            Line::of(Entry::Old(OldSecret {
                name: name.to_owned(),
                secret: old,
                until,
            })),
        );
        Ok(())
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut User, UserRefusal> {
        let mut lines = self.0.iter_mut();
        let user = lines.find_map(|line| match &mut line.entry {
            Some(Entry::User(user)) if user.name == name => Some(user),
            _ => None,
        });
        user.ok_or_else(|| UserRefusal::NoUser(name.to_owned()))
    }
}

impl Line {
    fn of(entry: Entry) -> Self {
        let text = Text(String::new());
        let entry = Some(entry);
        Self { text, entry }
    }

    fn name(&self) -> Option<&str> {
        match self.entry.as_ref()? {
            Entry::User(user) => Some(&user.name),
            Entry::Old(old) => Some(&old.name),
        }
    }

    /// It is an old secret that is good no more.
    fn is_over(&self, now: u64) -> bool {
        matches!(&self.entry, Some(Entry::Old(old)) if now >= old.until)
    }

    /// Puts what it says into words.
    fn write(&mut self) {
        match &self.entry {
            None => {}
            Some(Entry::User(user)) => {
                self.text.0 = format!("{}={}{}", user.name, user.secret, user.limits);
            }
            Some(Entry::Old(old)) => {
                let until = time_text(old.until);
                self.text.0 = format!("{}={},{UNTIL}{until}", old.name, old.secret);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(byte: u8) -> SharedSecret {
        format!("dd{}", format!("{byte:02x}").repeat(16))
            .parse()
            .unwrap()
    }

    fn limits(words: &[(&str, &str)]) -> LimitChange {
        let mut limits = LimitChange::default();
        for (option, value) in words {
            limits.add(option, value).unwrap();
        }
        limits
    }

    fn add(name: &str, byte: u8) -> UserChange {
        UserChange::Add {
            name: name.to_owned(),
            secret: secret(byte),
            limits: limits(&[("quota", "50G"), ("expires", "2027-01-31")]),
        }
    }

    fn rotate(name: &str, byte: u8, until: Option<u64>) -> UserChange {
        UserChange::Rotate {
            name: name.to_owned(),
            secret: secret(byte),
            until,
        }
    }

    #[test]
    fn what_is_changed_is_what_is_read_again() {
        let mut users = Users::default();
        for (change, left) in [
            (add("alice", 1), 1),
            (add("bob", 2), 2),
            (rotate("alice", 3, Some(500)), 2),
            (rotate("alice", 4, Some(900)), 2),
            (
                UserChange::Limit {
                    name: "bob".to_owned(),
                    limits: limits(&[("quota", "none"), ("max-ips", "3")]),
                },
                2,
            ),
        ] {
            users = users.changed(&change, 9, 100).unwrap();
            assert_eq!(users.all().count(), left);
            assert_eq!(Users::parse(&users.text()).unwrap(), users);
        }
        let text = users.text();
        assert!(text.starts_with(HEAD[0]), "{text}");
        assert!(text.contains(",expires=2027-01-31,quota=50G\n"), "{text}");
        assert!(text.contains(",max-ips=3,expires=2027-01-31\n"), "{text}");
        let old = |now| users.old_secrets(now).map(|old| old.secret.clone());
        assert_eq!(old(499).collect::<Vec<_>>(), [secret(3), secret(1)]);
        assert_eq!(old(500).collect::<Vec<_>>(), [secret(3)]);

        // Whatever is changed later, an old secret that is over goes from the file.
        let later = users.changed(&add("carol", 5), 9, 600).unwrap();
        assert_eq!(later.old_secrets(0).count(), 1);
        let none = later.changed(&rotate("alice", 6, None), 9, 600).unwrap();
        assert_eq!(none.old_secrets(0).count(), 0);
        let remove = UserChange::Remove {
            name: "alice".to_owned(),
        };
        let gone = users.changed(&remove, 9, 100).unwrap();
        assert!(!gone.text().contains("alice"), "{}", gone.text());
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let users = Users::default().changed(&add("alice", 1), 1, 0).unwrap();
        let refused = |users: &Users, change| users.changed(&change, 1, 0).unwrap_err();
        let is_there = UserRefusal::IsThere("alice".to_owned());
        assert_eq!(refused(&users, add("alice", 2)), is_there);
        assert_eq!(refused(&users, add("bob", 2)), UserRefusal::Full(1));
        let no_bob = UserRefusal::NoUser("bob".to_owned());
        assert_eq!(refused(&users, rotate("bob", 2, None)), no_bob);
        let mut rotated = users;
        for byte in 2..6 {
            let change = rotate("alice", byte, Some(900));
            rotated = rotated.changed(&change, 1, 0).unwrap();
        }
        let many = UserRefusal::ManyOld("alice".to_owned());
        assert_eq!(refused(&rotated, rotate("alice", 6, Some(900))), many);
    }

    #[test]
    fn names() {
        for fine in [
            "alice",
            "Алиса",
            "it's",
            "a/b",
            "mother@home",
            "..",
            "owner",
        ] {
            assert!(check_user_name(fine).is_ok(), "{fine}");
        }
        let key = "00".repeat(16);
        for odd in [
            "", "own", "#a", "-a", "a b", "a,b", "a=b", "a\"b", "a\nb", &key,
        ] {
            assert!(check_user_name(odd).is_err(), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_is_fine_comes_back(name in "\\PC{0,70}") {
            if check_user_name(&name).is_ok() {
                let users = Users::default().changed(&add(&name, 1), 9, 0).unwrap();
                let users = users.changed(&rotate(&name, 2, Some(9)), 9, 0).unwrap();
                let read = Users::parse(&users.text());
                prop_assert_eq!(read.ok(), Some(users));
            }
        }
    }
}
