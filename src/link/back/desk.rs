use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::signal::Signal;
use crate::link::connection::LinkConnection;
use crate::wire::link::coming::Coming;

/// What a link and its streams have in common.
pub(super) struct Desk {
    pub(crate) connection: Rc<LinkConnection>,
    /// Woken when sessions that took no more may take something again.
    pub(crate) room: Arc<Signal>,
    pub(crate) room_waker: Waker,
    /// Woken when there are buffers for large packets that are coming, or when these
    /// have to give up theirs.
    pub(crate) buffers: Arc<Signal>,
    pub(crate) buffers_waker: Waker,
    /// Large packets that were let come and are under way.
    pub(crate) coming: RefCell<Coming>,
    /// Whether one that waits may come has to be looked at again.
    pub(crate) may_have_wish: Cell<bool>,
}

impl Desk {
    pub(crate) fn new(connection: Rc<LinkConnection>) -> Rc<Self> {
        let room = Arc::<Signal>::default();
        let buffers = Arc::<Signal>::default();
        Rc::new(Self {
            connection,
            room_waker: Waker::from(room.clone()),
            room,
            buffers_waker: Waker::from(buffers.clone()),
            buffers,
            coming: RefCell::default(),
            may_have_wish: Cell::new(false),
        })
    }

    /// Lets the link see whether a packet that waits may come now.
    pub(crate) fn look_for_wishes(&self) {
        self.may_have_wish.set(true);
        self.connection.look_again();
    }
}
