//! What callers of the API wish to have changed, and the links that they are given.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use super::super::core::Core;
use super::super::part::Part;
use super::{Fresh, in_words, take_over, with_users};
use crate::cli::ended::SecretEnd;
use crate::cli::invites::{self, NamedInvite};
use crate::cli::secret::{new_key, usual_form};
use crate::cli::web_invites::{self, NamedWebInvite};
use crate::config::{
    Config, ConfigSource, DataDir, MAX_USERS, UserChange, UserRefusal, Users, check_user_name, cure,
};
use crate::control::{Links, Problem, UserDesk, UserWish, Wished};
use crate::guard::gate::Gate;
use crate::net::{Notify, unblock};
use crate::telegram::directory::PublicAddress;
use crate::wire::json::Json;
use crate::wire::secret::SharedSecret;

/// Wishes that wait for others.
const MAX_WAITING: usize = 16;

/// Of the machine's memory, for each user that there may be.
const MEMORY_EACH: u64 = 64 * 1024;

/// So many there may be in any case.
const LEAST_USERS: usize = 128;

/// One change, and who waits for it.
pub(crate) struct Wish {
    wish: UserWish,
    outcome: Rc<Outcome>,
}

#[derive(Default)]
struct Outcome {
    result: RefCell<Option<Result<bool, Problem>>>,
    came: Notify,
}

/// Takes wishes, in the order in which they come.
pub(crate) struct Desk {
    core: Rc<Core>,
    gate: Rc<Gate>,
    address: Rc<PublicAddress>,
    wishes: RefCell<VecDeque<Wish>>,
    came: Notify,
}

impl Desk {
    pub(in crate::cli::run) fn new(
        core: &Rc<Core>,
        gate: &Rc<Gate>,
        address: &Rc<PublicAddress>,
    ) -> Rc<Self> {
        Rc::new(Self {
            core: core.clone(),
            gate: gate.clone(),
            address: address.clone(),
            wishes: RefCell::default(),
            came: Notify::default(),
        })
    }

    /// The next wish, which leaves the queue.
    pub(crate) async fn next(&self) -> Wish {
        loop {
            if let Some(wish) = self.wishes.borrow_mut().pop_front() {
                return wish;
            }
            self.came.changed().await;
        }
    }

    /// Carries it out, and tells who waits for it.
    pub(in crate::cli::run) async fn grant(
        &self,
        Wish { wish, outcome }: Wish,
        parts: &[Rc<dyn Part>],
        source: &ConfigSource,
    ) {
        let result = self.carry_out(&wish, parts, source).await;
        outcome.result.replace(Some(result));
        outcome.came.notify();
    }

    async fn carry_out(
        &self,
        wish: &UserWish,
        parts: &[Rc<dyn Part>],
        source: &ConfigSource,
    ) -> Result<bool, Problem> {
        let (core, config) = (&self.core, self.core.config());
        let before = config.users.users.clone();
        let now = core.reactor.clock().unix();
        let change = change_of(wish, &config, now)?;
        let most = config.process.memory.bytes() / MEMORY_EACH;
        let most = usize::try_from(most).map_or(MAX_USERS, |most| most.max(LEAST_USERS));
        let users = before.changed(&change, most, now).map_err(refused)?;
        if users == before {
            return Ok(false);
        }
        let (source, running) = (source.clone(), Config::clone(&config));
        let fresh = unblock(move || keep(&source, &running, &before, users)).await?;
        let told = take_over(core, parts, fresh);
        let (verb, name) = (wish.verb(), wish.name());
        info!("ctl: user {verb} {name}{}", in_words(&told));
        Ok(true)
    }
}

impl UserDesk for Rc<Desk> {
    fn change(&self, wish: UserWish) -> Wished<Result<bool, Problem>> {
        let desk = self.clone();
        Box::pin(async move {
            let outcome = Rc::<Outcome>::default();
            {
                let mut wishes = desk.wishes.borrow_mut();
                if wishes.len() >= MAX_WAITING {
                    return Err(Problem::ManyChanges);
                }
                let outcome = outcome.clone();
                wishes.push_back(Wish { wish, outcome });
            }
            desk.came.notify();
            loop {
                let waiting = outcome.came.changed();
                if let Some(result) = outcome.result.take() {
                    return result;
                }
                waiting.await;
            }
        })
    }

    fn links(&self, name: &str) -> Wished<Links> {
        let (config, name) = (self.core.config(), name.to_owned());
        let account = self.gate.account(&name);
        let is_used_up = account.is_some_and(|account| account.is_used_up());
        let outside = self.address.known();
        Box::pin(async move {
            let config = Config::clone(&config);
            // Of a thousand secrets it takes a while.
            unblock(move || links(config, &name, outside, is_used_up)).await
        })
    }
}

/// What is to be done: with a new secret, of the form that is the best here.
fn change_of(wish: &UserWish, config: &Config, now: u64) -> Result<UserChange, Problem> {
    let name = wish.name().to_owned();
    if let UserWish::Add { .. } = wish {
        check_user_name(&name).map_err(|error| Problem::BadUser(error.to_string()))?;
    }
    if let Some(place) = config.place_of_secret(&name) {
        return Err(Problem::UserConflict(format!(
            "{name} is {place}: it is changed there, then reload (SIGHUP)"
        )));
    }
    let secret = || SharedSecret {
        key: new_key(),
        form: usual_form(config),
    };
    Ok(match wish {
        UserWish::Add { limits, .. } => UserChange::Add {
            name,
            secret: secret(),
            limits: limits.clone(),
        },
        UserWish::Limit { limits, .. } if limits.is_empty() => {
            return Err(Problem::BadUser(
                "which limit? As in max-ips=3, or max-ips=none to take it off".to_owned(),
            ));
        }
        UserWish::Limit { limits, .. } => UserChange::Limit {
            name,
            limits: limits.clone(),
        },
        UserWish::Rotate { keep, .. } => UserChange::Rotate {
            name,
            secret: secret(),
            until: keep.map(|keep| now.saturating_add(keep)),
        },
        UserWish::Remove { .. } => UserChange::Remove { name },
    })
}

fn refused(refusal: UserRefusal) -> Problem {
    let words = refusal.to_string();
    match refusal {
        UserRefusal::NoUser(_) => Problem::NoUser(words),
        _ => Problem::UserConflict(words),
    }
}

/// Writes the file, in which users are as they were `before`, if a config can be made of
/// them. Blocks.
fn keep(
    source: &ConfigSource,
    running: &Config,
    before: &Users,
    users: Users,
) -> Result<Fresh, Problem> {
    let place = &running.process.data_dir;
    let data_dir = DataDir::new(place);
    if data_dir.is_in_memory() {
        return Err(Problem::UserConflict(in_memory(running)));
    }
    let path = Users::place_in(place);
    match Users::read(place) {
        Ok(there) if there == *before => {}
        Ok(_) => {
            return Err(Problem::UserConflict(format!(
                "{} was changed by hand, and is not read yet: reload (SIGHUP) first",
                path.display()
            )));
        }
        Err(error) => return Err(Problem::NotSaved(error.to_string())),
    }
    let text = users.text();
    let fresh = with_users(source, running, users).map_err(Problem::UserConflict)?;
    let not_written = |error: std::io::Error| {
        let (path, cure) = (path.display(), cure(&error, "give a writable --data-dir"));
        Problem::NotSaved(format!(
            "cannot write {path}: {error}; {cure}; no user is changed"
        ))
    };
    let old = before.text();
    if !old.is_empty() {
        data_dir
            .write(Users::COPY, old.as_bytes())
            .map_err(not_written)?;
    }
    data_dir
        .write(Users::FILE, text.as_bytes())
        .map_err(not_written)?;
    Ok(fresh)
}

fn in_memory(running: &Config) -> String {
    let data_dir = running.process.data_dir.display();
    format!(
        "users would be gone with the next boot, as --data-dir {data_dir} is in memory: give one on \
         a disk and restart, or a --secret of `smol-mtproxy secret` to the config (OpenWrt: uci \
         add_list smol-mtproxy.main.secret=NAME=SECRET; uci commit smol-mtproxy; \
         /etc/init.d/smol-mtproxy reload)"
    )
}

/// Blocks for a moment.
fn links(config: Config, name: &str, outside: Option<IpAddr>, is_used_up: bool) -> Links {
    let config = invites::with_only(config, name);
    let mut invites = invites::all(&config, None);
    if let Some(outside) = outside {
        let ours = invites.iter_mut().filter(|named| named.is_behind_nat());
        ours.for_each(|named| named.move_to(outside));
    }
    let mut web = web_invites::all(&config, None);
    if is_used_up {
        let ended = invites.iter_mut().map(|named| &mut named.ended);
        let ended = ended.chain(web.iter_mut().map(|named| &mut named.ended));
        for ended in ended {
            ended.get_or_insert(SecretEnd::QuotaUsed);
        }
    }
    let has_listeners = !config.doors.listeners.is_empty();
    let warnings = [
        invites::warning(&invites).filter(|_| has_listeners),
        web_invites::warning(&config, None),
    ];
    let warnings: Vec<String> = warnings.into_iter().flatten().collect();
    let shown = invites.iter().map(|named| named.show(false, false));
    let shown = shown.chain(web.iter().map(|named| named.show(false, false)));
    let noted = warnings.iter().map(|warning| format!("note: {warning}\n"));
    let list = |invites: Vec<Json>| Json::List(invites);
    Links {
        lines: shown.chain(noted).collect(),
        json: vec![
            (
                "links",
                list(invites.iter().map(NamedInvite::json).collect()),
            ),
            (
                "web_links",
                list(web.iter().map(NamedWebInvite::json).collect()),
            ),
            (
                "warnings",
                list(warnings.into_iter().map(Json::Text).collect()),
            ),
        ],
    }
}
