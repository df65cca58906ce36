use std::rc::Rc;

use super::desk::Desk;
use crate::wire::dc::DcId;

/// A packet that is longer than its stream's window: it wants buffers before it
/// comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    /// Of the stream.
    pub(crate) number: u32,
    /// Which of the stream's packets.
    pub(crate) packet: u32,
    pub(crate) to: DcId,
    pub(crate) len: usize,
}

/// Counts a packet among those that are under way on its link, until it is dropped.
pub(super) struct UnderWay {
    desk: Rc<Desk>,
    to: DcId,
    len: usize,
}

impl UnderWay {
    pub(crate) fn new(desk: &Rc<Desk>, wish: &Wish) -> Self {
        let (to, len) = (wish.to, wish.len);
        desk.coming.borrow_mut().comes(to, len);
        Self {
            desk: desk.clone(),
            to,
            len,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.desk.coming.borrow_mut().has_come(self.to, self.len);
        self.desk.look_for_wishes();
    }
}
