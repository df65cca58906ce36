use std::net::SocketAddr;
use std::time::Duration;

use super::advice;
use super::aim::Aim;
use super::course::Pinged;
use super::failure::Failure;
use super::times::Times;
use crate::wire::json::Json;

/// Columns of a terminal that everybody has.
const WIDTH: usize = 80;

/// How the pings of one link fare.
pub(super) struct Report<'a> {
    aim: &'a Aim,
    places: &'a Result<Vec<SocketAddr>, String>,
    pinged: Vec<Pinged>,
    /// Pings that there was no use in.
    spared: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(aim: &'a Aim, places: &'a Result<Vec<SocketAddr>, String>) -> Self {
        Self {
            aim,
            places,
            pinged: Vec::new(),
            spared: 0,
        }
    }

    pub(super) fn add(&mut self, pinged: Pinged) {
        self.pinged.push(pinged);
    }

    /// One was not tried, as none would have fared better.
    pub(super) fn spare(&mut self) {
        self.spared += 1;
    }

    /// All that was asked was answered.
    pub(super) fn is_fine(&self) -> bool {
        !self.pinged.is_empty() && self.pinged.iter().all(|one| one.outcome.is_ok())
    }

    /// What stands above the rows.
    pub(super) fn head(&self) -> String {
        let place = match self.first_place() {
            Some(place) if place.ip().to_string() != self.aim.server() => {
                format!(", at {place}")
            }
            _ => String::new(),
        };
        wrapped(&format!("{}{place}", self.aim), "", "  ")
    }

    fn first_place(&self) -> Option<SocketAddr> {
        self.places.as_ref().ok()?.first().copied()
    }

    /// One ping, in a line.
    pub(super) fn row(&self, one: &Pinged) -> String {
        let form = match self.aim.is_web() {
            true => format!("{:<10}", one.form.word()),
            false => String::new(),
        };
        let place = match Some(one.address) == self.first_place() {
            true => String::new(),
            false => format!(" (at {})", one.address.ip()),
        };
        let dc = one.dc.to_string();
        let said = match &one.outcome {
            Ok(times) => in_columns(times),
            Err(failure) => format!("fail  {failure}"),
        };
        wrapped(&format!("  DC {dc:<4} {form}{said}{place}"), "", "        ")
    }

    /// How many there were, how long they took, and what to do about each failure.
    pub(super) fn summary(&self) -> String {
        let answered = self.totals();
        let mut text = match self.places {
            Err(_) => String::new(),
            Ok(_) => format!("  {} of {} answered", answered.len(), self.pinged.len()),
        };
        if let Some((least, middle, most)) = spread(&answered) {
            let [least, middle, most] = [least, middle, most].map(ms);
            text.push_str(&format!(
                "; in all {least}, {middle}, {most} ms (least, middle, most)"
            ));
        }
        if self.spared > 0 {
            text.push_str(&format!("; {} more left out", self.spared));
        }
        let mut text = wrapped(&text, "", "  ");
        for failure in self.failures() {
            let advice = advice::of(&failure, self.aim);
            text.push_str(&wrapped(&format!("{failure}: {advice}"), "  ", "    "));
        }
        text.push('\n');
        text
    }

    /// Each once.
    fn failures(&self) -> Vec<Failure> {
        let unresolved = self.places.as_ref().err();
        let unresolved = unresolved.map(|why| Failure::Unresolved(why.clone()));
        let mut failures = Vec::from_iter(unresolved);
        for one in &self.pinged {
            if let Err(failure) = &one.outcome
                && !failures.contains(failure)
            {
                failures.push(failure.clone());
            }
        }
        failures
    }

    fn totals(&self) -> Vec<Duration> {
        let times = self
            .pinged
            .iter()
            .filter_map(|one| one.outcome.as_ref().ok());
        let mut totals: Vec<Duration> = times.map(Times::total).collect();
        totals.sort();
        totals
    }

    pub(super) fn json(&self) -> Json {
        let aim = self.aim;
        let kind = if aim.is_web() { "webproxy" } else { "proxy" };
        let mut object = vec![
            ("ok", Json::Bool(self.is_fine())),
            ("kind", Json::from(kind)),
            ("server", Json::from(aim.server())),
            ("port", Json::Number(aim.port().into())),
        ];
        object.extend(aim.shown_name().map(|name| ("name", Json::from(name))));
        match self.places {
            Ok(places) => {
                let places = places.iter().map(|place| Json::Text(place.to_string()));
                object.push(("addresses", Json::List(places.collect())));
            }
            Err(why) => object.extend(self.json_of(&Failure::Unresolved(why.clone()))),
        }
        let pings = self.pinged.iter().map(|one| self.json_of_ping(one));
        object.push(("pings", Json::List(pings.collect())));
        let totals = self.totals();
        let mut summary = vec![
            ("pings", Json::Number(self.pinged.len() as i64)),
            ("answered", Json::Number(totals.len() as i64)),
            ("left_out", Json::Number(self.spared as i64)),
        ];
        if let Some((least, middle, most)) = spread(&totals) {
            summary.push(("least_us", micros(least)));
            summary.push(("middle_us", micros(middle)));
            summary.push(("most_us", micros(most)));
        }
        object.push(("summary", Json::Object(summary)));
        Json::Object(object)
    }

    fn json_of_ping(&self, one: &Pinged) -> Json {
        let mut object = vec![
            ("dc", Json::Number(one.dc.0.into())),
            ("form", Json::from(one.form.word())),
            ("address", Json::Text(one.address.to_string())),
            ("ok", Json::Bool(one.outcome.is_ok())),
        ];
        match &one.outcome {
            Ok(times) => {
                object.push(("tcp_us", micros(times.tcp)));
                object.extend(times.handshake.map(|took| ("handshake_us", micros(took))));
                object.push(("answer_us", micros(times.answer)));
            }
            Err(failure) => object.extend(self.json_of(failure)),
        }
        Json::Object(object)
    }

    fn json_of(&self, failure: &Failure) -> [(&'static str, Json); 3] {
        [
            ("failure", Json::from(failure.word())),
            ("finding", Json::Text(failure.to_string())),
            ("advice", Json::Text(advice::of(failure, self.aim))),
        ]
    }
}

fn in_columns(times: &Times) -> String {
    let handshake = match times.handshake {
        Some(took) => format!("  handshake {:>5} ms", ms(took)),
        None => String::new(),
    };
    let (tcp, answer) = (ms(times.tcp), ms(times.answer));
    format!("ok    tcp {tcp:>5} ms{handshake}  answer {answer:>5} ms")
}

/// Milliseconds, with a digit more where there are few.
fn ms(took: Duration) -> String {
    let micros = took.as_micros();
    match micros {
        0..10_000 => format!("{}.{}", micros / 1000, micros % 1000 / 100),
        _ => (micros / 1000).to_string(),
    }
}

fn micros(took: Duration) -> Json {
    Json::Number(i64::try_from(took.as_micros()).unwrap_or(i64::MAX))
}

/// Of times in their order: the least, the middle and the most.
fn spread(sorted: &[Duration]) -> Option<(Duration, Duration, Duration)> {
    let middle = sorted.get(sorted.len() / 2)?;
    Some((*sorted.first()?, *middle, *sorted.last()?))
}

/// `text` in lines of at most [`WIDTH`] columns, with these indents; words that are longer
/// stay whole. A line that fits stays as it is.
fn wrapped(text: &str, first: &str, others: &str) -> String {
    let text = crate::log::one_line(format!("{first}{text}"));
    if text.chars().count() <= WIDTH {
        return match text.is_empty() {
            true => text,
            false => text + "\n",
        };
    }
    let indent = text.chars().take_while(|letter| *letter == ' ').count();
    let (mut lines, mut line) = (String::new(), " ".repeat(indent));
    let mut is_begun = false;
    for word in text.split_whitespace() {
        let gap = usize::from(is_begun);
        if is_begun && line.chars().count() + gap + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = others.to_owned();
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_longer_than_a_terminal() {
        let text = "word ".repeat(60);
        for line in wrapped(&text, "  ", "    ").lines() {
            assert!(
                line.chars().count() <= WIDTH && line.starts_with("  word")
                    || line.starts_with("    word")
            );
        }
        let long = "x".repeat(100);
        assert_eq!(
            wrapped(&format!("a {long} b"), "", "  "),
            format!("a\n  {long}\n  b\n")
        );
        assert_eq!(wrapped("a   b", "  ", ""), "  a   b\n");
        assert_eq!(wrapped("", "", "  "), "");
    }

    #[test]
    fn the_widest_row_fits() {
        let took = Duration::from_secs(120);
        let times = Times {
            tcp: took,
            handshake: Some(took),
            answer: took,
        };
        let row = format!("  DC 10001 {:<10}{}", "websocket", in_columns(&times));
        assert!(row.len() <= WIDTH, "{row}");
    }

    #[test]
    fn times_in_words() {
        let shown = |micros| ms(Duration::from_micros(micros));
        assert_eq!(
            [shown(90), shown(1_450), shown(41_900)],
            ["0.0", "1.4", "41"]
        );
        let three = [1, 2, 9].map(Duration::from_secs);
        let [one, two, nine] = three;
        assert_eq!(spread(&three), Some((one, two, nine)));
        assert_eq!(spread(&[]), None);
    }
}
