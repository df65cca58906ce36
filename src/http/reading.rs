//! Reading by the buffer that all share, and writing with an end to patience.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::Connection;
use super::context::HttpContext;

/// What one read takes at most: what it brings and nobody takes has to be kept. The longest
/// record of TLS fits in, so that none takes two reads.
const READ_LEN: usize = 17 * 1024;

#[cfg(feature = "tls")]
const _: () = assert!(READ_LEN >= crate::wire::tls::MAX_RECORD);

/// How long a peer may take nothing.
const SEND_LIMIT: Duration = Duration::from_secs(60);

impl HttpContext {
    /// Reads `connection` once and hands what came to `take`, which must not read.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        connection: &Connection,
        take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        let read = self.scratch.with(|space| {
            let most = connection.needed().max(READ_LEN).min(space.len());
            connection.poll_read(cx, space.get_mut(..most).unwrap_or_default(), take)
        });
        read.unwrap_or_else(|| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Writes all of `data`.
    pub(crate) async fn write(&self, connection: &Connection, data: &[u8]) -> io::Result<()> {
        let mut left = data;
        while !left.is_empty() {
            let written = connection.try_write(&[left])?;
            left = left.get(written..).unwrap_or_default();
            if !left.is_empty() {
                self.wait_writable(connection).await?;
            }
        }
        Ok(())
    }

    /// Until the kernel has all that was written.
    pub(crate) async fn flush(&self, connection: &Connection) -> io::Result<()> {
        while !connection.is_flushed() {
            self.wait_writable(connection).await?;
        }
        Ok(())
    }

    async fn wait_writable(&self, connection: &Connection) -> io::Result<()> {
        let writable = poll_fn(|cx| connection.poll_writable(cx));
        let waited = self.reactor.timeout(SEND_LIMIT, writable).await;
        waited.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}
