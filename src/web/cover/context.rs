use std::net::SocketAddr;
use std::rc::Rc;

use super::guests::Guests;
#[cfg(feature = "tls")]
use super::site_tls::SiteTls;
use crate::http::HttpContext;
use crate::net::Executor;

/// What covers are made with.
pub(crate) struct CoverContext {
    pub(crate) http: Rc<HttpContext>,
    pub(crate) executor: Rc<Executor>,
    pub(crate) guests: Rc<Guests>,
    /// A connection to this address would come back to us, and be asked for again.
    pub(crate) is_ours: Box<dyn Fn(SocketAddr) -> bool>,
    #[cfg(feature = "tls")]
    pub(crate) tls: SiteTls,
}
