use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::{Notify, Reactor};

/// The time between two attempts at something. Whoever has a reason for the
/// next one may cut it short, down to what the other side can be asked to bear.
#[derive(Default)]
pub(crate) struct Pause {
    is_wanted: Cell<bool>,
    wanted: Notify,
}

impl Pause {
    /// The next attempt is wanted as soon as may be.
    pub(crate) fn cut_short(&self) {
        self.is_wanted.set(true);
        self.wanted.notify();
    }

    /// An attempt begins: what was wanted before is what it does.
    pub(crate) fn begin(&self) {
        self.is_wanted.set(false);
    }

    /// Until `longest` is over; not before `shortest` is, whoever wants it.
    pub(crate) async fn wait(&self, reactor: &Rc<Reactor>, shortest: Duration, longest: Duration) {
        reactor.sleep(shortest.min(longest)).await;
        if !self.is_wanted.get() {
            let rest = longest.saturating_sub(shortest);
            reactor.timeout(rest, self.wanted.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Executor;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn it_is_cut_short_by_what_was_wanted_since_the_attempt_began() {
        let reactor = Reactor::new().unwrap();
        let pause = Pause::default();
        let moment = Duration::from_millis(1);
        let over = async |longest| {
            let wait = pause.wait(&reactor, moment, longest);
            let limit = Duration::from_millis(20);
            reactor.timeout(limit, wait).await.is_some()
        };
        reactor.block_on(&Executor::default(), async {
            pause.cut_short();
            assert!(over(LONG).await, "wanted before it");
            pause.begin();
            assert!(!over(LONG).await);
            assert!(over(Duration::ZERO).await);
            let wanting = async { pause.cut_short() };
            let (is_over, ()) = smol::future::zip(over(LONG), wanting).await;
            assert!(is_over, "wanted while nothing may be done yet");
            pause.begin();
            let wanting = async {
                reactor.sleep(5 * moment).await;
                pause.cut_short();
            };
            let (is_over, ()) = smol::future::zip(over(LONG), wanting).await;
            assert!(is_over, "wanted in the midst of it");
        });
    }
}
