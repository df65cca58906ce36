//! A client that comes as a stream of a WEB session.

use std::rc::Rc;

use super::peer::Peer;
use super::{ClientContext, Rules};
use crate::connection::StreamEnd;
use crate::net::Live;
use crate::wire::secret::Secret;

/// A WEB stream that has said nothing yet. Its session has proven a secret, and the stream
/// has to prove the same one.
pub(crate) struct WebArrival {
    /// Who has its carrier, and where that leads.
    pub(crate) peer: Peer,
    /// Of whoever takes the session.
    pub(crate) rules: Live<Rules>,
    /// Its session's, without a form.
    pub(crate) secret: Secret,
    /// The secret is a `dd` one: only padded clients have it.
    pub(crate) padded_only: bool,
    pub(crate) end: Box<dyn StreamEnd>,
}

/// From the stream's first byte to its last. Whatever comes of it, it is closed in the end.
pub(crate) async fn serve_stream(_context: Rc<ClientContext>, _arrival: WebArrival) {}
