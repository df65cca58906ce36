//! `users`: the secrets that are made and changed while the proxy runs.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use super::Control;
use super::form::Form;
use super::list::{List, Row};
use super::problem::Problem;
use super::reply::Answer;
use super::secrets::{SecretRow, header_of_secrets};
use super::tables::SAVE_LIMIT;
use super::user_wish::UserWish;
use super::words::end;
use crate::config::NamedSecret;
use crate::wire::calendar::time_text;
use crate::wire::json::Json;

pub(crate) type Wished<T> = Pin<Box<dyn Future<Output = T>>>;

/// Who changes users, and knows their links.
pub(crate) trait UserDesk {
    /// Whether anything is different then. It is done even if nobody waits for it.
    fn change(&self, wish: UserWish) -> Wished<Result<bool, Problem>>;

    /// All links of the secret of that name.
    fn links(&self, name: &str) -> Wished<Links>;
}

/// For programs, and for people.
pub(crate) struct Links {
    pub(crate) json: Vec<(&'static str, Json)>,
    pub(crate) lines: String,
}

struct UserRow {
    row: SecretRow,
    /// When their old secrets end, in unix time.
    old: Vec<u64>,
}

impl Control {
    pub(super) async fn users(&self) -> Result<List, Problem> {
        self.desk()?;
        let config = (self.parts.config)();
        let users = &config.users.users;
        let names: HashSet<&str> = users.all().map(|user| user.name.as_str()).collect();
        let rows = self.secret_rows().await.into_iter();
        let rows = rows.filter(|row| names.contains(row.name()));
        let rows = rows.map(|row| UserRow {
            old: self.ends_of_old(row.name()),
            row,
        });
        let mut list = List::new("users", header_of_secrets("USER"), rows);
        list.if_none = "there is no user; add one with `user add NAME`. Secrets of the config are \
                        in `ctl secrets`\n";
        Ok(list)
    }

    pub(super) async fn user(&self, name: &str, form: Form) -> Result<Answer, Problem> {
        let desk = self.desk()?;
        let config = (self.parts.config)();
        let mut secrets = config.doors.all_secrets();
        let secret = secrets.find(|named| named.name == name);
        let secret = secret.ok_or_else(|| Problem::NoSecret(name.to_owned()))?;
        let old = self.ends_of_old(name);
        let links = desk.links(name).await;
        Ok(Answer::Written(match form {
            Form::Lines => links.lines + &old_in_words(&old),
            Form::Json => {
                let is_user = config.users.users.has(name);
                format!("{}\n", json(secret, is_user, &old, links.json))
            }
        }))
    }

    /// Answers with the links of who is new, or has a new secret.
    pub(super) async fn change_user(&self, wish: UserWish, form: Form) -> Result<Answer, Problem> {
        let name = wish.name().to_owned();
        let has_links = matches!(wish, UserWish::Add { .. } | UserWish::Rotate { .. });
        let changing = self.desk()?.change(wish);
        let changed = self.parts.reactor.timeout(SAVE_LIMIT, changing).await;
        let is_changed = changed.unwrap_or_else(|| {
            let seconds = SAVE_LIMIT.as_secs();
            Err(Problem::ChangeTakesLong { seconds })
        })?;
        match has_links {
            true => self.user(&name, form).await,
            false => Ok(Answer::Changed(is_changed)),
        }
    }

    fn desk(&self) -> Result<&dyn UserDesk, Problem> {
        let no_users = Problem::OtherRole("a back has no users: ask its front");
        self.parts.users.as_deref().ok_or(no_users)
    }

    fn ends_of_old(&self, name: &str) -> Vec<u64> {
        let (config, now) = ((self.parts.config)(), self.parts.reactor.clock().unix());
        let old = config.users.users.old_secrets(now);
        let old = old.filter(|old| old.name == name);
        old.map(|old| old.until).collect()
    }
}

fn json(named: &NamedSecret, is_user: bool, old: &[u64], links: Vec<(&'static str, Json)>) -> Json {
    let mut members = vec![
        ("name", Json::from(named.name.as_str())),
        ("is_user", Json::Bool(is_user)),
        ("secret", Json::Text(named.secret.to_string())),
        ("old_secrets_until", old_json(old)),
    ];
    members.extend(links);
    Json::Object(members)
}

fn old_json(old: &[u64]) -> Json {
    Json::List(old.iter().map(|end| Json::Text(time_text(*end))).collect())
}

fn old_in_words(old: &[u64]) -> String {
    let line = |end: &u64| format!("an old secret is good until {}\n", time_text(*end));
    old.iter().map(line).collect()
}

impl Row for UserRow {
    fn json(&self) -> Json {
        let mut members = self.row.members();
        members.push(("old_secrets_until", old_json(&self.old)));
        Json::Object(members)
    }

    fn write_lines(&self, out: &mut String) {
        self.row.write_lines(out);
        for line in old_in_words(&self.old).lines() {
            out.push_str("  ");
            out.push_str(line);
            end(out);
        }
    }
}
