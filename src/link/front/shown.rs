use super::Front;
use crate::link::shown::{LinkState, ShownLink};

impl Front {
    /// Its links, and those that it would have.
    pub(crate) fn shown(&self) -> Vec<ShownLink> {
        let links = self.links.borrow();
        let links = links.iter();
        let mut shown: Vec<_> = links
            .map(|link| ShownLink::of(&link.connection, link.load(), link.is_retired()))
            .collect();
        for keeper in self.keepers.borrow().iter() {
            if let Some(fault) = keeper.missing() {
                shown.push(ShownLink {
                    peer: keeper.target.to_string(),
                    security: None,
                    state: LinkState::Down,
                    age: None,
                    round_trip: None,
                    clients: 0,
                    fault,
                });
            }
        }
        shown
    }
}
