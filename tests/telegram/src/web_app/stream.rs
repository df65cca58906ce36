//! One stream of a session.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use smol::channel::Receiver;

use super::frames::{DATA, frame};
use super::session::Shared;

/// Closes when it is dropped.
pub struct Stream {
    shared: Arc<Shared>,
    id: u32,
    data: Receiver<Vec<u8>>,
    credit: Receiver<()>,
}

impl Stream {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: u32,
        data: Receiver<Vec<u8>>,
        credit: Receiver<()>,
    ) -> Self {
        Self {
            shared,
            id,
            data,
            credit,
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends all of it, as credit allows.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let most = self.shared.api.options.data;
        while !bytes.is_empty() {
            let now = self.shared.spend(self.id, bytes.len().min(most))?;
            if now == 0 {
                let credited = self.credit.recv().await;
                credited.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
                continue;
            }
            let (part, rest) = bytes.split_at(now);
            self.shared.send(frame(DATA, self.id, part));
            bytes = rest;
        }
        Ok(())
    }

    /// What came next, none at the end; credit for it is granted.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        let bytes = self.peek().await?;
        self.used(bytes.len());
        Ok(bytes)
    }

    /// The same without credit, until [`used`](Self::used) says so.
    pub async fn peek(&self) -> io::Result<Vec<u8>> {
        match self.data.recv().await {
            Ok(bytes) => Ok(bytes),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// So many bytes are used.
    pub fn used(&self, count: usize) {
        self.shared.used(self.id, count);
    }

    /// What the relay may still send on it, and we; `None` when it is closed.
    pub fn credits(&self) -> Option<(u64, u64)> {
        self.shared.credits(self.id)
    }

    /// Why its session is over, if it is.
    pub fn session_over(&self) -> Option<String> {
        self.shared.over()
    }

    pub fn is_open(&self) -> bool {
        self.credits().is_some()
    }

    pub fn close(&self) {
        self.shared.close(self.id);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}
