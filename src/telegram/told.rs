use std::cell::RefCell;

use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// What is told of tries to reach DCs, where somebody asks for it: each in its turn, and
/// nobody tries for ever.
#[derive(Default)]
pub(crate) struct Told(RefCell<Vec<(DcId, Tale)>>);

/// Of one try.
enum Tale {
    /// It got through to this place.
    Led(String),
    Missed(Option<RouteResult>, String),
}

impl Told {
    /// A connection to the DC is there, by this way.
    pub(super) fn led(&self, dc: DcId, place: String) {
        self.0.borrow_mut().push((dc, Tale::Led(place)));
    }

    /// There is none by one of the ways.
    pub(super) fn missed(&self, dc: DcId, why: Option<RouteResult>, what: String) {
        self.0.borrow_mut().push((dc, Tale::Missed(why, what)));
    }

    /// By which way there is one.
    pub(super) fn place(&self, dc: DcId) -> Option<String> {
        self.last(dc, |tale| match tale {
            Tale::Led(place) => Some(place.clone()),
            Tale::Missed(..) => None,
        })
    }

    /// Why there is none: what says most of all that went wrong.
    pub(super) fn failure(&self, dc: DcId, telling: RouteResult) -> Option<String> {
        let of_why = |wanted: Option<RouteResult>| {
            self.last(dc, |tale| match tale {
                Tale::Missed(why, what) if wanted.is_none() || *why == wanted => Some(what.clone()),
                _ => None,
            })
        };
        of_why(Some(telling)).or_else(|| of_why(None))
    }

    fn last<T>(&self, dc: DcId, wanted: impl Fn(&Tale) -> Option<T>) -> Option<T> {
        let tales = self.0.borrow();
        let of_dc = tales.iter().rev().filter(|(other, _)| *other == dc);
        of_dc.map(|(_, tale)| wanted(tale)).find_map(|found| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_most_is_told() {
        let told = Told::default();
        let (two, four) = (DcId(2), DcId(4));
        assert_eq!(told.failure(two, RouteResult::Blocked), None);
        told.missed(two, Some(RouteResult::Filtered), "filtered".to_owned());
        told.missed(two, Some(RouteResult::Blocked), "blocked".to_owned());
        told.led(four, "there".to_owned());
        let failure = |why| told.failure(two, why).unwrap();
        assert_eq!(failure(RouteResult::Filtered), "filtered");
        assert_eq!(failure(RouteResult::CutShort), "blocked");
        assert_eq!(told.place(four).as_deref(), Some("there"));
        assert_eq!(told.place(two), None);
    }
}
