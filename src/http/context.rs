use std::cell::Cell;
use std::rc::Rc;

use crate::net::{BufferPool, Reactor, Scratch};

/// What connections that speak HTTP are made with.
pub(crate) struct HttpContext {
    pub(crate) reactor: Rc<Reactor>,
    pub(crate) scratch: Rc<Scratch>,
    pub(crate) buffers: Rc<BufferPool>,
    /// Heads under way that are long.
    pub(crate) long_heads: Rc<Cell<usize>>,
}
