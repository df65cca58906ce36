//! The window of a stream: plain numbers.
//!
//! Each byte that comes is in these counts of a [`Window`] in turn:
//!
//! | Count | Bytes that | Raised by | Lowered by |
//! |---|---|---|---|
//! | `granted` | the other side may still send | what `settle` and `reserve` give | `receive` |
//! | `held` | are here | `receive` | `settle`, when they have left; `reserve` |
//! | `owed` | have left, and are not yet worth a frame of credit | `settle` | the next frame |
//!
//! Together they are the window, first size and `grown`, and `reserved`: what is
//! to come of a packet that has buffers of its own, and takes nothing of the window.

/// How the bytes of a stream are taken here: its window grows, stays or shrinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uptake {
    /// At once: it grows.
    Quick,
    /// It stays as it is.
    Steady,
    /// Bytes wait here: it shrinks.
    Slow,
}

/// How large the window of a stream is on this side, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub first: u32,
    pub largest: u32,
}

/// More came than was granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Overrun;

/// One stream's bytes each way.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How many more we may send.
    credit: u32,
    granted: u32,
    held: u32,
    owed: u32,
    grown: u32,
    reserved: u32,
}

impl Window {
    /// With the other side's first window, and ours.
    #[inline]
    pub fn new(credit: u32, sizes: Sizes) -> Self {
        Self {
            credit,
            granted: sizes.first,
            held: 0,
            owed: 0,
            grown: 0,
            reserved: 0,
        }
    }

    /// How many bytes the other side takes.
    #[inline]
    pub fn credit(&self) -> usize {
        self.credit as usize
    }

    /// Bytes go out, no more than there is credit for.
    #[inline]
    pub fn spend(&mut self, count: usize) {
        self.credit = self.credit.saturating_sub(count as u32);
    }

    /// The other side takes more; false if that is more than there can be.
    #[inline]
    pub fn add_credit(&mut self, bytes: u32) -> bool {
        let sum = self.credit.checked_add(bytes);
        self.credit = sum.unwrap_or(self.credit);
        sum.is_some()
    }

    /// Bytes that are here, without those that have buffers of their own.
    #[inline]
    pub fn held(&self) -> usize {
        self.held as usize
    }

    /// Bytes come: how many of them are held from now on.
    #[inline]
    pub fn receive(&mut self, count: usize) -> Result<usize, Overrun> {
        let count = u32::try_from(count).map_err(|_| Overrun)?;
        self.granted = self.granted.checked_sub(count).ok_or(Overrun)?;
        let promised = count.min(self.reserved);
        self.reserved -= promised;
        self.held += count - promised;
        Ok((count - promised) as usize)
    }

    /// How long a packet may be, with its header, that comes without more credit
    /// whatever is owed.
    #[inline]
    pub fn sure(&self, sizes: Sizes) -> usize {
        (sizes.first / 2 + self.grown) as usize
    }

    /// How many more the other side may send now.
    #[inline]
    pub fn granted(&self) -> usize {
        self.granted as usize
    }

    /// Of these, how many have buffers of their own.
    #[inline]
    pub fn reserved(&self) -> usize {
        self.reserved as usize
    }

    /// There are buffers for `have` bytes that are here, which are not held any
    /// more, and for the next `more`. The credit to send.
    #[inline]
    pub fn reserve(&mut self, have: usize, more: usize) -> u32 {
        let have = (have as u32).min(self.held);
        let more = more as u32;
        self.held -= have;
        self.reserved += more;
        self.grant(have + more)
    }

    /// Bytes have left here. The credit to send, once that is worth a frame: more
    /// to one whose bytes are taken at once. 0: none yet.
    #[inline]
    pub fn settle(&mut self, count: usize, uptake: Uptake, sizes: Sizes) -> u32 {
        let count = (count as u32).min(self.held);
        self.held -= count;
        self.owed += count;
        if self.owed < sizes.first / 2 {
            return 0;
        }
        match uptake {
            Uptake::Quick => {
                let room = sizes.largest.saturating_sub(sizes.first + self.grown);
                let more = room.min(self.owed);
                self.grown += more;
                self.grant(more)
            }
            Uptake::Slow => {
                let less = self.grown.min(self.owed);
                self.grown -= less;
                self.owed -= less;
                self.grant(0)
            }
            Uptake::Steady => self.grant(0),
        }
    }

    #[inline]
    fn grant(&mut self, more: u32) -> u32 {
        let bytes = std::mem::take(&mut self.owed) + more;
        self.granted += bytes;
        bytes
    }
}

#[cfg(test)]
mod tests;
