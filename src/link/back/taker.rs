use std::io;
use std::task::{Context, Poll};

use super::tie::Tie;
use super::wish::{UnderWay, Wish};
use crate::link::fault::Fault;

/// What the link tells who takes the bytes of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The session, which took no more, may take something again.
    Room,
    /// There may be buffers for the packet that comes, or it has to give up what it
    /// has.
    Buffers,
    /// The front's client has room: what Telegram's side was refused may be offered again.
    Resume,
    /// Some seconds have gone.
    Tick,
}

/// Who takes what a front sends for one stream: [`Early`](super::early::Early) until
/// the session is there, then its [`Packets`](super::packets::Packets), or the
/// [`LineEnd`](super::line::LineEnd).
///
/// What it asks of the session may come back to the stream as its sink, never to
/// the taker.
pub(super) trait Taker {
    /// Takes all of `bytes`, the first `unheld` of which are not held by the window.
    fn take(&mut self, bytes: &mut [u8], unheld: usize, tie: &Tie) -> Result<(), Fault>;

    /// Hands what it has kept to the taker that follows it, in order.
    fn hand_on(
        self: Box<Self>,
        _take: &mut dyn FnMut(&mut [u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        Ok(())
    }

    fn hear(&mut self, _news: News, _tie: &Tie) {}

    /// The packet that waits for buffers, if there is one.
    fn wish(&self, _tie: &Tie) -> Option<Wish> {
        None
    }

    /// That packet may come now; whether it does.
    fn may_come(&mut self, _under_way: UnderWay, _tie: &Tie) -> bool {
        false
    }

    /// It may be in a list of the link's.
    fn is_waiting(&self) -> bool {
        false
    }

    /// Writes what was refused before; how many bytes Telegram's side took.
    fn flush(&mut self, _cx: &mut Context<'_>) -> io::Result<usize> {
        Ok(0)
    }

    /// Hands on at most `most` bytes of what Telegram's side has for the client, if that is
    /// read here, by `space`: how many, 0 at the end.
    fn poll_read(
        &mut self,
        _cx: &mut Context<'_>,
        _space: &mut [u8],
        _most: usize,
        _take: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<io::Result<usize>> {
        Poll::Pending
    }
}
