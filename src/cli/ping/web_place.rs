use super::failure::{Failure, WebFailure, WebStep};
use super::web_connection::Reply;
use crate::wire::web::WebInvite;

/// Of a request with frames; another one has no type.
pub(super) const FRAMES: &str = "Content-Type: application/octet-stream\r\n";

/// Where a proxy's page and its API are.
pub(super) struct Place {
    pub(super) host: String,
    base: String,
}

impl Place {
    pub(super) fn of(invite: &WebInvite) -> Self {
        let path = invite.path.as_ref();
        Self {
            host: invite.host.to_string(),
            base: path.map_or_else(String::new, |path| format!("{}/", path.as_str())),
        }
    }

    pub(super) fn path(&self, of: &str) -> String {
        format!("/{}{of}", self.base)
    }

    /// Fields of a request with that token, which the page's script would send.
    pub(super) fn fields(&self, token: &str) -> String {
        let host = &self.host;
        format!("Authorization: Bearer {token}\r\nOrigin: https://{host}\r\n")
    }
}

pub(super) fn status(step: WebStep, reply: &Reply) -> Failure {
    Failure::Web(WebFailure::Status(step, reply.status))
}
