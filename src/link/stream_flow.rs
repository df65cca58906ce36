use std::cell::{Cell, RefCell};

use super::connection::LinkConnection;
use super::fault::Fault;
use super::notes::{Marks, Note, Taken};
use crate::net::Rope;
use crate::wire::link::window::{Uptake, Window};
use crate::wire::link::{Frame, MAX_BODY};

/// One stream's bytes each way: how many either side may send (its window), and what
/// waits here until it may be sent. All counts are of bytes in data frames.
pub(super) struct StreamFlow {
    pub(crate) number: u32,
    window: Cell<Window>,
    has_turn: Cell<bool>,
    marks: Marks,
    /// What waits for credit or for room on the link. In a box, because most streams
    /// have nothing here.
    queue: RefCell<Option<Box<Rope>>>,
}

impl StreamFlow {
    pub(crate) fn new(link: &LinkConnection, number: u32) -> Self {
        Self {
            number,
            window: Cell::new(Window::new(link.window_out, link.sizes)),
            has_turn: Cell::new(false),
            marks: Marks::default(),
            queue: RefCell::default(),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = self.window.get();
        let outcome = change(&mut window);
        self.window.set(window);
        outcome
    }

    /// How many bytes the other side takes now.
    pub(crate) fn credit(&self) -> usize {
        self.window.get().credit()
    }

    /// How many bytes can go out now.
    pub(crate) fn room(&self, link: &LinkConnection) -> usize {
        match self.queued() == 0 && !link.is_full() {
            true => self.credit(),
            false => 0,
        }
    }

    /// Bytes that wait here.
    pub(crate) fn queued(&self) -> usize {
        self.queue.borrow().as_ref().map_or(0, |queue| queue.len())
    }

    /// Sends what can go out now and queues the rest.
    pub(crate) fn send(&self, link: &LinkConnection, head: &[u8], data: &[u8]) {
        let room = self.room(link);
        let now = match room.checked_sub(head.len()) {
            Some(room) => room.min(data.len()),
            None => return self.enqueue(link, &[head, data]),
        };
        let (data, rest) = data.split_at_checked(now).unwrap_or((data, &[]));
        let sent = head.len() + data.len();
        if sent > 0 {
            self.change(|window| window.spend(sent));
            link.send_data(self.number, head, data);
        }
        if !rest.is_empty() {
            self.enqueue(link, &[rest]);
        }
    }

    fn enqueue(&self, link: &LinkConnection, parts: &[&[u8]]) {
        let mut queue = self.queue.borrow_mut();
        let rope = queue.get_or_insert_with(|| link.take_queue());
        let before = rope.len();
        for part in parts {
            rope.append_overdrawn(&link.context.buffers, part);
        }
        let more = rope.len() - before;
        drop(queue);
        link.share.with(|whole, user| whole.queue(user, more));
        self.ask_turn(link);
    }

    /// Queues `head` and the chunks of `data`.
    pub(crate) fn enqueue_rope(&self, link: &LinkConnection, head: &[u8], data: Rope) {
        let mut queue = self.queue.borrow_mut();
        let rope = queue.get_or_insert_with(|| link.take_queue());
        let more = head.len() + data.len();
        rope.append_overdrawn(&link.context.buffers, head);
        rope.append_rope(data);
        drop(queue);
        link.share.with(|whole, user| whole.queue(user, more));
        self.ask_turn(link);
    }

    /// Drops what waits to be sent.
    pub(crate) fn clear(&self, link: &LinkConnection) {
        let count = self.queue.take().map_or(0, |queue| queue.len());
        link.share.with(|whole, user| whole.unqueue(user, count));
    }

    /// Leaves something for the link.
    pub(crate) fn note(&self, link: &LinkConnection, note: Note) {
        link.note(self.number, &self.marks, note);
    }

    /// Takes what was left.
    pub(crate) fn notes(&self) -> Taken {
        self.marks.take()
    }

    /// Asks the link for a turn, if there is credit to use it.
    pub(crate) fn ask_turn(&self, link: &LinkConnection) {
        if self.credit() > 0 && !self.has_turn.replace(true) {
            link.queue_turn(self.number);
        }
    }

    /// Uses a turn for one frame, and asks for the next if there is more.
    pub(crate) fn take_turn(&self, link: &LinkConnection) {
        self.has_turn.set(false);
        let mut queue = self.queue.borrow_mut();
        let Some(rope) = &mut *queue else {
            return;
        };
        let count = rope.len().min(self.credit()).min(MAX_BODY);
        if count > 0 {
            self.change(|window| window.spend(count));
            link.send_from(self.number, rope, count);
            link.share.with(|whole, user| whole.unqueue(user, count));
        }
        if let Some(empty) = queue.take_if(|rope| rope.is_empty()) {
            return link.give_queue(empty);
        }
        drop(queue);
        self.ask_turn(link);
    }

    /// The other side gives credit.
    pub(crate) fn add_credit(&self, bytes: u32) -> Result<(), Fault> {
        match self.change(|window| window.add_credit(bytes)) {
            true => Ok(()),
            false => Err(Fault::Unexpected("credit without end")),
        }
    }

    /// Bytes that came and have not left here, without those that have buffers of their
    /// own.
    pub(crate) fn held(&self) -> usize {
        self.window.get().held()
    }

    /// Bytes came: how many of them have buffers of their own.
    pub(crate) fn received(&self, link: &LinkConnection, count: usize) -> Result<usize, Fault> {
        let held = self.change(|window| window.receive(count));
        let held = held.map_err(|_| Fault::CreditOverrun)?;
        link.share.with(|whole, user| whole.hold(user, held));
        Ok(count - held)
    }

    /// The stream is over: what it holds of what came is dropped, and no credit is given
    /// for it.
    pub(crate) fn forget_held(&self, link: &LinkConnection) {
        let held = self.held();
        // The credit that this would be is not sent.
        self.change(|window| window.settle(held, Uptake::Steady, link.sizes));
        link.share.with(|whole, user| whole.unhold(user, held));
    }

    /// How long a packet may be that is sure to come whole without more credit.
    pub(crate) fn sure_window(&self, link: &LinkConnection) -> usize {
        self.window.get().sure(link.sizes)
    }

    /// Bytes have left here: gives credit for them once that is worth a frame,
    /// and more of it to one whose bytes are taken at once.
    pub(crate) fn settled(&self, link: &LinkConnection, count: usize, uptake: Uptake) {
        link.share.with(|whole, user| whole.unhold(user, count));
        let bytes = self.change(|window| window.settle(count, uptake, link.sizes));
        self.grant(link, bytes);
    }

    /// How many more the other side may send, and how many of these have buffers of
    /// their own.
    pub(crate) fn granted(&self) -> (usize, usize) {
        let window = self.window.get();
        (window.granted(), window.reserved())
    }

    /// There are buffers for `have` bytes that are here and for the next `more`:
    /// gives credit for all of these.
    pub(crate) fn reserved(&self, link: &LinkConnection, have: usize, more: usize) {
        link.share.with(|whole, user| whole.unhold(user, have));
        let bytes = self.change(|window| window.reserve(have, more));
        self.grant(link, bytes);
    }

    fn grant(&self, link: &LinkConnection, bytes: u32) {
        if bytes > 0 {
            let stream = self.number;
            link.send(&Frame::Credit { stream, bytes });
        }
    }
}
