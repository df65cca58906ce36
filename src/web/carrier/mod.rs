//! What brings a web session's frames, and takes those to the app.
//!
//! | File | What |
//! |---|---|
//! | `websocket` | a WebSocket: both ways |
//! | `outlet` | its way out |
//! | `https` | requests: what the app sends in one, what it gets in another |
//! | `batches` | their way out |
//! | `slices` | the first bytes of several slices |

mod batches;
pub(super) mod https;
mod outlet;
mod slices;
pub(super) mod websocket;

use std::io::{self, IoSlice};
use std::rc::Rc;

use super::notes::Notes;
use crate::net::BufferPool;
use crate::wire::web::StreamId;
pub(super) use batches::{Asked, Batches};
pub(super) use https::{Outcome, Uplink};
use outlet::Outlet;
pub(super) use websocket::Ended;

/// Where frames to the app go.
#[derive(Default)]
pub(in crate::web) enum Out {
    /// The app has not said yet how it wants them.
    #[default]
    None,
    Socket(Outlet),
    Batches(Batches),
}

impl Out {
    /// Something of a client's would be taken now.
    pub(crate) fn is_free(&self) -> bool {
        match self {
            Self::None => false,
            Self::Socket(outlet) => outlet.is_free(),
            Self::Batches(batches) => batches.has_room(),
        }
    }

    /// Nothing of it waits: all is with the kernel, or was given to a poll.
    pub(crate) fn is_taken(&self) -> bool {
        match self {
            Self::None => true,
            Self::Socket(outlet) => outlet.is_flushed(),
            Self::Batches(batches) => batches.is_taken(),
        }
    }

    /// Gets rid of what is left of the last frame, and of `notes`; whether all is gone.
    pub(crate) fn flush(
        &mut self,
        notes: &mut Notes,
        buffers: &Rc<BufferPool>,
    ) -> io::Result<bool> {
        match self {
            Self::None => Ok(false),
            Self::Socket(outlet) => outlet.flush(notes, buffers),
            Self::Batches(batches) => Ok(batches.flush(notes, buffers)),
        }
    }

    /// Begins a frame with as much of `slices` as fits into `most` bytes and is taken now;
    /// how many bytes of them that was. All before it is flushed.
    pub(crate) fn write(
        &mut self,
        stream: StreamId,
        slices: &[IoSlice<'_>],
        most: usize,
        buffers: &Rc<BufferPool>,
    ) -> io::Result<usize> {
        match self {
            Self::None => Ok(0),
            Self::Socket(outlet) => outlet.write(stream, slices, most, buffers),
            Self::Batches(batches) => Ok(batches.write(stream, slices, most, buffers)),
        }
    }
}
