//! What is measured, in which order.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

use fake_telegram::client::Kind;
use fake_telegram::harness::Route;
use fake_telegram::wait;

use crate::peers;
use crate::report::Report;
use crate::subject::{Case, Link, Outside, Subject, Way};
use crate::web::{self, Web};
use crate::{fairness, flood, idle, latency, load};

/// In the order in which they are measured: what a split is compared with comes
/// right before it.
const CASES: [Case; 14] = [
    case(Route::Direct, Kind::Padded, Link::None),
    by(Way::Via, Kind::Padded),
    by(Way::Ws, Kind::Padded),
    by(Way::Upstream, Kind::Padded),
    case(Route::Direct, Kind::Padded, Link::Plain),
    case(Route::Direct, Kind::Padded, Link::Tls),
    case(Route::Direct, Kind::FakeTls, Link::None),
    by(Way::Via, Kind::FakeTls),
    by(Way::Ws, Kind::FakeTls),
    by(Way::Upstream, Kind::FakeTls),
    case(Route::Middle, Kind::Padded, Link::None),
    case(Route::Middle, Kind::Padded, Link::Plain),
    case(Route::Middle, Kind::Padded, Link::Tls),
    case(Route::Middle, Kind::FakeTls, Link::None),
];

const fn case(route: Route, kind: Kind, link: Link) -> Case {
    Case {
        route,
        way: Way::Straight,
        kind,
        link,
    }
}

/// Direct, by another way than straight on.
const fn by(way: Way, kind: Kind) -> Case {
    Case {
        way,
        ..case(Route::Direct, kind, Link::None)
    }
}

/// Half-open connections, and descriptors that a proxy has for other things.
const HALF_OPEN: u64 = 20_000;
const OTHER_DESCRIPTORS: u64 = 500;

/// What a peer has not got through by then is left out.
const PEER_PATIENCE: Duration = Duration::from_secs(60);

pub struct Plan<'a> {
    pub binary: &'static str,
    pub outside: Outside<'a>,
    /// Per download and upload.
    pub megabytes: u32,
    pub rounds: usize,
    pub quick: bool,
    /// How the names of the wanted subjects begin.
    pub subject: &'a str,
    /// The parts that are wanted; none: all but fairness.
    pub parts: &'a [String],
    /// Descriptors that a process may have.
    pub descriptors: u64,
    /// Loads that peers do not get through.
    pub left_out: RefCell<HashSet<String>>,
}

impl Plan<'_> {
    pub async fn run(&self) -> io::Result<()> {
        let mut report = Report::default();
        if self.wants("traffic") {
            self.all_traffic(&mut report).await?;
            report.print();
        }
        if self.wants("idle") {
            for case in self.cases() {
                self.idle(case, &report).await?;
            }
            if self.wants_web() {
                self.web_idle(&report).await?;
            }
        }
        if self.wants("slow") {
            let middle = case(Route::Middle, Kind::Padded, Link::None);
            let proxy = middle.start(self.binary, self.outside).await?;
            report.slow_answer(&proxy, idle::slow_answer(&proxy).await?);
            let web = Web::start(self.binary, self.outside.telegram).await;
            report.slow_app(&web.subject, web.slow().await?);
        }
        if self.wants("flood") {
            report.flood(&flood::flood(self.binary, self.outside.telegram).await?);
        }
        if self.wants("half-open") {
            self.half_open(&report).await?;
        }
        // Each row has a Telegram of its own.
        if self.parts.iter().any(|wanted| wanted == "fairness") {
            fairness::fairness(self.binary, self.subject, self.quick).await;
        }
        Ok(())
    }

    /// All subjects, and then all again: what comes over the machine meanwhile comes
    /// over each of them.
    async fn all_traffic(&self, report: &mut Report) -> io::Result<()> {
        let mut peers: Vec<_> = self
            .cases()
            .flat_map(|case| peers::named().into_iter().map(move |peer| (peer, case)))
            .filter(|(peer, case)| match (case.link, case.way) {
                (Link::None, Way::Straight) => peer.can(case.route, case.kind),
                _ => peer.as_ours().is_some(),
            })
            .collect();
        for round in 1..=self.rounds {
            eprintln!("traffic, round {round} of {}", self.rounds);
            self.traffic(&Subject::relay(self.outside.telegram)?, report)
                .await?;
            self.traffic(&Subject::splice_relay(self.outside.telegram)?, report)
                .await?;
            for case in self.cases() {
                let proxy = case.start(self.binary, self.outside).await?;
                self.traffic(&proxy, report).await?;
            }
            if self.wants_web() {
                self.web_traffic(report).await?;
            }
            let mut failed = Vec::new();
            for (number, (peer, case)) in peers.iter().enumerate() {
                match Subject::peer(peer, *case, self.outside).await {
                    Ok(subject) => self.traffic(&subject, report).await?,
                    Err(error) => {
                        println!("{} {} is left out: {error}", peer.name, case.name());
                        failed.push(number);
                    }
                }
            }
            // It would fail again, and half of a minute is gone each time.
            for number in failed.into_iter().rev() {
                peers.remove(number);
            }
        }
        Ok(())
    }

    fn cases(&self) -> impl Iterator<Item = Case> {
        let wanted = |case: &Case| case.name().starts_with(self.subject);
        CASES.into_iter().filter(wanted)
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    fn wants_web(&self) -> bool {
        web::NAME.starts_with(self.subject)
    }

    /// As many clients as in the loads of these names, in sessions of five streams.
    async fn web_traffic(&self, report: &mut Report) -> io::Result<()> {
        let web = Web::start(self.binary, self.outside.telegram).await;
        let (subject, megabytes) = (&web.subject, self.megabytes);
        for (name, sessions, streams) in [
            ("download, 1 clients", 1, 1),
            ("download, 10 clients", 2, 5),
            ("download, 100 clients", 20, 5),
        ] {
            let cost = web.download(sessions, streams, megabytes).await?;
            report.transfer(subject, name, cost);
        }
        let cost = web.upload(2, 5, megabytes / 2).await?;
        report.transfer(subject, "upload, 10 clients", cost);
        let messages = if self.quick { 10_000 } else { 30_000 };
        let cost = web.echo(10, 5, messages).await?;
        report.echo(subject, "echo, 50 clients", cost);
        Ok(())
    }

    async fn web_idle(&self, report: &Report) -> io::Result<()> {
        for (sessions, streams) in [(500, 1), (100, 1), (100, 11)] {
            let web = Web::start(self.binary, self.outside.telegram).await;
            let grown = web.idle(sessions, streams).await?;
            report.web_idle(&web.subject, sessions, streams, grown);
        }
        Ok(())
    }

    async fn half_open(&self, report: &Report) -> io::Result<()> {
        let fit = self.descriptors.saturating_sub(OTHER_DESCRIPTORS);
        if fit < HALF_OPEN {
            let limit = self.descriptors;
            println!("a process may have {limit} descriptors: {fit} half-open connections");
        }
        let crowd = flood::half_open(self.binary, self.outside.telegram, HALF_OPEN.min(fit));
        report.crowd(&crowd.await?);
        Ok(())
    }

    async fn traffic(&self, subject: &Subject, report: &mut Report) -> io::Result<()> {
        let (messages, connects) = match self.quick {
            true => (10_000, 500),
            false => (30_000, 1_000),
        };
        for clients in [1, 10, 100] {
            let name = format!("download, {clients} clients");
            let load = load::download(subject, clients, self.megabytes);
            if let Some(cost) = self.taken(subject, &name, load).await? {
                report.transfer(subject, &name, cost);
            }
        }
        let (name, load) = ("upload, 10 clients", self.megabytes / 2);
        let load = load::upload(subject, 10, load);
        if let Some(cost) = self.taken(subject, name, load).await? {
            report.transfer(subject, name, cost);
        }
        let (name, load) = ("echo, 50 clients", load::echo(subject, 50, messages));
        if let Some(cost) = self.taken(subject, name, load).await? {
            report.echo(subject, name, cost);
        }
        let (name, load) = ("echo, 1 client", latency::echo(subject, messages / 10));
        if let Some((waits, taken)) = self.taken(subject, name, load).await? {
            report.waits(subject, &waits, taken);
        }
        let (name, load) = ("connect and echo", load::connects(subject, connects));
        if let Some(cost) = self.taken(subject, name, load).await? {
            report.connects(subject, cost);
        }
        Ok(())
    }

    /// What a load took; `None` if a peer does not get it through.
    async fn taken<T>(
        &self,
        subject: &Subject,
        name: &str,
        load: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Option<T>> {
        if !subject.is_peer() {
            return load.await.map(Some);
        }
        let key = format!("{}, {name}", subject.name);
        if self.left_out.borrow().contains(&key) {
            return Ok(None);
        }
        let why = match wait::before(PEER_PATIENCE, load).await {
            Some(Ok(taken)) => return Ok(Some(taken)),
            Some(Err(error)) => error.to_string(),
            None => format!("it does not get it through within {PEER_PATIENCE:?}"),
        };
        println!("{key} is left out: {why}");
        self.left_out.borrow_mut().insert(key);
        Ok(None)
    }

    async fn idle(&self, case: Case, report: &Report) -> io::Result<()> {
        let counts: &[usize] = match (self.quick, case.route, case.link) {
            // The same memory as with a plain link, measured once.
            (true, _, Link::Tls) => &[],
            (true, ..) => &[1_000],
            // What is between takes three more of this process.
            (false, Route::Direct, _) if case.way != Way::Straight => &[1_000, 4_000],
            // Each takes a descriptor of the fake DC's too.
            (false, Route::Direct, _) => &[1_000, 8_000],
            (false, Route::Middle, _) => &[1_000, 10_000],
        };
        for &clients in counts {
            let proxy = case.start(self.binary, self.outside).await?;
            let parts = idle::idle(&proxy, clients).await?;
            report.idle(&proxy, clients, &parts);
        }
        Ok(())
    }
}
