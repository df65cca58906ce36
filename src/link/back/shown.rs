use super::Back;
use crate::link::shown::ShownLink;

impl Back {
    /// The links of all fronts.
    pub(crate) fn shown(&self) -> Vec<ShownLink> {
        let links = self.fronts.links();
        let links = links.iter();
        links
            .map(|link| ShownLink::of(link.connection(), link.load(), false))
            .collect()
    }
}
