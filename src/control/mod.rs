//! What can be asked of the running proxy, and changed in it: each a [`Request`] with its
//! [`Answer`](reply::Answer), once, whoever asks. Who listens is not here: `ctl`'s socket is in
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
//! | `answering.rs` | which answer a request gets |
//! | `form.rs` | for whom it is written |
//! | `reply.rs` | an answer as it goes out, JSON or lines |
//! | `problem.rs` | why there is none |
//! | `list.rs` | answers that are lists |
//! | `words.rs` | times, sizes and columns for people |
//! | `status.rs`, `status/` | `status`: all at a glance |
//! | `secrets.rs`, `clients.rs`, `dcs.rs`, `links.rs`, `routes.rs`, `tables.rs` | one request each, or those of one thing |
//! | `figures.rs` | `figures`: the status without names, for who shows no token |
//! | `history.rs` | the last hour, sampled |
//! | `user_wish.rs`, `users.rs` | what is wished of users, and what comes of it |
//! | `today.rs` | what was counted at midnight |
//! | `last_reload.rs` | what the last reload changed |

mod answering;
mod clients;
mod dcs;
mod figures;
mod form;
mod history;
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
pub(crate) use form::{Form, LINES};
use history::History;
pub(crate) use last_reload::{LastReload, Reload};
pub(crate) use links::LinkEnd;
pub(crate) use problem::Problem;
pub(crate) use reply::Reply;
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
    history: History,
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
            history: History::default(),
            saves: Turnstile::default(),
            parts,
        })
    }

    /// What it does while nobody asks: notes each midnight what was counted by then, and
    /// takes samples.
    pub(crate) async fn run(&self) {
        let Parts {
            reactor,
            metrics,
            config,
            ..
        } = &self.parts;
        let sampling = self.history.run(reactor, metrics, config().process.role);
        smol::future::zip(self.today.run(reactor, metrics), sampling).await;
    }
}
