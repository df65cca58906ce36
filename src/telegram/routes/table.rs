//! Which route a client takes to its DC: what worked last, in the order of the list, and
//! not what has failed lately. Pure: time is passed in.

use std::time::Instant;

use super::state::{FAVOUR, InARow, News, Standing, State};
use crate::config::{RouteList, RouteName};
use crate::connection::Rest;
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// Telegram's DCs with their media and test servers are less than half of it; only those
/// that a route leads to come in here. Beyond, the one that was used longest ago is
/// forgotten.
const MAX_ROWS: usize = 64;

/// What is known of every route to every DC that was used.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
    /// Of routes to all DCs: of who stands before these.
    of_all: [State; RouteName::ALL.len()],
}

struct Row {
    /// Media and test servers are DCs of their own here.
    dc: DcId,
    used: Instant,
    worked: Option<(RouteName, Instant)>,
    states: [State; RouteName::ALL.len()],
}

/// The routes that one client has tried.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried([bool; RouteName::ALL.len()]);

impl Tried {
    fn has(self, route: RouteName) -> bool {
        self.0.get(route.index()).copied().unwrap_or(true)
    }

    fn add(&mut self, route: RouteName) {
        if let Some(tried) = self.0.get_mut(route.index()) {
            *tried = true;
        }
    }
}

/// The next route of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) route: RouteName,
    /// It has failed lately, and this client finds out for all whether it works again.
    pub(crate) is_probe: bool,
    /// Should it fail, there is another that has not failed lately.
    pub(crate) has_next: bool,
}

impl Choice {
    /// Of a list of one, which is taken however it stands.
    fn of_one(list: &RouteList, tried: &mut Tried) -> Option<Self> {
        let route = list.as_slice().first().copied()?;
        let is_new = !tried.has(route);
        tried.add(route);
        is_new.then_some(Self {
            route,
            is_probe: false,
            has_next: false,
        })
    }
}

impl Row {
    fn leads(&self, route: RouteName, now: Instant) -> bool {
        let state = self.states.get(route.index());
        state.is_none_or(|state| !state.is_unknown(now))
    }

    fn standing(&self, route: RouteName, now: Instant) -> Standing {
        let state = self.states.get(route.index());
        state.map_or(Standing::Free, |state| state.standing(now))
    }

    fn favourite(&self, now: Instant) -> Option<RouteName> {
        let (route, at) = self.worked?;
        (now - at < FAVOUR).then_some(route)
    }
}

/// A route with its place in the list.
type Placed = (usize, RouteName);

impl Table {
    /// The next route of `list` for a client of `dc` that has tried some, which counts
    /// it among these; `None`: it has tried all.
    pub(crate) fn next(
        &mut self,
        dc: DcId,
        list: &RouteList,
        tried: &mut Tried,
        now: Instant,
    ) -> Option<Choice> {
        if !RouteName::HAS_CHOICE {
            return Choice::of_one(list, tried);
        }
        let before = *tried;
        let row = self.rows.iter().find(|row| row.dc == dc);
        let standing = |route| self.standing(dc, route, now);
        let favourite = row.and_then(|row| row.favourite(now));
        let left = || {
            let placed = list.as_slice().iter().copied().enumerate();
            placed.filter(|(_, route)| !before.has(*route))
        };
        let is_free = |(_, route): &Placed| standing(*route) == Standing::Free;
        let free = left()
            .filter(is_free)
            .min_by_key(|(place, route)| (Some(*route) != favourite, *place));
        let due = left().find(|(_, route)| matches!(standing(*route), Standing::Due(_)));
        let (route, is_probe) = match (free, due) {
            (Some(free), Some(due)) if due.0 < free.0 => (due.1, true),
            (Some(free), _) => (free.1, false),
            (None, Some(due)) => (due.1, true),
            (None, None) => {
                let resting = left().min_by_key(|(place, route)| match standing(*route) {
                    Standing::Rests(rest) | Standing::Due(rest) | Standing::Probed(rest) => {
                        (Some(rest.until), *place)
                    }
                    Standing::Free => (None, *place),
                });
                (resting?.1, false)
            }
        };
        let leads = |route| row.is_none_or(|row| row.leads(route, now));
        let has_next =
            left().any(|placed| placed.1 != route && is_free(&placed) && leads(placed.1));
        tried.add(route);
        if is_probe {
            self.probe(dc, route, Some(now));
        }
        Some(Choice {
            route,
            is_probe,
            has_next,
        })
    }

    /// Nothing has come of a try, one way or the other.
    pub(crate) fn gave_up(&mut self, dc: DcId, choice: Choice) {
        if choice.is_probe {
            self.probe(dc, choice.route, None);
        }
    }

    fn probe(&mut self, dc: DcId, route: RouteName, begun: Option<Instant>) {
        if let Some(state) = self.existing(dc, route) {
            state.probe = begun;
        }
        if let Some(state) = self.of_all.get_mut(route.index()) {
            state.probe = begun;
        }
    }

    /// Who stands before all DCs fails; to be told of [`failed`](Self::failed) too.
    #[cfg(any(feature = "tls", test))]
    pub(crate) fn failed_for_all(&mut self, route: RouteName, why: RouteResult, now: Instant) {
        if let Some(state) = self.of_all.get_mut(route.index()) {
            state.rest = Some(Rest::after(state.rest, why, now));
            state.probe = None;
        }
    }

    /// A line to another DC than this one has had an answer lately, and the route has not
    /// failed for that since.
    #[cfg(any(feature = "tls", test))]
    pub(crate) fn serves_others(&self, dc: DcId, route: RouteName, now: Instant) -> bool {
        self.rows
            .iter()
            .filter(|row| row.dc.number() != dc.number())
            .filter_map(|row| row.states.get(route.index()))
            .any(|state| state.rest.is_none() && state.answered.is_some_and(|at| now - at < FAVOUR))
    }

    /// The route does not lead to this DC. It is no news for long: a reload may change it.
    pub(crate) fn leads_nowhere(&mut self, dc: DcId, route: RouteName, now: Instant) {
        // A DC that none leads to has no row.
        if let Some(state) = self.existing(dc, route) {
            state.unknown = Some(now);
        }
    }

    /// A route did not come about, or was found to starve.
    pub(crate) fn failed(
        &mut self,
        dc: DcId,
        route: RouteName,
        why: RouteResult,
        now: Instant,
    ) -> Option<News> {
        self.change(dc, route, now, |state| {
            let rested = state.rest.is_some_and(|rest| rest.is_on(now));
            let rest = Rest::after(state.rest, why, now);
            state.rest = Some(rest);
            state.probe = None;
            (!rested).then_some(News::Rests(rest))
        })
    }

    /// A line had its first byte from the DC.
    pub(crate) fn answers(&mut self, dc: DcId, route: RouteName, now: Instant) -> Option<News> {
        if let Some(of_all) = self.of_all.get_mut(route.index()) {
            let _ = of_all.is_back();
        }
        let news = self.change(dc, route, now, |state| {
            state.answered = Some(now);
            state.early = InARow::default();
            state.cleared = 0;
            match state.rest {
                // What is let through at first says nothing of what follows.
                Some(Rest {
                    why: RouteResult::FallsSilent,
                    ..
                }) => None,
                _ => state.is_back(),
            }
        });
        if let Some(row) = self.rows.iter_mut().find(|row| row.dc == dc)
            && row.standing(route, now) == Standing::Free
        {
            row.worked = Some((route, now));
        }
        news
    }

    /// A line has got more than filters let pass, or has ended in peace with as much.
    pub(crate) fn passes(&mut self, dc: DcId, route: RouteName, now: Instant) -> Option<News> {
        let state = self.existing(dc, route)?;
        state.silent = InARow::default();
        let news = state.is_back();
        if news.is_some() {
            self.answers(dc, route, now);
        }
        news
    }

    /// Whether it is worth asking the DC itself what it is that a line shows. Some
    /// networks let our short question pass and not what clients say: they are believed in
    /// the end.
    #[cfg_attr(
        not(any(feature = "tls", test)),
        expect(dead_code, reason = "there is one route")
    )]
    pub(crate) fn may_be_doubted(&self, dc: DcId, route: RouteName) -> bool {
        let row = self.rows.iter().find(|row| row.dc == dc);
        let state = row.and_then(|row| row.states.get(route.index()));
        state.is_some_and(|state| state.may_be_cleared())
    }

    /// The DC has answered a question of ours, so the line that spoke against the route
    /// proves nothing.
    #[cfg_attr(
        not(any(feature = "tls", test)),
        expect(dead_code, reason = "there is one route")
    )]
    pub(crate) fn is_cleared(&mut self, dc: DcId, route: RouteName, now: Instant) -> Option<News> {
        let state = self.existing(dc, route)?;
        let cleared = state.cleared.saturating_add(1);
        let news = self.answers(dc, route, now);
        if let Some(state) = self.existing(dc, route) {
            state.cleared = cleared;
        }
        news
    }

    /// A line of a client that had asked by `asked` has no answer; whether that is to be
    /// believed: another line has none since either.
    pub(crate) fn is_starved(&mut self, dc: DcId, route: RouteName, asked: Instant) -> bool {
        let state = self.existing(dc, route);
        state.is_none_or(|state| state.answered.is_none_or(|last| last < asked))
    }

    /// A line fell silent after so much as filters let pass.
    pub(crate) fn falls_silent(
        &mut self,
        dc: DcId,
        route: RouteName,
        now: Instant,
    ) -> Option<News> {
        let is_filtered = self.change(dc, route, now, |state| {
            let was_filtered = matches!(
                state.rest,
                Some(Rest {
                    why: RouteResult::FallsSilent,
                    ..
                })
            );
            state.silent.add(now) || was_filtered
        });
        match is_filtered {
            true => self.failed(dc, route, RouteResult::FallsSilent, now),
            false => None,
        }
    }

    /// The DC's side closed a line without a byte.
    pub(crate) fn ends_early(&mut self, dc: DcId, route: RouteName, now: Instant) -> Option<News> {
        let is_bad = self.change(dc, route, now, |state| state.early.add(now));
        match is_bad {
            true => self.failed(dc, route, RouteResult::EndsEarly, now),
            false => None,
        }
    }

    /// How the route stands for whoever comes now.
    pub(crate) fn standing(&self, dc: DcId, route: RouteName, now: Instant) -> Standing {
        let row = self.rows.iter().find(|row| row.dc == dc);
        let of_dc = row.map_or(Standing::Free, |row| row.standing(route, now));
        let of_all = self.of_all.get(route.index());
        of_dc.or_worse(of_all.map_or(Standing::Free, |state| state.standing(now)))
    }

    pub(crate) fn is_resting(&self, dc: DcId, route: RouteName, now: Instant) -> bool {
        matches!(self.standing(dc, route, now), Standing::Rests(_))
    }

    /// There is a route of `list` other than `route` that leads there and does not rest.
    pub(crate) fn has_other(
        &self,
        dc: DcId,
        route: RouteName,
        list: &RouteList,
        now: Instant,
    ) -> bool {
        let row = self.rows.iter().find(|row| row.dc == dc);
        let leads = |route| row.is_none_or(|row| row.leads(route, now));
        let is_better = |other: &RouteName| {
            *other != route && leads(*other) && !self.is_resting(dc, *other, now)
        };
        !list.is_one() && list.as_slice().iter().any(is_better)
    }

    /// The DCs in it, in their order, each with the route that worked last and when.
    #[cfg(any(feature = "ctl", test))]
    pub(crate) fn dcs(&self) -> Vec<(DcId, Option<(RouteName, Instant)>)> {
        let mut dcs: Vec<_> = self.rows.iter().map(|row| (row.dc, row.worked)).collect();
        dcs.sort_unstable_by_key(|(dc, _)| *dc);
        dcs
    }

    fn existing(&mut self, dc: DcId, route: RouteName) -> Option<&mut State> {
        let row = self.rows.iter_mut().find(|row| row.dc == dc)?;
        row.states.get_mut(route.index())
    }

    fn change<R>(
        &mut self,
        dc: DcId,
        route: RouteName,
        now: Instant,
        change: impl FnOnce(&mut State) -> R,
    ) -> R {
        let at = match self.rows.iter().position(|row| row.dc == dc) {
            Some(at) => at,
            None => self.add(dc, now),
        };
        // Both are there.
        let mut nothing = State::default();
        let row = self.rows.get_mut(at);
        let state = row.and_then(|row| {
            row.used = now;
            row.states.get_mut(route.index())
        });
        change(state.unwrap_or(&mut nothing))
    }

    fn add(&mut self, dc: DcId, now: Instant) -> usize {
        if self.rows.len() >= MAX_ROWS {
            let rows = self.rows.iter().enumerate();
            if let Some((oldest, _)) = rows.min_by_key(|(_, row)| row.used) {
                self.rows.swap_remove(oldest);
            }
        }
        self.rows.push(Row {
            dc,
            used: now,
            worked: None,
            states: Default::default(),
        });
        self.rows.len() - 1
    }
}

#[cfg(test)]
mod tests;
