//! Which route a client takes to its DC: what worked last, in the order of the list, and
//! not what has failed lately. Pure: time is passed in.

use std::time::{Duration, Instant};

use crate::config::{RouteList, RouteName};
use crate::connection::Rest;
use crate::metrics::RouteResult;
use crate::wire::dc::DcId;

/// The route that worked last is the first for so long.
const FAVOUR: Duration = Duration::from_secs(600);

/// Who tries whether a route works again has so long to find out, and meanwhile others
/// take the next one.
const PROBE: Duration = Duration::from_secs(20);

/// So many in a row, each within [`FAVOUR`] of the one before, are no accident.
const IN_A_ROW: u8 = 3;

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

/// Of one route to one DC.
#[derive(Clone, Copy, Default)]
struct State {
    /// It failed, and has not worked since.
    rest: Option<Rest>,
    /// Since when somebody tries whether it works again.
    probe: Option<Instant>,
    /// When a line of it had its first byte from the DC.
    answered: Option<Instant>,
    silent: InARow,
    early: InARow,
    /// Times in a row that a question of ours was answered where a line was not.
    cleared: u8,
    /// When a client was told last that it does not lead to this DC at all.
    unknown: Option<Instant>,
}

/// Lines that failed in the same way, without one between that did not.
#[derive(Clone, Copy, Default)]
struct InARow {
    count: u8,
    last: Option<Instant>,
}

impl InARow {
    /// One more; whether it is the last straw.
    fn add(&mut self, now: Instant) -> bool {
        let goes_on = self.last.is_some_and(|last| now - last < FAVOUR);
        self.count = if goes_on { self.count } else { 0 }.saturating_add(1);
        self.last = Some(now);
        self.count >= IN_A_ROW
    }
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

/// What a change of the table changes for clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A route rests now that did not.
    Rests(Rest),
    /// It works again.
    Back,
}

/// How a route stands for whoever comes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is known against it.
    Free,
    /// Its rest is over: somebody has to try.
    Due(Rest),
    /// Somebody does.
    Probed(Rest),
    Rests(Rest),
}

impl State {
    fn standing(&self, now: Instant) -> Standing {
        match (self.rest, self.probe) {
            (None, _) => Standing::Free,
            (Some(rest), _) if rest.is_on(now) => Standing::Rests(rest),
            (Some(rest), Some(begun)) if now - begun < PROBE => Standing::Probed(rest),
            (Some(rest), _) => Standing::Due(rest),
        }
    }
}

impl Standing {
    /// Of two things that a route needs, the one that keeps clients from it for longer.
    fn or_worse(self, other: Self) -> Self {
        let rank = |standing: &Self| match standing {
            Self::Free => (0, None),
            Self::Due(_) => (1, None),
            Self::Probed(_) => (2, None),
            Self::Rests(rest) => (3, Some(rest.until)),
        };
        match rank(&other) > rank(&self) {
            true => other,
            false => self,
        }
    }
}

impl State {
    fn is_unknown(&self, now: Instant) -> bool {
        self.unknown.is_some_and(|since| now - since < FAVOUR)
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
        state.is_some_and(|state| state.cleared < IN_A_ROW)
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
        list.as_slice()
            .iter()
            .any(|other| *other != route && leads(*other) && !self.is_resting(dc, *other, now))
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

impl State {
    fn is_back(&mut self) -> Option<News> {
        self.probe = None;
        self.rest.take().map(|_| News::Back)
    }
}

#[cfg(test)]
mod tests;
