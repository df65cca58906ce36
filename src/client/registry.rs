use std::cell::Cell;
use std::rc::Rc;

use super::ClientContext;
use crate::net::Notify;

/// How many connections there are.
#[derive(Default)]
pub(super) struct Registry {
    count: Cell<usize>,
    left: Notify,
}

/// A connection's place; leaving gives it back.
pub(super) struct Place(Rc<ClientContext>);

impl Registry {
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Completes when the next connection ends.
    pub async fn one_left(&self) {
        self.left.changed().await;
    }

    /// Completes when there is no connection.
    pub async fn empty(&self) {
        while self.count() > 0 {
            self.left.changed().await;
        }
    }
}

impl Place {
    /// `None` when --max-clients are connected.
    pub fn take(context: &Rc<ClientContext>) -> Option<Self> {
        let count = &context.registry.count;
        if count.get() >= context.limits.get().max_clients {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self(context.clone()))
    }

    pub fn context(&self) -> &Rc<ClientContext> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let registry = &self.0.registry;
        registry.count.set(registry.count() - 1);
        registry.left.notify();
    }
}
