//! What a connection still has to write: short answers at once, bulk data only
//! as fast as the peer takes it.

use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::future::FutureExt;

/// Bulk items that may wait for the writer.
const BULK_WAITING: usize = 8;

pub struct Outbox<T> {
    urgent: Sender<T>,
    bulk: Sender<T>,
}

pub struct Pending<T> {
    urgent: Receiver<T>,
    bulk: Receiver<T>,
}

pub fn outbox<T>() -> (Outbox<T>, Pending<T>) {
    let (urgent, urgent_pending) = unbounded();
    let (bulk, bulk_pending) = bounded(BULK_WAITING);
    let pending = Pending {
        urgent: urgent_pending,
        bulk: bulk_pending,
    };
    (Outbox { urgent, bulk }, pending)
}

impl<T> Outbox<T> {
    /// Queues without waiting; `false` when the connection is gone.
    pub fn push(&self, item: T) -> bool {
        self.urgent.try_send(item).is_ok()
    }

    /// Queues when there is room; `false` when the connection is gone.
    pub async fn push_bulk(&self, item: T) -> bool {
        self.bulk.send(item).await.is_ok()
    }
}

impl<T> Pending<T> {
    /// The next item, however long that takes; `None` when none can come.
    pub async fn next(&self) -> Option<T> {
        let (urgent, bulk) = (self.urgent.recv(), self.bulk.recv());
        async { urgent.await.ok() }
            .or(async { bulk.await.ok() })
            .await
    }

    /// Another item that is already there.
    pub fn more(&self) -> Option<T> {
        self.urgent
            .try_recv()
            .or_else(|_| self.bulk.try_recv())
            .ok()
    }
}
