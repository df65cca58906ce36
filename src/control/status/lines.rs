use std::fmt::Write;
use std::time::Duration;

use super::super::words::{age, cell, counted, end, round_trip, size};
use super::Status;
use super::limits::Happened;
use crate::client::ShownSite;
use crate::link::{LinkState, ShownLink};
use crate::wire::calendar::time_text;

/// Of the words at the left.
const LEFT: usize = 12;

/// Of why others were turned away: the rest is told to programs.
const MAX_REASONS: usize = 5;

/// Lines with a word at the left of the first of each kind.
#[derive(Default)]
struct Lines {
    text: String,
    last: &'static str,
}

impl Lines {
    fn add(&mut self, left: &'static str, line: &str) {
        let shown = if self.last == left { "" } else { left };
        self.last = left;
        cell(&mut self.text, LEFT, shown);
        self.text.push_str(line);
        end(&mut self.text);
    }
}

impl Status {
    pub(crate) fn lines(&self) -> String {
        let mut lines = Lines::default();
        let started = time_text(self.now.saturating_sub(self.up.as_secs()));
        let version = env!("CARGO_PKG_VERSION");
        let up = age(self.up);
        lines.add("proxy", &format!("smol-mtproxy {version}, {}", self.role));
        lines.add("up", &format!("for {up}, since {started}"));
        self.add_clients(&mut lines);
        for dc in &self.dcs {
            lines.add("DC", &dc.words());
        }
        for link in self.links.iter().flatten() {
            lines.add("link", &link_words(link));
        }
        if self.links.as_ref().is_some_and(Vec::is_empty) {
            lines.add("link", "none");
        }
        for site in &self.sites {
            lines.add("site", &site_words(site));
        }
        if let Some(web) = &self.web {
            let (sessions, streams) = (
                counted(web.sessions, "session"),
                counted(web.streams, "stream"),
            );
            lines.add(
                "WEB",
                &format!("{}: {sessions}, {streams}", web.hosts.join(", ")),
            );
        }
        self.add_memory(&mut lines);
        self.add_troubles(&mut lines);
        lines.text
    }

    fn add_clients(&self, lines: &mut Lines) {
        let Some(clients) = &self.clients else {
            return;
        };
        let (now, most) = (clients.now, clients.most);
        let (today, bytes) = (clients.today.clients, size(clients.today.bytes));
        let came = format!("{now} of at most {most}; {today} came today, and {bytes} went through");
        lines.add("clients", &came);
        if clients.handshaking + clients.strangers > 0 {
            let (handshakes, strangers) = (
                counted(clients.handshaking, "handshake"),
                counted(clients.strangers, "stranger"),
            );
            lines.add(
                "clients",
                &format!("{handshakes} under way, {strangers} at the site"),
            );
        }
    }

    fn add_memory(&self, lines: &mut Lines) {
        let buffers = &self.buffers;
        let mut words = format!(
            "{} of {} used",
            size(buffers.used as u64),
            size(buffers.total as u64)
        );
        if buffers.waiters > 0 {
            let waiters = counted(buffers.waiters as u64, "packet");
            let _ = write!(words, "; {waiters} wait: raise --buffers if that stays");
        }
        lines.add("buffers", &words);
        if let Some(resident) = self.resident {
            lines.add("memory", &format!("{} in all", size(resident)));
        }
    }

    fn add_troubles(&self, lines: &mut Lines) {
        for one in &self.limits {
            lines.add("limits", &times(one));
        }
        for one in self.turned_away.iter().take(MAX_REASONS) {
            lines.add("turned away", &times(one));
        }
        for error in &self.errors {
            let ago = age(Duration::from_secs(self.now.saturating_sub(error.at)));
            let count = match error.count {
                1 => String::new(),
                count => format!(", {count} times"),
            };
            lines.add("errors", &format!("{ago} ago{count}: {}", error.line));
        }
        if let Some(reload) = &self.reload {
            let ago = age(Duration::from_secs(self.now.saturating_sub(reload.at)));
            lines.add("reload", &format!("{ago} ago: {}", reload.words()));
        }
    }
}

fn times(one: &Happened) -> String {
    format!("{}: {}", counted(one.count, "time"), one.words)
}

fn link_words(link: &ShownLink) -> String {
    let peer = &link.peer;
    let Some(up) = link.age else {
        let fault = link.fault.as_deref().unwrap_or("it is dialled");
        return format!("{peer}: none: {fault}");
    };
    let clients = counted(link.clients as u64, "client");
    let mut words = format!("{peer}: {clients}, for {}", age(up));
    if let Some(time) = link.round_trip {
        let _ = write!(words, ", round trip {}", round_trip(time));
    }
    match link.state {
        LinkState::Silent => words += ", silent",
        LinkState::Retired => words += ", gets no more clients",
        _ => {}
    }
    words
}

fn site_words(site: &ShownSite) -> String {
    let domain = site.domain.as_str();
    let Some(place) = &site.place else {
        return format!("{domain}: strangers are shown none");
    };
    let asked = match &site.asked {
        Some((outcome, ago)) => format!("{outcome}, {} ago", age(*ago)),
        None => "not asked in this run".to_owned(),
    };
    let like = match site.has_model {
        true => "answers are like its own",
        false => "answers have the built-in shape",
    };
    format!("{domain} at {place}: {asked}; {like}")
}
