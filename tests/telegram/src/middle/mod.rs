//! A middle proxy: Telegram's end of a multiplexed connection.

mod connection;
mod frames;
mod handshake;
mod info;
mod keys;
mod outgoing;
mod request;

pub(crate) use connection::Connection;
pub use info::{ConnectionInfo, SessionInfo};

use std::sync::Arc;

use crate::control::{Accept, Close, Cut};
use crate::counters::Counter;
use crate::host::Stream;
use crate::shared::{Dc, Shared};
use crate::socket;

/// Why a connection is over.
pub(crate) enum End {
    /// The proxy went away.
    Gone,
    /// The proxy broke the protocol.
    Violation(String),
    /// We were told to end it this way.
    Told(Close),
}

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> Self {
        End::Gone
    }
}

/// Serves one connection of a proxy until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, dc: Arc<Dc>, stream: Stream) {
    shared.counters.add(Counter::middle_accepted, 1);
    match dc.with(|behaviour| behaviour.accept) {
        Accept::Refuse | Accept::Drop => return,
        Accept::Silent => return stream.drain().await,
        _ => {}
    }
    let Ok(peer) = stream.get_ref().peer_addr() else {
        return;
    };
    shared.counters.add(Counter::middle_live, 1);
    let end = match handshake::perform(&shared, &dc, &stream).await {
        Ok(secured) => {
            shared.counters.add(Counter::middle_handshaken, 1);
            connection::serve(&shared, &dc, &stream, secured).await
        }
        Err(end) => end,
    };
    shared.counters.subtract(Counter::middle_live, 1);
    match end {
        End::Gone | End::Told(Close::Drop) => {}
        End::Told(Close::Reset) => socket::reset_on_close(stream.get_ref()),
        End::Told(Close::Fin) => {
            let _ = stream.get_ref().shutdown(std::net::Shutdown::Write);
            let drained = stream.drain();
            shared.host.before(crate::wait::patience(), drained).await;
        }
        End::Violation(why) => {
            shared.violation(format!("middle proxy of DC {}, from {peer}: {why}", dc.id));
        }
    }
}

impl Cut {
    pub(crate) fn close(self) -> Close {
        match self {
            Self::MidRequest(close) | Self::AfterRequest(close) | Self::MidAnswer(close) => close,
        }
    }
}

/// For a proxy of the self-tests.
#[cfg(test)]
pub mod test_parts {
    pub use super::frames::{Checksum, FrameReader, FrameWriter, pad};
    pub use super::keys::Material;
}
