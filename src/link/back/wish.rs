use std::rc::{Rc, Weak};

use super::link::BackLink;
use super::stream::BackStream;
use crate::wire::dc::DcId;

/// A packet that is longer than its stream's window: it wants buffers before it
/// comes.
pub(super) struct Wish {
    pub stream: Weak<BackStream>,
    pub number: u32,
    /// Which of the stream's packets.
    pub packet: u32,
    pub to: DcId,
    pub len: usize,
}

impl Wish {
    /// The stream, if that still waits.
    pub fn stream(&self) -> Option<Rc<BackStream>> {
        let stream = self.stream.upgrade()?;
        stream.is_waiting_for(self.packet).then_some(stream)
    }
}

/// Counts a packet among those that are under way on its link, until it is dropped.
pub(super) struct UnderWay {
    link: Rc<BackLink>,
    to: DcId,
    len: usize,
}

impl UnderWay {
    pub fn new(link: &Rc<BackLink>, wish: &Wish) -> Self {
        let (to, len) = (wish.to, wish.len);
        link.coming.borrow_mut().comes(to, len);
        Self {
            link: link.clone(),
            to,
            len,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.link.coming.borrow_mut().has_come(self.to, self.len);
        self.link.look_for_wishes();
    }
}
