//! Asks a DC itself, over a line as a client has it: as an app begins its key exchange,
//! which nobody but Telegram can answer.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use crate::backend::{Route, SessionRequest};
use crate::connection::Line;
use crate::telegram::Shared;
use crate::wire::dc::DcId;
use crate::wire::key_exchange::{Answer, STREAM_LEN, packet};
use crate::wire::transport::Transport;

/// Any packet of such clients is taken everywhere.
const TRANSPORT: Transport = Transport::Padded;

/// What a line for a question is opened with.
pub(in crate::telegram) fn request(shared: &Shared, dc: DcId) -> SessionRequest {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    SessionRequest {
        route: Route::Direct,
        has_other_route: false,
        dc,
        client: nowhere,
        local: nowhere,
        tag: None,
        transport: TRANSPORT,
        to_client: StreamKey {
            key: shared.random_bytes(),
            iv: shared.random_bytes(),
        },
        #[cfg(feature = "tls")]
        made_of: None,
    }
}

/// Asks, and waits for the answer as long as the line stands: `None` is its end.
/// `to_client` is the key of the request that it was opened with.
pub(in crate::telegram) async fn ask(
    shared: &Shared,
    mut line: Line,
    to_client: StreamKey,
) -> io::Result<Option<Answer>> {
    let nonce = shared.random_bytes();
    let mut packet = packet(TRANSPORT, &nonce, shared.unix_time());
    line.send(&shared.buffers, &mut packet)?;
    let mut from_dc = CtrStream::new(to_client);
    let mut came = Vec::new();
    poll_fn(|cx| {
        loop {
            line.flush(cx)?;
            if let Some(answer) = Answer::in_stream(TRANSPORT, &came, &nonce) {
                return Poll::Ready(Ok(Some(answer)));
            }
            match poll_more(shared, cx, &mut line, &mut from_dc, &mut came) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

fn poll_more(
    shared: &Shared,
    cx: &mut Context<'_>,
    line: &mut Line,
    from_dc: &mut CtrStream,
    came: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let most = STREAM_LEN - came.len();
    let mut take = |bytes: &mut [u8]| {
        from_dc.apply(bytes);
        came.extend_from_slice(bytes);
    };
    let scratch = &shared.scratch;
    let read = scratch.with(|space: &mut [u8]| line.poll_read(cx, space, most, &mut take));
    read.unwrap_or_else(|| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
