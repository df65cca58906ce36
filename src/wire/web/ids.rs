use super::closed::Closed;
use super::{IdFault, StreamId};

/// The streams of one session. Apps number theirs upwards from anywhere and begin again
/// behind [`StreamId::MAX`]; an id is not used again before it is long forgotten, and
/// frames for one that has just been closed are nobody's.
pub struct Streams<T> {
    /// In ascending order of their ids; as many as whoever opens them admits.
    open: Vec<(StreamId, T)>,
    closed: Closed,
}

impl<T> Default for Streams<T> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            closed: Closed::default(),
        }
    }
}

impl<T> Streams<T> {
    /// The app opens a stream.
    pub fn open(&mut self, stream: StreamId, value: T) -> Result<(), IdFault> {
        let at = self.unused(stream)?;
        self.open.insert(at, (stream, value));
        Ok(())
    }

    /// The app opens a stream that is closed at once, for there are enough.
    pub fn refuse(&mut self, stream: StreamId) -> Result<(), IdFault> {
        self.unused(stream)?;
        self.closed.add(stream);
        Ok(())
    }

    /// The stream that a frame is for; `None` if that was closed lately, and the frame is
    /// to be ignored.
    pub fn get(&self, stream: StreamId) -> Result<Option<&T>, IdFault> {
        match self.place(stream) {
            Ok(at) => Ok(self.open.get(at).map(|(_, value)| value)),
            Err(_) => self.dead(stream).map(|()| None),
        }
    }

    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, stream: StreamId) -> Result<Option<&mut T>, IdFault> {
        match self.place(stream) {
            Ok(at) => Ok(self.open.get_mut(at).map(|(_, value)| value)),
            Err(_) => self.dead(stream).map(|()| None),
        }
    }

    /// Either side closes a stream; `None` if it was closed lately.
    pub fn close(&mut self, stream: StreamId) -> Result<Option<T>, IdFault> {
        match self.place(stream) {
            Ok(at) => {
                let (_, value) = self.open.remove(at);
                self.closed.add(stream);
                Ok(Some(value))
            }
            Err(_) => self.dead(stream).map(|()| None),
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Those that are open, in ascending order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (StreamId, &T)> {
        self.open.iter().map(|(stream, value)| (*stream, value))
    }

    /// The one whose turn it is behind `stream`, in a circle.
    pub fn after(&self, stream: StreamId) -> Option<(StreamId, &T)> {
        let at = self.open.partition_point(|(id, _)| *id <= stream);
        let next = self.open.get(at).or_else(|| self.open.first());
        next.map(|(stream, value)| (*stream, value))
    }

    /// Takes all that are open out: the session is over.
    pub fn drain(&mut self) -> impl Iterator<Item = (StreamId, T)> {
        std::mem::take(&mut self.open).into_iter()
    }

    fn place(&self, stream: StreamId) -> Result<usize, usize> {
        self.open.binary_search_by_key(&stream, |(id, _)| *id)
    }

    /// Where one that is opened belongs.
    fn unused(&self, stream: StreamId) -> Result<usize, IdFault> {
        match self.place(stream) {
            Err(at) if !self.closed.contains(stream) => Ok(at),
            _ => Err(IdFault::Used(stream)),
        }
    }

    fn dead(&self, stream: StreamId) -> Result<(), IdFault> {
        match self.closed.contains(stream) {
            true => Ok(()),
            false => Err(IdFault::Unknown(stream)),
        }
    }
}
