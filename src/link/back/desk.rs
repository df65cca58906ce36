use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::signal::Signal;
use crate::link::connection::LinkConnection;
use crate::wire::link::coming::Coming;

/// What a link and its streams have in common.
pub(super) struct Desk {
    pub connection: Rc<LinkConnection>,
    /// Wakes the streams whose sessions took no more.
    pub room: Arc<Signal>,
    pub room_waker: Waker,
    /// Wakes those with a large packet that takes buffers as it comes.
    pub buffers: Arc<Signal>,
    pub buffers_waker: Waker,
    /// Large packets that need not wait.
    pub coming: RefCell<Coming>,
    /// One of those that wait may have what it waits for.
    pub may_have_wish: Cell<bool>,
}

impl Desk {
    pub fn new(connection: Rc<LinkConnection>) -> Rc<Self> {
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

    /// What a wish waits for may be there.
    pub fn look_for_wishes(&self) {
        self.may_have_wish.set(true);
        self.connection.look_again();
    }
}
