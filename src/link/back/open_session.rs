use std::rc::Rc;

use smol_mtproxy_ciphers::StreamKey;

use super::stream::BackStream;
use crate::backend::{Backend, Route, Session, SessionRequest};
use crate::wire::link::{EndReason, Open, OpenRoute};

/// Opens the session of `stream`.
pub(super) async fn open_session(
    backend: Rc<dyn Backend>,
    request: SessionRequest,
    stream: Rc<BackStream>,
) {
    match backend.open(request, stream.clone()).await {
        Ok(Session::Packets(session)) => stream.opened(session),
        Ok(Session::Line(line)) => stream.opened_line(line),
        // No backend of this process has one.
        Ok(Session::Bytes(_)) => stream.tie.finish(EndReason::NoConnection),
        Err(error) => stream.refused(error),
    }
}

/// What the front's client wants.
pub(super) fn request(open: Open) -> SessionRequest {
    let (route, to_client) = match open.route {
        OpenRoute::Direct(material) => (
            Route::Direct,
            StreamKey {
                key: material.key,
                iv: material.iv,
            },
        ),
        // The front encrypts what comes from middle proxies.
        OpenRoute::Middle => (
            Route::Middle,
            StreamKey {
                key: [0; 32],
                iv: [0; 16],
            },
        ),
    };
    SessionRequest {
        route,
        // What the front's client may do instead is not known here.
        has_other_route: false,
        dc: open.dc,
        client: open.client,
        local: open.local,
        tag: open.tag,
        transport: open.transport,
        to_client,
        // The front knows.
        #[cfg(feature = "tls")]
        made_of: None,
    }
}
