//! A connection of rustls, of either side, and what it asks for.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{Error, ProtocolVersion};

pub(crate) enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Side {
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Self::Client(side) => side.wants_write(),
            Self::Server(side) => side.wants_write(),
        }
    }

    /// Does what rustls asks for; how much of `incoming` is used up.
    pub(super) fn step(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        early: &mut Vec<u8>,
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Client(side) => take_step(side.process_tls_records(incoming), outgoing, early),
            Self::Server(side) => take_step(side.process_tls_records(incoming), outgoing, early),
        }
    }

    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Client(side) => side.protocol_version(),
            Self::Server(side) => side.protocol_version(),
        }
    }
}

/// What has come of a look at what came.
pub(super) enum Step {
    More,
    Waits,
    Done,
    /// The other side says goodbye; there may be more to do.
    PeerClosed,
    Closed,
}

/// See [`Side::step`].
fn take_step<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outgoing: &mut Vec<u8>,
    early: &mut Vec<u8>,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { discard, state } = status;
    let step = match state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            append(outgoing, |room| data.encode(room)).map(|()| Step::More)
        }
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            sent.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::ReadTraffic(mut records)) => {
            while let Some(Ok(record)) = records.next_record() {
                early.extend_from_slice(record.payload);
            }
            Ok(Step::More)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::Waits),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Done),
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(ConnectionState::Closed) => Ok(Step::Closed),
        Ok(_) => Err(Error::HandshakeNotComplete),
        Err(error) => Err(error),
    };
    (discard, step)
}

fn append(
    out: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(size)) = encode(&mut []) {
        out.resize(start + size.required_size, 0);
    }
    let written = encode(out.get_mut(start..).unwrap_or_default());
    let written = written.map_err(|error| Error::General(error.to_string()))?;
    out.truncate(start + written);
    Ok(())
}
