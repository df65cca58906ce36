use std::rc::{Rc, Weak};

use super::fronts::Fronts;
use super::stream::BackStream;
use crate::link::account::Account;
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

/// Counts a packet among those that its front has under way, until it is dropped.
pub(super) struct UnderWay {
    fronts: Rc<Fronts>,
    account: Account,
    to: DcId,
    len: usize,
}

impl UnderWay {
    pub fn new(fronts: &Rc<Fronts>, account: &Account, wish: &Wish) -> Self {
        let (to, len) = (wish.to, wish.len);
        account.with(|whole, user| whole.comes(user, to, len));
        Self {
            fronts: fronts.clone(),
            account: account.clone(),
            to,
            len,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let (to, len) = (self.to, self.len);
        self.account
            .with(|whole, user| whole.has_come(user, to, len));
        self.fronts.look_again(&self.account);
    }
}
