//! The Telegram side: the backend of a process that talks to Telegram itself. A client's
//! session goes through a shared connection to a middle proxy, or has a direct one.
//!
//! | File | What |
//! |---|---|
//! | `asking.rs` | asks a DC by one route, for `check` and the self-test |
//! | `directory/` | where Telegram is: its lists, always with an answer |
//! | `exchange.rs` | what a session loses with its connection; pure |
//! | `held.rs` | packets of a session that wait for a connection |
//! | `middle/` | a connection to a middle proxy, as sessions and the pool see it |
//! | `pool/` | the connections to one DC, and who is put on which |
//! | `routes/` | a client's own connection to its DC, by the routes of `--route` |
//! | `session.rs` | one client's use of a DC, which outlives its connections |
//! | `shared.rs` | what all of this room uses |
//! | `slowness.rs` | what is done about slow clients; pure |
//! | `told.rs` | what `check` is told of tries |
//! | `unreached.rs` | that a place cannot be connected to, for `check` |

mod asking;
pub(crate) mod directory;
mod exchange;
mod held;
mod middle;
mod pool;
mod routes;
mod session;
mod shared;
mod slowness;
#[cfg(test)]
mod tests;
#[cfg(feature = "check")]
mod told;
mod unreached;

use std::cell::RefCell;
use std::rc::Rc;

pub(crate) use asking::Fared;
pub(crate) use middle::Patience;
#[cfg(feature = "ctl")]
pub(crate) use pool::ShownConnection;
#[cfg(feature = "tls")]
pub(crate) use routes::{Authorities, AuthoritiesError};
#[cfg(feature = "ctl")]
pub(crate) use routes::{ShownRoute, ShownStanding};
pub(crate) use shared::Shared;
#[cfg(feature = "check")]
pub(crate) use told::Told;

use crate::backend::{Backend, OpenError, PendingSession, Route, Session, SessionRequest, Sink};
use crate::wire::dc::DcId;
use pool::Pool;
use routes::Routes;
use session::{MiddleSession, MiddleStream};

/// The backend of this process: its own connections to Telegram.
pub(crate) struct Telegram {
    shared: Rc<Shared>,
    routes: Rc<Routes>,
    /// One per DC that the directory knows: a few, whatever clients ask for.
    pools: RefCell<Vec<Rc<Pool>>>,
}

impl Telegram {
    pub(crate) fn new(shared: Rc<Shared>) -> Rc<Self> {
        Rc::new(Self {
            routes: Routes::new(&shared),
            shared,
            pools: RefCell::default(),
        })
    }

    /// Opens the connections that are to be open before the first client.
    pub(crate) fn warm_up(&self) {
        if self.shared.pools().dc_connections > 0 {
            for dc in self.shared.directory.middle_dcs() {
                self.pool(dc).keep_supplied();
            }
        }
    }

    /// How the routes to each DC stand.
    #[cfg(feature = "ctl")]
    pub(crate) fn routes(&self) -> Vec<ShownRoute> {
        self.routes.shown()
    }

    /// The connections to middle proxies that take sessions.
    #[cfg(feature = "ctl")]
    pub(crate) fn connections(&self) -> Vec<ShownConnection> {
        let pools = self.pools.borrow();
        pools.iter().flat_map(|pool| pool.shown()).collect()
    }

    /// What the file of `--ws-ca` holds, which is read with the config; whether that is
    /// something else than before.
    #[cfg(feature = "tls")]
    pub(crate) fn believe(&self, authorities: Option<Authorities>) -> bool {
        self.routes.believe(authorities)
    }

    /// Ends every session and connection.
    pub(crate) fn close(&self) {
        for pool in self.pools.borrow().iter() {
            pool.close();
        }
    }

    fn pool(&self, dc: DcId) -> Rc<Pool> {
        let dc = self.shared.directory.middle_dc(dc);
        let mut pools = self.pools.borrow_mut();
        if let Some(pool) = pools.iter().find(|pool| pool.dc() == dc) {
            return pool.clone();
        }
        let pool = Pool::new(&self.shared, dc);
        pools.push(pool.clone());
        pool
    }

    async fn open_middle(
        &self,
        request: SessionRequest,
        sink: Rc<dyn Sink>,
    ) -> Result<Session, OpenError> {
        if !self.has_middle() {
            return Err(OpenError::MiddleUnavailable);
        }
        // Which DCs there are is only known for sure from Telegram's own list.
        let directory = &self.shared.directory;
        directory.ready(&self.shared.reactor).await;
        let pool = self.pool(request.dc);
        let session = MiddleSession::new(&request, sink, &pool);
        pool.join(&session, request.has_other_route).await?;
        Ok(Session::Packets(Box::new(MiddleStream::new(session))))
    }
}

impl Backend for Telegram {
    fn has_middle(&self) -> bool {
        // Keys are made of the address that Telegram sees, which is the proxy's in between.
        self.shared.config.with(|config| config.via.is_none())
    }

    #[cfg(feature = "tls")]
    fn is_own(&self, replay_id: &[u8]) -> bool {
        self.routes.is_own(replay_id)
    }

    fn open(&self, request: SessionRequest, sink: Rc<dyn Sink>) -> PendingSession<'_> {
        match request.route {
            Route::Middle => Box::pin(self.open_middle(request, sink)),
            Route::Direct => Box::pin(async move {
                let line = self.routes.open(&request).await?;
                Ok(Session::Line(line))
            }),
        }
    }
}
