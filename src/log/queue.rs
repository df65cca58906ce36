use std::collections::VecDeque;

/// An empty queue keeps no more memory than this.
const KEPT: usize = 4096;

/// Lines that wait for their reader: at most `capacity` bytes, the newest are
/// lost. Once one is lost, so are the next until half of the rest is read: then
/// one line in their place says how many, and not one a line.
pub(super) struct Queue {
    /// Whole lines, each with its end.
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Not yet said, and in all.
    lost: u64,
    lost_in_all: u64,
    /// The line that says it.
    loss: fn(u64) -> String,
}

impl Queue {
    pub(crate) const fn new(capacity: usize, loss: fn(u64) -> String) -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity,
            lost: 0,
            lost_in_all: 0,
            loss,
        }
    }

    /// Adds a line, or counts it as lost.
    pub(crate) fn push(&mut self, line: &[u8]) {
        if self.lost > 0 && self.bytes.len() <= self.capacity / 2 {
            self.say_loss();
        }
        let has_room = self.bytes.len() + line.len() <= self.capacity;
        if self.lost > 0 || !has_room {
            self.lost += 1;
            self.lost_in_all += 1;
        } else {
            self.add(line);
        }
    }

    /// Adds a line even if that makes it longer than its capacity: the last.
    pub(crate) fn push_last(&mut self, line: &[u8]) {
        if self.lost > 0 {
            self.say_loss();
        }
        self.add(line);
    }

    /// Takes the oldest line; with none left, the one about those that were lost.
    pub(crate) fn pop(&mut self, line: &mut Vec<u8>) -> bool {
        line.clear();
        if self.bytes.is_empty() && self.lost > 0 {
            self.say_loss();
        }
        let end = self.bytes.iter().position(|byte| *byte == b'\n');
        let Some(end) = end else { return false };
        line.extend(self.bytes.drain(..=end));
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            self.bytes = VecDeque::new();
        }
        true
    }

    /// Is there nothing to be read?
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.lost == 0
    }

    pub(crate) fn lost_in_all(&self) -> u64 {
        self.lost_in_all
    }

    fn say_loss(&mut self) {
        let line = (self.loss)(std::mem::take(&mut self.lost));
        self.add(line.as_bytes());
    }

    fn add(&mut self, line: &[u8]) {
        if self.bytes.capacity() == 0 {
            // Doubled from there, it ends at the capacity.
            self.bytes.reserve_exact(KEPT);
        }
        self.bytes.extend(line);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queue(capacity: usize) -> Queue {
        Queue::new(capacity, |lost| format!("{lost} lost\n"))
    }

    fn pop(queue: &mut Queue) -> Option<String> {
        let mut line = Vec::new();
        let popped = queue.pop(&mut line);
        popped.then(|| String::from_utf8(line).unwrap())
    }

    #[test]
    fn lines_come_out_in_order() {
        let mut queue = queue(100);
        assert!(queue.is_empty());
        assert_eq!(pop(&mut queue), None);
        queue.push(b"one\n");
        queue.push(b"two\n");
        assert_eq!(pop(&mut queue).as_deref(), Some("one\n"));
        queue.push(b"three\n");
        assert_eq!(pop(&mut queue).as_deref(), Some("two\n"));
        assert_eq!(pop(&mut queue).as_deref(), Some("three\n"));
        assert_eq!(pop(&mut queue), None);
        assert_eq!(queue.lost_in_all(), 0);
    }

    #[test]
    fn what_was_lost_is_said_once_where_it_would_have_been() {
        let mut queue = queue(20);
        for line in ["aaaaaaaa\n", "bbbbbbbb\n", "cccccccc\n", "d\n"] {
            queue.push(line.as_bytes());
        }
        assert_eq!(queue.lost_in_all(), 2);
        assert_eq!(pop(&mut queue).as_deref(), Some("aaaaaaaa\n"));
        queue.push(b"e\n");
        assert_eq!(pop(&mut queue).as_deref(), Some("bbbbbbbb\n"));
        assert_eq!(pop(&mut queue).as_deref(), Some("2 lost\n"));
        assert_eq!(pop(&mut queue).as_deref(), Some("e\n"));
        assert_eq!(pop(&mut queue), None);
    }

    #[test]
    fn a_loss_is_said_though_no_line_follows() {
        let mut queue = queue(4);
        queue.push(b"aaa\n");
        queue.push(b"b\n");
        assert_eq!(pop(&mut queue).as_deref(), Some("aaa\n"));
        assert!(!queue.is_empty());
        assert_eq!(pop(&mut queue).as_deref(), Some("1 lost\n"));
        assert!(queue.is_empty());
    }

    #[test]
    fn the_last_words_have_room() {
        let mut queue = queue(4);
        queue.push(b"aaa\n");
        queue.push(b"bbb\n");
        queue.push_last(b"the end\n");
        let left: Vec<_> = std::iter::from_fn(|| pop(&mut queue)).collect();
        assert_eq!(left, ["aaa\n", "1 lost\n", "the end\n"]);
    }

    #[test]
    fn an_empty_queue_keeps_little() {
        let mut queue = queue(1 << 16);
        let line = [[b'x'; 99].as_slice(), b"\n"].concat();
        for _ in 0..1000 {
            queue.push(&line);
        }
        assert!(queue.bytes.capacity() <= 1 << 16);
        while pop(&mut queue).is_some() {}
        assert!(queue.bytes.capacity() <= KEPT);
        assert_eq!(queue.lost_in_all(), 1000 - (1 << 16) / 100);
    }

    proptest! {
        /// `Some(length)`: a line comes, `None`: one is read.
        #[test]
        fn every_line_is_read_or_counted_and_the_bound_holds(
            capacity in 10usize..200,
            steps in proptest::collection::vec(proptest::option::of(0usize..40), 1..200),
        ) {
            let mut queue = queue(capacity);
            let (mut next, mut read, mut said) = (0, Vec::new(), 0);
            let mut take = |line: String| match line.split_once(' ') {
                Some((lost, "lost\n")) => {
                    said += lost.parse::<u64>().unwrap();
                    read.push(None);
                }
                _ => read.push(Some(line.trim_end_matches(['x', '\n']).parse::<u64>().unwrap())),
            };
            for step in steps {
                match step {
                    Some(length) => {
                        queue.push(format!("{next}{}\n", "x".repeat(length)).as_bytes());
                        next += 1;
                    }
                    None => {
                        if let Some(line) = pop(&mut queue) {
                            take(line);
                        }
                    }
                }
                // The line about losses is short.
                prop_assert!(queue.bytes.len() <= capacity + 10);
            }
            while let Some(line) = pop(&mut queue) {
                take(line);
            }
            prop_assert!(queue.is_empty());
            let numbers: Vec<_> = read.iter().flatten().copied().collect();
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(numbers.len() as u64 + said, next);
            prop_assert_eq!(queue.lost_in_all(), said);
            // A gap is never without its line.
            for pair in read.windows(2) {
                if let [Some(one), Some(other)] = pair {
                    prop_assert_eq!(one + 1, *other);
                }
            }
        }
    }
}
