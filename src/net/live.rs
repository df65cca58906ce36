use std::cell::RefCell;
use std::rc::Rc;

use super::Notify;

/// A value that others go by while it may be replaced as a whole: settings, at a
/// reload. Its clones are one and the same.
pub(crate) struct Live<T>(Rc<Inner<T>>);

struct Inner<T> {
    now: RefCell<Rc<T>>,
    replaced: Notify,
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Default + PartialEq> Default for Live<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: PartialEq> Live<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Rc::new(Inner {
            now: RefCell::new(Rc::new(value)),
            replaced: Notify::default(),
        }))
    }

    /// The present value. Whoever holds it still has it when another takes its place.
    pub(crate) fn get(&self) -> Rc<T> {
        self.0.now.borrow().clone()
    }

    /// What `look` sees in it. It must not replace it.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.now.borrow())
    }

    /// Replaces it, at once for all, and wakes who waits for that; whether it is
    /// another one.
    pub(crate) fn set(&self, value: T) -> bool {
        let is_other = self.with(|now| *now != value);
        if is_other {
            let old = self.0.now.replace(Rc::new(value));
            self.0.replaced.notify();
            drop(old);
        }
        is_other
    }

    /// Another one has taken the place of `seen`, which [`get`](Self::get) gave.
    pub(crate) fn is_past(&self, seen: &Rc<T>) -> bool {
        !Rc::ptr_eq(&self.0.now.borrow(), seen)
    }

    /// Waits until it is another one than `seen`, which [`get`](Self::get) gave,
    /// and gives that. Whoever did other things meanwhile gets the last of several.
    pub(crate) async fn after(&self, seen: &Rc<T>) -> Rc<T> {
        while !self.is_past(seen) {
            self.0.replaced.changed().await;
        }
        self.get()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use smol::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn all_see_a_new_value_at_once_and_who_holds_the_old_one_keeps_it() {
        let live = Live::new("a".to_owned());
        let (other, held) = (live.clone(), live.get());
        assert!(other.set("b".to_owned()));
        assert_eq!(live.with(String::len), 1);
        assert_eq!((&**live.get(), &**held), ("b", "a"));
        assert!(live.is_past(&held) && !live.is_past(&live.get()));
    }

    #[test]
    fn the_same_value_again_wakes_nobody() {
        let live = Live::new(1);
        let seen = live.get();
        block_on(async {
            let mut after = Box::pin(live.after(&seen));
            assert!(poll_once(&mut after).await.is_none());
            assert!(!live.set(1));
            assert!(poll_once(&mut after).await.is_none());
            assert!(live.set(2));
            assert_eq!(poll_once(&mut after).await, Some(Rc::new(2)));
        });
    }

    /// There and back is two changes.
    #[test]
    fn what_changes_while_nobody_waits_is_not_missed() {
        let live = Live::new(1);
        let seen = live.get();
        live.set(2);
        live.set(1);
        block_on(async {
            let after = poll_once(live.after(&seen)).await;
            let after = after.expect("it has changed");
            assert!(poll_once(live.after(&after)).await.is_none());
        });
    }

    proptest! {
        /// A watcher that is polled now and then, and does other things between.
        #[test]
        fn a_watcher_ends_with_the_last_value(steps in prop::collection::vec((0u8..4, any::<bool>()), 0..40)) {
            let live = Live::new(0);
            let saw = Cell::new(0);
            let mut watching = Box::pin(async {
                let mut seen = live.get();
                loop {
                    seen = live.after(&seen).await;
                    saw.set(*seen);
                }
            });
            block_on(async {
                let _: Option<()> = poll_once(&mut watching).await;
                let mut last = 0;
                for (value, is_polled) in steps {
                    prop_assert_eq!(live.set(value), value != last);
                    last = value;
                    if is_polled {
                        let _: Option<()> = poll_once(&mut watching).await;
                        prop_assert_eq!(saw.get(), last);
                    }
                }
                Ok(())
            })?;
        }
    }
}
