use std::cell::{Cell, RefCell};

use super::connection::Connection;
use super::fault::Fault;
use crate::net::Rope;
use crate::wire::link::{Frame, MAX_BODY};

/// How the bytes of a stream are taken, which moves its window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Quick,
    Steady,
    Slow,
}

/// One stream's bytes each way. All counts are of bytes in data frames.
pub(super) struct Flow {
    pub number: u32,
    /// How many more we may send.
    credit: Cell<u32>,
    /// How many more the other side may send.
    granted: Cell<u32>,
    /// Received, no longer held here, not granted again yet.
    owed: Cell<u32>,
    /// By how much the window is larger than the link's.
    grown: Cell<u32>,
    has_turn: Cell<bool>,
    /// To be sent when there is credit and the link has room. In a box: most
    /// streams have nothing here.
    queue: RefCell<Option<Box<Rope>>>,
}

impl Flow {
    pub fn new(link: &Connection, number: u32) -> Self {
        Self {
            number,
            credit: Cell::new(link.window_out),
            granted: Cell::new(link.window_in),
            owed: Cell::new(0),
            grown: Cell::new(0),
            has_turn: Cell::new(false),
            queue: RefCell::default(),
        }
    }

    /// How many bytes the other side takes.
    pub fn credit(&self) -> usize {
        self.credit.get() as usize
    }

    /// How many bytes can go out now.
    pub fn room(&self, link: &Connection) -> usize {
        match self.queued() == 0 && !link.is_full() {
            true => self.credit(),
            false => 0,
        }
    }

    /// Bytes that wait here.
    pub fn queued(&self) -> usize {
        self.queue.borrow().as_ref().map_or(0, |queue| queue.len())
    }

    /// Sends what can go out now and queues the rest.
    pub fn send(&self, link: &Connection, head: &[u8], data: &[u8]) {
        let room = self.room(link);
        let now = match room.checked_sub(head.len()) {
            Some(room) => room.min(data.len()),
            None => return self.enqueue(link, &[head, data]),
        };
        let (data, rest) = data.split_at_checked(now).unwrap_or((data, &[]));
        let sent = head.len() + data.len();
        if sent > 0 {
            self.credit.set(self.credit.get() - sent as u32);
            link.send_data(self.number, head, data);
        }
        if !rest.is_empty() {
            self.enqueue(link, &[rest]);
        }
    }

    fn enqueue(&self, link: &Connection, parts: &[&[u8]]) {
        let mut queue = self.queue.borrow_mut();
        let rope = queue.get_or_insert_default();
        for part in parts {
            rope.append_overdrawn(&link.context.buffers, part);
        }
        drop(queue);
        self.ask_turn(link);
    }

    /// Queues `head` and the chunks of `data`.
    pub fn enqueue_rope(&self, link: &Connection, head: &[u8], data: Rope) {
        let mut queue = self.queue.borrow_mut();
        let rope = queue.get_or_insert_default();
        rope.append_overdrawn(&link.context.buffers, head);
        rope.append_rope(data);
        drop(queue);
        self.ask_turn(link);
    }

    /// Forgets what waits.
    pub fn clear(&self) {
        self.queue.take();
    }

    /// Asks the link for a turn, if there is credit to use it.
    pub fn ask_turn(&self, link: &Connection) {
        if self.credit.get() > 0 && !self.has_turn.replace(true) {
            link.queue_turn(self.number);
        }
    }

    /// Uses a turn for one frame, and asks for the next if there is more.
    pub fn take_turn(&self, link: &Connection) {
        self.has_turn.set(false);
        let mut queue = self.queue.borrow_mut();
        let Some(rope) = &mut *queue else {
            return;
        };
        let credit = self.credit.get();
        let count = rope.len().min(credit as usize).min(MAX_BODY);
        if count > 0 {
            self.credit.set(credit - count as u32);
            link.send_from(self.number, rope, count);
        }
        if rope.is_empty() {
            *queue = None;
            return;
        }
        drop(queue);
        self.ask_turn(link);
    }

    /// The other side gives credit.
    pub fn add_credit(&self, bytes: u32) -> Result<(), Fault> {
        let credit = self.credit.get().checked_add(bytes);
        self.credit
            .set(credit.ok_or(Fault::Unexpected("credit without end"))?);
        Ok(())
    }

    /// Bytes came.
    pub fn received(&self, count: usize) -> Result<(), Fault> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let granted = self.granted.get().checked_sub(count);
        self.granted.set(granted.ok_or(Fault::CreditOverrun)?);
        Ok(())
    }

    /// How much of a packet comes without more credit, whatever is owed.
    pub fn sure_window(&self, link: &Connection) -> usize {
        (link.window_in / 2 + self.grown.get()) as usize
    }

    /// Bytes have left here: gives credit for them once that is worth a frame,
    /// and more of it to one whose bytes are taken at once.
    pub fn settled(&self, link: &Connection, count: usize, pace: Pace) {
        self.owed.set(self.owed.get() + count as u32);
        let owed = self.owed.get();
        if owed < link.window_in / 2 {
            return;
        }
        self.owed.set(0);
        let grown = self.grown.get();
        let most = link.context.largest_window() as u32;
        let room = most.saturating_sub(link.window_in + grown);
        let bytes = match pace {
            Pace::Quick => {
                let more = room.min(owed);
                self.grown.set(grown + more);
                owed + more
            }
            Pace::Slow => {
                let less = grown.min(owed);
                self.grown.set(grown - less);
                owed - less
            }
            Pace::Steady => owed,
        };
        if bytes > 0 {
            self.grant(link, bytes);
        }
    }

    /// Gives credit beyond the window, and all that is owed.
    pub fn grant_more(&self, link: &Connection, count: usize) {
        self.grant(link, self.owed.take() + count as u32);
    }

    fn grant(&self, link: &Connection, bytes: u32) {
        self.granted.set(self.granted.get() + bytes);
        let stream = self.number;
        link.send(&Frame::Credit { stream, bytes });
    }
}
