use std::cell::RefCell;
use std::rc::Rc;

use crate::wire::link::whole::Whole;

/// Who is at the other end of links, and what that one takes of the [`Whole`] that all
/// share: on a back a front, whose links have one share together; on a front all backs
/// together. It gives up its part of the whole with its last link.
#[derive(Clone)]
pub(super) struct Share(Rc<Entry>);

struct Entry {
    whole: Rc<RefCell<Whole>>,
    user: usize,
    name: String,
}

impl Share {
    pub(crate) fn new(whole: &Rc<RefCell<Whole>>, name: &str) -> Self {
        Self(Rc::new(Entry {
            whole: whole.clone(),
            user: whole.borrow_mut().enter(),
            name: name.to_owned(),
        }))
    }

    /// Its number in the whole.
    pub(crate) fn user(&self) -> usize {
        self.0.user
    }

    /// How the log calls it.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Asks the whole something about this share, or changes it.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&mut Whole, usize) -> T) -> T {
        ask(&mut self.0.whole.borrow_mut(), self.0.user)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.whole.borrow_mut().leave(self.user);
    }
}
