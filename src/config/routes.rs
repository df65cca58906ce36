//! By which ways direct sessions reach Telegram, and in which order they are tried.

use std::fmt;
use std::str::FromStr;

use super::values::{BadValue, bad};

/// A way to a DC for one client alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RouteName {
    /// A connection to the DC's address.
    Direct,
    /// WebSocket to Telegram's web front.
    Ws,
    /// WebSocket to a zone of the operator at Cloudflare.
    Zone,
    /// A Worker of the operator at Cloudflare.
    Worker,
    /// Another MTProto proxy.
    Upstream,
}

impl RouteName {
    pub(crate) const ALL: [Self; 5] = [
        Self::Direct,
        Self::Ws,
        Self::Zone,
        Self::Worker,
        Self::Upstream,
    ];

    /// Those that this build has.
    const BUILT: &[Self] = match cfg!(feature = "tls") {
        true => &Self::ALL,
        false => &[Self::Direct],
    };

    /// A build without has the one route, and needs no code that chooses.
    pub(crate) const HAS_CHOICE: bool = Self::BUILT.len() > 1;

    /// As in `--route`, in metrics and what is said of it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ws => "ws",
            Self::Zone => "zone",
            Self::Worker => "worker",
            Self::Upstream => "upstream",
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Routes in the order to try them in: at least one, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteList {
    routes: [RouteName; RouteName::ALL.len()],
    length: usize,
}

impl Default for RouteList {
    fn default() -> Self {
        Self::of(RouteName::Direct)
    }
}

impl RouteList {
    const fn of(route: RouteName) -> Self {
        Self {
            routes: [route; RouteName::ALL.len()],
            length: 1,
        }
    }

    /// Those that this build has not too.
    #[cfg(test)]
    pub(crate) fn from_routes(routes: &[RouteName]) -> Self {
        let mut list = Self::of(routes[0]);
        for route in &routes[1..] {
            assert!(list.push(*route));
        }
        list
    }

    pub(crate) fn as_slice(&self) -> &[RouteName] {
        self.routes.get(..self.length).unwrap_or_default()
    }

    /// There is no other to take.
    pub(crate) fn is_one(&self) -> bool {
        !RouteName::HAS_CHOICE || self.length == 1
    }

    pub(crate) fn has(&self, route: RouteName) -> bool {
        self.as_slice().contains(&route)
    }

    /// For a person.
    pub(crate) fn in_words(&self) -> String {
        let words: Vec<_> = self.as_slice().iter().map(|route| route.word()).collect();
        words.join(", then ")
    }

    /// Whether it is longer by `route`, which it does not have yet.
    fn push(&mut self, route: RouteName) -> bool {
        if self.has(route) {
            return false;
        }
        let Some(place) = self.routes.get_mut(self.length) else {
            return false;
        };
        *place = route;
        self.length += 1;
        true
    }
}

impl fmt::Display for RouteList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, route) in self.as_slice().iter().enumerate() {
            f.write_str(if position == 0 { "" } else { "," })?;
            route.fmt(f)?;
        }
        Ok(())
    }
}

/// How sessions reach their DCs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RouteChoice {
    /// Middle where a tag is set, else direct.
    #[default]
    Auto,
    Middle,
    /// A connection for each client, by one of these.
    Own(RouteList),
}

impl RouteChoice {
    /// The routes of direct sessions, should there be any.
    pub(crate) fn list(self) -> RouteList {
        match self {
            Self::Auto | Self::Middle => RouteList::default(),
            Self::Own(list) => list,
        }
    }
}

impl FromStr for RouteChoice {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "auto" => return Ok(Self::Auto),
            "middle" => return Ok(Self::Middle),
            _ => {}
        }
        let mut list: Option<RouteList> = None;
        for word in text.split(',').map(str::trim) {
            let route = parse_name(word)?;
            let is_new = match &mut list {
                None => list.insert(RouteList::of(route)).has(route),
                Some(list) => list.push(route),
            };
            if !is_new {
                return bad(format!("{route} stands there twice; once is enough"));
            }
        }
        Ok(Self::Own(list.unwrap_or_default()))
    }
}

fn parse_name(word: &str) -> Result<RouteName, BadValue> {
    let route = RouteName::ALL
        .into_iter()
        .find(|route| route.word() == word);
    let built = || {
        let words: Vec<_> = RouteName::BUILT.iter().map(|route| route.word()).collect();
        words.join(", ")
    };
    match route {
        Some(route) if RouteName::BUILT.contains(&route) => Ok(route),
        Some(route) if cfg!(feature = "tls") => {
            bad(format!("{route} is not in this build; it has {}", built()))
        }
        Some(route) => bad(format!(
            "{route} is not in this build; it has direct: take the full build, or reach Telegram \
             through --via or a --role back elsewhere"
        )),
        None if matches!(word, "auto" | "middle") => {
            bad(format!("{word} stands alone, without others"))
        }
        None => bad(format!(
            "expected auto, middle or a list of {}, joined by commas",
            built()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        let parsed = |text: &str| text.parse::<RouteChoice>();
        assert_eq!(parsed("auto"), Ok(RouteChoice::Auto));
        assert_eq!(parsed("middle"), Ok(RouteChoice::Middle));
        assert_eq!(parsed("direct"), Ok(RouteChoice::Own(RouteList::default())));
        for (wrong, said) in [
            ("", "expected auto, middle or a list of direct"),
            ("direct,", "expected auto, middle or a list"),
            ("Direct", "expected auto, middle or a list"),
            ("direct,direct", "direct stands there twice"),
            ("direct,auto", "auto stands alone"),
            ("middle,direct", "middle stands alone"),
        ] {
            let error = parsed(wrong).unwrap_err().to_string();
            assert!(error.starts_with(said), "{wrong}: {error}");
        }
        for route in RouteName::ALL {
            let is_built = RouteName::BUILT.contains(&route);
            match parsed(route.word()) {
                Ok(choice) => assert!(is_built && choice.list().as_slice() == [route]),
                Err(error) => {
                    assert!(!is_built);
                    assert!(
                        error
                            .to_string()
                            .contains("not in this build; it has direct")
                    );
                }
            }
        }
    }

    #[test]
    fn a_list_has_each_route_once_in_order() {
        let mut list = RouteList::of(RouteName::Ws);
        for route in RouteName::ALL {
            assert_eq!(list.push(route), route != RouteName::Ws);
        }
        assert!(!list.push(RouteName::Zone));
        assert_eq!(list.to_string(), "ws,direct,zone,worker,upstream");
        let words = "ws, then direct, then zone, then worker, then upstream";
        assert_eq!(list.in_words(), words);
        for (index, route) in RouteName::ALL.into_iter().enumerate() {
            assert_eq!(route.index(), index);
        }
    }
}
