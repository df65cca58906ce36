//! Why a session ends, in the words of the metrics.

use crate::backend::{OpenError, SessionEnd};
use crate::metrics::CloseReason;
use crate::wire::fake_tls::RecordError;
use crate::wire::transport::TransportError;

/// We end the session, not the client.
pub(super) fn is_ours(reason: CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::ClientClosed
            | CloseReason::ClientBroken
            | CloseReason::NoAnswer
            | CloseReason::SendTimeout
    )
}

impl From<SessionEnd> for CloseReason {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::ClosedByTelegram => Self::ClosedByTelegram,
            SessionEnd::MidSend => Self::MidSend,
            SessionEnd::MidAnswer => Self::MidAnswer,
            SessionEnd::NoConnection => Self::NoConnection,
            SessionEnd::TooSlow => Self::TooSlow,
            SessionEnd::LinkLost => Self::LinkLost,
            SessionEnd::Shutdown => Self::Shutdown,
        }
    }
}

impl From<OpenError> for CloseReason {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::MiddleUnavailable => Self::MiddleUnavailable,
            OpenError::DirectUnavailable => Self::DirectUnavailable,
            OpenError::UnknownDc => Self::UnknownDc,
            OpenError::NoLink => Self::NoLink,
            OpenError::Shutdown => Self::Shutdown,
        }
    }
}

impl From<TransportError> for CloseReason {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::TooLong(_) => Self::PacketTooLong,
            TransportError::Empty | TransportError::Unaligned(_) => Self::BadPacket,
        }
    }
}

impl From<RecordError> for CloseReason {
    fn from(_: RecordError) -> Self {
        Self::BadRecord
    }
}
