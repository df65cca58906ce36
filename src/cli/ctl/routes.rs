//! What `ctl routes` shows of the proxy's answer, whose lines are
//! `DC ROUTE STATE SECONDS WHY WORKED`.

use crate::cli::json::Json;
use crate::metrics::{Reason, RouteResult};

/// A line of the answer.
struct Shown<'a> {
    dc: &'a str,
    route: &'a str,
    /// `free`, `rests`, `due` (a client is to try it) or `probed` (one does).
    state: &'a str,
    /// How long it still rests.
    seconds: Option<i64>,
    why: &'a str,
    /// How many seconds ago it was the route that worked.
    worked: Option<i64>,
}

impl<'a> Shown<'a> {
    fn read(line: &'a str) -> Self {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_default();
        Self {
            dc: word(),
            route: word(),
            state: word(),
            seconds: word().parse().ok(),
            why: word(),
            worked: word().parse().ok(),
        }
    }

    fn in_words(&self) -> String {
        let reason = RouteResult::ALL.iter().find(|why| why.label() == self.why);
        let why = reason.map_or_else(|| self.why.to_owned(), |why| why.to_string());
        let seconds = self.seconds.unwrap_or_default();
        match (self.state, self.worked) {
            ("free", Some(ago)) => format!("works, last seen {ago} s ago"),
            ("free", None) => "nothing is known against it".to_owned(),
            ("rests", _) => format!("rests for {seconds} s: {why}"),
            ("due", _) => format!("the next client tries whether it works again; it rested: {why}"),
            ("probed", _) => format!("a client tries whether it works again; it rested: {why}"),
            (other, _) => other.to_owned(),
        }
    }
}

/// For a person.
pub(super) fn table(lines: &[String]) -> String {
    if lines.is_empty() {
        return "no client has been connected to a DC yet; middle proxies are none of these routes\n"
            .to_owned();
    }
    let mut text = format!("{:<6} {:<8} {}\n", "DC", "ROUTE", "NOW");
    for line in lines {
        let shown = Shown::read(line);
        let words = shown.in_words();
        text += &format!("{:<6} {:<8} {words}\n", shown.dc, shown.route);
    }
    text
}

pub(super) fn json(line: &str) -> Json {
    let shown = Shown::read(line);
    let mut members = vec![
        ("dc", Json::Number(shown.dc.parse().unwrap_or_default())),
        ("route", Json::from(shown.route)),
        ("state", Json::from(shown.state)),
    ];
    if let Some(seconds) = shown.seconds {
        members.push(("rests_seconds", Json::Number(seconds)));
        members.push(("why", Json::from(shown.why)));
    }
    if let Some(ago) = shown.worked {
        members.push(("worked_seconds_ago", Json::Number(ago)));
    }
    Json::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_for_people_and_objects_for_programs() {
        let lines = [
            "-2 direct rests 540 blocked -",
            "-2 ws free - - 12",
            "2 direct due 0 starves 700",
            "2 ws probed 0 useless -",
            "4 direct free - - -",
        ];
        let shown = table(&lines.map(str::to_owned));
        let expected = [
            "DC     ROUTE    NOW",
            "-2     direct   rests for 540 s: no answer to connecting: blocked or down",
            "-2     ws       works, last seen 12 s ago",
            "2      direct   the next client tries whether it works again; it rested: it connects, \
             and then no byte comes to a client that has asked: filtered on the way",
            "2      ws       a client tries whether it works again; it rested: it refuses, or \
             there is no way to it",
            "4      direct   nothing is known against it",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
        assert_eq!(
            json(lines[0]).to_string(),
            r#"{"dc":-2,"route":"direct","state":"rests","rests_seconds":540,"why":"blocked"}"#
        );
        assert_eq!(
            json(lines[1]).to_string(),
            r#"{"dc":-2,"route":"ws","state":"free","worked_seconds_ago":12}"#
        );
        assert!(table(&[]).starts_with("no client"));
        // An answer of another version is shown as it is.
        assert!(table(&["2".to_owned(), "2 direct odd".to_owned()]).ends_with("odd\n"));
    }
}
