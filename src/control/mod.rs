//! What can be asked of the running proxy, and changed in it: each a [`Request`] with its
//! [`Answer`], once, whoever asks. Who listens is not here: `ctl`'s socket is in
//! `cli/run/control.rs`.
//!
//! What is shown comes of the rooms below, as plain values; what is counted is counted
//! there anyway. No secret is in any answer but those about one user, only names. An answer that may be long is
//! gathered and written in steps, between which others have their turn.
//!
//! | File | What |
//! |---|---|
//! | `request.rs` | what can be asked, and by which method and path of HTTP |
//! | `which.rs` | which clients a request is about |
//! | `reply.rs` | an answer as it goes out, JSON or lines |
//! | `problem.rs` | why there is none |
//! | `list.rs` | answers that are lists |
//! | `words.rs` | times, sizes and columns for people |
//! | `status.rs`, `status/` | `status`: all at a glance |
//! | `secrets.rs`, `clients.rs`, `dcs.rs`, `links.rs`, `routes.rs`, `tables.rs` | one request each, or those of one thing |
//! | `user_wish.rs`, `users.rs` | what is wished of users, and what comes of it |
//! | `today.rs` | what was counted at midnight |
//! | `last_reload.rs` | what the last reload changed |

mod clients;
mod dcs;
mod last_reload;
mod links;
mod list;
mod problem;
mod reply;
mod request;
mod routes;
mod secrets;
mod status;
mod tables;
mod today;
mod user_wish;
mod users;
mod which;
mod words;

use std::rc::Rc;
use std::time::Instant;

use crate::client::ClientContext;
use crate::config::Config;
use crate::guard::gate::Gate;
use crate::metrics::Metrics;
use crate::net::{BufferPool, Reactor, Turnstile};
use crate::telegram::Telegram;
pub(crate) use last_reload::{LastReload, Reload};
pub(crate) use links::LinkEnd;
pub(crate) use problem::Problem;
use reply::Answer;
pub(crate) use reply::{Form, LINES, Reply};
pub(crate) use request::Request;
pub(crate) use tables::SAVE_LIMIT;
use today::Today;
pub(crate) use user_wish::{UserWish, span};
pub(crate) use users::{Links, UserDesk, Wished};
pub(crate) use which::{MAX_CLIENTS, Which};

/// Answers whoever may ask.
pub(crate) struct Control {
    parts: Parts,
    started: Instant,
    today: Today,
    /// Of tables.
    saves: Turnstile,
}

/// What it tells of.
pub(crate) struct Parts {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) metrics: Rc<Metrics>,
    pub(crate) buffers: Rc<BufferPool>,
    pub(crate) gate: Rc<Gate>,
    /// Not on a back.
    pub(crate) clients: Option<Rc<ClientContext>>,
    /// Not on a front.
    pub(crate) telegram: Option<Rc<Telegram>>,
    /// Of a front or a back.
    pub(crate) link: Option<LinkEnd>,
    /// Not on a back.
    pub(crate) users: Option<Rc<dyn UserDesk>>,
    pub(crate) last_reload: Rc<LastReload>,
    /// The config that is in force.
    pub(crate) config: Box<dyn Fn() -> Rc<Config>>,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Rc<Self> {
        Rc::new(Self {
            started: parts.reactor.now(),
            today: Today::default(),
            saves: Turnstile::default(),
            parts,
        })
    }

    /// What it does while nobody asks: notes each midnight what was counted by then.
    pub(crate) async fn run(&self) {
        self.today
            .run(&self.parts.reactor, &self.parts.metrics)
            .await;
    }

    pub(crate) async fn reply(&self, request: Result<Request, Problem>, form: Form) -> Reply {
        let outcome = match request {
            Ok(request) => self.answer(request, form).await,
            Err(problem) => Err(problem),
        };
        Reply::new(outcome, form).await
    }

    async fn answer(&self, request: Request, form: Form) -> Result<Answer, Problem> {
        Ok(match request {
            Request::Status => Answer::Status(Box::new(self.status())),
            Request::Secrets => Answer::List(self.secrets().await),
            Request::Clients(which) => Answer::List(self.clients(&which).await?),
            Request::Dcs => Answer::List(self.dcs()),
            Request::Links => Answer::List(self.links()?),
            Request::Routes => Answer::List(self.routes()?),
            Request::Tables => Answer::List(self.tables()),
            Request::Table(name) => self.table(&name, form).await?,
            Request::Enter { table, entry } => self.enter(&table, &entry)?,
            Request::Remove { table, entry } => self.remove(&table, &entry)?,
            Request::Save(name) => self.save(&name).await?,
            Request::Users => Answer::List(self.users().await?),
            Request::User(name) => self.user(&name, form).await?,
            Request::ChangeUser(wish) => self.change_user(wish, form).await?,
        })
    }
}
