//! How many connections there are, and the place that each of them has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::ClientContext;
use super::peer::Peer;
use crate::guard::half_open::{Hope, Seat};
use crate::metrics::RejectReason;
use crate::net::Notify;

/// How many sessions there are, and who waits for a connection to end.
#[derive(Default)]
pub(super) struct Registry {
    sessions: Cell<usize>,
    /// WEB streams that have yet to prove their secret.
    beginning: Cell<usize>,
    left: Notify,
}

impl Registry {
    /// Completes when the next connection ends.
    pub(crate) async fn one_left(&self) {
        self.left.changed().await;
    }
}

/// A connection's place; leaving gives it back.
///
/// --max-clients counts those that have proven a secret. Those that have not yet
/// share what these leave of it, or a few places beside it where that is more: so
/// there always is a way in. When these are taken too, a newcomer pushes out one of
/// them.
pub(super) struct Place {
    context: Rc<ClientContext>,
    pub(crate) peer: Peer,
    tenure: RefCell<Tenure>,
}

enum Tenure {
    Unproven(Unproven),
    /// It has proven a secret, and is counted where that is of use.
    #[cfg(feature = "tls")]
    Elsewhere,
    Session(SessionPlace),
}

struct Unproven {
    seat: Seat,
    context: Rc<ClientContext>,
}

/// A WEB stream that has yet to prove its secret. It takes nobody's place: its session has
/// a limit of those.
pub(super) struct Beginning(Rc<ClientContext>);

/// One of --max-clients.
pub(super) struct SessionPlace(Rc<ClientContext>);

impl ClientContext {
    /// Connections that are open, those in their handshake included.
    pub(crate) fn connections(&self) -> usize {
        let Registry {
            sessions,
            beginning,
            ..
        } = &self.registry;
        sessions.get() + beginning.get() + self.gate.unproven()
    }

    fn is_full(&self) -> bool {
        let most = self.config.with(|config| config.max_clients);
        self.registry.sessions.get() >= most
    }

    pub(super) fn log_full_house(&self) {
        if let Some(skipped) = self.accept_log.pass(self.reactor.now()) {
            let config = self.config.get();
            let count = config.max_clients;
            match config.open_files {
                Some(files) => warn!(
                    "{count} clients are connected, as many as the limit of {files} open files has room \
                     for, closing new ones{skipped}; raise it (LimitNOFILE= in systemd, nofile on \
                     OpenWrt, ulimit -n) or add a server"
                ),
                None => warn!(
                    "--max-clients are connected, closing new ones{skipped}; raise it or add a server"
                ),
            }
        }
    }

    /// Completes when there is no connection.
    pub(super) async fn empty(&self) {
        self.registry.left.until(|| self.connections() == 0).await;
    }
}

impl Place {
    /// `None` when there are --max-clients sessions.
    pub(crate) fn take(context: &Rc<ClientContext>, peer: Peer) -> Option<Self> {
        if context.is_full() {
            return None;
        }
        let place = Self {
            context: context.clone(),
            peer,
            tenure: RefCell::new(Tenure::Unproven(Unproven::enter(context, peer))),
        };
        Some(place)
    }

    pub(crate) fn context(&self) -> &Rc<ClientContext> {
        &self.context
    }

    /// A relay has told who it is.
    pub(crate) fn come_from(&self, peer: Peer) {
        if let Tenure::Unproven(Unproven { seat, .. }) = &*self.tenure.borrow() {
            let now = self.context.reactor.now();
            let gate = &self.context.gate;
            gate.move_seat(seat, peer.client.ip(), now);
        }
    }

    /// It has proven a secret: nobody pushes it out from here on.
    pub(crate) fn become_session(&self) -> Result<(), RejectReason> {
        let place = SessionPlace::take(&self.context)?;
        self.tenure.replace(Tenure::Session(place));
        Ok(())
    }

    /// The place of one that is a client now; `None` if it never became one.
    pub(crate) fn into_session(self) -> Option<SessionPlace> {
        match self.tenure.into_inner() {
            Tenure::Session(place) => Some(place),
            _ => None,
        }
    }

    /// It is no client, or not any more.
    pub(crate) fn give_up_hope(&self, peer: Peer) {
        if let Tenure::Unproven(Unproven { seat, .. }) = &*self.tenure.borrow() {
            return seat.set_hope(Hope::None);
        }
        let unproven = Unproven::enter(&self.context, peer);
        unproven.seat.set_hope(Hope::None);
        self.tenure.replace(Tenure::Unproven(unproven));
    }

    /// It is shown the site, whose guests are counted by themselves.
    pub(crate) fn go_to_site(&self) {
        if let Tenure::Unproven(Unproven { seat, .. }) = &*self.tenure.borrow() {
            seat.set_hope(Hope::Site);
            seat.set_aside();
        }
    }

    /// The same, while it keeps its seat.
    #[cfg(feature = "tls")]
    pub(crate) fn stay_as_guest(&self) {
        if let Tenure::Unproven(Unproven { seat, .. }) = &*self.tenure.borrow() {
            seat.set_hope(Hope::Site);
        }
    }

    /// It has proven a secret and is not counted here any more; whether it was.
    #[cfg(feature = "tls")]
    pub(crate) fn leave_unproven(&self) -> bool {
        let before = self.tenure.replace(Tenure::Elsewhere);
        matches!(before, Tenure::Unproven(_))
    }

    /// Ready when it has to make room for another.
    pub(crate) fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &*self.tenure.borrow() {
            Tenure::Unproven(Unproven { seat, .. }) => seat.poll_evicted(cx),
            _ => Poll::Pending,
        }
    }
}

impl Unproven {
    /// Takes another one's place if there is no room.
    fn enter(context: &Rc<ClientContext>, peer: Peer) -> Self {
        let sessions = context.registry.sessions.get();
        let room = context.config.with(|config| {
            let room = config.max_clients.saturating_sub(sessions);
            room.max(config.beside)
        });
        context.gate.shrink_unproven_to(room.saturating_sub(1));
        let now = context.reactor.now();
        Self {
            seat: context.gate.take_seat(peer.client.ip(), now),
            context: context.clone(),
        }
    }
}

impl Beginning {
    pub(crate) fn enter(context: &Rc<ClientContext>) -> Self {
        let beginning = &context.registry.beginning;
        beginning.set(beginning.get() + 1);
        Self(context.clone())
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        let registry = &self.0.registry;
        registry.beginning.set(registry.beginning.get() - 1);
        registry.left.notify();
    }
}

impl SessionPlace {
    /// For one that has proven a secret.
    pub(crate) fn take(context: &Rc<ClientContext>) -> Result<Self, RejectReason> {
        if context.is_full() {
            return Err(RejectReason::TooManyClients);
        }
        let sessions = &context.registry.sessions;
        sessions.set(sessions.get() + 1);
        Ok(Self(context.clone()))
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let registry = &self.0.registry;
        registry.sessions.set(registry.sessions.get() - 1);
        registry.left.notify();
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.context.registry.left.notify();
    }
}
