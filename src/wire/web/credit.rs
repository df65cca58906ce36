//! Each direction of each stream begins with the same credit, which is not room that
//! anybody has to have: it is what may be under way.

/// What either side may send at first, in bytes.
pub const FIRST_CREDIT: u32 = 4 << 20;

/// What has to have left before a WINDOW is worth sending, in bytes.
pub const GRANT: u32 = 128 << 10;

/// An app has sent more than it was granted: fatal for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// What an app may send on one stream. Whatever happens, what it may send, what is here
/// and what is not granted again yet are [`FIRST_CREDIT`] together: an app's counter never
/// goes beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditFromApp {
    granted: u32,
    /// Bytes that left for the DC, and are not granted again yet.
    owed: u32,
}

/// What the app takes on one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreditToApp(u32);

impl Default for CreditFromApp {
    fn default() -> Self {
        Self {
            granted: FIRST_CREDIT,
            owed: 0,
        }
    }
}

impl CreditFromApp {
    /// A DATA frame of `length` bytes begins.
    pub fn receive(&mut self, length: u32) -> Result<(), Overrun> {
        self.granted = self.granted.checked_sub(length).ok_or(Overrun)?;
        Ok(())
    }

    /// `count` bytes have left for the DC. The WINDOW to send, once it is worth a frame.
    pub fn left(&mut self, count: usize) -> Option<u32> {
        // No more can leave than has come.
        let here = FIRST_CREDIT - self.granted - self.owed;
        self.owed += u32::try_from(count).unwrap_or(here).min(here);
        (self.owed >= GRANT).then(|| self.settle())
    }

    /// Nothing of the stream waits for the DC, and nothing comes. The WINDOW to send if
    /// anything is owed.
    pub fn idle(&mut self) -> Option<u32> {
        (self.owed > 0).then(|| self.settle())
    }

    /// Whether [`idle`](Self::idle) would give a WINDOW.
    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    fn settle(&mut self) -> u32 {
        let owed = std::mem::take(&mut self.owed);
        self.granted += owed;
        owed
    }
}

impl Default for CreditToApp {
    fn default() -> Self {
        Self(FIRST_CREDIT)
    }
}

impl CreditToApp {
    /// How many bytes may be sent now.
    pub fn available(&self) -> usize {
        self.0 as usize
    }

    /// A DATA frame of `length` bytes, no more than are available, begins.
    pub fn spend(&mut self, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0 = self.0.saturating_sub(length);
    }

    /// A WINDOW came.
    pub fn add(&mut self, credit: u32) {
        self.0 = self.0.saturating_add(credit);
    }
}
