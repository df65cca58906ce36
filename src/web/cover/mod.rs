//! The cover: the site that everybody without a secret sees on a WEB host.

use std::net::IpAddr;
use std::rc::Rc;

use crate::http::{Exchange, HttpContext, Incoming, Next};
use crate::wire::http::RequestHead;

/// The site of one WEB host, or of several.
pub(crate) struct Cover {}

/// One client's connection at the site.
pub(crate) struct Visit {}

impl Cover {
    /// For a client's connection from `peer`; it may ask the site nothing.
    pub(crate) fn visit(self: &Rc<Self>, peer: IpAddr) -> Visit {
        todo!()
    }
}

impl Visit {
    /// The next request; where the site ends its connection meanwhile, as it does with
    /// those that are idle, so does the client's.
    pub(crate) async fn next(&mut self, exchange: &mut Exchange) -> Incoming {
        todo!()
    }

    /// Lets the site answer, streamed both ways. An upgrade is relayed until its end.
    pub(crate) async fn answer(&mut self, exchange: &mut Exchange, request: &RequestHead) -> Next {
        todo!()
    }

    /// Hands on what has come and could not be parsed, and all that follows, until one of
    /// both ends.
    pub(crate) async fn relay_raw(&mut self, exchange: &mut Exchange) {
        todo!()
    }
}
